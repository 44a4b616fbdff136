//! Size of this machine's own readings, sampled every second under a varying load.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use perfwatch::config::Roots;
use perfwatch::history::History;
use perfwatch::history::maintenance::DocumentDays;
use perfwatch::history::writer::Writer;
use perfwatch::host::Host;
use perfwatch::snapshot::source::Tick;
use perfwatch::snapshot::{MetricType, Reading, Snapshot};
use perfwatch::{collectors, probes};
use serde_json::Value;

use super::{HOST, Place, numbers};

const TICK: Duration = Duration::from_secs(1);

/// Samples all sources on this machine. Skips the first tick, which has no rates.
pub fn sample(seconds: u32) -> Result<Vec<Arc<Snapshot>>> {
    let mut sources = collectors::all(&Roots::default());
    sources.extend(probes::all(&Roots::default(), probes::Options::UNLIMITED));
    sources.sort_by_key(|source| source.metric_type());
    let stop = Arc::new(AtomicBool::new(false));
    let loads: [fn(&AtomicBool) -> Result<()>; 4] = [compute, write, connect, start_processes];
    let loads: Vec<_> = loads
        .into_iter()
        .map(|load| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || load(&stop))
        })
        .collect();
    let mut snapshots = Vec::new();
    for _ in 0..=seconds {
        let into = SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos();
        std::thread::sleep(TICK - Duration::from_nanos(into.into()));
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let tick = Tick::new((UNIX_EPOCH + Duration::from_secs(now)).into(), TICK);
        let readings = sources.iter_mut().map(|source| {
            let sampled = source.sample(&tick);
            sampled.unwrap_or_else(|error| Reading::failed(source.metric_type(), tick.at, &error.to_string()))
        });
        snapshots.push(Arc::new(Snapshot::new(tick.at, readings.collect())));
    }
    stop.store(true, Ordering::Relaxed);
    for load in loads {
        if let Ok(Err(error)) = load.join() {
            println!("a part of the load did not work: {error}");
        }
    }
    snapshots.remove(0);
    let failed: Vec<&str> = MetricType::ALL
        .into_iter()
        .filter(|of| snapshots.iter().all(|s| s.reading(*of).is_none_or(|r| r.tables().is_empty())))
        .map(MetricType::as_str)
        .collect();
    println!("{} snapshots of this machine", snapshots.len());
    if !failed.is_empty() {
        println!("SKIPPED: not measured here: {}", failed.join(", "));
    }
    Ok(snapshots)
}

/// Stores them as the server would, and reports their size.
pub async fn store(place: &Place<'_>, snapshots: &[Arc<Snapshot>]) -> Result<Value> {
    let (store, _) = place.database("live").await?;
    store.introduce(&Host::new(HOST, "live")).await?;
    let history = History::new(store.clone(), HOST);
    let writer = Writer::spawn(history, place.log("live"), DocumentDays(0))?;
    for snapshot in snapshots {
        writer.submit_waiting(Arc::clone(snapshot)).await;
    }
    writer.drained().await;
    writer.close().await;
    let figures = numbers::tell(store.as_ref(), HOST, 1.0, 0).await?;
    store.close().await;
    Ok(figures)
}

/// A varying pause, so that no two seconds are alike.
fn pause(n: &mut u64, most_ms: u64) {
    *n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    std::thread::sleep(Duration::from_millis((*n >> 33) % most_ms));
}

fn compute(stop: &AtomicBool) -> Result<()> {
    let mut n = 1;
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..3_000_000 {
            n = std::hint::black_box(n * 31 + 7) % 1_000_003;
        }
        pause(&mut n, 60);
    }
    Ok(())
}

fn write(stop: &AtomicBool) -> Result<()> {
    let mut n = 2;
    let mut file = tempfile::tempfile()?;
    while !stop.load(Ordering::Relaxed) {
        let size = 4096 * (1 + (n >> 40) as usize % 64);
        file.write_all(&vec![7; size])?;
        file.sync_data()?;
        pause(&mut n, 40);
    }
    Ok(())
}

fn connect(stop: &AtomicBool) -> Result<()> {
    let mut n = 3;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    while !stop.load(Ordering::Relaxed) {
        let mut client = TcpStream::connect(listener.local_addr()?)?;
        let (mut server, _) = listener.accept()?;
        client.write_all(&[1; 1000])?;
        server.write_all(&[2; 3000])?;
        pause(&mut n, 50);
    }
    Ok(())
}

fn start_processes(stop: &AtomicBool) -> Result<()> {
    let mut n = 4;
    while !stop.load(Ordering::Relaxed) {
        Command::new("true").status()?;
        pause(&mut n, 400);
    }
    Ok(())
}
