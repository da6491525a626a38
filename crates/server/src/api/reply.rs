//! An answer on its way to the client.

use std::convert::Infallible;

use arrow::ipc::writer::StreamWriter;
use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use tracehound_query::{Answer, Error, render};

use super::format::Format;
use super::problem::Problem;

/// Larger bodies are sent in pieces of this size.
const PIECE_BYTES: usize = 256 << 10;

/// How the client wants its rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    pub(super) format: Format,
    pub(super) rows: render::Rows,
}

/// Renders an answer. Rendering is done before the first byte is sent, so the status is true for any size.
pub(super) async fn reply(answer: Answer, form: Form) -> Result<Response, Problem> {
    let id = answer.query_id.clone();
    let truncated = answer.truncated;
    let rendered = tokio::task::spawn_blocking(move || body(&answer, form)).await;
    let body = rendered
        .unwrap_or_else(|error| Err(Error::Internal { detail: error.to_string() }))
        .map_err(|error| Problem::from(error).of_query(&id))?;
    let mut response = pieces(body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(form.format.content_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let mut announce = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    announce("x-tracehound-query-id", &id);
    if let Some(truncated) = truncated {
        announce("x-tracehound-truncated", &truncated.to_string());
    }
    Ok(response)
}

fn body(answer: &Answer, form: Form) -> Result<Vec<u8>, Error> {
    let internal = |error: arrow::error::ArrowError| Error::Internal { detail: error.to_string() };
    let mut out = Vec::new();
    match form.format {
        Format::Json => return render::json(answer, form.rows),
        Format::Ndjson => {
            for batch in &answer.batches {
                render::ndjson(batch, &mut out)?;
            }
        }
        Format::Csv => {
            render::csv_header(&answer.schema, &mut out);
            for batch in &answer.batches {
                render::csv(batch, &mut out)?;
            }
        }
        Format::Arrow => {
            let mut writer = StreamWriter::try_new(&mut out, &answer.schema).map_err(internal)?;
            for batch in &answer.batches {
                writer.write(batch).map_err(internal)?;
            }
            writer.finish().map_err(internal)?;
        }
    }
    Ok(out)
}

/// A large body goes out in pieces, so that a slow client does not hold it whole in the connection's buffers.
fn pieces(body: Vec<u8>) -> Body {
    if body.len() <= PIECE_BYTES {
        return Body::from(body);
    }
    let body = Bytes::from(body);
    let starts = (0..body.len()).step_by(PIECE_BYTES);
    let pieces: Vec<_> = starts.map(|at| Ok::<_, Infallible>(body.slice(at..(at + PIECE_BYTES).min(body.len())))).collect();
    Body::from_stream(stream::iter(pieces))
}
