//! Probe `block_io`: how long requests to block devices take.
//!
//! Hook points: tp_btf `block_rq_issue`, `block_rq_complete`. Requests are rare beside context switches, so a hash
//! map from request to the time of its issue is good enough; when it was made the kernel itself notes.
#![no_std]
#![no_main]

use aya_ebpf::helpers::bpf_get_smp_processor_id;
use aya_ebpf::macros::{btf_tracepoint, map};
use aya_ebpf::maps::{Array, HashMap};
use aya_ebpf::programs::BtfTracePointContext;
use perfwatch_common::block_io::{
    COMPLETE, Costs, DISCARD, FLUSH, IN_FLIGHT, ISSUE, Issued, OPERATIONS, Offsets, Operation, READ, STACKED,
    UNKNOWN_DEVICE, WRITE, device,
};
use perfwatch_common::groups::{MAX_GROUPS, NO_SLOT};
use perfwatch_common::histogram::Buckets;
use perfwatch_ebpf::{MAPPED, accounted, add, constant, member, now, record_shared};

perfwatch_ebpf::license!();

/// Operations of `enum req_op` that keep their number.
const REQ_OP_MASK: u32 = 0xff;
const REQ_OP_READ: u32 = 0;
const REQ_OP_FLUSH: u32 = 2;
const REQ_OP_DISCARD: u32 = 3;
const REQ_OP_SECURE_ERASE: u32 = 5;
/// From here on they carry commands of a driver.
const REQ_OP_FIRST_PRIVATE: u32 = 32;

/// Requests on their way, by their address. One that its driver gave back is issued again: its last issue counts.
#[map]
static ISSUED: HashMap<u64, Issued> = HashMap::with_max_entries(IN_FLIGHT, 0);

/// The place of each device among `TOTALS`, given by user space.
#[map]
static DEVICES: HashMap<u32, u32> = HashMap::with_max_entries(1, 0);

/// As many as there are operations to each place.
#[map]
static TOTALS: Array<Operation> = Array::with_max_entries(1, MAPPED);

/// The slot of each cgroup that user space follows.
#[map]
static GROUP_SLOTS: HashMap<u64, u32> = HashMap::with_max_entries(MAX_GROUPS, 0);

/// By slot, from issue to completion of reads and writes, ns.
#[map]
static GROUPS: Array<Buckets> = Array::with_max_entries(1, MAPPED);

/// One entry per CPU.
#[map]
static COSTS: Array<Costs> = Array::with_max_entries(1, MAPPED);

#[unsafe(no_mangle)]
static OFFSETS: Offsets = Offsets {
    issued_argument: 0,
    request_link: 0,
    link_is_queue: 0,
    queue_disk: 0,
    request_cmd_flags: 0,
    request_data_len: 0,
    request_start_time: 0,
    disk_major: 0,
    disk_first_minor: 0,
    request_bio: 0,
    bio_blkg: 0,
    blkg_blkcg: 0,
    blkcg_cgroup: 0,
    cgroup_kn: 0,
    kernfs_node_id: 0,
};

#[inline(always)]
fn costs() -> Option<*mut Costs> {
    COSTS.get_ptr_mut(unsafe { bpf_get_smp_processor_id() } as u32)
}

#[btf_tracepoint(function = "block_rq_issue")]
pub fn issue(ctx: BtfTracePointContext) -> i32 {
    let Some(costs) = costs() else { return 0 };
    let request: *const u8 = if constant!(OFFSETS.issued_argument) == 1 { ctx.arg(1) } else { ctx.arg(0) };
    accounted!(costs, ISSUE, {
        let bytes: u32 = unsafe { member(request, constant!(OFFSETS.request_data_len)) };
        let issued = Issued { at_ns: now(), bytes: bytes as u64 };
        // Without room its latency will be unknown, which `complete` counts.
        let _ = ISSUED.insert(request as u64, issued, 0);
    });
    0
}

#[btf_tracepoint(function = "block_rq_complete")]
pub fn complete(ctx: BtfTracePointContext) -> i32 {
    let Some(costs) = costs() else { return 0 };
    let request: *const u8 = ctx.arg(0);
    let error: u64 = ctx.arg(1);
    let bytes: u64 = ctx.arg(2);
    accounted!(costs, COMPLETE, unsafe { finish(request, error as u8, bytes as u32) });
    0
}

