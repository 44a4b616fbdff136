//! `/proc/stat` as it stands.

use crate::collectors::fields::{Fields, lines};

/// The largest number that kernels are built for; positions in lists are CPU numbers.
const MAX_CPU: u32 = 8191;

/// Ticks of 1/100 s (`USER_HZ`) that one CPU, or all, spent in each state since boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Times {
    /// Includes `guest`, as the kernel counts it.
    pub(super) user: u64,
    /// Includes `guest_nice`.
    pub(super) nice: u64,
    pub(super) system: u64,
    pub(super) idle: u64,
    pub(super) iowait: u64,
    pub(super) irq: u64,
    pub(super) softirq: u64,
    pub(super) steal: u64,
    pub(super) guest: u64,
    pub(super) guest_nice: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Raw {
    pub(super) total: Times,
    /// Online CPUs by ascending number.
    pub(super) cpus: Vec<(u32, Times)>,
    pub(super) interrupts: Option<u64>,
    pub(super) context_switches: Option<u64>,
    pub(super) forks: Option<u64>,
    pub(super) running: Option<u64>,
    pub(super) blocked: Option<u64>,
    /// When the machine started, seconds since the epoch.
    pub(super) booted: Option<u64>,
}

impl Raw {
    /// Takes `text` over into `self`, whose memory is reused; `None` when it has no CPU times.
    pub(super) fn parse(&mut self, text: &[u8]) -> Option<()> {
        let mut cpus = std::mem::take(&mut self.cpus);
        cpus.clear();
        *self = Self { cpus, ..Self::default() };
        let mut total = None;
        for line in lines(text) {
            // The line `intr` has a number per interrupt: its first word is found without walking the others.
            let mut fields = Fields::new(line);
            match fields.word() {
                Some(b"cpu") => total = times(&mut fields),
                Some(b"intr") => self.interrupts = fields.number(),
                Some(b"ctxt") => self.context_switches = fields.number(),
                Some(b"processes") => self.forks = fields.number(),
                Some(b"procs_running") => self.running = fields.number(),
                Some(b"procs_blocked") => self.blocked = fields.number(),
                Some(b"btime") => self.booted = fields.number(),
                Some([b'c', b'p', b'u', number @ ..]) => {
                    let cpu = Fields::new(number).number().and_then(|n| u32::try_from(n).ok());
                    let cpu = cpu.filter(|cpu| *cpu <= MAX_CPU);
                    if let (Some(cpu), Some(times)) = (cpu, times(&mut fields)) {
                        self.cpus.push((cpu, times));
                    }
                }
                _ => {}
            }
        }
        self.total = total?;
        Some(())
    }

    pub(super) fn same_cpus(&self, other: &Self) -> bool {
        self.cpus.iter().map(|(cpu, _)| cpu).eq(other.cpus.iter().map(|(cpu, _)| cpu))
    }

    pub(super) fn cpu(&self, cpu: u32) -> Option<&Times> {
        self.cpus.binary_search_by_key(&cpu, |(number, _)| *number).ok().map(|at| &self.cpus[at].1)
    }
}

/// The times of one line. Old kernels end it early: what they don't account for stays 0, as the kernel itself writes it.
fn times(fields: &mut Fields<'_>) -> Option<Times> {
    let (user, nice, system, idle) = (fields.number()?, fields.number()?, fields.number()?, fields.number()?);
    let mut next = || fields.number().unwrap_or(0);
    Some(Times {
        user,
        nice,
        system,
        idle,
        iowait: next(),
        irq: next(),
        softirq: next(),
        steal: next(),
        guest: next(),
        guest_nice: next(),
    })
}
