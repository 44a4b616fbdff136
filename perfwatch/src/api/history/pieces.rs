//! Answers that are sent as they are read: no range is ever in memory as a whole.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt;

use crate::api::error::Result;

pub(super) trait Pieces: Send + 'static {
    /// The next part of the body; `None` after the last.
    fn next_piece(&mut self) -> impl Future<Output = Result<Option<Bytes>>> + Send;
}

pub(super) async fn streamed(mut pieces: impl Pieces, content_type: &'static str) -> Result<Response> {
    // A store that fails does so here, while the answer can still say so.
    let first = pieces.next_piece().await?;
    let rest = futures_util::stream::unfold((Some(first), pieces), |(ready, mut pieces)| async move {
        let piece = match ready {
            Some(piece) => piece,
            None => match pieces.next_piece().await {
                Ok(piece) => piece,
                Err(error) => {
                    tracing::warn!(?error, "a history answer broke off");
                    // Ends the connection, so that the client sees that something is missing.
                    return Some((Err(std::io::Error::other("the store failed")), (None, pieces)));
                }
            },
        };
        piece.map(|piece| (Ok(piece), (None, pieces)))
    });
    // Compression asks once more after the end.
    let rest = rest.fuse();
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static(content_type))];
    Ok((content_type, Body::from_stream(rest)).into_response())
}
