//! A trace drawn in text: spans below their parents, each with its service, operation, bar and duration, and
//! with what a hunter looks for: who acted, what failed, where personal data was touched.
//!
//! ```text
//! gateway POST /billing/invoices      ├████████████████████┤    812 ms  u-4711 · role user
//! └ billing billing.List                ├███████████┤           412 ms
//!   └ export export_customer_data          ├──┤                  96 ms  PII
//! ```

#[cfg(test)]
mod tests;
mod tree;

use serde_json::{Map, Value};
use tracehound_query::time;

use crate::terminal;
use tree::{Line, Place};

/// The query whose rows [`Span::from_row`] reads; `$trace_id` is the trace.
pub(crate) const SQL: &str = "SELECT span_id, parent_span_id, service_name, name, start_time, duration_ns, status_code, user_id, roles, data_classification, peer_address FROM spans WHERE trace_id = $trace_id ORDER BY start_time, span_id";

/// A span, as far as it is drawn.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) span_id: String,
    pub(crate) parent_span_id: Option<String>,
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) start_ns: i64,
    pub(crate) duration_ns: i64,
    pub(crate) is_error: bool,
    pub(crate) user: Option<String>,
    pub(crate) roles: Vec<String>,
    pub(crate) data_classification: Option<String>,
    pub(crate) peer_address: Option<String>,
}

impl Span {
    /// A row of [`SQL`], or any row of `spans` with those columns, as the HTTP API shows it.
    pub(crate) fn from_row(row: &Map<String, Value>) -> Self {
        let text = |key: &str| row.get(key).and_then(Value::as_str).map(str::to_owned);
        // Integers beyond 2^53 come as text.
        let number = |key: &str| match row.get(key) {
            Some(Value::Number(number)) => number.as_i64(),
            Some(Value::String(digits)) => digits.parse().ok(),
            _ => None,
        };
        let roles = row.get("roles").and_then(Value::as_array);
        Self {
            span_id: text("span_id").unwrap_or_default(),
            parent_span_id: text("parent_span_id"),
            service: text("service_name").unwrap_or_else(|| "(no service)".to_owned()),
            name: text("name").unwrap_or_default(),
            start_ns: text("start_time").and_then(|start| time::parse(&start, 0).ok()).unwrap_or_default(),
            duration_ns: number("duration_ns").unwrap_or_default(),
            is_error: text("status_code").as_deref() == Some("ERROR"),
            user: text("user_id"),
            roles: roles.into_iter().flatten().filter_map(|role| role.as_str().map(str::to_owned)).collect(),
            data_classification: text("data_classification"),
            peer_address: text("peer_address"),
        }
    }
}

/// How a trace is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    /// The columns to stay within; at least 40 are used.
    pub(crate) columns: usize,
    /// Plain ASCII only, for terminals that show no more. Names from the data are left as they are.
    pub(crate) ascii: bool,
    /// Errors and personal data in colour.
    pub(crate) colour: bool,
    /// The most spans that are drawn.
    pub(crate) spans_max: usize,
}

impl Style {
    /// What fits standard output.
    pub(crate) fn for_stdout() -> Self {
        Self {
            columns: terminal::columns(),
            ascii: !terminal::shows_unicode(),
            colour: terminal::colour_on_stdout(),
            spans_max: 500,
        }
    }
}

/// The characters of a drawing.
struct Glyphs {
    child: &'static str,
    last_child: &'static str,
    through: &'static str,
    left: char,
    right: char,
    bar: char,
    thin: char,
    ellipsis: char,
    flag: &'static str,
    dot: &'static str,
}

impl Glyphs {
    /// Text of ours without what ASCII lacks.
    fn plain(&self, text: String) -> String {
        if self.ellipsis.is_ascii() { text.replace('µ', "u") } else { text }
    }
}

const BOXES: Glyphs = Glyphs {
    child: "├ ",
    last_child: "└ ",
    through: "│ ",
    left: '├',
    right: '┤',
    bar: '█',
    thin: '▌',
    ellipsis: '…',
    flag: "⚑ ",
    dot: " · ",
};
const ASCII: Glyphs = Glyphs {
    child: "|-",
    last_child: "`-",
    through: "| ",
    left: '|',
    right: '|',
    bar: '=',
    thin: '|',
    ellipsis: '~',
    flag: "! ",
    dot: ", ",
};

