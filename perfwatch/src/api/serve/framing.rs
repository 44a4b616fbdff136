//! Finds requests whose end two programs could see in different places: `Content-Length` with `Transfer-Encoding`.
//!
//! If a proxy in front uses one and we use the other, it takes the rest of a body for the next client's request.
//! hyper uses `Transfer-Encoding` and drops the other header before anyone can see it, so the bytes are inspected
//! on their way to it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// More than hyper accepts in a head.
const MAX_HEAD: usize = 64 * 1024;
/// As many as hyper accepts.
const MAX_HEADERS: usize = 100;

/// Marks a request that is ambiguous.
#[derive(Debug, Clone, Copy)]
pub(in crate::api) struct Ambiguous;

/// Which of a connection's requests is ambiguous, counted from 0; none follows it.
#[derive(Debug, Clone)]
pub(super) struct Verdict(Arc<AtomicUsize>);

impl Verdict {
    pub(super) fn is_on(&self, request: usize) -> bool {
        self.0.load(Ordering::Acquire) == request
    }
}

#[derive(Debug)]
pub(super) struct Framing<S> {
    stream: S,
    state: State,
    heads: usize,
    ambiguous: Arc<AtomicUsize>,
}

#[derive(Debug)]
enum State {
    /// What has arrived of a head.
    Head(Vec<u8>),
    /// This many bytes are left.
    Body(u64),
    /// Within the line with a chunk's length; `None` once its digits have ended.
    Size { size: u64, digits: bool },
    /// Of a chunk, including its line end.
    Chunk(u64),
    /// Trailers after the last chunk, until an empty line.
    Trailer { empty: bool },
    /// Not HTTP, or no longer.
    Other,
}

impl<S> Framing<S> {
    pub(super) fn new(stream: S) -> (Self, Verdict) {
        let ambiguous = Arc::new(AtomicUsize::new(usize::MAX));
        let verdict = Verdict(Arc::clone(&ambiguous));
        (Self { stream, state: State::Head(Vec::new()), heads: 0, ambiguous }, verdict)
    }

    fn look_at(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = self.step(bytes);
        }
    }

    /// Consumes some of the bytes, at least one, and returns the rest.
    fn step<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (state, rest) = match std::mem::replace(&mut self.state, State::Other) {
            State::Head(mut head) => {
                let before = head.len();
                head.extend_from_slice(&bytes[..bytes.len().min(MAX_HEAD.saturating_sub(before) + 1)]);
                match self.head(&head) {
                    Some((length, state)) => (state, &bytes[(length - before).min(bytes.len())..]),
                    None if head.len() > MAX_HEAD => (State::Other, &bytes[bytes.len()..]),
                    None => (State::Head(head), &bytes[bytes.len()..]),
                }
            }
            State::Body(left) => match skip(bytes, left) {
                (0, rest) => (State::Head(Vec::new()), rest),
                (left, rest) => (State::Body(left), rest),
            },
            State::Size { size, digits } => {
                let byte = bytes[0];
                let state = match char::from(byte).to_digit(16).filter(|_| digits) {
                    Some(digit) => match size.checked_mul(16) {
                        Some(size) => State::Size { size: size | u64::from(digit), digits },
                        None => State::Other,
                    },
                    None if byte != b'\n' => State::Size { size, digits: false },
                    None if size == 0 => State::Trailer { empty: true },
                    None => State::Chunk(size.saturating_add(2)),
                };
                (state, &bytes[1..])
            }
            State::Chunk(left) => match skip(bytes, left) {
                (0, rest) => (State::Size { size: 0, digits: true }, rest),
                (left, rest) => (State::Chunk(left), rest),
            },
            State::Trailer { empty } => {
                let state = match bytes[0] {
                    b'\n' if empty => State::Head(Vec::new()),
                    b'\n' => State::Trailer { empty: true },
                    b'\r' => State::Trailer { empty },
                    _ => State::Trailer { empty: false },
                };
                (state, &bytes[1..])
            }
            State::Other => (State::Other, &bytes[bytes.len()..]),
        };
        self.state = state;
        rest
    }

    /// The length of a complete head, and what follows it.
    fn head(&mut self, bytes: &[u8]) -> Option<(usize, State)> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let length = match request.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return None,
            // hyper rejects it and closes.
            Err(_) => return Some((bytes.len(), State::Other)),
        };
        let values = |name: &str| {
            let named = request.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
            named.map(|header| header.value).collect::<Vec<_>>()
        };
        let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
        let state = match (&lengths[..], &codings[..]) {
            ([], []) => State::Head(Vec::new()),
            ([], _) => State::Size { size: 0, digits: true },
            ([first, ..], []) => {
                let length = std::str::from_utf8(first).ok().and_then(|text| text.trim().parse().ok());
                match length {
                    Some(0) => State::Head(Vec::new()),
                    Some(length) => State::Body(length),
                    None => State::Other,
                }
            }
            _ => {
                self.ambiguous.store(self.heads, Ordering::Release);
                State::Other
            }
        };
        self.heads += 1;
        Some((length, state))
    }
}