#[inline(always)]
unsafe fn finish(request: *const u8, error: u8, bytes: u32) {
    let left: u32 = unsafe { member(request, constant!(OFFSETS.request_data_len)) };
    let is_last = bytes >= left; // of the parts that a driver may complete one by one
    let now = now();
    let key = request as u64;
    let issued = unsafe { ISSUED.get(key) }.copied();
    if is_last {
        let _ = ISSUED.remove(key);
    }
    let flags: u32 = unsafe { member(request, constant!(OFFSETS.request_cmd_flags)) };
    let operation = match flags & REQ_OP_MASK {
        REQ_OP_READ => READ,
        REQ_OP_FLUSH => FLUSH,
        REQ_OP_DISCARD | REQ_OP_SECURE_ERASE => DISCARD,
        private if private >= REQ_OP_FIRST_PRIVATE => return,
        to_device if to_device & 1 == 1 => WRITE,
        _ => READ,
    };
    // A write with flushes around it completes once more when all of its parts have, which were requests of their
    // own. What else carries no data manages zones.
    if bytes == 0 && operation != FLUSH {
        return;
    }
    let place = unsafe { DEVICES.get(number(request)) }.copied().unwrap_or(UNKNOWN_DEVICE);
    let is_repeated = place & STACKED != 0;
    let place = place & !STACKED;
    let Some(totals) = TOTALS.get_ptr_mut(place * OPERATIONS.len() as u32 + operation) else { return };
    unsafe {
        add(&raw mut (*totals).bytes, bytes as u64);
        if error != 0 {
            add(&raw mut (*totals).errors, 1);
        }
        if !is_last {
            return;
        }
        add(&raw mut (*totals).completed, 1);
        let mut size = bytes as u64;
        match issued {
            Some(issued) => {
                size = issued.bytes;
                let latency = now.saturating_sub(issued.at_ns);
                record_shared(&raw mut (*totals).from_issue, latency);
                if !is_repeated && (operation == READ || operation == WRITE) {
                    record_of_group(request, latency);
                }
            }
            None => add(&raw mut (*totals).unseen, 1),
        }
        let made: u64 = member(request, constant!(OFFSETS.request_start_time));
        // 0 where the kernel keeps no statistics of the device (queue/iostats).
        if made != 0 {
            record_shared(&raw mut (*totals).from_queue, now.saturating_sub(made));
        }
        if size > 0 {
            record_shared(&raw mut (*totals).size, size);
        }
    }
}

/// Adds to what is known of the cgroup that the request is charged to. It has not been completed yet, so it still has
/// what it transfers.
#[inline(always)]
unsafe fn record_of_group(request: *const u8, latency: u64) {
    if constant!(OFFSETS.bio_blkg) == 0 {
        return;
    }
    let cgroup: u64 = unsafe {
        let bio: *const u8 = member(request, constant!(OFFSETS.request_bio));
        let blkg: *const u8 = member(bio, constant!(OFFSETS.bio_blkg));
        let blkcg: *const u8 = member(blkg, constant!(OFFSETS.blkg_blkcg));
        let cgroup: *const u8 = member(blkcg, constant!(OFFSETS.blkcg_cgroup));
        let node: *const u8 = member(cgroup, constant!(OFFSETS.cgroup_kn));
        member(node, constant!(OFFSETS.kernfs_node_id))
    };
    let slot = unsafe { GROUP_SLOTS.get(cgroup) }.map_or(NO_SLOT as u32, |slot| *slot);
    if let Some(group) = GROUPS.get_ptr_mut(slot) {
        unsafe { record_shared(group, latency) };
    }
}

/// The number of the disk that a request goes to.
#[inline(always)]
unsafe fn number(request: *const u8) -> u32 {
    unsafe {
        let link: *const u8 = member(request, constant!(OFFSETS.request_link));
        let disk: *const u8 = if constant!(OFFSETS.link_is_queue) == 1 {
            member(link, constant!(OFFSETS.queue_disk))
        } else {
            link
        };
        let major: u32 = member(disk, constant!(OFFSETS.disk_major));
        let minor: u32 = member(disk, constant!(OFFSETS.disk_first_minor));
        device(major, minor)
    }
}
