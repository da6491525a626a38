use super::*;

/// Each span as (number, parent or 0, service), starting in order of numbers.
#[track_caller]
fn check(spans: &[(u64, u64, &'static str)], expected: Option<&str>) {
    let id = |number: u64| number.to_be_bytes();
    let span = |(number, parent, service): &(u64, u64, &'static str)| Span {
        service,
        id: id(*number),
        parent: (*parent > 0).then(|| id(*parent)),
        time_ns: i64::try_from(*number).unwrap(),
    };
    let spans: Vec<_> = spans.iter().map(span).collect();
    assert_eq!(path(&spans).as_deref(), expected);
}

#[test]
fn services_stand_in_the_order_they_were_entered() {
    check(
        &[(4, 3, "export"), (1, 0, "gateway"), (2, 1, "auth"), (3, 1, "billing")],
        Some("gateway → auth → billing → export"),
    );
    check(&[(1, 0, "a"), (2, 1, "a"), (3, 2, "b"), (4, 3, "b"), (5, 2, "a")], Some("a → b"));
    check(&[(1, 0, "a"), (2, 1, "b"), (3, 2, "a")], Some("a → b → a"));
    check(&[(2, 9, "lost"), (3, 2, "b")], Some("lost → b"));
    check(&[(1, 2, "a"), (2, 1, "a")], Some("a"));
    check(&[], None);
}

#[test]
fn long_paths_say_how_much_is_left_out() {
    let spans: Vec<_> = (1..=70).map(|n| (n, n - 1, if n % 2 == 0 { "a" } else { "b" })).collect();
    let ids = |number: u64| number.to_be_bytes();
    let spans: Vec<_> = spans
        .iter()
        .map(|(n, p, service)| Span {
            service,
            id: ids(*n),
            parent: Some(ids(*p)),
            time_ns: i64::try_from(*n).unwrap(),
        })
        .collect();
    assert!(path(&spans).unwrap().ends_with("a → … (6 more)"));
}
