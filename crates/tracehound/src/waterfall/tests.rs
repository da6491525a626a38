use serde_json::json;

use super::*;

const STYLE: Style = Style { columns: 90, ascii: false, colour: false, spans_max: 500 };

fn span(id: &str, parent: &str, service: &str, name: &str, start_ms: i64, long_ms: i64) -> Span {
    Span {
        span_id: id.to_owned(),
        parent_span_id: (!parent.is_empty()).then(|| parent.to_owned()),
        service: service.to_owned(),
        name: name.to_owned(),
        start_ns: 1_763_823_600_000_000_000 + start_ms * 1_000_000,
        duration_ns: long_ms * 1_000_000,
        ..Span::default()
    }
}

fn attack() -> Vec<Span> {
    let mut spans = vec![
        span("d", "c", "export", "export_customer_data", 300, 96),
        span("a", "", "gateway", "POST /billing/invoices", 0, 812),
        span("c", "a", "billing", "billing.List", 100, 412),
        span("b", "a", "auth", "verify", 10, 20),
    ];
    spans[0].data_classification = Some("PII".to_owned());
    spans[1].user = Some("u-4711".to_owned());
    spans[1].roles = vec!["user".to_owned()];
    spans[2].user = Some("u-4711".to_owned());
    spans[3].is_error = true;
    spans
}

fn check(spans: &[Span], style: Style, expected: &[&str]) {
    let drawn = draw(spans, style);
    let lines: Vec<_> = drawn.lines().skip(1).map(str::trim_end).collect();
    assert_eq!(lines, expected, "\n{drawn}");
}

#[test]
fn an_attack_is_seen_at_a_glance() {
    let drawn = draw(&attack(), STYLE);
    assert_eq!(drawn.lines().next(), Some("2025-11-22T15:00:00.000000000Z  4 spans · 4 services · 812 ms · 1 error"));
    check(
        &attack(),
        STYLE,
        &[
            "gateway POST /billing/invoices  ├████████████████████████████┤  812 ms  u-4711 · role user",
            "├ auth verify                   ▌                              20.0 ms  ⚑ ERROR",
            "└ billing billing.List             ├█████████████┤              412 ms",
            "  └ export export_customer_data            ├██┤                96.0 ms  ⚑ PII",
        ],
    );
}

#[test]
fn ascii_is_enough() {
    let drawn = draw(&attack(), Style { ascii: true, columns: 60, ..STYLE });
    assert!(drawn.is_ascii(), "{drawn}");
    assert!(drawn.lines().skip(1).all(|line| line.len() <= 60), "{drawn}");
    assert!(drawn.contains("`-billing"), "{drawn}");
}

#[test]
fn a_missing_parent_and_a_cycle_are_told() {
    let spans = [
        span("a", "", "web", "root", 0, 100),
        span("b", "gone", "late", "orphan", 50, 10),
        span("c", "b", "late", "below", 50, 5),
        span("x", "y", "odd", "one", 20, 10),
        span("y", "x", "odd", "two", 30, 10),
        span("z", "z", "odd", "self", 40, 10),
    ];
    let drawn = draw(&spans, STYLE);
    let labels: Vec<_> = drawn.lines().skip(1).map(|line| line.split("  ").next().unwrap_or_default().trim()).collect();
    assert_eq!(labels[0], "web root");
    assert_eq!(labels[1], "⚑ the parent of these spans has not arrived");
    assert_eq!(labels[2], "late orphan");
    assert_eq!(labels[3], "└ late below");
    assert_eq!(labels[4], "⚑ these spans are their own ancestors");
    assert_eq!(labels[5], "odd one");
    assert_eq!(labels[6], "└ odd two");
    assert_eq!(labels[7], "odd self");
    assert_eq!(labels.len(), 8);
}

#[test]
fn ten_thousand_spans_in_a_chain_are_bounded() {
    let id = |n: usize| format!("{n:016x}");
    let chain: Vec<_> = (0..10_000)
        .map(|n| span(&id(n), &if n == 0 { String::new() } else { id(n - 1) }, "deep", "call", 0, 10))
        .collect();
    let drawn = draw(&chain, STYLE);
    assert_eq!(drawn.lines().count(), 502);
    assert!(drawn.ends_with("… 9500 more spans are not drawn\n"));
    assert!(drawn.lines().all(|line| terminal::width(line) <= 90), "{drawn}");
    assert!(!drawn.contains("ancestors"));
    assert_eq!(draw(&chain, Style { spans_max: 20_000, ..STYLE }).lines().count(), 10_001);
}

#[test]
fn hostile_names_and_times_do_no_harm() {
    let mut spans = attack();
    spans[0].name = "\u{1b}[31m\u{202e}gnp.exe\n".repeat(50);
    spans[1].service = "漢字サービス".to_owned();
    spans[2].start_ns = i64::MIN;
    spans[3].duration_ns = i64::MAX;
    spans[3].start_ns = i64::MAX;
    for columns in [0, 40, 79, 200] {
        let drawn = draw(&spans, Style { columns, ..STYLE });
        assert!(!drawn.contains(|c: char| terminal::is_unsafe(c) && c != '\n'), "{drawn}");
        let wide = drawn.lines().skip(1).map(terminal::width).max().unwrap();
        assert!(wide <= columns.max(40), "{wide} of {columns}\n{drawn}");
    }
}

#[test]
fn a_user_is_named_where_another_begins_to_act() {
    let mut spans = attack();
    spans[0].user = Some("svc-export".to_owned());
    let drawn = draw(&spans, STYLE);
    assert_eq!(drawn.matches("u-4711").count(), 1, "{drawn}");
    assert_eq!(drawn.matches("svc-export").count(), 1, "{drawn}");
}

#[test]
fn only_calls_that_leave_the_trace_say_where_to() {
    let mut spans = attack();
    spans[1].peer_address = Some("billing.corp".to_owned());
    spans[0].peer_address = Some("evil.example".to_owned());
    let drawn = draw(&spans, STYLE);
    assert!(drawn.contains("to evil.example") && !drawn.contains("billing.corp"), "{drawn}");
}

#[test]
fn rows_become_spans() {
    let row = json!({
        "span_id": "00f067aa0ba902b7", "parent_span_id": null, "service_name": "auth", "name": "login",
        "start_time": "2025-11-22T15:00:00.000000001Z", "duration_ns": "9007199254740993", "status_code": "ERROR",
        "user_id": "u-1", "roles": ["user", "beta"], "data_classification": null, "peer_address": "evil.example"
    });
    let Value::Object(row) = row else { panic!("an object") };
    let span = Span::from_row(&row);
    assert_eq!((span.start_ns, span.duration_ns), (1_763_823_600_000_000_001, 9_007_199_254_740_993));
    assert_eq!((span.is_error, span.roles.len(), span.parent_span_id), (true, 2, None));
}

#[test]
fn durations_have_three_digits() {
    let check = |ns, expected: &str| assert_eq!(duration(ns), expected);
    check(0, "0 ns");
    check(999, "999 ns");
    check(1_500, "1.50 µs");
    check(96_000_000, "96.0 ms");
    check(1_250_000_000, "1.25 s");
    check(125_000_000_000, "2 min 5 s");
    check(3_900_000_000_000, "1 h 5 min");
    check(-5_000_000, "-5.00 ms");
}

#[test]
fn no_spans_no_drawing() {
    assert_eq!(draw(&[], STYLE), "");
}
