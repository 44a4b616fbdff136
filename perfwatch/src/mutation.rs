//! Fuzzing on stable Rust: bytes that were valid before a few random mutations.
//!
//! Targets start from real encodings, so that what they read is nearly right: random bytes rarely get past the first
//! check. `PROPTEST_CASES=100000 cargo test -p perfwatch --lib mutated` runs all of them for longer.

use proptest::prelude::*;
use proptest::sample::Index;

/// Numbers where readers fail.
const CORNERS: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'[', b','];

#[derive(Debug, Clone)]
pub(crate) struct Mutation {
    kind: u8,
    at: Index,
    from: Index,
    length: usize,
    to: u8,
}

pub(crate) fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let one = (0u8..7, any::<Index>(), any::<Index>(), 1usize..12, any::<u8>());
    let one = one.prop_map(|(kind, at, from, length, to)| Mutation { kind, at, from, length, to });
    proptest::collection::vec(one, 1..6)
}

pub(crate) fn mutate(bytes: &mut Vec<u8>, mutations: &[Mutation]) {
    for Mutation { kind, at, from, length, to } in mutations {
        if bytes.is_empty() {
            return;
        }
        let (at, from) = (at.index(bytes.len()), from.index(bytes.len()));
        let end = |start: usize| (start + length).min(bytes.len());
        match kind {
            0 => bytes[at] ^= 1 << (to % 8),
            1 => bytes[at] = *to,
            2 => bytes[at] = CORNERS[usize::from(*to) % CORNERS.len()],
            3 => bytes.insert(at, *to),
            4 => drop(bytes.drain(at..end(at))),
            5 => {
                let copied = bytes[from..end(from)].to_vec();
                bytes.splice(at..at, copied);
            }
            _ => bytes.truncate(at),
        }
    }
}
