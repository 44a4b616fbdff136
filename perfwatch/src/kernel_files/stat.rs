//! `/proc/stat` as is: CPU times and the kernel's counters since boot.

use super::fields::{Fields, lines};

/// The largest number that kernels are built for; positions in lists are CPU numbers.
const MAX_CPU: u32 = 8191;

/// Ticks of 1/100 s (`USER_HZ`) that one CPU, or all, spent in each state since boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// Includes `guest`, as the kernel counts it.
    pub user: u64,
    /// Includes `guest_nice`.
    pub nice: u64,
    pub system: u64,
    pub idle: u64,
    pub iowait: u64,
    pub irq: u64,
    pub softirq: u64,
    pub steal: u64,
    pub guest: u64,
    pub guest_nice: u64,
}

impl Times {
    fn plus(self, other: Self) -> Self {
        Self {
            user: self.user.saturating_add(other.user),
            nice: self.nice.saturating_add(other.nice),
            system: self.system.saturating_add(other.system),
            idle: self.idle.saturating_add(other.idle),
            iowait: self.iowait.saturating_add(other.iowait),
            irq: self.irq.saturating_add(other.irq),
            softirq: self.softirq.saturating_add(other.softirq),
            steal: self.steal.saturating_add(other.steal),
            guest: self.guest.saturating_add(other.guest),
            guest_nice: self.guest_nice.saturating_add(other.guest_nice),
        }
    }

    /// Ticks that a CPU spent on this machine's work.
    pub fn of_processes(&self) -> u64 {
        self.user.saturating_add(self.nice).saturating_add(self.system)
    }

    /// Time in which a CPU did no work of this machine: idle, or stolen by the hypervisor.
    pub fn not_running(&self) -> u64 {
        self.idle.saturating_add(self.iowait).saturating_add(self.steal)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stat {
    pub total: Times,
    /// Online CPUs in ascending order.
    pub cpus: Vec<(u32, Times)>,
    pub interrupts: Option<u64>,
    pub context_switches: Option<u64>,
    pub forks: Option<u64>,
    pub running: Option<u64>,
    pub blocked: Option<u64>,
    /// When the machine started, seconds since the epoch.
    pub booted: Option<u64>,
}

impl Stat {
    /// Parses `text` into `self`, reusing its memory; `None` if it has no CPU times.
    pub fn parse(&mut self, text: &[u8]) -> Option<()> {
        let mut cpus = std::mem::take(&mut self.cpus);
        cpus.clear();
        *self = Self { cpus, ..Self::default() };
        let mut total: Option<Times> = None;
        for line in lines(text) {
            // The `intr` line has a number per interrupt: its first word is found without walking the others.
            let mut fields = Fields::new(line);
            match fields.word() {
                // Some emulations write a line of zeros before the real one.
                Some(b"cpu") => total = larger(total, times(&mut fields)),
                Some(b"intr") => self.interrupts = fields.number(),
                Some(b"ctxt") => self.context_switches = fields.number(),
                Some(b"processes") => self.forks = fields.number(),
                Some(b"procs_running") => self.running = count_of_tasks(&mut fields),
                Some(b"procs_blocked") => self.blocked = count_of_tasks(&mut fields),
                Some(b"btime") => self.booted = fields.number().filter(|seconds| *seconds > 0),
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
        if !self.cpus.is_sorted_by(|(a, _), (b, _)| a < b) {
            self.cpus.sort_by_key(|(cpu, _)| *cpu);
            self.cpus.dedup_by_key(|(cpu, _)| *cpu);
        }
        // If the total is unreadable, sum up the CPUs.
        let sum = || self.cpus.iter().map(|(_, times)| *times).reduce(Times::plus);
        self.total = total.or_else(sum)?;
        Some(())
    }

    pub fn same_cpus(&self, other: &Self) -> bool {
        self.cpus.iter().map(|(cpu, _)| cpu).eq(other.cpus.iter().map(|(cpu, _)| cpu))
    }

    pub fn cpu(&self, cpu: u32) -> Option<&Times> {
        self.cpus.binary_search_by_key(&cpu, |(number, _)| *number).ok().map(|at| &self.cpus[at].1)
    }
}

/// Of two readings of the same line, the one with the higher count.
fn larger(one: Option<Times>, other: Option<Times>) -> Option<Times> {
    let counted = |times: &Times| times.of_processes().saturating_add(times.not_running());
    one.into_iter().chain(other).max_by_key(counted)
}

/// Some kernels let these counts go negative briefly, and print them without the sign.
fn count_of_tasks(fields: &mut Fields<'_>) -> Option<u64> {
    fields.number().filter(|count| *count <= i32::MAX as u64)
}

/// The times of one line. Old kernels end it early: what they don't account for stays 0, as the kernel itself prints.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Stat> {
        let mut stat = Stat::default();
        stat.parse(text.as_bytes()).map(|()| stat)
    }

    #[test]
    fn an_unreadable_total_is_the_sum_of_the_cpus() {
        let stat =
            parse("cpu  99999999999999999999999 1 2 3\ncpu0 1 2 3 4 5 6 7 8 9 10\ncpu3 1 2 3 4\n").unwrap();
        let Times { user, nice, system, idle, iowait, steal, .. } = stat.total;
        assert_eq!((user, nice, system, idle, iowait, steal), (2, 4, 6, 8, 5, 8));
        assert!(parse("cpu 1\nctxt 5\n").is_none(), "no CPU says anything");
    }

    #[test]
    fn of_two_totals_the_one_that_counts_is_taken() {
        for text in ["cpu 0 0 0 0\ncpu 5 0 1 9\n", "cpu 5 0 1 9\ncpu 0 0 0 0\n"] {
            assert_eq!(parse(text).unwrap().total.user, 5, "{text}");
        }
        assert_eq!(parse("cpu 0 0 0 0\n").unwrap().total, Times::default());
    }

    #[test]
    fn cpus_are_found_whatever_their_order_and_broken_lines_cost_nothing_else() {
        let stat =
            parse("cpu 1 1 1 1\ncpu2 3 0 0 0\n\ncpu1 2 0\n\0\0\0\ncpu0 7 0 0 0\ncpux 1 1 1 1\nctxt 5\n")
                .unwrap();
        assert_eq!((stat.cpu(0).unwrap().user, stat.cpu(2).unwrap().user), (7, 3));
        assert_eq!((stat.cpu(1), stat.cpus.len(), stat.context_switches), (None, 2, Some(5)));
    }

    #[test]
    fn counts_below_zero_are_not_known() {
        let stat =
            parse("cpu 1 1 1 1\nbtime 0\nprocs_running 4294967295\nprocs_blocked 18446744073709551615\n");
        let stat = stat.unwrap();
        assert_eq!((stat.running, stat.blocked, stat.booted), (None, None, None));
    }
}
