//! `perfwatch profile`: which code ran in the next seconds.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::config::Config;
use crate::probes::profile::{Samples, Trigger};
use crate::profiles::gather::{Gather, Profile};
use crate::profiles::place::Ended;
use crate::profiles::symbols::Symbols;

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
    let symbols = Symbols::new(std::env::current_exe()?, config.roots.proc("kallsyms"));
    let mut gather = Gather::new(config.roots.procfs.clone(), symbols);
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
                gather.add(head, stack);
            }
        });
        rounds = rounds.wrapping_add(1);
        if rounds.is_multiple_of(NAME_EVERY) {
            gather.name();
        }
        if is_over {
            break;
        }
    }
    let (lost, trigger) = (samples.lost(), samples.trigger);
    drop(samples);
    let profile = gather.take();
    Ok((folded(&profile), summary(&profile, trigger, lost)))
}

/// As flame graph tools read it: frames from the process inwards, separated by semicolons, and a count.
fn folded(profile: &Profile) -> String {
    let mut lines = Vec::new();
    for (who, tree) in &profile.of {
        let mut stacks: Vec<String> = Vec::with_capacity(tree.nodes().len());
        for node in tree.nodes() {
            let stack = match &node.frame {
                Some(function) => {
                    let outer = stacks.get(node.parent as usize).map_or("", String::as_str);
                    let kernel = if &*function.module == "[kernel]" { "_[k]" } else { "" };
                    format!("{outer};{}{kernel}", function.name.replace(';', ":"))
                }
                None => who.process.replace(';', ":"),
            };
            if node.count > 0 {
                lines.push((stack.clone(), node.count));
            }
            stacks.push(stack);
        }
    }
    lines.sort_unstable();
    // Threads of a process, and processes of one name, are one.
    lines.dedup_by(|next, kept| {
        next.0 == kept.0 && {
            kept.1 += next.1;
            true
        }
    });
    let mut text = String::new();
    for (stack, count) in lines {
        let _ = writeln!(text, "{stack} {count}");
    }
    text
}

fn summary(profile: &Profile, trigger: Trigger, lost: u64) -> String {
    let samples: u64 = profile.of.iter().map(|(_, tree)| tree.total()).sum();
    let of = match trigger {
        Trigger::Cycles => "cycles",
        Trigger::CpuClock => "CPU time",
    };
    let user: u64 = profile.ended.values().sum();
    let mut text = format!("{samples} samples of {of}");
    if user > 0 {
        let complete = profile.ended.get(&Ended::Complete).copied().unwrap_or(0);
        let _ = write!(
            text,
            "; {:.1} % of {user} user stacks are complete",
            100.0 * complete as f64 / user as f64
        );
        for (ended, why) in [
            (Ended::NoWay, "without unwind information"),
            (Ended::TooLong, "deeper than what is copied"),
            (Ended::NoRegisters, "without registers"),
            (Ended::Gone, "of processes that had exited"),
            (Ended::Forbidden, "of processes that may not be looked into (CAP_SYS_PTRACE)"),
        ] {
            if let Some(count) = profile.ended.get(&ended) {
                let _ = write!(text, ", {count} {why}");
            }
        }
    }
    if lost > 0 {
        let _ = write!(text, "; {lost} more were lost: the machine was too busy to take them in");
    }
    text
}
