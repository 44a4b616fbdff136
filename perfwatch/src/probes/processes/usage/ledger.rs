//! Adds up what every process used, exactly: nothing is counted twice, and nothing is lost.
//!
//! A process is reported in the tick in which it used something noticeable. What it uses beyond that is carried until it
//! becomes noticeable too, or until the minute ends, when everything is reported: of processes that used next to nothing,
//! and of those that have ended, only the sum by name, by cgroup, or of the whole machine.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::probes::sched::interval::Usage;

/// Rows of one report: the largest are kept, the others are added up.
const MAX_ROWS: usize = 128;
/// Accounts that are carried: a machine with more reports them before the minute ends.
const MAX_CARRIED: usize = 16_384;
/// Of a minute's usage, what makes a process worth a row of its own.
const OF_A_MINUTE: Noticeable = Noticeable { cpu_ns: 2_000_000, storage_bytes: 16 << 10 };

/// Whose account it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Name {
    /// Its path; `None` if it is not known, and for the rest of the machine.
    pub(super) cgroup: Option<Arc<str>>,
    /// Empty for the rest of a cgroup, or of the machine.
    pub(super) comm: Arc<str>,
    /// 0 for several processes.
    pub(super) pid: u32,
}

impl Name {
    /// The rest of the machine.
    pub(super) fn rest() -> Self {
        Self { cgroup: None, comm: Arc::from(""), pid: 0 }
    }

    /// What it is part of; `None` for the rest of the machine.
    fn parent(&self) -> Option<Self> {
        if self.pid != 0 {
            Some(Self { pid: 0, ..self.clone() })
        } else if !self.comm.is_empty() {
            Some(Self { comm: Arc::from(""), ..self.clone() })
        } else if self.cgroup.is_some() {
            Some(Self::rest())
        } else {
            None
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) usage: Usage,
    /// Storage traffic of one of its processes is not known.
    pub(super) storage_unknown: bool,
    pub(super) processes: u64,
    pub(super) exits: u64,
    pub(super) uid: Option<u32>,
    pub(super) rss_bytes: Option<u64>,
    /// Among the largest in memory: worth a row, whatever it used.
    pub(super) is_large: bool,
}

impl Account {
    fn add(&mut self, other: &Self) {
        self.usage = self.usage.plus(&other.usage);
        self.storage_unknown |= other.storage_unknown;
        self.exits += other.exits;
    }
}

/// From where on usage is noticeable.
#[derive(Debug, Clone, Copy)]
struct Noticeable {
    cpu_ns: u64,
    storage_bytes: u64,
}

impl Noticeable {
    /// Half a percent of a CPU, or 64 KiB a second.
    fn within(elapsed: Duration) -> Self {
        let ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        Self { cpu_ns: ns / 200, storage_bytes: (elapsed.as_secs_f64() * 65_536.0) as u64 }
    }

    fn is_reached_by(self, account: &Account) -> bool {
        let usage = &account.usage;
        account.is_large
            || usage.cpu_ns.max(usage.wait_ns) >= self.cpu_ns
            || usage.storage_bytes() >= self.storage_bytes
    }
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    carried: HashMap<Name, Account>,
}

impl Ledger {
    /// Adds a process's, or the rest's, usage in one interval.
    pub(super) fn add(&mut self, name: Name, account: Account) {
        let known = self.carried.entry(name).or_default();
        known.add(&account);
        known.processes = known.processes.max(account.processes);
        known.uid = account.uid.or(known.uid);
        known.rss_bytes = account.rss_bytes.or(known.rss_bytes);
    }

    /// Marks a process as one of the largest in memory; it may have used nothing.
    pub(super) fn keep(&mut self, name: Name, uid: u32) {
        let known = self.carried.entry(name).or_default();
        (known.processes, known.uid, known.is_large) = (1, Some(uid), true);
    }

