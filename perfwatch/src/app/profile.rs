//! `perfwatch profile`: which code ran in the next seconds.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};

use crate::config::Config;
use crate::probes::profile::{Samples, Trigger};
use crate::profiles::builder::Builder;
use crate::profiles::flame::{Adding, Filter, Flame, Side};
use crate::profiles::samples::gather::{Batch, Gather};
use crate::profiles::samples::symbols::Symbols;
use crate::store::chunks::ProfileKind;

/// What is asked for on the command line.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub seconds: u32,
    pub hz: u32,
    /// Only this process.
    pub pid: Option<u32>,
}

/// Samples are taken out of the ring buffer so often.
const PAUSE: Duration = Duration::from_millis(100);
/// What ran is named while it is still there.
const NAME_EVERY: u32 = 5;

/// Samples until the time is up or `stopped`. Returns folded stacks, a line each, and what there is to say about them.
pub async fn profile(
    config: &Config,
    options: Options,
    stopped: impl Future<Output = ()>,
) -> Result<(String, String)> {
    let mut samples = match Samples::open(&config.roots, options.hz) {
        Ok(samples) => samples,
        Err(why) => match why.remedy {
            Some(remedy) => bail!("cannot sample: {}; {remedy}", why.reason),
            None => bail!("cannot sample: {}", why.reason),
        },
    };
    let mut symbols = Symbols::new(std::env::current_exe()?, config.roots.proc("kallsyms"));
    let mut gather = Gather::new(&config.roots);
    // Apart, since reading debug information may take seconds, for which the ring buffer has no room.
    let (send, batches) = std::sync::mpsc::channel::<Batch>();
    let naming = std::thread::spawn(move || {
        let mut builder = Builder::default();
        for batch in batches {
            batch.learn(&mut symbols);
            batch.add_to(&mut builder, ProfileKind::Cpu, &symbols, 0);
        }
        builder
    });
    let wanted = |pid: u32| options.pid.is_none_or(|only| only == pid);
    let ended = async {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(options.seconds.into())) => {}
            () = stopped => {}
        }
    };
    tokio::pin!(ended);
    let mut rounds = 0_u32;
    loop {
        let is_over = tokio::time::timeout(PAUSE, &mut ended).await.is_ok();
        samples.drain(|head, stack| {
            if wanted(head.pid) {
                gather.add(head, stack, 1);
            }
        });
        rounds = rounds.wrapping_add(1);
        if is_over || rounds.is_multiple_of(NAME_EVERY) {
            send.send(gather.take())?;
        }
        if is_over {
            break;
        }
    }
    let (lost, trigger) = (samples.lost(), samples.trigger());
    drop((samples, send));
    let named = tokio::task::spawn_blocking(move || naming.join()).await?;
    let builder = named.map_err(|_| anyhow!("naming code failed"))?;
    let mut adding = Adding::default();
    adding.add(Side::Current, &builder.table(), &Filter::default(), (0, 1));
    let flame = adding.finish(usize::MAX);
    Ok((flame.folded(|count| count.samples), summary(&flame, trigger, lost)))
}

fn summary(flame: &Flame, trigger: Trigger, lost: u64) -> String {
    let samples = flame.total(Side::Current).samples;
    let of = match trigger {
        Trigger::Cycles => "cycles",
        Trigger::CpuClock => "CPU time",
    };
    let (stacks, user) = (flame.stacks, flame.stacks.total());
    let mut text = format!("{samples} samples of {of}");
    if user > 0 {
        let complete = 100.0 * stacks.complete as f64 / user as f64;
        let _ = write!(text, "; {complete:.1} % of {user} user stacks are complete");
        for (count, why) in [
            (stacks.no_unwind_information, "without unwind information"),
            (stacks.too_long, "deeper than what is copied"),
            (stacks.no_registers, "without registers"),
            (stacks.gone, "of processes that had exited"),
            (stacks.forbidden, "of processes that may not be looked into (CAP_SYS_PTRACE)"),
        ] {
            if count > 0 {
                let _ = write!(text, ", {count} {why}");
            }
        }
    }
    if lost > 0 {
        let _ = write!(text, "; {lost} more were lost: the machine was too busy to take them in");
    }
    text
}
