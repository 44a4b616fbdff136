//! Responses that are sent while they are read: no range is ever entirely in memory.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt;

use crate::api::error::Result;
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
            Err(error) => {
                tracing::warn!(?error, "a history response was cut short");
                // Aborts the connection, so that the client notices that something is missing.
                Some((Err(std::io::Error::other("the database failed")), (None, None, question)))
            }
        }
    });
    // Compression polls once more after the end.
    let rest = rest.fuse();
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static(content_type))];
    Ok((content_type, Body::from_stream(rest)).into_response())
}
