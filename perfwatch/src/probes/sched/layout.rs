//! Where the running kernel keeps what the programs read.

use perfwatch_common::sched::Offsets;

use crate::cgroups::Hierarchy;
use crate::probes::kernel::Kernel;
use crate::probes::loader::Unavailable;

pub(super) fn offsets(kernel: &Kernel, hierarchy: Hierarchy) -> Result<Offsets, Unavailable> {
    let task = |paths: &[&str]| kernel.offset("task_struct", paths);
    let (css_set_link, link_is_css) = hierarchy_link(kernel, hierarchy)?;
    // Both or neither: a kernel without CONFIG_TASK_IO_ACCOUNTING has neither.
    let storage = task(&["ioac.read_bytes"]).ok().zip(task(&["ioac.write_bytes"]).ok());
    let (task_read_bytes, task_write_bytes) = storage.unwrap_or_default();
    Ok(Offsets {
        task_pid: task(&["pid"])?,
        task_tgid: task(&["tgid"])?,
        task_comm: task(&["comm"])?,
        task_state: task(&["__state", "state"])?,
        task_start_time: task(&["start_time"])?,
        task_cgroups: task(&["cgroups"])?,
        task_group_leader: task(&["group_leader"])?,
        task_real_cred: task(&["real_cred"])?,
        task_read_bytes,
        task_write_bytes,
        task_exec_runtime: task(&["se.sum_exec_runtime"])?,
        task_cfs_rq: task(&["se.cfs_rq"])?,
        task_run_delay: task(&["sched_info.run_delay"])?,
        task_last_queued: task(&["sched_info.last_queued"])?,
        task_last_arrival: task(&["sched_info.last_arrival"])?,
        task_sched_delayed: task(&["se.sched_delayed"]).unwrap_or(0),
        cfs_rq_rq: kernel.offset("cfs_rq", &["rq"])?,
        rq_clock: kernel.offset("rq", &["clock"])?,
        cred_euid: kernel.offset("cred", &["euid"])?,
        css_set_link,
        link_is_css,
        css_cgroup: kernel.offset("cgroup_subsys_state", &["cgroup"])?,
        cgroup_kn: kernel.offset("cgroup", &["kn"])?,
        kernfs_node_id: kernel.offset("kernfs_node", &["id"])?,
    })
}

/// Where a task's set of groups has that of the hierarchy which counts, and whether it is a controller's entry.
pub(in crate::probes) fn hierarchy_link(
    kernel: &Kernel,
    hierarchy: Hierarchy,
) -> Result<(u32, u32), Unavailable> {
    match controller_link(kernel).filter(|_| hierarchy == Hierarchy::V1) {
        Some(link) => Ok((link, 1)),
        None => Ok((kernel.offset("css_set", &["dfl_cgrp"])?, 0)),
    }
}

/// The memory controller's entry in `css_set.subsys`.
fn controller_link(kernel: &Kernel) -> Option<u32> {
    let subsys = kernel.offset("css_set", &["subsys"]).ok()?;
    let pointer = u32::try_from(size_of::<u64>()).ok()?;
    Some(subsys + pointer * kernel.enumerator("cgroup_subsys_id", "memory_cgrp_id")?)
}
