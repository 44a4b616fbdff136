//! What is said over core NATS and may be larger than one of its messages: compressed, and split into parts.
//!
//! A part starts with a magic and a version, the number of what it is part of, its place, and how many there are. Joined,
//! the parts are a checksum, the length of the plain bytes, and those under zstd.

use bytes::Bytes;

use crate::history::Damaged;
use crate::history::chunk::bytes::Bytes as Cursor;

const MAGIC: &[u8; 3] = b"PWP";
const VERSION: u8 = 1;
/// Magic, version, number, place and count.
const HEAD: usize = 16;
/// More than anything takes that a server with the usual limit of 1 MiB carries.
const MAX_PARTS: usize = 64;
/// What anyone may make us unpack.
const MAX_PLAIN: usize = 64 << 20;
/// The fastest: a tick is packed anew every time.
const ZSTD_LEVEL: i32 = 1;

/// Why nothing is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes are more than NATS carries here (max_payload is {max_payload})")]
pub struct TooLarge {
    pub bytes: usize,
    pub max_payload: usize,
}

/// The messages that carry `plain`, which is number `id` of its sender.
pub fn split(id: i64, plain: &[u8], max_payload: usize) -> Result<Vec<Bytes>, TooLarge> {
    let too_large = TooLarge { bytes: plain.len(), max_payload };
    let packed = zstd::bulk::compress(plain, ZSTD_LEVEL).map_err(|_| too_large)?;
    let length = u32::try_from(plain.len()).ok().filter(|_| plain.len() <= MAX_PLAIN).ok_or(too_large)?;
    let mut whole = vec![0; 4];
    whole.extend_from_slice(&length.to_le_bytes());
    whole.extend_from_slice(&packed);
    let checksum = crc32fast::hash(&whole[4..]);
    whole[..4].copy_from_slice(&checksum.to_le_bytes());
    let room = max_payload.saturating_sub(HEAD);
    if room == 0 || whole.len().div_ceil(room) > MAX_PARTS {
        return Err(too_large);
    }
    let count = whole.len().div_ceil(room);
    let part = |(place, content): (usize, &[u8])| {
        let mut part = Vec::with_capacity(HEAD + content.len());
        part.extend_from_slice(MAGIC);
        part.push(VERSION);
        part.extend_from_slice(&id.to_le_bytes());
        // Both are at most the greatest number of parts.
        part.extend_from_slice(&(place as u16).to_le_bytes());
        part.extend_from_slice(&(count as u16).to_le_bytes());
        part.extend_from_slice(content);
        Bytes::from(part)
    };
    Ok(whole.chunks(room).enumerate().map(part).collect())
}

/// Puts parts together. The newest number counts: what was incomplete when it came is dropped.
#[derive(Debug, Default)]
pub struct Joined {
    id: i64,
    parts: Vec<Option<Bytes>>,
}

impl Joined {
    /// Adds a message; returns the plain bytes once they are whole.
    pub fn add(&mut self, message: &Bytes) -> Result<Option<Vec<u8>>, Damaged> {
        let mut cursor = Cursor::new(message);
        if cursor.array()? != *MAGIC {
            return Err(Damaged("it is no part"));
        }
        if cursor.byte()? != VERSION {
            return Err(Damaged("it is of an unknown version"));
        }
        let id = i64::from_le_bytes(cursor.array()?);
        let place = usize::from(u16::from_le_bytes(cursor.array()?));
        let count = usize::from(u16::from_le_bytes(cursor.array()?));
        if count > MAX_PARTS || place >= count {
            return Err(Damaged("it has too many parts"));
        }
        if id != self.id || count != self.parts.len() {
            *self = Self { id, parts: vec![None; count] };
        }
        self.parts[place] = Some(message.slice_ref(cursor.rest()));
        if self.parts.iter().any(Option::is_none) {
            return Ok(None);
        }
        let whole: Vec<u8> = std::mem::take(&mut self.parts).into_iter().flatten().flatten().collect();
        unpack(&whole).map(Some)
    }
}

fn unpack(whole: &[u8]) -> Result<Vec<u8>, Damaged> {
    let mut cursor = Cursor::new(whole);
    if u32::from_le_bytes(cursor.array()?) != crc32fast::hash(cursor.rest()) {
        return Err(Damaged("its checksum is wrong"));
    }
    let length = u32::from_le_bytes(cursor.array()?) as usize;
    if length > MAX_PLAIN {
        return Err(Damaged("it claims too much"));
    }
    let plain = zstd::bulk::decompress(cursor.rest(), length).map_err(|_| Damaged("it is not zstd"))?;
    if plain.len() == length { Ok(plain) } else { Err(Damaged("it is not as long as it claims")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// Bytes that zstd can't shorten.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let plain = noise(100_000);
        assert_eq!(split(1, &plain, 1 << 20).unwrap().len(), 1);
        let few = split(1, &plain, 4096).unwrap();
        assert!(few.len() > 20 && few.iter().all(|part| part.len() <= 4096));
        assert_eq!(split(1, &plain, 1024), Err(TooLarge { bytes: 100_000, max_payload: 1024 }));
        assert!(split(1, b"", HEAD).is_err());
    }

    #[test]
    fn a_newer_one_replaces_what_is_incomplete() {
        let [old, new] = [1, 2].map(|id| split(id, &noise(5000), 1000).unwrap());
        let mut joined = Joined::default();
        assert_eq!(joined.add(&old[0]), Ok(None));
        let (last, first) = new.split_last().unwrap();
        first.iter().rev().for_each(|part| assert_eq!(joined.add(part), Ok(None)));
        assert_eq!(joined.add(last), Ok(Some(noise(5000))));
        // Nothing of it is left.
        assert_eq!(joined.add(last), Ok(None));
    }

    #[test]
    fn damage_is_told() {
        let [part] = <[Bytes; 1]>::try_from(split(7, b"readings", 1000).unwrap()).unwrap();
        for at in 0..part.len() {
            let mut damaged = part.to_vec();
            damaged[at] ^= 1;
            let whole = Joined::default().add(&damaged.into());
            // Its number is not checked: it is only compared.
            assert!((4..12).contains(&at) || !matches!(whole, Ok(Some(_))), "{at}");
        }
    }

    proptest! {
        #[test]
        fn what_is_split_is_joined(plain in vec(any::<u8>(), 0..5000), most in 200_usize..3000) {
            let mut joined = Joined::default();
            let parts = split(3, &plain, most).unwrap();
            for (at, part) in parts.iter().enumerate() {
                let whole = joined.add(part).unwrap();
                prop_assert_eq!(whole.is_some(), at + 1 == parts.len());
                if let Some(whole) = whole {
                    prop_assert_eq!(&whole, &plain);
                }
            }
        }

        #[test]
        fn no_bytes_panic(messages in vec(vec(any::<u8>(), 0..40), 0..5)) {
            let mut joined = Joined::default();
            for mut message in messages {
                if message.len() > 4 {
                    message[..4].copy_from_slice(b"PWP\x01");
                }
                let _ = joined.add(&message.into());
            }
        }
    }
}
