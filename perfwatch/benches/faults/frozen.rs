//! A database that hangs: all PostgreSQL processes are stopped, connections stay open, nothing responds.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use crate::postgres::Cluster;
use crate::server::{Server, Watcher, quantile_ms};

const HUNG: Duration = Duration::from_secs(40);
const PATHS: [&str; 6] = [
    "/health",
    "/api/db-status",
    "/metrics",
    "/api/sources",
    "/api/auth/me",
    "/api/history/metrics?metric_type=cpu&start_time=2026-01-01&end_time=2026-01-02",
];

pub async fn measure() -> Result<Value> {
    let cluster = match Cluster::start().await {
        Ok(cluster) => cluster,
        Err(reason) => {
            println!("SKIPPED: frozen: {reason}");
            return Ok(json!({}));
        }
    };
    let url = cluster.database().await;
    let data = tempfile::tempdir()?;
    let server = Server::start(data.path(), Some(&url)).await?;
    let token = server.log_in().await?;
    let watcher = Watcher::start(&server, &token).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    println!("PostgreSQL hangs for {} s: longest and usual answers, ms", HUNG.as_secs());
    cluster.hang();
    let asking = PATHS.map(|path| ask(server.url(path), token.clone()));
    let answers = futures_util::future::join_all(asking).await;
    cluster.resume();
    let mut report = json!({});
    let mut longest: f64 = 0.0;
    for (path, (mut times, statuses)) in PATHS.iter().zip(answers) {
        let [p50, max] = [0.5, 1.0].map(|p| quantile_ms(&mut times, p));
        println!("  {path:<80} {max:>8.1} {p50:>8.1}  {statuses:?}");
        longest = longest.max(max);
        report["paths"][*path] = json!({"p50_ms": p50, "max_ms": max, "statuses": statuses});
    }
    let pause = watcher.longest_pause().as_secs_f64() * 1e3;
    println!("  longest pause of the stream: {pause:.0} ms");
    report["longest_answer_ms"] = longest.into();
    report["longest_pause_of_the_stream_ms"] = pause.into();
    server.stop()?;
    Ok(report)
}

/// Sends requests while the database hangs; returns their latencies and statuses.
async fn ask(url: String, token: String) -> (Vec<Duration>, Vec<u16>) {
    let client = reqwest::Client::new();
    let begun = Instant::now();
    let (mut times, mut statuses) = (Vec::new(), Vec::new());
    while begun.elapsed() < HUNG {
        let asked = Instant::now();
        let answer = client.get(&url).bearer_auth(&token).send().await;
        times.push(asked.elapsed());
        let status = answer.map_or(0, |answer| answer.status().as_u16());
        if !statuses.contains(&status) {
            statuses.push(status);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    (times, statuses)
}
