use super::*;

const HEADER: &str =
    "-- name: x\n-- title: t\n-- finds: f\n-- why: w\n-- attack: T1, T2\n-- window: 24h\n-- benign: b\n-- next: n\n";

#[test]
fn every_embedded_hunt_is_read() {
    for (name, text) in sources() {
        let hunt = parse(name, text).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(get(name), Ok(&hunt), "names are unique");
    }
    assert_eq!(list().len(), sources().count());
    assert!(!list().is_empty());
}

#[test]
fn parameters_have_types_defaults_and_help() {
    let text = format!(
        "{HEADER}-- param: a text = \"x — y: \"z\" — how\n-- param: b int — which: one\n-- param: c double = 0.5 — share\nSELECT 1\n"
    );
    let hunt = parse("x", &text).unwrap_or_else(|e| panic!("{e}"));
    let shown: Vec<_> = hunt
        .parameters
        .iter()
        .map(|p| (p.name.as_str(), p.kind.as_str(), p.default.as_deref(), p.help.as_str()))
        .collect();
    assert_eq!(
        shown,
        [
            ("a", "text", Some("x — y: \"z"), "how"),
            ("b", "int", None, "which: one"),
            ("c", "double", Some("0.5"), "share")
        ]
    );
    assert_eq!((hunt.sql.as_str(), hunt.window_ns), ("SELECT 1", 86_400_000_000_000));

    let given = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let code = |pairs| hunt.bind(&given(pairs)).map_err(|e| e.code()).map(|bound| bound.len());
    assert_eq!(code(&[("b", "1")]), Ok(3));
    assert_eq!(code(&[]), Err("parameter-missing"));
    assert_eq!(code(&[("b", "one")]), Err("parameter-invalid"));
    assert_eq!(code(&[("b", "1"), ("d", "2")]), Err("parameter-unknown"));
}

#[test]
fn header_errors_name_the_line() {
    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(parse("x", text).unwrap_err(), expected);
    }
    check(&format!("{HEADER}-- colour: red\nSELECT 1"), "x.sql:9: unknown key \"colour\"");
    check(&format!("{HEADER}-- title: again\nSELECT 1"), "x.sql:9: title is said twice");
    check(&format!("{HEADER}-- param: a int = b — c\nSELECT 1"), "x.sql:9: parameter $a: \"b\" is not of type Int64");
    check(&format!("{HEADER}-- param: from int — c\nSELECT 1"), "x.sql:9: parameter from is the time range's");
    check(HEADER, "x.sql: there is no SQL below the header");
    check("-- name: y\n", "x.sql:1: the name \"y\" is not the file's");
    check("-- name: x\n-- window: 24h\nSELECT 1", "x.sql:1: the header lacks attack");
}