/// Skips up to this many bytes; returns how many are left, and the rest.
fn skip(bytes: &[u8], left: u64) -> (u64, &[u8]) {
    let skipped = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    (left - skipped as u64, &bytes[skipped..])
}

impl<S: AsyncRead + Unpin> AsyncRead for Framing<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.look_at(&buf.filled()[before..]);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Framing<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// How many heads were seen, and the ambiguous one.
    fn seen(requests: &[u8], piece: usize) -> (usize, Option<usize>) {
        let (mut framing, verdict) = Framing::new(());
        for piece in requests.chunks(piece.max(1)) {
            framing.look_at(piece);
        }
        (framing.heads, (0..=framing.heads).find(|request| verdict.is_on(*request)))
    }

    const PLAIN: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    const SIZED: &str = "POST / HTTP/1.1\r\ncontent-length: 30\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n123";
    const CHUNKED: &str = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5;x=y\r\n\r\n\r\n1\r\n1A\r\nGET / HTTP/1.1\r\nhost: b\r\n\r\n0\r\na: b\r\n\r\n";
    const LENGTH_FIRST: &str = "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";
    const CODING_FIRST: &str =
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nx: y\r\nContent-Length: 3\r\n\r\n";

    #[test]
    fn the_ambiguous_request_is_found_wherever_it_is_and_however_it_arrives() {
        for piece in [1, 2, 3, 7, 64, 10_000] {
            let clear = format!("{PLAIN}{SIZED}{CHUNKED}{SIZED}{PLAIN}");
            assert_eq!(seen(clear.as_bytes(), piece), (5, None), "in pieces of {piece}");
            for ambiguous in [LENGTH_FIRST, CODING_FIRST] {
                let all = format!("{PLAIN}{CHUNKED}{SIZED}{ambiguous}{PLAIN}");
                assert_eq!(seen(all.as_bytes(), piece), (4, Some(3)), "in pieces of {piece}");
            }
        }
    }

    #[test]
    fn what_is_no_http_and_what_does_not_end_takes_no_room() {
        for bytes in [&[0x81, 0x85, 1, 2, 3, 4][..], b"\x16\x03\x01\x02", &[b'a'; 200_000]] {
            let (mut framing, _) = Framing::new(());
            framing.look_at(bytes);
            framing.look_at(PLAIN.as_bytes());
            assert!(matches!(framing.state, State::Other), "{:?}", framing.heads);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            start in 0usize..5,
            piece in 1usize..40,
        ) {
            let known = [PLAIN, SIZED, CHUNKED, LENGTH_FIRST, CODING_FIRST][start].as_bytes();
            let _ = seen(&[known, &bytes].concat(), piece);
            let _ = seen(&[&known[..known.len() / 2], &bytes].concat(), piece);
        }
    }
}
