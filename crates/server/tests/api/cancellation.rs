//! A client that goes away takes its query with it.

use std::io::Read;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::Api;

/// Longer than any deadline.
const LONG: &str =
    "SELECT count(*) FROM generate_series(1, 1000000000) AS a(x), generate_series(1, 1000000000) AS b(y)";
/// The queries that run at once.
const PLACES: usize = 16;

#[test]
fn a_closed_connection_cancels_its_query() {
    let api = Api::empty();
    let long = json!({"sql": LONG, "limits": {"timeout_ms": 600_000}});
    let connections: Vec<_> = (0..PLACES).map(|_| api.begin(&long)).collect();
    // All places are taken once a query gets none.
    let full = Instant::now();
    let short = json!({"sql": "SELECT 1", "limits": {"timeout_ms": 300}});
    while api.post("/api/v1/query", &short).status == 200 {
        assert!(full.elapsed() < Duration::from_secs(10), "the long queries never took all places");
    }
    api.post("/api/v1/query", &short).problem(504, "timeout");

    drop(connections);
    let closed = Instant::now();
    assert_eq!(api.sql("SELECT 1"), json!([[1]]));
    assert!(closed.elapsed() < Duration::from_secs(5), "places were free only after {:?}", closed.elapsed());
    // All of them are free again, not one.
    for _ in 0..PLACES {
        assert_eq!(api.post("/api/v1/query", &json!({"sql": "SELECT 1", "limits": {"timeout_ms": 2000}})).status, 200);
    }
    assert!(idle(), "the queries went on in the background");
}

/// Whether this process uses next to no processor time for a while.
fn idle() -> bool {
    let used = || {
        let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
        let fields: Vec<_> = stat[stat.rfind(')').expect("a name") + 2..].split(' ').collect();
        let ticks = |index: usize| fields[index].parse::<u64>().expect("ticks");
        ticks(11) + ticks(12)
    };
    (0..10).any(|_| {
        let before = used();
        std::thread::sleep(Duration::from_millis(300));
        // A busy thread would use 30 ticks of 10 ms.
        used() - before <= 5
    })
}

#[test]
fn a_client_that_stops_reading_a_large_answer_costs_little() {
    let api = Api::empty();
    let large = json!({
        "sql": "SELECT value, repeat('x', 1000) FROM generate_series(1, 100000)", "limits": {"max_rows": 1_000_000},
    });
    let mut connections: Vec<_> = (0..3).map(|_| api.begin(&large)).collect();
    for connection in &mut connections {
        let mut start = [0; 2000];
        connection.read_exact(&mut start).expect("an answer begins");
        let text = String::from_utf8_lossy(&start);
        assert!(text.starts_with("HTTP/1.1 200 ") && text.contains("transfer-encoding: chunked"), "{text}");
    }
    assert_eq!(api.sql("SELECT 1"), json!([[1]]), "others are served");
    drop(connections);
    assert_eq!(api.sql("SELECT 1"), json!([[1]]));
}
