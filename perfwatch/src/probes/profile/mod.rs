//! Probe `profile`: samples of what runs on every CPU, some times a second.
//!
//! # Hook point
//! A perf event per CPU: the cycles of a PMU, or else the kernel's `cpu-clock`.
//!
//! # Output
//! A ring buffer of samples. Nobody is woken for one; [`Feed::samples`] is called several times a second.
//!
//! # Which kernels
//! Stacks are taken by `bpf_get_stack`, and not by `bpf_get_stackid`, whose hash table takes locks that programs in NMIs
//! have deadlocked on. The ring buffer only tries its lock in an NMI: a sample that meets another is lost, and counted.
//! Events are never precise (PEBS), with which kernels before 5.9 could be made to unwind from wrong registers.

use std::time::Instant;

use aya::Ebpf;
use aya::maps::RingBuf;
use aya::programs::PerfEvent;
use aya::programs::perf_event::{
    HardwareEvent, PerfEventConfig, PerfEventScope, SamplePolicy, SoftwareEvent,
};
use perfwatch_common::profile::{Account, Constants, Head, PROGRAMS, SAMPLE};
use serde::Serialize;

use super::Common;
use super::feed::{Feed, Ring, Unwound};
use super::guarded::{Guarded, Loaded};
use super::kernel::{Kernel, SharedKernel};
use super::loader::{self, Unavailable};
use super::mapped::Mapped;
use super::rights;
use super::sched::hierarchy_link;
use super::target::REGISTERS_OF;
use crate::cgroups::Hierarchy;
use crate::config::Roots;
use crate::kernel_files::file::KernelFile;
use crate::snapshot::derive::round;
use crate::snapshot::source::{
    Method, ProgramStats, Report, Source, SourceError, SourceSettings, State, Tick,
};
use crate::snapshot::{MetricType, Reading};

pub const NAME: &str = "profile";

static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../../perfwatch-ebpf/prebuilt/profile.o");

/// Memory for samples between two looks at them.
const MIN_RING: u32 = 4 << 20;
const MAX_RING: u32 = 16 << 20;
/// Bytes of a sample, as most are.
const USUAL: u32 = 16 << 10;

/// What makes CPUs take samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    Cycles,
    CpuClock,
}

impl Trigger {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Cycles => "cycles",
            Self::CpuClock => "cpu_clock",
        }
    }
}

/// Samples that are being taken, until this is dropped: for a while, by one who takes them out too.
#[derive(Debug)]
pub struct Samples {
    programs: Programs,
    ring: Ring,
}

impl Samples {
    /// Samples every online CPU `hz` times a second of it that is not idle.
    pub fn open(roots: &Roots, hz: u32) -> Result<Self, Unavailable> {
        let mut kernel = SharedKernel::new(roots);
        let loaded = kernel.get().and_then(|types| Programs::load(types, roots, hz));
        kernel.release();
        let (programs, ring) = loaded?;
        Ok(Self { programs, ring })
    }

    /// Passes on what was sampled since the last time: each sample with its copy of the user stack.
    pub fn drain(&mut self, each: impl FnMut(&Head, &[u8])) {
        self.ring.drain(each);
    }

    pub fn trigger(&self) -> Trigger {
        self.programs.trigger
    }

    /// Samples that found no room.
    pub fn lost(&self) -> u64 {
        self.programs.account().lost
    }

    pub fn stats(&self) -> Vec<ProgramStats> {
        self.programs.stats()
    }
}

struct Programs {
    ebpf: Ebpf,
    accounts: Mapped<Account>,
    trigger: Trigger,
    hz: u32,
    before: Counts,
    read_at: Instant,
}

/// Totals since the programs were loaded.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    samples: u64,
    lost: u64,
    unwound: Unwound,
}

impl std::fmt::Debug for Programs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Programs").field("trigger", &self.trigger).finish_non_exhaustive()
    }
}

impl Loaded for Programs {
    fn stats(&self) -> Vec<ProgramStats> {
        loader::stats(&self.ebpf, PROGRAMS, &self.account().costs)
    }

    fn missing(&self) -> &[Unavailable] {
        &[]
    }
}

