//! A month of profiles: how large it is, and how fast it answers.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use perfwatch::profiles::archive::Archive;
use perfwatch::profiles::flame::{Filter, Side};
use perfwatch::profiles::function::{Function, Who};
use perfwatch::profiles::table::Count;
use perfwatch::store::chunks::ProfileKind;
use perfwatch::store::{self, Store};
use serde_json::{Value, json};

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 24 * 60 * MINUTE;
/// A day's beginning.
const START: i64 = 20_000 * DAY;
const DAYS: i64 = 30;
/// At 19 Hz on two busy CPUs.
const SAMPLES_A_MINUTE: u64 = 19 * 60 * 2;
const FUNCTIONS: usize = 4000;
const STACKS: usize = 8000;
/// Frames of a stack.
const DEPTH: std::ops::Range<u64> = 12..40;
const QUESTIONS: usize = 40;

/// xorshift: the same month each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    /// Small numbers are much more frequent than large ones, as with functions and stacks of real programs.
    fn skewed(&mut self, most: usize) -> usize {
        let uniform = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        ((most as f64).powf(uniform) - 1.0) as usize
    }
}

struct Machine {
    functions: Vec<Function>,
    stacks: Vec<(Who, Vec<usize>)>,
}

impl Machine {
    fn new(random: &mut Random) -> Self {
        const WORDS: [&str; 12] = [
            "parse",
            "buffer",
            "visit",
            "expression",
            "alloc",
            "insert",
            "ordered",
            "tree",
            "resolve",
            "dispatch",
            "serialize",
            "lock",
        ];
        let function = |n: usize| {
            let words: Vec<&str> =
                (0..2 + random.below(4)).map(|_| WORDS[random.below(12) as usize]).collect();
            Function::new(&format!("{}_{n}", words.join("::")), &format!("lib{}.so", n % 60))
        };
        let functions: Vec<Function> = (0..FUNCTIONS).map(function).collect();
        let mut stacks: Vec<(Who, Vec<usize>)> = Vec::new();
        for n in 0..STACKS {
            // Each branches off another of the same process.
            let from = if n < 40 { None } else { Some(random.skewed(n)) };
            let depth = DEPTH.start + random.below(DEPTH.end - DEPTH.start);
            let (who, mut stack) = match from {
                Some(from) => {
                    let (who, stack): &(Who, Vec<usize>) = &stacks[from];
                    let kept = random.below(stack.len() as u64) as usize;
                    (who.clone(), stack[..kept].to_vec())
                }
                None => {
                    let name = format!("service-{n}");
                    let cgroup = format!("/system.slice/{name}.service");
                    let pid = 1000 + n as u32;
                    (
                        Who {
                            process: name.as_str().into(),
                            thread: name.into(),
                            cgroup: cgroup.into(),
                            pid,
                        },
                        Vec::new(),
                    )
                }
            };
            while (stack.len() as u64) < depth {
                stack.push(random.skewed(FUNCTIONS));
            }
            stacks.push((who, stack));
        }
        Self { functions, stacks }
    }

    fn minute(&self, archive: &Archive, now: i64, random: &mut Random) {
        let mut samples = vec![0u64; STACKS];
        (0..SAMPLES_A_MINUTE).for_each(|_| samples[random.skewed(STACKS)] += 1);
        archive.add(ProfileKind::Cpu, now, |builder, minute| {
            for ((who, stack), samples) in self.stacks.iter().zip(samples).filter(|(_, samples)| *samples > 0)
            {
                let stack = stack.iter().map(|function| &self.functions[*function]);
                builder.add(minute, who, stack, Count { samples, value: samples * (1_000_000_000 / 19) });
            }
        });
    }
}

pub async fn measure() -> Result<Value> {
    let dir = tempfile::tempdir()?;
    let store: Arc<dyn Store> = store::open(&store::sqlite_url(dir.path())).await?;
    let archive = Archive::new(store.clone(), "here");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let machine = Machine::new(&mut random);
    let end = START + DAYS * DAY;
    let mut now = START;
    while now < end {
        machine.minute(&archive, now + MINUTE / 2, &mut random);
        now += MINUTE;
        // The last chunk is replaced each minute, which makes no difference to what is left.
        if now % (10 * MINUTE) == 0 {
            archive.keep(now + MINUTE + 5_000_000).await?;
        }
    }
    archive.keep(end + 2 * MINUTE).await?;
    let mut bytes = serde_json::Map::new();
    let mut all = 0.0;
    for (tier, name) in [(60, "minutes"), (3600, "hours"), (86400, "days")] {
        let sizes = store.sizes("here", tier, 0).await?;
        let a_day = sizes.iter().map(|size| size.bytes as f64).sum::<f64>() / DAYS as f64;
        println!("{name}: {:.2} MB a day", a_day / 1e6);
        bytes.insert(format!("{name}_mb"), json!(a_day / 1e6));
        all += a_day;
    }
    println!("all: {:.2} MB a day", all / 1e6);
    bytes.insert("mb_a_day".into(), json!(all / 1e6));
    for (name, length) in [("1_h", DAY / 24), ("24_h", DAY), ("30_d", 30 * DAY)] {
        let mut times = Vec::new();
        for _ in 0..QUESTIONS {
            let latest = (end - length - START).max(1).unsigned_abs();
            let from = START + random.below(latest).cast_signed();
            let begun = Instant::now();
            let range = (from, from + length);
            let (flame, _) = archive.flame(ProfileKind::Cpu, range, &Filter::default(), 20_000).await?;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
            anyhow::ensure!(flame.total(Side::Current).samples > 0, "there is nothing in {name}");
        }
        times.sort_by(f64::total_cmp);
        let (median, p99) = (times[QUESTIONS / 2], times[QUESTIONS * 99 / 100]);
        println!("flame graph of {name}: {median:.1} ms, p99 {p99:.1} ms");
        bytes.insert(name.to_owned(), json!({"ms": median, "p99_ms": p99}));
    }
    Ok(Value::Object(bytes))
}
