//! What a day of history takes.

use std::sync::Arc;

use anyhow::{Result, ensure};
use perfwatch::snapshot::MetricType;
use perfwatch::store::rollup::Tier;
use perfwatch::store::{Engine, Store, roller};
use serde_json::{Value, json};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use super::{Place, seeding};

/// The types that the Python original has, and what it took for a day of them at 5 s on 4 CPUs, all on disk.
const ORIGINALS: [MetricType; 6] = [
    MetricType::Cpu,
    MetricType::Memory,
    MetricType::Network,
    MetricType::Disk,
    MetricType::PerfEvents,
    MetricType::MemoryBandwidth,
];
const ORIGINALS_MB: f64 = 102.6;

/// Measures a day of the original's six types at 5 s in an otherwise empty database: tables with their indexes,
/// raw, and then once downsampled, when the rollups of all resolutions have taken the raw rows' place.
pub async fn a_day_on_disk(place: &Place<'_>) -> Result<Value> {
    let (store, _) = place.database("day").await?;
    // A day that is over, so that all of its buckets are.
    let end = datetime!(2026-03-04 00:00:00 UTC);
    let empty = store.extent().await?.bytes;
    let taken = async |store: &Arc<dyn Store>| -> Result<f64> {
        Ok((store.extent().await?.bytes.saturating_sub(empty)) as f64 / 1e6)
    };
    let plan =
        seeding::Plan { end, days: 1, interval: Duration::seconds(5), cpus: 4, types: ORIGINALS.to_vec() };
    write_only(&store, place, &plan).await?;
    let raw = taken(&store).await?;
    roller::roll(store.as_ref(), micros(end + Duration::WEEK)?).await?;
    let rows = store.remove_before(Tier::Raw, micros(end)?, true).await?;
    ensure!(rows > 100_000, "only {rows} raw rows were replaced by rollups");
    let downsampled = taken(&store).await?;
    store.close().await;
    println!(
        "a day of the original's six types on 4 CPUs, tables and indexes: raw {raw:.1} MB (the original: {ORIGINALS_MB}), \
         downsampled {downsampled:.1} MB (a third of the original: {:.1})",
        ORIGINALS_MB / 3.0
    );
    Ok(json!({"raw_mb": raw, "downsampled_mb": downsampled}))
}

async fn write_only(store: &Arc<dyn Store>, place: &Place<'_>, plan: &seeding::Plan) -> Result<()> {
    // Retention as of then has nothing to do.
    seeding::seed(store, place.spool("day"), plan, |_| {}).await.map(drop)
}

fn micros(at: OffsetDateTime) -> Result<i64> {
    Ok(i64::try_from(at.unix_timestamp_nanos() / 1000)?)
}

/// Prints megabytes a day as rows are stored, of each type in each tier, and what the whole takes on disk.
pub async fn documents(store: &Arc<dyn Store>, url: &str) -> Result<Value> {
    let rows: Vec<(String, i64, f64, f64)> = match store.engine() {
        Engine::Sqlite => {
            let query = "SELECT metric_type, 0, avg(octet_length(metric_data)) * 1.0, 17280.0 FROM packed_snapshots GROUP BY 1
                 UNION ALL SELECT metric_type, tier, avg(length(data)), 86400.0 / tier FROM metrics_rollups GROUP BY 1, 2
                 ORDER BY 1, 2";
            sqlx::query_as(query).fetch_all(&sqlx::SqlitePool::connect(url).await?).await?
        }
        Engine::Postgresql => {
            let query = "SELECT metric_type, 0::bigint, avg(pg_column_size(metric_data))::float8, 17280::float8
                 FROM metrics_snapshots GROUP BY 1
                 UNION ALL SELECT metric_type, tier::bigint, avg(pg_column_size(data))::float8, (86400.0 / tier::bigint)::float8
                 FROM metrics_rollups GROUP BY 1, 2 ORDER BY 1, 2";
            sqlx::query_as(query).fetch_all(&sqlx::PgPool::connect(url).await?).await?
        }
    };
    println!("{:<18} {:>9} {:>9} {:>9} {:>9} {:>9}", "MB a day", "raw", "1 min", "5 min", "1 h", "1 d");
    let mut table = serde_json::Map::new();
    for metric_type in MetricType::ALL {
        let of_tier = |tier: i64| {
            let row = rows.iter().find(|r| r.0 == metric_type.as_str() && r.1 == tier);
            row.map_or(0.0, |(_, _, bytes, per_day)| bytes * per_day / 1e6)
        };
        let tiers = [0, 60, 300, 3600, 86_400].map(of_tier);
        let [raw, minute, five, hour, day] = tiers;
        println!("{:<18} {raw:>9.2} {minute:>9.3} {five:>9.3} {hour:>9.4} {day:>9.5}", metric_type.as_str());
        let tiers = ["raw_mb", "1_min_mb", "5_min_mb", "1_h_mb", "1_d_mb"].into_iter().zip(tiers);
        let tiers: serde_json::Map<String, Value> =
            tiers.map(|(name, mb)| (name.into(), json!(mb))).collect();
        table.insert(metric_type.as_str().to_owned(), tiers.into());
    }
    let extent = store.extent().await?;
    println!("all on disk: {:.0} MB", extent.bytes as f64 / 1e6);
    table.insert("all_on_disk_bytes".into(), json!(extent.bytes));
    Ok(table.into())
}
