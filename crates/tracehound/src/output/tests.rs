use serde_json::json;

use super::*;

const PIPE: Screen = Screen { is_terminal: false, columns: 80, unicode: true, colour: false };
const TERMINAL: Screen = Screen { is_terminal: true, columns: 40, unicode: true, colour: false };

fn written(answer: Answer, format: Format, screen: Screen) -> (String, Written) {
    let mut out = Vec::new();
    let written = write_to(answer, format, screen, &mut out).unwrap();
    (String::from_utf8(out).unwrap(), written)
}

fn hostile() -> Answer {
    let rows = vec![
        vec![json!("\u{1b}[2J|evil\n\u{202e}"), json!(1), json!(null)],
        vec![json!(""), json!("9007199254740993"), json!({"a": [1, true]})],
    ];
    Answer::of(&["name", "n", "n"], rows)
}

fn check(format: Format, screen: Screen, expected: &str) {
    let (text, written) = written(hostile(), format, screen);
    assert_eq!(text, expected, "{format:?}");
    assert_eq!(written, Written { rows: 2, cut_cells: false });
}

#[test]
fn programs_get_the_data_whole() {
    check(
        Format::Csv,
        PIPE,
        "name,n,n\r\n\"\u{1b}[2J|evil\n\u{202e}\",1,\r\n\"\",9007199254740993,\"{\"\"a\"\":[1,true]}\"\r\n",
    );
    check(Format::Tsv, PIPE, "name\tn\tn\n\u{1b}[2J|evil\\n\u{202e}\t1\t\n\t9007199254740993\t{\"a\":[1,true]}\n");
    let lines = "{\"name\":\"\\u001b[2J|evil\\n\\u202e\",\"n\":1,\"n_2\":null}\n{\"name\":\"\",\"n\":\"9007199254740993\",\"n_2\":{\"a\":[1,true]}}\n";
    check(Format::Ndjson, PIPE, lines);
    let (text, _) = written(hostile(), Format::Json, PIPE);
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(rows[0]["name"], "\u{1b}[2J|evil\n\u{202e}");
    assert_eq!(rows.len(), 2);
    assert_eq!(written(Answer::of(&["a"], vec![]), Format::Json, PIPE).0, "[]\n");
}

#[test]
fn no_format_lets_data_command_a_terminal() {
    for format in
        [Format::Table, Format::Vertical, Format::Markdown, Format::Csv, Format::Tsv, Format::Json, Format::Ndjson]
    {
        let (text, _) = written(hostile(), format, TERMINAL);
        assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{9b}']), "{format:?}: {text:?}");
    }
}

#[test]
fn people_get_tables() {
    let (text, _) = written(hostile(), Format::Table, PIPE);
    let cells = |line: &str| {
        line.split(['│', '┆']).map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    let lines: Vec<_> = text.lines().map(cells).collect();
    assert_eq!(lines[1], ["name", "n", "n"], "{text}");
    assert_eq!(lines[3], ["\\u{1b}[2J|evil\\n\\u{202e}", "1", "NULL"], "{text}");
    assert_eq!(lines[4], ["9007199254740993", "{\"a\":[1,true]}"], "{text}");
    check(
        Format::Markdown,
        PIPE,
        "| name | n | n |\n| --- | --- | --- |\n| \\\\u{1b}[2J\\|evil\\\\n\\\\u{202e} | 1 | NULL |\n|  | 9007199254740993 | {\"a\":[1,true]} |\n",
    );
    check(
        Format::Vertical,
        PIPE,
        "── row 1\nname │ \\u{1b}[2J|evil\\n\\u{202e}\n   n │ 1\n   n │ NULL\n── row 2\nname │ \n   n │ 9007199254740993\n   n │ {\"a\":[1,true]}\n",
    );
}

#[test]
fn tables_stay_within_a_terminal_and_say_when_they_cut() {
    let answer = Answer::of(&["long"], vec![vec![json!("x".repeat(5000))]]);
    let (text, written) = written(answer, Format::Table, TERMINAL);
    assert!(written.cut_cells);
    assert!(text.lines().all(|line| terminal::width(line) <= 40), "{text}");
}

#[test]
fn rows_of_another_length_are_refused() {
    let answer = Answer::of(&["a", "b"], vec![vec![json!(1)]]);
    let mut out = Vec::new();
    assert!(write_to(answer, Format::Ndjson, PIPE, &mut out).is_err());
}

#[test]
fn rows_are_capped_for_people_only() {
    assert_eq!(Format::Table.rows_max(None), 1000);
    assert_eq!(Format::Csv.rows_max(None), usize::MAX);
    assert_eq!(Format::Table.rows_max(Some(0)), usize::MAX);
    assert_eq!(Format::Csv.rows_max(Some(5)), 5);
}

#[test]
fn the_receipt_is_one_line() {
    let stats =
        json!({"elapsed_ns": 33_500_000, "files_read": 5, "files_planned": 20, "rows_unflushed": 3, "entry": 42});
    assert_eq!(stats_line(12, &stats), "12 rows · 34 ms · 5 of 20 files read · 3 unflushed rows · entry 42");
    assert_eq!(stats_line(1, &Value::Null), "1 row");
}