    /// The name under which a process is carried.
    pub(super) fn name_of(&self, pids: &[u32]) -> HashMap<u32, Name> {
        let wanted = self.carried.keys().filter(|name| name.pid != 0 && pids.contains(&name.pid));
        wanted.map(|name| (name.pid, name.clone())).collect()
    }

    /// What is noticeable after an interval of this length.
    pub(super) fn take_noticeable(&mut self, elapsed: Duration) -> Vec<(Name, Account)> {
        if self.carried.len() > MAX_CARRIED {
            return self.take_all();
        }
        let noticeable = Noticeable::within(elapsed);
        let ended = |name: &Name, account: &mut Account| {
            name.pid != 0 && account.exits > 0 && !noticeable.is_reached_by(account)
        };
        let ended: Vec<(Name, Account)> = self.carried.extract_if(ended).collect();
        for (name, account) in ended {
            self.add_to_parent(&name, &account);
        }
        let noticed = |_: &Name, account: &mut Account| noticeable.is_reached_by(account);
        let mut rows: Vec<(Name, Account)> = self.carried.extract_if(noticed).collect();
        let surplus = rows.len().saturating_sub(MAX_ROWS);
        if surplus > 0 {
            sort_by_weight(&mut rows);
            // Carried on, as if they had not been noticed.
            self.carried.extend(rows.drain(MAX_ROWS..));
        }
        rows
    }

    /// Everything that is carried.
    pub(super) fn take_all(&mut self) -> Vec<(Name, Account)> {
        let mut rows = Vec::new();
        // Processes, then names, then cgroups: what is too small for a row is part of the next sum.
        for level in [Level::Process, Level::Name, Level::Cgroup] {
            let mut of_level: Vec<(Name, Account)> =
                self.carried.extract_if(|name, _| Level::of(name) == level).collect();
            sort_by_weight(&mut of_level);
            let room = MAX_ROWS.saturating_sub(rows.len());
            for (n, (name, account)) in of_level.into_iter().enumerate() {
                if n < room && OF_A_MINUTE.is_reached_by(&account) {
                    rows.push((name, account));
                } else {
                    self.add_to_parent(&name, &account);
                }
            }
        }
        rows.extend(self.carried.drain().filter(|(_, account)| *account != Account::default()));
        rows
    }

