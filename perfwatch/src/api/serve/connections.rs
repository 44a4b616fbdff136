//! Open connections: counted in total and per address, idle ones in the order they fell idle.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Limits;

#[derive(Debug)]
pub(super) struct Connections {
    total: usize,
    per_address: usize,
    idle: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    open: usize,
    per_address: HashMap<IpAddr, usize>,
    /// In the order they fell idle.
    idle: BTreeMap<u64, Arc<Notify>>,
    next_turn: u64,
}

/// One connection's slot, freed when dropped.
#[derive(Debug)]
pub(in crate::api) struct Slot {
    connections: Arc<Connections>,
    address: IpAddr,
    evict: Arc<Notify>,
    /// The key in [`Table::idle`] while this connection is idle.
    turn: Mutex<Option<u64>>,
}

impl Connections {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            total: limits.total,
            per_address: limits.per_address,
            idle: limits.idle,
            table: Mutex::default(),
        }
    }

    /// A slot for a new connection, which starts idle; `None` if there is no room.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Arc<Slot>> {
        let address = address.to_canonical();
        {
            let mut table = self.table();
            let of_address = table.per_address.get(&address).copied().unwrap_or(0);
            let crowded = of_address >= self.per_address && !address.is_loopback();
            if crowded || (table.open >= self.total && !table.evict_oldest()) {
                return None;
            }
            table.open += 1;
            *table.per_address.entry(address).or_default() += 1;
        }
        let slot =
            Slot { connections: Arc::clone(self), address, evict: Arc::default(), turn: Mutex::new(None) };
        slot.idle();
        Some(Arc::new(slot))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Whether there was one to close.
    fn evict_oldest(&mut self) -> bool {
        self.idle.pop_first().inspect(|(_, evict)| evict.notify_one()).is_some()
    }
}

impl Slot {
    /// A complete request has arrived.
    pub(super) fn busy(&self) {
        if let Some(turn) = self.turn().take() {
            self.connections.table().idle.remove(&turn);
        }
    }

    /// Waiting for a request; if too many do, the one that has waited longest is closed.
    pub(super) fn idle(&self) {
        let mut turn = self.turn();
        let mut table = self.connections.table();
        // One whose last request never arrived completely has been waiting all along, but it was answered.
        if let Some(turn) = turn.take() {
            table.idle.remove(&turn);
        }
        let now = table.next_turn;
        table.next_turn += 1;
        table.idle.insert(now, Arc::clone(&self.evict));
        *turn = Some(now);
        while table.idle.len() > self.connections.idle {
            table.evict_oldest();
        }
    }

    /// Notified when this connection has to go.
    pub(super) fn evicted(&self) -> Arc<Notify> {
        Arc::clone(&self.evict)
    }

    fn turn(&self) -> MutexGuard<'_, Option<u64>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.busy();
        let mut table = self.connections.table();
        table.open -= 1;
        if let Some(count) = table.per_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                table.per_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn connections(total: usize, per_address: usize, idle: usize) -> Arc<Connections> {
        Arc::new(Connections::new(&Limits { total, per_address, idle, ..Limits::default() }))
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn is_evicted(slot: &Slot) -> bool {
        slot.evicted().notified().now_or_never().is_some()
    }

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let connections = connections(10, 2, 10);
        let first = connections.admit(address(1)).unwrap();
        let _second = connections.admit(address(1)).unwrap();
        assert!(connections.admit(address(1)).is_none());
        assert!(connections.admit(address(2)).is_some());
        drop(first);
        assert!(connections.admit(address(1)).is_some());
    }

    #[test]
    fn loopback_has_no_share() {
        let connections = connections(10, 1, 10);
        let kept: Vec<_> = (0..5).filter_map(|_| connections.admit(IpAddr::from([127, 0, 0, 1]))).collect();
        assert_eq!(kept.len(), 5);
    }

    #[test]
    fn the_one_idle_for_longest_makes_room() {
        let connections = connections(10, 10, 2);
        let (a, b) = (connections.admit(address(1)).unwrap(), connections.admit(address(2)).unwrap());
        a.busy();
        a.idle();
        let c = connections.admit(address(3)).unwrap();
        assert!(is_evicted(&b), "idle for longest since a was served");
        assert!(!is_evicted(&a) && !is_evicted(&c));
    }

    #[test]
    fn the_busy_are_never_evicted() {
        let connections = connections(2, 10, 10);
        let (a, b) = (connections.admit(address(1)).unwrap(), connections.admit(address(2)).unwrap());
        a.busy();
        b.busy();
        assert!(connections.admit(address(3)).is_none());
        b.idle();
        assert!(connections.admit(address(3)).is_some());
        assert!(is_evicted(&b) && !is_evicted(&a));
    }

    #[test]
    fn one_answered_before_its_request_was_whole_waits_once() {
        let connections = connections(10, 10, 2);
        let (a, b) = (connections.admit(address(1)).unwrap(), connections.admit(address(2)).unwrap());
        a.idle();
        assert!(!is_evicted(&a) && !is_evicted(&b));
        let _c = connections.admit(address(3)).unwrap();
        assert!(is_evicted(&b) && !is_evicted(&a));
    }

    #[test]
    fn nothing_remains_of_the_departed() {
        let connections = connections(10, 10, 10);
        drop(connections.admit(address(1)).unwrap());
        let table = connections.table();
        assert_eq!((table.open, table.per_address.len(), table.idle.len()), (0, 0, 0));
    }
}
