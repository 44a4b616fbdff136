//! Many viewers who run the most expensive query.

use std::time::{Duration, Instant};

use anyhow::Result;
use perfwatch::history::writer::LogPlace;
use perfwatch::snapshot::{MetricType, rfc3339};
use perfwatch::store::{self, sqlite_url};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::seeding;
use crate::server::{PASSWORD, Server, quantile_ms};

const VIEWERS: usize = 64;
const ASKED: Duration = Duration::from_secs(20);
const DAYS: u32 = 30;

pub async fn measure() -> Result<Value> {
    let data = tempfile::tempdir()?;
    // The first start creates the tables, the account and the host's identity.
    let server = Server::start(data.path(), None).await?;
    server.log_in().await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    server.stop()?;
    let store = store::open(&sqlite_url(data.path())).await?;
    let hosts = store.hosts().await?;
    let host = hosts.first().map_or("", |host| &host.id);
    let plan = seeding::Plan {
        end: OffsetDateTime::now_utc(),
        days: DAYS,
        span: time::Duration::DAY,
        interval: time::Duration::seconds(60),
        cpus: 8,
        types: MetricType::ALL.to_vec(),
        documents: 0,
    };
    let log = LogPlace { dir: data.path().join("seeding"), max_bytes: 256 << 20 };
    seeding::seed(&store, host, &log, &plan, |_| {}).await?;
    store.close().await;

    let server = Server::start(data.path(), None).await?;
    let token = server.log_in().await?;
    let viewers = (0..VIEWERS).map(|_| ask(&server, &token));
    let health = repeat(|| async {
        Ok(reqwest::get(server.url("/health")).await?.error_for_status()?.bytes().await.map(drop)?)
    });
    let logins = repeat(|| async {
        let login = json!({"username": "admin", "password": PASSWORD});
        let answer = reqwest::Client::new().post(server.url("/api/auth/login")).json(&login).send().await?;
        Ok(answer.error_for_status()?.bytes().await.map(drop)?)
    });
    let (statuses, health, logins) = tokio::join!(futures_util::future::join_all(viewers), health, logins);
    let (mut health, mut logins) = (health?, logins?);
    let count = |status: u16| statuses.iter().flatten().filter(|of| **of == status).count();
    let (answered, refused) = (count(200), count(429));
    let [health_p99, login_p99] = [&mut health, &mut logins].map(|times| quantile_ms(times, 0.99));
    let (peak, anonymous) = (server.memory_kib("VmHWM:")?, server.memory_kib("RssAnon:")?);
    println!(
        "{VIEWERS} viewers compare {DAYS} days for {} s: {answered} answered, {refused} told to wait; /health p99 \
         {health_p99:.1} ms, a login {login_p99:.0} ms, peak RSS {:.1} MiB",
        ASKED.as_secs(),
        peak as f64 / 1024.0
    );
    server.stop()?;
    Ok(json!({
        "answered": answered,
        "told_to_wait": refused,
        "health_p99_ms": health_p99,
        "login_p99_ms": login_p99,
        "peak_rss_kib": peak,
        "anonymous_kib": anonymous,
    }))
}

/// Queries the changes of a month repeatedly; returns the statuses.
async fn ask(server: &Server, token: &str) -> Vec<u16> {
    let now = OffsetDateTime::now_utc();
    let before = |days: i64| rfc3339(now - time::Duration::days(days));
    // Compared with a day earlier, so that both ranges have data.
    let url = server.url(&format!(
        "/api/history/changes?start_time_1={}&end_time_1={}&start_time_2={}&end_time_2={}",
        before(30),
        before(0),
        before(31),
        before(1)
    ));
    let client = reqwest::Client::new();
    let begun = Instant::now();
    let mut statuses = Vec::new();
    while begun.elapsed() < ASKED {
        let answer = client.get(&url).bearer_auth(token).send().await;
        let status = answer.map_or(0, |answer| answer.status().as_u16());
        statuses.push(status);
        if status != 200 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    statuses
}

/// Latencies of some requests, one after another.
async fn repeat<F: Future<Output = Result<()>>>(mut request: impl FnMut() -> F) -> Result<Vec<Duration>> {
    let begun = Instant::now();
    let mut times = Vec::new();
    while begun.elapsed() < ASKED {
        let asked = Instant::now();
        request().await?;
        times.push(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(times)
}
