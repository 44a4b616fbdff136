//! Responses that are sent while they are read: no range is ever entirely in memory.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use crate::api::error::{Error, Result};
use crate::api::questions::{PIECE, Question};

pub(super) trait Pieces: Send + 'static {
    /// The next part of the body; `None` after the last.
    fn next_piece(&mut self) -> impl Future<Output = Result<Option<Bytes>>> + Send;
}

/// The source of a response's points.
pub(super) trait Source: Send + 'static {
    /// The next point's JSON; `None` after the last.
    fn next_point(&mut self) -> impl Future<Output = Result<Option<Vec<u8>>>> + Send;

    /// The text after the number of points, from the comma on.
    fn tail(&self) -> String;
}

/// `{…"data_points":[…],"count":n…}`.
pub(super) struct Answer<S> {
    source: S,
    piece: Vec<u8>,
    count: usize,
    done: bool,
}

impl<S: Source> Answer<S> {
    /// `head` is everything before the first point.
    pub(super) fn new(head: String, source: S) -> Self {
        Self { source, piece: head.into_bytes(), count: 0, done: false }
    }
}

impl<S: Source> Pieces for Answer<S> {
    async fn next_piece(&mut self) -> Result<Option<Bytes>> {
        while !self.done && self.piece.len() < PIECE {
            match self.source.next_point().await? {
                Some(point) => {
                    if self.count > 0 {
                        self.piece.push(b',');
                    }
                    self.piece.extend_from_slice(&point);
                    self.count += 1;
                }
                None => {
                    let tail = format!(r#"],"count":{}{}"#, self.count, self.source.tail());
                    self.piece.extend_from_slice(tail.as_bytes());
                    self.done = true;
                }
            }
        }
        let piece = std::mem::take(&mut self.piece);
        Ok((!piece.is_empty()).then(|| piece.into()))
    }
}

/// Each piece takes a separate turn: a client that reads slowly blocks nobody.
pub(super) async fn streamed<P: Pieces>(
    question: Question,
    open: impl Future<Output = Result<P>> + Send + 'static,
    content_type: &'static str,
) -> Result<Response> {
    // A failing store fails here, while the response can still report it.
    let first = async move {
        let mut pieces = open.await?;
        Ok((pieces.next_piece().await?, pieces))
    };
    let (first, pieces) = question.work(first).await?;
    let start = (Some(first), Some(pieces), question);
    let rest = futures_util::stream::unfold(start, |(ready, pieces, question)| async move {
        let mut pieces = pieces?;
        if let Some(piece) = ready {
            return piece.map(|piece| (Ok(piece), (None, Some(pieces), question)));
        }
        match question.work(async move { Ok((pieces.next_piece().await?, pieces)) }).await {
            Ok((piece, pieces)) => piece.map(|piece| (Ok(piece), (None, Some(pieces), question))),
            Err(error) => Some((Err(cut_short(error)), (None, None, question))),
        }
    });
    Ok(body_of(rest, content_type))
}

/// Pieces that do not depend on each other: up to `at_once` are read at the same time, and sent in their order.
pub(super) async fn streamed_at_once<W>(
    question: Question,
    works: impl Iterator<Item = W> + Send + 'static,
    at_once: usize,
    content_type: &'static str,
) -> Result<Response>
where
    W: Future<Output = Result<Bytes>> + Send + 'static,
{
    let question = Arc::new(question);
    let works = works.map(move |work| {
        let question = Arc::clone(&question);
        async move { question.work(work).await }
    });
    let mut pieces = Box::pin(futures_util::stream::iter(works).buffered(at_once));
    // A failing store fails here, while the response can still report it.
    let first = pieces.next().await.transpose()?;
    let first = futures_util::stream::iter(first.map(Ok));
    Ok(body_of(first.chain(pieces.map(|piece| piece.map_err(cut_short))), content_type))
}

/// Aborts the connection, so that the client notices that something is missing.
fn cut_short(error: Error) -> std::io::Error {
    tracing::warn!(?error, "a history response was cut short");
    std::io::Error::other("the database failed")
}

fn body_of(
    pieces: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    content_type: &'static str,
) -> Response {
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static(content_type))];
    // Compression polls once more after the end.
    (content_type, Body::from_stream(pieces.fuse())).into_response()
}
