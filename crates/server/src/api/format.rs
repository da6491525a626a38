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
        let values = headers.get_all(header::ACCEPT).iter();
        let ranges: Vec<_> =
            values.flat_map(|value| value.to_str().unwrap_or_default().split(',')).filter_map(Range::parse).collect();
        if ranges.is_empty() {
            return Ok(Self::Json);
        }
        let mut best: Option<(f32, usize, Self)> = None;
        for (format, _, media_type) in ALL {
            let names = ALIASES.iter().filter(|(of, _)| *of == format).map(|(_, alias)| *alias).chain([media_type]);
            for (weight, position) in names.filter_map(|name| weight(name, &ranges)) {
                // Among equal weights the first in the header is taken.
                if weight > 0.0
                    && best.is_none_or(|(most, first, _)| weight > most || (weight == most && position < first))
                {
                    best = Some((weight, position, format));
                }
            }
        }
        best.map(|(.., format)| format).ok_or_else(|| {
            let types = ALL.map(|(.., media_type)| media_type).join(", ");
            Problem::new(406, "not-acceptable", format!("answers come as {types}"))
        })
    }

    /// Its media type.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            other => ALL.iter().find(|(format, ..)| *format == other).map_or("application/json", |(.., t)| t),
        }
    }
}

/// One range of an `Accept` header: `text/csv`, `text/*` or `*/*`, and how much it is wanted.
struct Range {
    media_type: String,
    weight: f32,
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next().filter(|name| !name.is_empty())?.to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="))?.parse().ok());
        Some(Self { media_type, weight: weight.unwrap_or(1.0) })
    }

    /// How closely it names a media type: 2 by name, 1 by its first half, 0 as anything.
    fn closeness(&self, media_type: &str) -> Option<u8> {
        match self.media_type.as_str() {
            "*/*" => Some(0),
            named if named == media_type => Some(2),
            half => media_type.starts_with(half.strip_suffix('*').filter(|half| half.ends_with('/'))?).then_some(1),
        }
    }
}

/// The weight of a media type and where in the header it got it: the closest range decides.
fn weight(media_type: &str, ranges: &[Range]) -> Option<(f32, usize)> {
    let matching =
        ranges.iter().enumerate().filter_map(|(at, range)| Some((range.closeness(media_type)?, at, range.weight)));
    let closest = matching.max_by_key(|(closeness, at, _)| (*closeness, std::cmp::Reverse(*at)))?;
    Some((closest.2, closest.1))
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
        check(None, "*/*, application/json;q=0", Some(Format::Ndjson));
        check(None, "text/csv;q=0.5, */*;q=0.8", Some(Format::Json));
        check(None, "text/*", Some(Format::Csv));
        check(None, "application/*", Some(Format::Json));
        check(None, "Application/JSON; charset=utf-8; Q=0.3, text/csv; q=0.2", Some(Format::Json));
        check(None, "application/vnd.apache.arrow.stream", Some(Format::Arrow));
        check(None, "text/csv;q=NaN", None);
        check(None, "app*", None);
        check(Some("ndjson"), "text/csv", Some(Format::Ndjson));
        check(Some("xml"), "text/csv", None);
    }
}
