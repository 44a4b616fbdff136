//! Server frames, built by hand: unmasked, unfragmented, compressed once, and the same bytes for every client.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flate2::{Compress, CompressError, Compression, FlushCompress, Status};
use tokio::io::{AsyncWrite, AsyncWriteExt, BufWriter};

use crate::snapshot::Snapshot;

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;

/// First bytes of a compressed tick: readable by itself, or with the text of the tick before it as dictionary.
const WHOLE: u8 = 0;
const BASED: u8 = 1;
/// Deflate reaches back no further.
const WINDOW: usize = 32 * 1024;

/// How a client gets a snapshot.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form<'a> {
    Text,
    /// Compressed; the client has this one.
    Packed(Option<&'a Arc<Snapshot>>),
}

/// The newest snapshot as frames: each made by the first client that needs it, shared by all others.
#[derive(Debug, Default)]
pub(in crate::api) struct Frames(Mutex<Made>);

#[derive(Debug, Default)]
struct Made {
    of: Option<Arc<Snapshot>>,
    text: Option<Bytes>,
    whole: Option<Bytes>,
    /// With what it is based on.
    based: Option<(Arc<Snapshot>, Bytes)>,
}

impl Frames {
    pub(super) fn of(&self, snapshot: &Arc<Snapshot>, form: Form<'_>) -> io::Result<Bytes> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !made.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, snapshot)) {
            *made = Made { of: Some(Arc::clone(snapshot)), ..Made::default() };
        }
        let known = match form {
            Form::Text => made.text.as_ref(),
            Form::Packed(None) => made.whole.as_ref(),
            Form::Packed(Some(base)) => {
                made.based.as_ref().filter(|(on, _)| Arc::ptr_eq(on, base)).map(|(_, frame)| frame)
            }
        };
        if let Some(frame) = known {
            return Ok(frame.clone());
        }
        let message = snapshot.message();
        let frame = match form {
            Form::Text => text(&message),
            Form::Packed(None) => packed(&message)?,
            Form::Packed(Some(base)) => {
                let base = base.message();
                let dictionary = &base[base.len().saturating_sub(WINDOW)..];
                framed(BINARY, &[&[BASED], &deflated(&message, dictionary)?])
            }
        };
        match form {
            Form::Text => made.text = Some(frame.clone()),
            Form::Packed(None) => made.whole = Some(frame.clone()),
            Form::Packed(Some(base)) => made.based = Some((Arc::clone(base), frame.clone())),
        }
        Ok(frame)
    }
}

/// A message that is compressed by itself.
pub(super) fn packed(message: &[u8]) -> io::Result<Bytes> {
    Ok(framed(BINARY, &[&[WHOLE], &deflated(message, &[])?]))
}

fn framed(opcode: u8, pieces: &[&[u8]]) -> Bytes {
    let length = pieces.iter().map(|piece| piece.len()).sum();
    let mut frame = Vec::with_capacity(length + 10);
    header(&mut frame, opcode, length);
    for piece in pieces {
        frame.extend_from_slice(piece);
    }
    frame.into()
}

fn deflated(text: &[u8], dictionary: &[u8]) -> Result<Vec<u8>, CompressError> {
    let mut compress = Compress::new(Compression::default(), false);
    if !dictionary.is_empty() {
        compress.set_dictionary(dictionary)?;
    }
    let mut out = Vec::with_capacity(text.len() / 4 + 64);
    let mut read = 0;
    while compress.compress_vec(&text[read..], &mut out, FlushCompress::Finish)? != Status::StreamEnd {
        // It never reads more than it is given.
        read = usize::try_from(compress.total_in()).unwrap_or(text.len());
        out.reserve(out.capacity());
    }
    Ok(out)
}

pub(super) async fn write_whole(io: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    io.write_all(frame).await?;
    io.flush().await
}

/// A snapshot's message with how many were skipped, and who was too slow, inserted after its type.
pub(super) fn with_skipped(message: &[u8], skipped: u64, by: &str) -> Vec<u8> {
    let (head, tail) = message.split_at(message.iter().position(|byte| *byte == b',').unwrap_or(0));
    let inserted = format!(r#","skipped":{skipped},"skipped_by":"{by}""#);
    [head, inserted.as_bytes(), tail].concat()
}

/// A text message as a frame.
pub(super) fn text(message: &[u8]) -> Bytes {
    framed(TEXT, &[message])
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
    use proptest::collection::vec;
    use proptest::prelude::*;
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
            let skipped = with_skipped(&message, 7, "client");
            assert_eq!(
                read(super::text(&skipped).to_vec()).await,
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
        let [first, second, third] = [0, 1, 2].map(|_| Arc::new(Snapshot::new(at, vec![])));
        let frames = Frames::default();
        for form in [Form::Text, Form::Packed(None), Form::Packed(Some(&first))] {
            let frame = frames.of(&second, form).unwrap();
            assert_eq!(frames.of(&second, form).unwrap().as_ptr(), frame.as_ptr(), "{form:?}");
            assert_ne!(frames.of(&third, form).unwrap().as_ptr(), frame.as_ptr(), "{form:?}");
        }
        let based_on = |base| frames.of(&third, Form::Packed(Some(base))).unwrap();
        assert_ne!(based_on(&first).as_ptr(), based_on(&second).as_ptr());
        assert_eq!(read(frames.of(&first, Form::Text).unwrap().to_vec()).await["type"], "metrics");
    }

    /// What zlib makes of it.
    fn inflated(packed: &[u8], dictionary: &[u8]) -> Vec<u8> {
        let mut decompress = flate2::Decompress::new(false);
        if !dictionary.is_empty() {
            decompress.set_dictionary(dictionary).unwrap();
        }
        let mut out = Vec::with_capacity(1 << 20);
        decompress.decompress_vec(packed, &mut out, flate2::FlushDecompress::Finish).unwrap();
        out
    }

    proptest! {
        #[test]
        fn what_is_compressed_is_read_again(
            before in vec(any::<u8>(), 0..50_000),
            after in vec(any::<u8>(), 0..50_000),
            shared in 0_usize..50_000,
        ) {
            let mut text = before[..shared.min(before.len())].to_vec();
            text.extend_from_slice(&after);
            let dictionary = &before[before.len().saturating_sub(WINDOW)..];
            for dictionary in [&[], dictionary] {
                prop_assert_eq!(&inflated(&deflated(&text, dictionary).unwrap(), dictionary), &text);
            }
        }
    }
}
