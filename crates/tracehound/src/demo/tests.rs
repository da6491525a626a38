use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;

use super::attacks::Truth;
use super::calendar::{Calendar, HOUR_NS};
use super::company::{Company, SERVICES};
use super::trace::Placed;
use super::traffic::{Telemetry, Traffic};

const CALENDAR: Calendar = Calendar { anchor_ns: 1_795_359_600_000_000_000 };

fn generate(seed: u64) -> (Vec<Telemetry>, Vec<Truth>) {
    let company = Company::new(seed, 0.05);
    let (traffic, truths) = Traffic::new(&company, CALENDAR, seed);
    (traffic.collect(), truths)
}

fn spans(telemetry: &[Telemetry]) -> impl Iterator<Item = &Placed<Span>> {
    telemetry.iter().flat_map(|hour| &hour.spans)
}

fn attribute<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    match &found.value.as_ref()?.value {
        Some(Value::StringValue(text)) => Some(text),
        _ => None,
    }
}

#[test]
fn the_same_seed_gives_the_same_data() {
    let company = Company::new(7, 0.05);
    let (once, truths) = Traffic::new(&company, CALENDAR, 7);
    let (again, same_truths) = Traffic::new(&company, CALENDAR, 7);
    assert_eq!(truths, same_truths);
    assert!(once.eq(again));
    let (_, other_truths) = Traffic::new(&company, CALENDAR, 8);
    assert_ne!(truths, other_truths);
}

#[test]
fn span_ids_are_unique_and_services_known() {
    let (telemetry, _) = generate(7);
    let known: BTreeSet<&str> = SERVICES.iter().map(|(name, _)| *name).collect();
    let mut ids = BTreeSet::new();
    let mut met = BTreeSet::new();
    for Placed { service, record } in spans(&telemetry) {
        assert!(known.contains(service), "{service} is not a service of the company");
        assert!(ids.insert((record.trace_id.clone(), record.span_id.clone())));
        met.insert(*service);
    }
    assert_eq!(met, known);
}

#[test]
fn the_data_lies_between_the_first_day_and_the_anchor() {
    let (telemetry, _) = generate(7);
    assert_eq!(u64::try_from(telemetry.len()).ok(), Some(Traffic::hours()));
    for span in spans(&telemetry) {
        assert!(span.record.start_time_unix_nano >= CALENDAR.first_ns());
        assert!(span.record.start_time_unix_nano <= span.record.end_time_unix_nano);
        assert!(span.record.end_time_unix_nano < CALENDAR.anchor_ns);
    }
}

/// The traffic is honest: most personal data is touched by its owners, most
/// inner spans carry no user, some traces cross the hour, some parents are late
/// or never come.
#[test]
fn the_traffic_is_honest() {
    let company = Company::new(7, 0.3);
    let (traffic, _) = Traffic::new(&company, CALENDAR, 7);
    let telemetry: Vec<Telemetry> = traffic.collect();
    let mut traces: BTreeMap<&[u8], Vec<&Placed<Span>>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut late = 0;
    let mut inner = (0, 0);
    for hour in &telemetry {
        let parents: BTreeSet<&[u8]> = hour.spans.iter().map(|span| span.record.parent_span_id.as_slice()).collect();
        for span in &hour.spans {
            // Its children came with an earlier hour.
            late += usize::from(seen.contains(&span.record.span_id[..]) && !parents.contains(&span.record.span_id[..]));
            traces.entry(&span.record.trace_id).or_default().push(span);
            if !span.record.parent_span_id.is_empty() {
                let user = ["user.id", "enduser.id"].iter().any(|key| attribute(&span.record, key).is_some());
                inner.0 += usize::from(!user);
                inner.1 += 1;
            }
        }
        seen.extend(parents);
    }
    let (mut own, mut touches, mut crossing, mut orphans) = (0, 0, 0, 0);
    for spans in traces.values() {
        let ids: BTreeSet<&[u8]> = spans.iter().map(|span| span.record.span_id.as_slice()).collect();
        let user = spans.iter().find_map(|span| attribute(&span.record, "user.id"));
        for span in spans {
            if attribute(&span.record, "security.data_classification") == Some("PII") {
                touches += 1;
                own += usize::from(attribute(&span.record, "security.data_subject_id") == user);
            }
            let parent = &span.record.parent_span_id[..];
            orphans += usize::from(!parent.is_empty() && !ids.contains(parent));
        }
        let hours: BTreeSet<u64> = spans.iter().map(|span| span.record.start_time_unix_nano / HOUR_NS).collect();
        crossing += usize::from(hours.len() > 1);
    }
    assert!(inner.0 * 10 > inner.1 * 9, "{inner:?} inner spans carry no user");
    assert!(crossing >= 50, "{crossing} traces cross the hour");
    assert!(late >= 50, "{late} parents are late");
    assert!(orphans >= 50, "{orphans} spans have lost their parent");
    assert!(own * 2 > touches, "{own} of {touches} touches are the owner's");
}

#[test]
fn every_planted_trace_is_sent_whole() {
    let (telemetry, truths) = generate(7);
    let sent: BTreeSet<&[u8]> = spans(&telemetry).map(|span| span.record.trace_id.as_slice()).collect();
    for truth in &truths {
        assert!(!truth.traces.is_empty() && !truth.found_by.is_empty(), "{}", truth.attack);
        for id in &truth.traces {
            assert!(sent.contains(&id[..]), "a trace of {} is missing", truth.attack);
        }
    }
}
