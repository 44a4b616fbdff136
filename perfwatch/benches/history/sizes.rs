//! Size of a day of history.

use anyhow::{Result, ensure};
use perfwatch::history::History;
use perfwatch::history::rollup::roll;
use perfwatch::history::tier::Tier;
use perfwatch::snapshot::MetricType;
use perfwatch::store::{Engine, Store};
use serde_json::{Value, json};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use super::{HOST, Place, numbers, seeding};

/// The Python original's types, and the size on disk of a day of them at 5 s on 4 CPUs.
const ORIGINALS: [MetricType; 6] = [
    MetricType::Cpu,
    MetricType::Memory,
    MetricType::Network,
    MetricType::Disk,
    MetricType::PerfEvents,
    MetricType::MemoryBandwidth,
];
const ORIGINALS_MB: f64 = 102.6;

/// Those that the goals for size and writing were set for, up to `pressure`. What each process and cgroup used is 2,500
/// numbers more.
pub const ELEVEN: &[MetricType] = MetricType::ALL.split_at(11).0;

/// The end of a past day, so that all of its buckets are complete.
const END: OffsetDateTime = datetime!(2026-03-04 00:00:00 UTC);

/// Measures a day of the original's six types at 5 s in an otherwise empty database, tables with indexes: raw, and
/// again after downsampling, when rollups of all resolutions have replaced the readings.
pub async fn of_the_originals(place: &Place<'_>) -> Result<Value> {
    let (store, url) = place.database("day").await?;
    let empty = on_disk(store.as_ref(), &url).await?;
    let plan = seeding::Plan {
        end: END,
        days: 1,
        span: Duration::DAY,
        interval: Duration::seconds(5),
        cpus: 4,
        types: ORIGINALS.to_vec(),
        documents: 0,
    };
    // As of that time, retention has nothing to remove.
    seeding::seed(&store, HOST, &place.log("day"), &plan, |_| {}).await?;
    let raw = (on_disk(store.as_ref(), &url).await? - empty) / 1e6;
    let history = History::new(store.clone(), HOST);
    roll(&history, micros(END + Duration::WEEK)?).await?;
    let chunks = store.remove_before(HOST, Tier::Raw.seconds(), micros(END)?).await?;
    ensure!(chunks > 100, "only {chunks} chunks were replaced by rollups");
    let downsampled = (on_disk(store.as_ref(), &url).await? - empty) / 1e6;
    store.close().await;
    println!(
        "a day of the original's six types on 4 CPUs, tables and indexes: raw with minutes {raw:.2} MB (the original: \
         {ORIGINALS_MB}), downsampled {downsampled:.2} MB"
    );
    Ok(json!({"raw_mb": raw, "downsampled_mb": downsampled}))
}

/// Measures some hours of some types with a snapshot per second.
pub async fn of_seconds(place: &Place<'_>, name: &str, types: &[MetricType], hours: u32) -> Result<Value> {
    let (store, url) = place.database(name).await?;
    let empty = on_disk(store.as_ref(), &url).await?;
    let plan = seeding::Plan {
        // Ends at noon, when this machine is busiest.
        end: END - Duration::hours(12),
        days: 1,
        span: Duration::hours(hours.into()),
        interval: Duration::SECOND,
        cpus: 8,
        types: types.to_vec(),
        documents: 0,
    };
    let share = f64::from(hours) / 24.0;
    let mut writing = 0.0;
    let total = seeding::seed(&store, HOST, &place.log(name), &plan, |day| {
        writing = day.snapshots as f64 / day.writing.as_secs_f64();
    })
    .await?;
    println!("\n{hours} hours at 1 s, {total} snapshots of {} documents on 8 CPUs", types.len());
    let mut figures = numbers::tell(store.as_ref(), HOST, 1.0, 0).await?;
    let disk = (on_disk(store.as_ref(), &url).await? - empty) / 1e6 / share;
    println!(
        "written: {writing:.0} snapshots/s; a day, tables and indexes, with minutes: {disk:.1} MB on disk"
    );
    figures["all"]["on_disk_a_day_mb"] = json!(disk);
    figures["all"]["writing_per_s"] = json!(writing);
    store.close().await;
    Ok(figures)
}

/// Bytes on disk, without free space.
async fn on_disk(store: &dyn Store, url: &str) -> Result<f64> {
    let vacuum = match store.engine() {
        Engine::Sqlite => "VACUUM",
        Engine::Postgresql => "VACUUM FULL chunks",
    };
    match store.engine() {
        Engine::Sqlite => {
            let pool = sqlx::SqlitePool::connect(url).await?;
            sqlx::raw_sql(vacuum).execute(&pool).await?;
            pool.close().await;
        }
        Engine::Postgresql => {
            let pool = sqlx::PgPool::connect(url).await?;
            sqlx::raw_sql(vacuum).execute(&pool).await?;
            pool.close().await;
        }
    }
    Ok(store.extent(HOST).await?.bytes as f64)
}

pub fn micros(at: OffsetDateTime) -> Result<i64> {
    Ok(i64::try_from(at.unix_timestamp_nanos() / 1000)?)
}
