//! What the server counts of itself, and its Prometheus text.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracehound_schema::Signal;
use tracehound_storage::Status;

const GAUGE: &str = "gauge";
const COUNTER: &str = "counter";

/// Counters since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By signal, transport and status code.
    requests: BTreeMap<(Signal, &'static str, String), u64>,
    /// Accepted and rejected.
    records: BTreeMap<Signal, (u64, u64)>,
    /// By outcome.
    queries: BTreeMap<&'static str, u64>,
}

impl Counters {
    /// Counts an OTLP request and its records. `transport` is `http` or `grpc`, `code` its status code.
    pub(crate) fn received(&self, signal: Signal, transport: &'static str, code: &str, accepted: u64, rejected: u64) {
        let mut inner = self.lock();
        *inner.requests.entry((signal, transport, code.to_owned())).or_default() += 1;
        let records = inner.records.entry(signal).or_default();
        records.0 += accepted;
        records.1 += rejected;
    }

    /// Counts a query by its outcome: `ok` or an error's code.
    pub(crate) fn queried(&self, outcome: &'static str) {
        *self.lock().queries.entry(outcome).or_default() += 1;
    }

    /// Everything as Prometheus text.
    pub(crate) fn render(&self, status: &Status, in_flight_bytes: usize) -> String {
        let inner = self.lock();
        let mut text = Text::default();
        text.family("tracehound_otlp_requests_total", "counter", "OTLP requests by signal, transport and status code.");
        for ((signal, transport, code), count) in &inner.requests {
            let labels = format!("signal=\"{signal}\",transport=\"{transport}\",code=\"{code}\"");
            text.sample("tracehound_otlp_requests_total", &labels, *count);
        }
        text.family("tracehound_otlp_records_total", "counter", "Spans, log records and data points by outcome.");
        for (signal, (accepted, rejected)) in &inner.records {
            for (outcome, count) in [("accepted", accepted), ("rejected", rejected)] {
                let labels = format!("signal=\"{signal}\",outcome=\"{outcome}\"");
                text.sample("tracehound_otlp_records_total", &labels, *count);
            }
        }
        text.family("tracehound_queries_total", "counter", "Queries by outcome.");
        for (outcome, count) in &inner.queries {
            text.sample("tracehound_queries_total", &format!("outcome=\"{outcome}\""), *count);
        }
        let files: u64 = status.tenants.values().map(|tenant| tenant.files).sum();
        let file_bytes: u64 = status.tenants.values().map(|tenant| tenant.file_bytes).sum();
        let unflushed: u64 = status.tenants.values().map(|tenant| tenant.unflushed_rows).sum();
        let work = &status.maintenance;
        let figures = [
            ("in_flight_bytes", GAUGE, "Bytes of OTLP bodies in work.", in_flight_bytes as u64),
            ("wal_bytes", GAUGE, "Bytes of the write-ahead log.", status.wal_bytes),
            ("memtable_bytes", GAUGE, "Bytes of rows that are in no file yet.", status.memtable_bytes as u64),
            ("unflushed_rows", GAUGE, "Rows that are in no file yet.", unflushed),
            ("files", GAUGE, "Live Parquet files.", files),
            ("file_bytes", GAUGE, "Bytes of live Parquet files.", file_bytes),
            ("tenants", GAUGE, "Tenants with data.", status.tenants.len() as u64),
            (
                "writes_refused",
                GAUGE,
                "1 when a sync failed and writes are refused until a restart.",
                u64::from(status.poisoned.is_some()),
            ),
            ("flush_failures_total", COUNTER, "Flushes that failed; each is tried again.", status.flush_failures),
            ("compaction_backlog_files", GAUGE, "Files that wait to be merged.", work.backlog_files),
            ("compaction_backlog_bytes", GAUGE, "Bytes of files that wait to be merged.", work.backlog_bytes),
            ("compaction_failing", GAUGE, "Merges that failed and will be tried again.", work.failing.len() as u64),
            ("compaction_merges_total", COUNTER, "Merges, one manifest entry each.", work.units),
            ("compaction_rows_total", COUNTER, "Rows that were merged.", work.rows),
            ("compaction_read_bytes_total", COUNTER, "Bytes that merges read.", work.bytes_read),
            ("compaction_written_bytes_total", COUNTER, "Bytes that merges wrote.", work.bytes_written),
            ("retired_files_total", COUNTER, "Files that retention took out.", work.files_retired),
            ("swept_objects_total", COUNTER, "Objects removed after their grace.", work.objects_swept),
            ("quarantined_files", GAUGE, "Damaged files that queries leave out and name.", work.quarantined),
        ];
        for (name, kind, help, value) in figures {
            let name = format!("tracehound_{name}");
            text.family(&name, kind, help);
            text.sample(&name, "", value);
        }
        if let Some(cache) = &status.store.cache {
            text.family("tracehound_cache_bytes", "gauge", "Bytes that the read cache of the store takes.");
            text.sample("tracehound_cache_bytes", "", cache.bytes);
            let counters = [
                ("tracehound_cache_hits_total", "Chunks that were read from the cache.", cache.hits),
                ("tracehound_cache_misses_total", "Chunks that had to be fetched.", cache.misses),
                ("tracehound_cache_damaged_total", "Chunks that did not check and were fetched again.", cache.damaged),
                ("tracehound_cache_fetched_bytes_total", "Bytes fetched from the store.", cache.fetched_bytes),
            ];
            for (name, help, value) in counters {
                text.family(name, "counter", help);
                text.sample(name, "", value);
            }
        }
        text.0
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: u64) {
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}
