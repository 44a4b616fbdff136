//! Kills the server at random moments.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use perfwatch::store::sqlite_url;
use serde_json::{Value, json};

use crate::postgres::Cluster;
use crate::server::{Kept, Server, Watcher};

/// Lifetime of a server, ms: some ticks, sometimes including the end of a slot.
const LIFE: std::ops::Range<u64> = 1200..4200;

pub async fn measure(kills: usize) -> Result<Value> {
    let mut report = json!({});
    for engine in ["sqlite", "postgresql"] {
        let data = tempfile::tempdir()?;
        let cluster = match engine {
            "sqlite" => None,
            _ => match Cluster::start_durable().await {
                Ok(cluster) => Some(cluster),
                Err(reason) => {
                    println!("SKIPPED: kills on {engine}: {reason}");
                    continue;
                }
            },
        };
        let database = match &cluster {
            Some(cluster) => Some(cluster.database().await),
            None => None,
        };
        let mut seen = BTreeSet::new();
        let mut random = Random::new();
        println!("{engine}: {kills} kills, from seed {}", random.0);
        for _ in 0..kills {
            let server = Server::start(data.path(), database.as_deref()).await?;
            let token = server.log_in().await?;
            let watcher = Watcher::start(&server, &token).await?;
            tokio::time::sleep(Duration::from_millis(random.within(LIFE))).await;
            server.kill()?;
            let second_before = Instant::now().checked_sub(Duration::from_secs(1));
            seen.extend(watcher.ticks_before(second_before.unwrap_or_else(Instant::now)));
        }
        // The last server stores what the others left.
        Server::start(data.path(), database.as_deref()).await?.stop()?;
        let kept = Kept::of(&database.unwrap_or_else(|| sqlite_url(data.path())), &seen).await?;
        println!("  {kept}");
        report[engine] = kept.to_json();
        report[engine]["kills"] = kills.into();
    }
    Ok(report)
}

/// Xorshift: good enough for random moments.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_nanos() as u64);
        Self(now | 1)
    }

    fn within(&mut self, range: std::ops::Range<u64>) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        range.start + self.0 % (range.end - range.start)
    }
}
