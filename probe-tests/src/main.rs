//! Loads the probes into the running kernel, causes events and checks what was counted.
#![allow(clippy::print_stdout)]
use perfwatch::snapshot::source::Tick;
use std::time::Duration;
fn main() -> anyhow::Result<()> {
    let mut sources = perfwatch::probes::all(&perfwatch::config::Roots::default());
    for _ in 0..4 {
        for source in &mut sources {
            let tick = Tick { timestamp: "t".into(), interval: Duration::from_secs(1) };
            let d = source.sample(&tick)?;
            println!("{}", String::from_utf8_lossy(&d.json));
            println!("{:?}", source.report());
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}