/// Draws a trace. Spans whose parent is not there stand below a line that says so, and what is not drawn is counted.
pub(crate) fn draw(spans: &[Span], style: Style) -> String {
    if spans.is_empty() {
        return String::new();
    }
    let glyphs = if style.ascii { &ASCII } else { &BOXES };
    let lines = tree::arrange(spans, style.spans_max);
    let scale = Scale::of(spans);
    let rows: Vec<_> = lines.iter().map(|line| Row::of(line, spans, glyphs)).collect();
    let layout = Layout::of(&rows, style.columns.max(40));
    let mut text = header(spans, &scale, glyphs);
    for row in &rows {
        text.push_str(&row.draw(&layout, &scale, glyphs, style.colour));
        text.push('\n');
    }
    let drawn = rows.iter().filter(|row| row.span.is_some()).count();
    if drawn < spans.len() {
        let rest = spans.len() - drawn;
        text.push_str(&format!("{} {rest} more spans are not drawn\n", glyphs.ellipsis));
    }
    text
}

fn header(spans: &[Span], scale: &Scale, glyphs: &Glyphs) -> String {
    let mut services: Vec<_> = spans.iter().map(|span| span.service.as_str()).collect();
    services.sort_unstable();
    services.dedup();
    let errors = spans.iter().filter(|span| span.is_error).count();
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let mut parts =
        vec![count(spans.len(), "span"), count(services.len(), "service"), glyphs.plain(duration(scale.whole_ns))];
    if errors > 0 {
        parts.push(count(errors, "error"));
    }
    format!("{}  {}\n", time::rfc3339(scale.start_ns), parts.join(glyphs.dot))
}

/// Where in time a bar begins and how long it is.
struct Scale {
    start_ns: i64,
    whole_ns: i128,
}

impl Scale {
    fn of(spans: &[Span]) -> Self {
        let start_ns = spans.iter().map(|span| span.start_ns).min().unwrap_or_default();
        let end = |span: &Span| i128::from(span.start_ns) + i128::from(span.duration_ns.max(0));
        let end_ns = spans.iter().map(end).max().unwrap_or_default();
        Self { start_ns, whole_ns: end_ns - i128::from(start_ns) }
    }

    /// The first column of a span's bar and its columns, of `columns`.
    fn bar(&self, span: &Span, columns: usize) -> (usize, usize) {
        let whole = self.whole_ns.max(1);
        let wide = i128::try_from(columns).unwrap_or(1);
        let from = (i128::from(span.start_ns) - i128::from(self.start_ns)) * wide / whole;
        let long = (i128::from(span.duration_ns.max(0)) * wide + whole / 2) / whole;
        let from = from.clamp(0, wide - 1);
        let long = long.clamp(1, wide - from);
        (usize::try_from(from).unwrap_or(0), usize::try_from(long).unwrap_or(1))
    }
}

/// One line before it is fitted to the width.
struct Row<'a> {
    label: String,
    duration: String,
    note: String,
    span: Option<&'a Span>,
}

impl<'a> Row<'a> {
    fn of(line: &Line, spans: &'a [Span], glyphs: &Glyphs) -> Self {
        let label = match line.place {
            Place::Marker(text) => {
                return Self {
                    label: format!("{}{text}", glyphs.flag),
                    duration: String::new(),
                    note: String::new(),
                    span: None,
                };
            }
            Place::Root => String::new(),
            Place::Child { is_last } => {
                let last = if is_last { glyphs.last_child } else { glyphs.child };
                // Deep nesting must not push the names out of the picture.
                const LEVELS_DRAWN: usize = 12;
                let hidden = line.open.len().saturating_sub(LEVELS_DRAWN);
                let mut label = if hidden > 0 { format!("{}{hidden} ", glyphs.ellipsis) } else { String::new() };
                for open in &line.open[hidden..] {
                    label.push_str(if *open { glyphs.through } else { "  " });
                }
                label.push_str(last);
                label
            }
        };
        let span = &spans[line.span];
        let label = format!("{label}{} {}", terminal::escape(&span.service), terminal::escape(&span.name));
        Self {
            label,
            duration: glyphs.plain(duration(i128::from(span.duration_ns))),
            note: note(span, line, glyphs),
            span: Some(span),
        }
    }

