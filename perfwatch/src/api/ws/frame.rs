//! Server frames, built by hand: unmasked, unfragmented, and the same bytes for every client.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt, BufWriter};

use crate::snapshot::Snapshot;

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;

/// The newest snapshot as a frame: made by the first client that needs it, shared by all others.
#[derive(Debug, Default)]
pub(in crate::api) struct Frames(Mutex<Option<(Arc<Snapshot>, Bytes)>>);

impl Frames {
    pub(super) fn of(&self, snapshot: &Arc<Snapshot>) -> Bytes {
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*newest {
            Some((made_of, frame)) if Arc::ptr_eq(made_of, snapshot) => frame.clone(),
            _ => {
                let message = snapshot.message();
                let mut frame = Vec::with_capacity(message.len() + 10);
                header(&mut frame, TEXT, message.len());
                frame.extend_from_slice(&message);
                let frame = Bytes::from(frame);
                *newest = Some((Arc::clone(snapshot), frame.clone()));
                frame
            }
        }
    }
}

pub(super) async fn write_whole(io: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    io.write_all(frame).await?;
    io.flush().await
}

/// A snapshot's message with how many were skipped, and who was too slow, inserted after its type.
pub(super) async fn write_skipped(
    io: &mut (impl AsyncWrite + Unpin),
    message: &[u8],
    skipped: u64,
    by: &str,
) -> io::Result<()> {
    let (head, tail) = message.split_at(message.iter().position(|byte| *byte == b',').unwrap_or(0));
    let inserted = format!(r#","skipped":{skipped},"skipped_by":"{by}""#);
    write_pieces(io, &[head, inserted.as_bytes(), tail]).await
}

/// One message that contains `past`, without ever joining it in memory.
pub(super) async fn write_history(io: &mut (impl AsyncWrite + Unpin), past: &[Bytes]) -> io::Result<()> {
    let mut pieces: Vec<&[u8]> = Vec::with_capacity(past.len() * 2 + 2);
    pieces.push(br#"{"type":"history","snapshots":["#);
    for (i, message) in past.iter().enumerate() {
        if i > 0 {
            pieces.push(b",");
        }
        pieces.push(message);
    }
    pieces.push(b"]}");
    write_pieces(io, &pieces).await
}

pub(super) async fn write_close(io: &mut (impl AsyncWrite + Unpin), code: u16) -> io::Result<()> {
    let mut frame = Vec::with_capacity(4);
    header(&mut frame, CLOSE, 2);
    frame.extend_from_slice(&code.to_be_bytes());
    write_whole(io, &frame).await
}

async fn write_pieces(io: &mut (impl AsyncWrite + Unpin), pieces: &[&[u8]]) -> io::Result<()> {
    let mut head = Vec::with_capacity(10);
    header(&mut head, TEXT, pieces.iter().map(|piece| piece.len()).sum());
    let mut io = BufWriter::with_capacity(16 * 1024, io);
    io.write_all(&head).await?;
    for piece in pieces {
        io.write_all(piece).await?;
    }
    io.flush().await
}

/// RFC 6455, 5.2: final frame, no mask, the shortest of three encodings of the length.
fn header(out: &mut Vec<u8>, opcode: u8, length: usize) {
    out.push(opcode);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..=125), _) => out.push(short),
        (_, Ok(medium)) => {
            out.push(126);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;
    use serde_json::{Value, json};
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::protocol::Role;

    /// What an independent implementation reads from our bytes.
    async fn read(bytes: Vec<u8>) -> Value {
        let (client, mut server) = tokio::io::duplex(1 << 20);
        server.write_all(&bytes).await.unwrap();
        let mut socket = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        serde_json::from_str(socket.next().await.unwrap().unwrap().to_text().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn history_and_skipped_messages_are_read_as_meant() {
        for size in [1, 125, 126, 65_535, 65_536, 200_000] {
            let text = "x".repeat(size);
            let message = Bytes::from(json!({"a": "metrics", "text": text}).to_string());
            let mut out = Vec::new();
            write_skipped(&mut out, &message, 7, "client").await.unwrap();
            assert_eq!(
                read(out).await,
                json!({"a": "metrics", "skipped": 7, "skipped_by": "client", "text": text})
            );
            let mut out = Vec::new();
            write_history(&mut out, &[message.clone(), message]).await.unwrap();
            assert_eq!(read(out).await["snapshots"][1]["text"], text);
        }
        let mut out = Vec::new();
        write_history(&mut out, &[]).await.unwrap();
        assert_eq!(read(out).await, json!({"type": "history", "snapshots": []}));
    }

    #[tokio::test]
    async fn one_frame_is_made_for_all() {
        let at = time::OffsetDateTime::UNIX_EPOCH;
        let (first, second) = (Arc::new(Snapshot::new(at, vec![])), Arc::new(Snapshot::new(at, vec![])));
        let frames = Frames::default();
        let frame = frames.of(&first);
        assert_eq!(frames.of(&first).as_ptr(), frame.as_ptr());
        assert_ne!(frames.of(&second).as_ptr(), frame.as_ptr());
        assert_eq!(read(frame.to_vec()).await["type"], "metrics");
    }
}
