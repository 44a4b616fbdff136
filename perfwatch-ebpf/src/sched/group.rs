//! Which cgroup a task is in, and at which slot it is counted.

use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;
use perfwatch_common::groups::{MAX_GROUPS, NO_SLOT};
use perfwatch_common::sched::Task;
use perfwatch_ebpf::{Access, Known, constant};

use super::OFFSETS;

/// The slot of each cgroup that user space follows.
#[map]
static GROUP_SLOTS: HashMap<u64, u32> = HashMap::with_max_entries(MAX_GROUPS, 0);

/// The kernel's number of a task's cgroup.
#[inline(always)]
pub unsafe fn cgroup_of<A: Access>(kernel: *const u8) -> u64 {
    unsafe {
        let css_set: *const u8 = A::member(kernel, constant!(OFFSETS.task_cgroups));
        let link: *const u8 = A::member(css_set, constant!(OFFSETS.css_set_link));
        let cgroup: *const u8 = if constant!(OFFSETS.link_is_css) == 1 {
            A::member(link, constant!(OFFSETS.css_cgroup))
        } else {
            link
        };
        let node: *const u8 = A::member(cgroup, constant!(OFFSETS.cgroup_kn));
        A::member(node, constant!(OFFSETS.kernfs_node_id))
    }
}

#[inline(always)]
pub fn slot_of(cgroup: u64) -> u8 {
    unsafe { GROUP_SLOTS.get(cgroup) }.map_or(NO_SLOT, |slot| *slot as u8)
}

/// A task that comes to a CPU for the first time in this epoch: it may be in another group now, or its slot another
/// group's.
#[cold]
#[inline(never)]
pub unsafe fn find_slot(task: &mut Task, kernel: *const u8) {
    task.slot = slot_of(unsafe { cgroup_of::<Known>(kernel) });
}