    fn draw(&self, layout: &Layout, scale: &Scale, glyphs: &Glyphs, colour: bool) -> String {
        let Some(span) = self.span else {
            return terminal::cut(&self.label, layout.label + layout.bar, glyphs.ellipsis);
        };
        let label = terminal::cut(&self.label, layout.label, glyphs.ellipsis);
        let label_gap = " ".repeat(layout.label - terminal::width(&label));
        let (from, long) = scale.bar(span, layout.bar);
        let bar: String = match long {
            1 => glyphs.thin.to_string(),
            2 => [glyphs.left, glyphs.right].iter().collect(),
            _ => {
                let middle = std::iter::repeat_n(glyphs.bar, long - 2);
                std::iter::once(glyphs.left).chain(middle).chain(std::iter::once(glyphs.right)).collect()
            }
        };
        let (before, after) = (" ".repeat(from), " ".repeat(layout.bar - from - long));
        let time =
            format!("{}{}", " ".repeat(layout.duration.saturating_sub(terminal::width(&self.duration))), self.duration);
        let note = terminal::cut(&self.note, layout.note, glyphs.ellipsis);
        let (paint, plain) = match (colour, span.is_error, &span.data_classification) {
            (true, true, _) => ("\x1b[31m", "\x1b[0m"),
            (true, false, Some(_)) => ("\x1b[35m", "\x1b[0m"),
            _ => ("", ""),
        };
        let line = format!("{label}{label_gap} {before}{paint}{bar}{plain}{after} {time}");
        if note.is_empty() { line } else { format!("{line}  {paint}{note}{plain}") }
    }
}

/// Who acted, where that is not known from above; errors; data classes; who was called outside the trace.
fn note(span: &Span, line: &Line, glyphs: &Glyphs) -> String {
    let mut parts = Vec::new();
    if line.user_is_new {
        parts.extend(span.user.clone());
        if !span.roles.is_empty() {
            parts.push(format!("role {}", span.roles.join("+")));
        }
    }
    if span.is_error {
        parts.push(format!("{}ERROR", glyphs.flag));
    }
    parts.extend(span.data_classification.as_ref().map(|class| format!("{}{class}", glyphs.flag)));
    // A call that was answered by a span below needs no address.
    if let Some(peer) = span.peer_address.as_ref().filter(|_| line.is_leaf) {
        parts.push(format!("to {peer}"));
    }
    terminal::escape(&parts.join(glyphs.dot)).into_owned()
}

/// The columns that each part gets.
struct Layout {
    label: usize,
    bar: usize,
    duration: usize,
    note: usize,
}

impl Layout {
    fn of(rows: &[Row<'_>], columns: usize) -> Self {
        const BAR_MIN: usize = 10;
        const LABEL_MIN: usize = 8;
        let widest = |part: &dyn Fn(&Row<'_>) -> usize| {
            rows.iter().filter(|row| row.span.is_some()).map(part).max().unwrap_or(0)
        };
        let duration = widest(&|row| terminal::width(&row.duration));
        let room = columns.saturating_sub(duration + LABEL_MIN + 8);
        let note = widest(&|row| terminal::width(&row.note)).min(columns * 3 / 10).min(room);
        let gaps = if note > 0 { 4 } else { 2 };
        let left = columns.saturating_sub(duration + note + gaps);
        let label_max = left.saturating_sub(BAR_MIN).min(columns / 2).max(LABEL_MIN);
        let label = widest(&|row| terminal::width(&row.label)).min(label_max);
        let bar = left.saturating_sub(label).clamp(4, 60);
        Self { label, bar, duration, note }
    }
}

/// A length of time with three digits: `812 ms`, `1.25 s`, `2 min 5 s`.
fn duration(ns: i128) -> String {
    let magnitude = ns.unsigned_abs();
    let sign = if ns < 0 { "-" } else { "" };
    let with = |unit: u128, name: &str| {
        let (whole, part) = (magnitude / unit, magnitude % unit);
        match whole {
            0..=9 if unit > 1 => format!("{sign}{whole}.{:02} {name}", part * 100 / unit),
            10..=99 if unit > 1 => format!("{sign}{whole}.{} {name}", part * 10 / unit),
            _ => format!("{sign}{whole} {name}"),
        }
    };
    match magnitude {
        0..1_000 => with(1, "ns"),
        1_000..1_000_000 => with(1_000, "µs"),
        1_000_000..1_000_000_000 => with(1_000_000, "ms"),
        1_000_000_000..60_000_000_000 => with(1_000_000_000, "s"),
        60_000_000_000..3_600_000_000_000 => {
            let seconds = magnitude / 1_000_000_000;
            format!("{sign}{} min {} s", seconds / 60, seconds % 60)
        }
        _ => {
            let minutes = magnitude / 60_000_000_000;
            format!("{sign}{} h {} min", minutes / 60, minutes % 60)
        }
    }
}
