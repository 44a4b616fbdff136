//! `/proc/diskstats` as is, for disks and the devices made of them.

use std::sync::Arc;

use super::inventory::Inventory;
use crate::collectors::positions::Positions;
use crate::kernel_files::block_devices::Kind;
use crate::kernel_files::fields::Fields;

/// One line's counters since boot (Documentation/admin-guide/iostats.rst).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) reads: u64,
    /// Of 512 bytes, whatever the device's own sector size.
    pub(super) sectors_read: u64,
    /// Every kernel prints the times, all in ms, as 32-bit numbers.
    pub(super) read_ms: u64,
    pub(super) writes: u64,
    pub(super) sectors_written: u64,
    pub(super) write_ms: u64,
    /// Time with at least one request in flight.
    pub(super) busy_ms: u64,
    /// The same, weighted by the number of requests in flight.
    pub(super) queued_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) name: Arc<str>,
    pub(super) kind: Kind,
    pub(super) counters: Counters,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Raw {
    pub(super) devices: Vec<Device>,
    positions: Positions,
}

impl Raw {
    /// Parses `text` into `self`, reusing its memory.
    pub(super) fn parse(&mut self, text: &[u8], inventory: &mut Inventory) {
        self.clear();
        inventory.walk(text, |name, kind, numbers| {
            if let Some(counters) = counters(numbers) {
                self.devices.push(Device { name: Arc::clone(name), kind, counters });
            }
        });
    }

    pub(super) fn clear(&mut self) {
        self.devices.clear();
        self.positions.clear();
    }

    /// The device of that name, most likely `at` the same position as in another sample.
    pub(super) fn device(&self, name: &str, at: usize) -> Option<&Device> {
        let place = self.positions.find(&self.devices, |device| &device.name, name, at)?;
        self.devices.get(place)
    }
}

fn counters(numbers: &[u8]) -> Option<Counters> {
    let mut fields = Fields::new(numbers);
    let mut next = || fields.number();
    let (reads, _merged, sectors_read, read_ms) = (next()?, next()?, next()?, next()?);
    let (writes, _merged, sectors_written, write_ms) = (next()?, next()?, next()?, next()?);
    fields.skip(1)?; // requests in flight, which go negative on some kernels
    let (busy_ms, queued_ms) = (fields.number()?, fields.number()?);
    Some(Counters { reads, sectors_read, read_ms, writes, sectors_written, write_ms, busy_ms, queued_ms })
}
