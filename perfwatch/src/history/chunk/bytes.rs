//! Bounds-checked reading of a chunk's bytes, which may be damaged.

use crate::history::Damaged;

/// A cursor over untrusted bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Damaged("it ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub fn byte(&mut self) -> Result<u8, Damaged> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        self.take(N).and_then(|bytes| bytes.try_into().map_err(|_| Damaged("it ends too early")))
    }

    pub fn varint(&mut self) -> Result<u64, Damaged> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Damaged("a number has no end"))
    }

    /// A count of items that take at least one bit each, so that a damaged count can't exhaust memory.
    pub fn count(&mut self, most: usize) -> Result<usize, Damaged> {
        let count = self.varint()?;
        usize::try_from(count).ok().filter(|count| *count <= most).ok_or(Damaged("it claims too much"))
    }

    pub fn str(&mut self) -> Result<&'a str, Damaged> {
        let length = self.count(self.rest.len())?;
        std::str::from_utf8(self.take(length)?).map_err(|_| Damaged("a text is not UTF-8"))
    }
}

/// A list index from a chunk. On a 32-bit machine a number that doesn't fit maps past the end of any list, not to a
/// wrong entry.
pub(crate) fn place(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

pub(crate) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_count(count: usize, out: &mut Vec<u8>) {
    put_varint(count as u64, out);
}

pub(crate) fn put_str(text: &str, out: &mut Vec<u8>) {
    put_count(text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

/// Maps small numbers of either sign to small unsigned numbers.
pub(crate) const fn zigzag(n: i64) -> u64 {
    (n << 1 ^ n >> 63).cast_unsigned()
}

pub(crate) const fn unzigzag(n: u64) -> i64 {
    (n >> 1).cast_signed() ^ -((n & 1).cast_signed())
}
