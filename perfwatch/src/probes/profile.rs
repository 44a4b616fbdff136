//! Probe `profile`: samples of what runs on every CPU, some times a second.
//!
//! # Hook point
//! A perf event per CPU: the cycles of a PMU, or else the kernel's `cpu-clock`.
//!
//! # Output
//! A ring buffer of samples. Nobody is woken for one; [`Samples::drain`] is called several times a second.

use aya::Ebpf;
use aya::maps::{MapData, RingBuf};
use aya::programs::PerfEvent;
use aya::programs::perf_event::{
    HardwareEvent, PerfEventConfig, PerfEventScope, SamplePolicy, SoftwareEvent,
};
use perfwatch_common::cost::Costs;
use perfwatch_common::profile::{AARCH64, Account, Constants, Head, PAGE, PROGRAMS, X86_64};

use super::kernel::{Kernel, SharedKernel};
use super::loader::{self, Unavailable};
use super::mapped::Mapped;
use super::sched::hierarchy_link;
use crate::cgroups::Hierarchy;
use crate::config::Roots;
use crate::snapshot::source::ProgramStats;

pub const NAME: &str = "profile";

static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../perfwatch-ebpf/prebuilt/profile.o");

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

/// Samples that are being taken, until this is dropped.
pub struct Samples {
    ebpf: Ebpf,
    ring: RingBuf<MapData>,
    accounts: Mapped<Account>,
    pub trigger: Trigger,
}

impl std::fmt::Debug for Samples {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Samples").field("trigger", &self.trigger).finish_non_exhaustive()
    }
}

impl Samples {
    /// Samples every online CPU `hz` times a second of it that is not idle.
    pub fn open(roots: &Roots, hz: u32) -> Result<Self, Unavailable> {
        let mut kernel = SharedKernel::new(roots);
        let samples = kernel.get().and_then(|types| Self::load(types, roots, hz));
        kernel.release();
        samples
    }

    fn load(kernel: &Kernel, roots: &Roots, hz: u32) -> Result<Self, Unavailable> {
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
        Ok(Self { ebpf, ring, accounts, trigger })
    }

    /// Passes on what was sampled since the last time: each sample with its copy of the user stack.
    pub fn drain(&mut self, mut each: impl FnMut(&Head, &[u8])) {
        while let Some(item) = self.ring.next() {
            let Some((head, stack)) = item.split_at_checked(size_of::<Head>()) else { continue };
            let stack = stack.get(..stack.len() / PAGE * PAGE).unwrap_or_default();
            each(&read(head), stack);
        }
    }

    /// Samples that found no room.
    pub fn lost(&self) -> u64 {
        self.accounts().map(|account| account.lost).sum()
    }

    pub fn stats(&self) -> Vec<ProgramStats> {
        let costs = self.accounts().fold(Costs::default(), |sum, account| sum.plus(&account.costs));
        loader::stats(&self.ebpf, PROGRAMS, &costs)
    }

    fn accounts(&self) -> impl Iterator<Item = Account> + '_ {
        (0..self.accounts.len()).filter_map(|cpu| self.accounts.get(cpu))
    }
}

#[allow(unsafe_code)]
fn read(head: &[u8]) -> Head {
    // SAFETY: the slice has the size of a `Head`, which is plain data (`Pod`).
    unsafe { head.as_ptr().cast::<Head>().read_unaligned() }
}

fn constants(kernel: &Kernel, roots: &Roots) -> Result<Constants, Unavailable> {
    let (css_set_link, link_is_css) = hierarchy_link(kernel, Hierarchy::of_machine(roots))?;
    Ok(Constants {
        architecture: match std::env::consts::ARCH {
            "x86_64" => X86_64,
            "aarch64" => AARCH64,
            _ => 0,
        },
        has_task_regs: u32::from(kernel.enumerator("bpf_func_id", "BPF_FUNC_task_pt_regs").is_some()),
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
