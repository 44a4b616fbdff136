//! The last messages, bounded in number and in bytes.

use std::collections::VecDeque;

use bytes::Bytes;

#[derive(Debug)]
pub(super) struct Ring {
    messages: VecDeque<Bytes>,
    bytes: usize,
    max_messages: usize,
    max_bytes: usize,
}

impl Ring {
    pub(super) fn new(max_messages: usize, max_bytes: usize) -> Self {
        Self { messages: VecDeque::new(), bytes: 0, max_messages, max_bytes }
    }

    pub(super) fn push(&mut self, message: Bytes) {
        self.bytes += message.len();
        self.messages.push_back(message);
        while self.messages.len() > self.max_messages || self.bytes > self.max_bytes {
            let Some(oldest) = self.messages.pop_front() else { break };
            self.bytes -= oldest.len();
        }
    }

    /// The last `count` messages, oldest first, or as many as are kept.
    pub(super) fn newest(&self, count: usize) -> Vec<Bytes> {
        self.messages.range(self.messages.len().saturating_sub(count)..).cloned().collect()
    }

    /// Puts messages before all others, as many of the newest of them as fit.
    pub(super) fn prepend(&mut self, past: Vec<Bytes>) {
        for message in past.into_iter().rev() {
            let bytes = self.bytes + message.len();
            if self.messages.len() == self.max_messages || bytes > self.max_bytes {
                break;
            }
            self.bytes = bytes;
            self.messages.push_front(message);
        }
    }

    /// Up to `count` messages before the newest, oldest first.
    pub(super) fn before_newest(&self, count: usize) -> Vec<Bytes> {
        let older = self.messages.len().saturating_sub(1);
        self.messages.range(older.saturating_sub(count)..older).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn never_exceeds_its_bounds(
            sizes in proptest::collection::vec(0usize..50, 0..60),
            max_messages in 0usize..20,
            max_bytes in 0usize..200,
            count in 0usize..30,
        ) {
            let mut ring = Ring::new(max_messages, max_bytes);
            let (sizes, past_sizes) = sizes.split_at(sizes.len() / 2);
            for (i, size) in sizes.iter().enumerate() {
                ring.push(Bytes::from(vec![u8::try_from(i).unwrap(); *size]));
                prop_assert!(ring.messages.len() <= max_messages);
                prop_assert!(ring.bytes <= max_bytes);
                prop_assert_eq!(ring.bytes, ring.messages.iter().map(Bytes::len).sum::<usize>());
            }
            let published: Vec<_> = ring.messages.iter().cloned().collect();
            let past: Vec<_> = past_sizes.iter().map(|size| Bytes::from(vec![255; *size])).collect();
            ring.prepend(past.clone());
            prop_assert!(ring.messages.len() <= max_messages && ring.bytes <= max_bytes);
            let fitted = ring.messages.len() - published.len();
            prop_assert!(ring.messages.iter().eq(past[past.len() - fitted..].iter().chain(&published)));
            let past = ring.before_newest(count);
            prop_assert!(past.len() <= count);
            let all: Vec<_> = ring.messages.iter().cloned().collect();
            let older = &all[..all.len().saturating_sub(1)];
            prop_assert_eq!(&older[older.len() - past.len()..], &past[..]);
            let newest = ring.newest(count);
            prop_assert_eq!(newest.len(), count.min(all.len()));
            prop_assert_eq!(&all[all.len() - newest.len()..], &newest[..]);
        }
    }
}
