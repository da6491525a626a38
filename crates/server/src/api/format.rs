//! Which form an answer takes: `?format=` wins, else `Accept`, else JSON.

use axum::http::{HeaderMap, header};

use super::problem::Problem;

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// One JSON document with columns, rows and receipt.
    Json,
    /// One JSON object a row.
    Ndjson,
    /// RFC 4180, with a header line.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
}

const ALL: [(Format, &str, &str); 4] = [
    (Format::Json, "json", "application/json"),
    (Format::Ndjson, "ndjson", "application/x-ndjson"),
    (Format::Csv, "csv", "text/csv"),
    (Format::Arrow, "arrow", "application/vnd.apache.arrow.stream"),
];

/// Other names that clients send.
const ALIASES: [(Format, &str); 4] = [
    (Format::Ndjson, "application/ndjson"),
    (Format::Ndjson, "application/jsonl"),
    (Format::Ndjson, "application/jsonlines"),
    (Format::Ndjson, "application/json-lines"),
];

impl Format {
    /// Chooses by parameter and headers.
    ///
    /// # Errors
    /// 400 for an unknown `format`, 406 if `Accept` allows none of the forms.
    pub(crate) fn choose(parameter: Option<&str>, headers: &HeaderMap) -> Result<Self, Problem> {
        let known = || ALL.map(|(_, name, _)| name).join(", ");
        if let Some(name) = parameter {
            let found = ALL.iter().find(|(_, known, _)| *known == name);
            let wrong = || Problem::bad_request(format!("unknown format {name:?}: {}", known()));
            return found.map(|(format, ..)| *format).ok_or_else(wrong);
        }
        let mut best: Option<(f32, Self)> = None;
        let mut asked = false;
        for value in headers.get_all(header::ACCEPT) {
            for range in value.to_str().unwrap_or_default().split(',').map(str::trim) {
                asked |= !range.is_empty();
                let Some((weight, format)) = accepted(range) else { continue };
                if best.is_none_or(|(found, _)| weight > found) {
                    best = Some((weight, format));
                }
            }
        }
        match best {
            Some((_, format)) => Ok(format),
            None if asked => {
                let types = ALL.map(|(.., media_type)| media_type).join(", ");
                Err(Problem::new(406, "not-acceptable", format!("answers come as {types}")))
            }
            None => Ok(Self::Json),
        }
    }

    /// Its media type.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            other => ALL.iter().find(|(format, ..)| *format == other).map_or("application/json", |(.., t)| t),
        }
    }
}

/// The weight and the form of one range of an `Accept` header.
fn accepted(range: &str) -> Option<(f32, Format)> {
    let mut parts = range.split(';').map(str::trim);
    let media_type = parts.next()?.to_ascii_lowercase();
    let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0_f32);
    let format = match media_type.as_str() {
        "*/*" | "application/*" => Format::Json,
        "text/*" => Format::Csv,
        other => {
            let named = ALL.iter().find(|(.., known)| *known == other).map(|(format, ..)| *format);
            named.or_else(|| ALIASES.iter().find(|(_, known)| *known == other).map(|(format, _)| *format))?
        }
    };
    (weight > 0.0).then_some((weight, format))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(parameter: Option<&str>, accept: &str, expected: Option<Format>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().expect("a header"));
        assert_eq!(Format::choose(parameter, &headers).ok(), expected, "{parameter:?} {accept}");
    }

    #[test]
    fn the_parameter_wins_over_accept() {
        check(None, "*/*", Some(Format::Json));
        check(None, "", Some(Format::Json));
        check(None, "text/html, */*;q=0.1", Some(Format::Json));
        check(None, "text/csv", Some(Format::Csv));
        check(None, "application/x-ndjson;q=0.5, text/csv;q=0.9", Some(Format::Csv));
        check(None, "application/jsonlines", Some(Format::Ndjson));
        check(None, "text/html", None);
        check(None, "text/csv;q=0", None);
        check(Some("ndjson"), "text/csv", Some(Format::Ndjson));
        check(Some("xml"), "text/csv", None);
    }
}