    fn add_to_parent(&mut self, name: &Name, account: &Account) {
        let parent = self.carried.entry(name.parent().unwrap_or_else(Name::rest)).or_default();
        parent.add(account);
        // Those that have ended are not there any more.
        parent.processes += account.processes.saturating_sub(account.exits);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Process,
    Name,
    Cgroup,
    Rest,
}

impl Level {
    fn of(name: &Name) -> Self {
        match (name.pid, name.comm.is_empty(), &name.cgroup) {
            (1.., ..) => Self::Process,
            (0, false, _) => Self::Name,
            (0, true, Some(_)) => Self::Cgroup,
            (0, true, None) => Self::Rest,
        }
    }
}

/// The largest first: by their greatest share of CPU time, of waiting for it, or of storage traffic; those that are
/// large in memory before all.
fn sort_by_weight(rows: &mut [(Name, Account)]) {
    let total = rows.iter().fold(Usage::default(), |sum, (_, account)| sum.plus(&account.usage));
    let share = |of: u64, all: u64| if all == 0 { 0.0 } else { of as f64 / all as f64 };
    let weight = |account: &Account| {
        let usage = &account.usage;
        let storage = share(usage.storage_bytes(), total.storage_bytes());
        let time = share(usage.cpu_ns, total.cpu_ns).max(share(usage.wait_ns, total.wait_ns));
        storage.max(time) + if account.is_large { 1.0 } else { 0.0 }
    };
    rows.sort_by(|(a, x), (b, y)| weight(y).total_cmp(&weight(x)).then_with(|| a.cmp(b)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(cgroup: &str, comm: &str, pid: u32) -> Name {
        Name { cgroup: Some(cgroup.into()), comm: comm.into(), pid }
    }

    fn used(cpu_ns: u64, exits: u64) -> Account {
        Account { usage: Usage { cpu_ns, ..Usage::default() }, processes: 1, exits, ..Account::default() }
    }

    fn sum(rows: &[(Name, Account)]) -> Usage {
        rows.iter().fold(Usage::default(), |sum, (_, account)| sum.plus(&account.usage))
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_process_is_reported_when_it_is_noticed_and_the_others_at_the_end_of_the_minute() {
        let mut ledger = Ledger::default();
        ledger.add(name("/a", "hog", 7), used(900_000_000, 0));
        ledger.add(name("/a", "idler", 8), used(3_000_000, 0));
        let rows = ledger.take_noticeable(SECOND);
        assert_eq!(rows, [(name("/a", "hog", 7), used(900_000_000, 0))]);
        ledger.add(name("/a", "idler", 8), used(3_000_000, 0));
        assert_eq!(ledger.take_noticeable(SECOND), [(name("/a", "idler", 8), used(6_000_000, 0))]);
        ledger.add(name("/a", "idler", 8), used(2_500_000, 0));
        ledger.add(name("/a", "sleeper", 9), used(1_000, 0));
        assert_eq!(ledger.take_noticeable(SECOND), []);
        let mut rows = ledger.take_all();
        rows.sort_by(|(a, _), (b, _)| a.cmp(b));
        assert_eq!(rows, [(Name::rest(), used(1_000, 0)), (name("/a", "idler", 8), used(2_500_000, 0))]);
        assert_eq!(ledger.take_all(), []);
    }

    #[test]
    fn ten_thousand_short_lived_processes_are_one_row() {
        let mut ledger = Ledger::default();
        for pid in 1..=10_000 {
            ledger.add(name("/a", "true", pid), used(400_000, 1));
        }
        let rows = ledger.take_noticeable(SECOND);
        let [(of, account)] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!((of, account.exits, account.processes), (&name("/a", "true", 0), 10_000, 0));
        assert_eq!(account.usage.cpu_ns, 4_000_000_000);
    }

    #[test]
    fn one_that_is_large_has_a_row_though_it_does_nothing() {
        let mut ledger = Ledger::default();
        ledger.keep(name("/a", "cache", 5), 33);
        let rows = ledger.take_all();
        assert_eq!(rows.len(), 1);
        assert_eq!((&rows[0].0, rows[0].1.uid), (&name("/a", "cache", 5), Some(33)));
    }

    proptest! {
        #[test]
        fn the_parts_are_the_whole_at_any_time(
            ticks in proptest::collection::vec(
                (proptest::collection::vec((0u8..4, 0u8..5, 1u32..400, 0u64..8_000_000, any::<bool>()), 0..300), any::<bool>()),
                1..20,
            ),
        ) {
            let mut ledger = Ledger::default();
            let (mut given, mut reported, mut ended, mut told) = (0u64, 0u64, 0u64, 0u64);
            for (processes, whole) in ticks {
                for (cgroup, comm, pid, cpu, exited) in processes {
                    let name = name(&format!("/{cgroup}"), &format!("c{comm}"), pid);
                    ledger.add(name, used(cpu, exited.into()));
                    given += cpu;
                    ended += u64::from(exited);
                }
                let rows = if whole { ledger.take_all() } else { ledger.take_noticeable(SECOND) };
                prop_assert!(rows.len() <= MAX_ROWS + 1);
                reported += sum(&rows).cpu_ns;
                told += rows.iter().map(|(_, account)| account.exits).sum::<u64>();
                let mut names: Vec<&Name> = rows.iter().map(|(name, _)| name).collect();
                names.sort();
                names.dedup();
                prop_assert_eq!(names.len(), rows.len(), "nothing twice");
                if whole {
                    prop_assert_eq!((given, ended), (reported, told));
                }
            }
            let rest = ledger.take_all();
            prop_assert_eq!(given, reported + sum(&rest).cpu_ns);
        }
    }
}