impl Programs {
    fn load(kernel: &Kernel, roots: &Roots, hz: u32) -> Result<(Self, Ring), Unavailable> {
        let possible = loader::possible_cpus()?;
        let constants = constants(kernel, roots)?;
        let online = super::online_cpus(roots);
        let cpus = u32::try_from(online).unwrap_or(u32::MAX);
        // Half a second of them.
        let ring = USUAL.saturating_mul(hz).saturating_mul(cpus) / 2;
        let ring = ring.clamp(MIN_RING, MAX_RING).next_power_of_two();
        let mut ebpf = loader::load(NAME, OBJECT, |loader| {
            loader
                .override_global("CONSTANTS", &constants, true)
                .map_max_entries("SAMPLES", ring)
                .map_max_entries("SCRATCH", possible)
                .map_max_entries("ACCOUNTS", possible);
        })?;
        let accounts = Mapped::<Account>::new(&ebpf, "ACCOUNTS", possible)?;
        let ring = ebpf.take_map("SAMPLES").and_then(|map| RingBuf::try_from(map).ok());
        let ring =
            ring.ok_or_else(|| Unavailable::new("the object has no ring buffer SAMPLES".to_owned()))?;
        let [name] = PROGRAMS;
        let program: &mut PerfEvent = ebpf
            .program_mut(name)
            .and_then(|program| program.try_into().ok())
            .ok_or_else(|| Unavailable::new(format!("the object has no perf event program {name}")))?;
        program.load().map_err(|error| Unavailable::from_error("loading the program sample", &error))?;
        let trigger = attach(program, hz)?;
        let programs =
            Self { ebpf, accounts, trigger, hz, before: Counts::default(), read_at: Instant::now() };
        Ok((programs, Ring::new(ring, hz)))
    }

    /// All CPUs together.
    fn account(&self) -> Account {
        let cpus = (0..self.accounts.len()).filter_map(|cpu| self.accounts.get(cpu));
        cpus.fold(Account::default(), |sum, cpu| Account {
            costs: sum.costs.plus(&cpu.costs),
            lost: sum.lost + cpu.lost,
        })
    }

    fn read(&mut self, feed: &Feed) -> Document {
        let (account, elapsed) = (self.account(), self.read_at.elapsed());
        self.read_at = Instant::now();
        let now = Counts {
            samples: account.costs.runs(SAMPLE).saturating_sub(account.lost),
            lost: account.lost,
            unwound: feed.unwound(),
        };
        let before = std::mem::replace(&mut self.before, now);
        feed.note_lost(now.lost.saturating_sub(before.lost));
        let grown = |now: u64, before: u64| Some(now.saturating_sub(before));
        Document {
            elapsed_ms: Some(round(elapsed.as_secs_f64() * 1e3, 1)),
            frequency_hz: self.hz,
            trigger: Some(self.trigger.as_str()),
            samples: grown(now.samples, before.samples),
            lost_samples: grown(now.lost, before.lost),
            user_stacks: grown(now.unwound.stacks, before.unwound.stacks),
            complete_stacks: grown(now.unwound.complete, before.unwound.complete),
        }
    }
}

/// What there was since the last reading; nothing is known of the first.
#[derive(Debug, Default, Serialize)]
struct Document {
    elapsed_ms: Option<f64>,
    frequency_hz: u32,
    trigger: Option<&'static str>,
    samples: Option<u64>,
    lost_samples: Option<u64>,
    user_stacks: Option<u64>,
    complete_stacks: Option<u64>,
}

/// The source: keeps the programs loaded, and counts what they do. Whoever has the feed takes the samples.
pub(super) struct Profile {
    roots: Roots,
    kernel: SharedKernel,
    programs: Guarded<Programs>,
    feed: Feed,
    hz: u32,
    /// The list of CPUs that are online, and what it was when the programs were attached to them.
    online: KernelFile,
    attached_to: Vec<u8>,
}

impl Profile {
    pub(super) fn new(common: &Common<'_>) -> Self {
        Self {
            roots: common.roots.clone(),
            kernel: common.kernel.clone(),
            programs: Guarded::new(NAME, &common.budget),
            feed: common.feed.clone(),
            hz: SourceSettings::default().profile_hz,
            online: KernelFile::new(common.roots.sys("devices/system/cpu/online")),
            attached_to: Vec::new(),
        }
    }

    fn close(&mut self) {
        self.programs.close();
        self.feed.open_samples(None);
    }
}

