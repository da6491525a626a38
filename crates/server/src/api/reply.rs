//! An answer on its way to the client.
//!
//! The first MiB is rendered before the status is sent. What is larger is rendered piece by piece while the
//! client reads, so that text never takes much more memory than the rows it is made of. A failure after the
//! first MiB ends the connection before the body ends, so that no client takes a part for the whole.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use tokio::sync::mpsc;
use tracehound_query::{Answer, Error, render};

use super::format::Format;
use super::pieces::Pieces;
use super::problem::Problem;

/// Answers up to this size are complete before their status is sent.
const HELD_BYTES: usize = 1 << 20;
/// A client that takes nothing for this long has given up; its rows are let go.
const STALL_MAX: Duration = Duration::from_secs(60);

/// How the client wants its rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    pub(super) format: Format,
    pub(super) rows: render::Rows,
}

/// Renders an answer.
pub(super) async fn reply(answer: Answer, form: Form) -> Result<Response, Problem> {
    let id = answer.query_id.clone();
    let truncated = answer.truncated;
    let left_out = answer.receipt.quarantined.len();
    let (held, rest) =
        on_a_thread(move || held(answer, form)).await.map_err(|error| Problem::from(error).of_query(&id))?;
    let body = match rest {
        None => Body::from(held),
        Some(rest) => streamed(held, rest, id.clone()),
    };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(form.format.content_type()));
    let mut announce = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    announce("x-tracehound-query-id", &id);
    if let Some(truncated) = truncated {
        announce("x-tracehound-truncated", &truncated.to_string());
    }
    if left_out > 0 {
        announce("x-tracehound-incomplete", &format!("{left_out} damaged files in quarantine were left out"));
    }
    Ok(response)
}

/// The first MiB of an answer, and the rest if there is more.
fn held(answer: Answer, form: Form) -> Result<(Vec<u8>, Option<Pieces>), Error> {
    let mut pieces = Pieces::new(answer, form)?;
    let mut held = Vec::new();
    while held.len() < HELD_BYTES {
        match pieces.next()? {
            Some(piece) if held.is_empty() => held = piece,
            Some(piece) => held.extend_from_slice(&piece),
            None => return Ok((held, None)),
        }
    }
    Ok((held, Some(pieces)))
}

/// What the rendering task tells the connection.
enum Sent {
    Piece(Vec<u8>),
    End,
}

fn streamed(held: Vec<u8>, rest: Pieces, query_id: String) -> Body {
    let (send, receive) = mpsc::channel(1);
    tokio::spawn(async move {
        if let Err(reason) = send_all(&send, held, rest).await {
            tracing::warn!(query_id, reason, "an answer was not sent to its end");
        }
    });
    // A channel that closes without an end means that the answer is not whole: that is an error of the
    // body, for which the connection is cut.
    Body::from_stream(stream::unfold(Some(receive), |receive| async move {
        let mut receive: mpsc::Receiver<Sent> = receive?;
        match receive.recv().await {
            Some(Sent::Piece(piece)) => Some((Ok(Bytes::from(piece)), Some(receive))),
            Some(Sent::End) => None,
            None => Some((Err(std::io::Error::other("the answer is not whole")), None)),
        }
    }))
}

async fn send_all(send: &mpsc::Sender<Sent>, held: Vec<u8>, mut rest: Pieces) -> Result<(), String> {
    let mut next = Sent::Piece(held);
    loop {
        let ends = matches!(next, Sent::End);
        match tokio::time::timeout(STALL_MAX, send.send(next)).await {
            Ok(Ok(())) if ends => return Ok(()),
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err("the client closed the connection".to_owned()),
            Err(_) => return Err("the client stopped reading".to_owned()),
        }
        let (pieces, piece) =
            on_a_thread(move || rest.next().map(|piece| (rest, piece))).await.map_err(|e| e.to_string())?;
        rest = pieces;
        next = piece.map_or(Sent::End, Sent::Piece);
    }
}

/// Rendering takes the processor for a while, which must not stall other connections.
async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::Internal { detail: error.to_string() }))
}
