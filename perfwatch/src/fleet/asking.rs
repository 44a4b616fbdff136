//! Questions to one machine and its answers, as machine and hub write and read them. docs/fleet.md describes them.
//!
//! A question is one JSON message. An answer is split into [parts](super::parts); its first byte says whether it is one.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::protocol::Packet;
use crate::history::Damaged;
use crate::history::chunk::bytes::{Bytes as Cursor, put_count};
use crate::store::chunks::{Chunk, Content};

/// No question is longer.
pub const MAX_QUESTION: usize = 4096;
/// Slots that a machine keeps in memory, and more.
const MAX_CHUNKS: usize = 64;

/// The first byte of an answer.
const ANSWER: u8 = 1;
const REFUSAL: u8 = 2;

/// What can be asked; nothing of it changes the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Ask {
    /// Every process, as `/api/processes` lists them.
    Processes { limit: usize, sort: Option<String>, search: Option<String> },
    /// As `/api/doctor` answers.
    Doctor,
    /// As `/api/sources` answers.
    Sources,
    /// What hubs don't have yet of readings of a type, or of a kind of profiles, from a time on (µs).
    Newest { of: Content, from: i64 },
}

/// A question with the machine that it is for.
#[derive(Debug, Serialize, Deserialize)]
pub struct Asked {
    pub host: String,
    #[serde(flatten)]
    pub ask: Ask,
}

/// An answer, or why there is none.
pub type Answer = Result<Vec<u8>, String>;

pub fn encode(answer: Answer) -> Vec<u8> {
    let (kind, content) = match answer {
        Ok(content) => (ANSWER, content),
        Err(reason) => (REFUSAL, reason.into_bytes()),
    };
    let mut out = Vec::with_capacity(content.len() + 1);
    out.push(kind);
    out.extend_from_slice(&content);
    out
}

pub fn decode(mut bytes: Vec<u8>) -> Result<Answer, Damaged> {
    match bytes.first().copied() {
        Some(ANSWER) => {
            bytes.remove(0);
            Ok(Ok(bytes))
        }
        Some(REFUSAL) => {
            let reason = String::from_utf8_lossy(&bytes[1..]);
            Ok(Err(reason.chars().filter(|c| !c.is_control()).take(300).collect()))
        }
        _ => Err(Damaged("it is neither an answer nor a refusal")),
    }
}

/// Chunks as the content of an answer: a packet each.
pub fn encode_chunks(host: &str, chunks: Vec<Chunk>) -> Vec<u8> {
    let mut out = Vec::new();
    // The newest, if they were too many.
    let surplus = chunks.len().saturating_sub(MAX_CHUNKS);
    for chunk in chunks.into_iter().skip(surplus) {
        let packet = Packet { host: host.to_owned(), content: chunk.content, chunks: vec![chunk] }.encode();
        put_count(packet.len(), &mut out);
        out.extend_from_slice(&packet);
    }
    out
}

/// The packets of an answer, each to be checked as any other.
pub fn decode_chunks(content: &Bytes) -> Result<Vec<Bytes>, Damaged> {
    let mut cursor = Cursor::new(content);
    let mut packets = Vec::new();
    while !cursor.rest().is_empty() {
        let length = cursor.count(cursor.rest().len())?;
        packets.push(content.slice_ref(cursor.take(length)?));
        if packets.len() > MAX_CHUNKS {
            return Err(Damaged("it has too many chunks"));
        }
    }
    Ok(packets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use crate::store::chunks::ProfileKind;

    #[test]
    fn questions_are_read_as_they_are_written() {
        let processes = Ask::Processes { limit: 7, sort: Some("pid".into()), search: None };
        let newest = Ask::Newest { of: ProfileKind::Cpu.into(), from: -1 };
        for ask in [processes, Ask::Doctor, Ask::Sources, newest] {
            let json = serde_json::to_vec(&Asked { host: "web.1".into(), ask: ask.clone() }).unwrap();
            let asked: Asked = serde_json::from_slice(&json).unwrap();
            assert_eq!((asked.host.as_str(), asked.ask), ("web.1", ask));
        }
        assert!(serde_json::from_str::<Asked>(r#"{"host":"a","ask":"reboot"}"#).is_err());
    }

    #[test]
    fn answers_are_told_from_refusals() {
        for answer in [Ok(b"{}".to_vec()), Ok(Vec::new()), Err("busy".to_owned())] {
            assert_eq!(decode(encode(answer.clone())), Ok(answer));
        }
        assert!(decode(Vec::new()).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in vec(any::<u8>(), 0..200)) {
            let _ = decode_chunks(&bytes.clone().into());
            let _ = decode(bytes);
        }
    }
}