impl Source for Profile {
    fn name(&self) -> &'static str {
        NAME
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Profile
    }

    fn apply(&mut self, settings: &SourceSettings) {
        if settings.profile_hz != self.hz {
            self.hz = settings.profile_hz;
            self.close();
        }
    }

    fn sample(&mut self, tick: &Tick) -> Result<Reading, SourceError> {
        let online = self.online.read_optional().unwrap_or_default();
        if online != self.attached_to {
            // Events end with their CPU, and one that is new has none.
            self.attached_to = online.to_vec();
            self.close();
        }
        let mut document = None;
        if self.hz > 0 && has_unwinder() {
            let load = || {
                let (programs, ring) = Programs::load(self.kernel.get()?, &self.roots, self.hz)?;
                self.feed.open_samples(Some(ring));
                Ok(programs)
            };
            document = self.programs.read(load, |programs| programs.read(&self.feed));
        }
        // Also if it was not asked: what others have read of the kernel would stay because of it.
        self.kernel.release();
        if self.programs.loaded().is_none() {
            self.feed.open_samples(None);
        }
        let document = document.unwrap_or_else(|| Document { frequency_hz: self.hz, ..Document::default() });
        Ok(Reading::new(MetricType::Profile, tick.at, &document)?)
    }

    fn report(&self) -> Report {
        let report = Report::active(NAME, MetricType::Profile, Method::Ebpf);
        if !has_unwinder() {
            let reason = format!("there is no unwinder for {}", std::env::consts::ARCH);
            return Report { state: State::Unavailable, reason: Some(reason), ..report };
        }
        if self.hz == 0 {
            return Report {
                state: State::Disabled,
                reason: Some("switched off in the settings (profile_hz)".into()),
                remedy: Some("set how often to sample (PERFWATCH_PROFILE_HZ, or Settings)".into()),
                ..report
            };
        }
        let report = self.programs.report(report);
        if report.state == State::Active && self.feed.unwound().forbidden > 0 {
            return Report {
                reason: Some("code of other users' processes has no names: CAP_SYS_PTRACE is missing".into()),
                remedy: Some(rights::grant_for_profiles()),
                ..report
            };
        }
        report
    }
}

const fn has_unwinder() -> bool {
    cfg!(any(target_arch = "x86_64", target_arch = "aarch64"))
}

fn constants(kernel: &Kernel, roots: &Roots) -> Result<Constants, Unavailable> {
    let (css_set_link, link_is_css) = hierarchy_link(kernel, Hierarchy::of_machine(roots))?;
    Ok(Constants {
        architecture: REGISTERS_OF,
        has_task_regs: u32::from(kernel.has_helper("task_pt_regs")),
        task_cgroups: kernel.offset("task_struct", &["cgroups"])?,
        css_set_link,
        link_is_css,
        css_cgroup: kernel.offset("cgroup_subsys_state", &["cgroup"])?,
        cgroup_kn: kernel.offset("cgroup", &["kn"])?,
        kernfs_node_id: kernel.offset("kernfs_node", &["id"])?,
    })
}

/// On every CPU that is online, all alike: samples of cycles and of the clock cannot be added.
fn attach(program: &mut PerfEvent, hz: u32) -> Result<Trigger, Unavailable> {
    let cpus = aya::util::online_cpus().map_err(|(what, error)| Unavailable::from_error(what, &error))?;
    if cpus.is_empty() {
        return Err(Unavailable::new("no CPU is online".to_owned()));
    }
    let policy = SamplePolicy::Frequency(hz.into());
    let on = |cpu: u32| PerfEventScope::AllProcessesOneCpu { cpu };
    let cycles = PerfEventConfig::Hardware(HardwareEvent::CpuCycles);
    let attached: Vec<_> =
        cpus.iter().map_while(|cpu| program.attach(cycles, on(*cpu), policy, false).ok()).collect();
    if attached.len() == cpus.len() {
        return Ok(Trigger::Cycles);
    }
    let failed = |error: &_| Unavailable::from_error("attaching to the clock of a CPU", error);
    for link in attached {
        program.detach(link).map_err(|error| failed(&error))?;
    }
    let clock = PerfEventConfig::Software(SoftwareEvent::CpuClock);
    for cpu in cpus {
        program.attach(clock, on(cpu), policy, false).map_err(|error| failed(&error))?;
    }
    Ok(Trigger::CpuClock)
}
