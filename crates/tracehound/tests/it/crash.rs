//! Writers over gRPC while the server is killed again and again: what was acknowledged is there exactly once.
//!
//! `CRASH_CYCLES` (50) says how often, `CRASH_SEED` repeats a run's kills as far as timing allows.

mod ledger;

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tonic::transport::{Channel, Endpoint};

use crate::support::{HOUR, Place, Served, binary};
use ledger::Ledger;

const WRITERS: usize = 4;
const SPANS_MAX: u64 = 20;

/// Small, so that segments end and files appear between two kills.
const CONFIG: &str = "[storage]\nflush_bytes = \"32KiB\"\nflush_age_busy = \"50ms\"\nflush_age_quiet = \"150ms\"\nwal_segment_bytes = \"64KiB\"\n";

#[test]
fn acknowledged_spans_survive_kill_nine_exactly_once() {
    let number =
        |name: &str, default: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let cycles = number("CRASH_CYCLES", 50);
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let seed = number("CRASH_SEED", clock.as_secs());
    println!("CRASH_SEED={seed} CRASH_CYCLES={cycles}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let place = Place::new();
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let mut writers: Vec<_> = (0..WRITERS).map(|n| Writer::new(seed ^ (n as u64 + 1), Arc::clone(&ledger))).collect();
    let mut slowest = Duration::ZERO;

    for cycle in 1..=cycles {
        if random.random_bool(0.15) {
            // A crash while it starts up, perhaps in the middle of a replay.
            Served::crash_at_start(place.dir.path(), CONFIG, Duration::from_millis(random.random_range(1..60)));
        }
        let began = Instant::now();
        let mut served = Served::start(place.dir.path(), Some(CONFIG));
        slowest = slowest.max(began.elapsed());
        let kill_after = Duration::from_millis(random.random_range(20..400));
        let url = served.otlp_grpc.clone();
        writers = runtime.block_on(async {
            let running: Vec<_> =
                writers.drain(..).map(|writer| tokio::spawn(writer.write_until_it_fails(url.clone()))).collect();
            tokio::time::sleep(kill_after).await;
            served.kill();
            let mut ended = Vec::new();
            for writer in running {
                ended.push(writer.await.expect("a writer ends with its server"));
            }
            ended
        });
        if cycle % 10 == 0 || cycle == cycles {
            let served = Served::start(place.dir.path(), Some(CONFIG));
            let found = check(&ledger, &["--url", &served.http])
                .unwrap_or_else(|wrong| panic!("CRASH_SEED={seed}, cycle {cycle}: {wrong}\n{}", served.log()));
            println!("cycle {cycle}: {found}; slowest start {} ms", slowest.as_millis());
        }
    }

    // Once more from the files alone.
    let mut served = Served::start(place.dir.path(), Some(CONFIG));
    served.signal("TERM");
    assert_eq!(served.wait(), Some(0), "{}", served.log());
    let found = check(&ledger, &["--data-dir", &place.data()])
        .unwrap_or_else(|wrong| panic!("CRASH_SEED={seed}, at the end: {wrong}"));
    println!("at the end: {found}");
    let ledger = ledger.lock().expect("not poisoned");
    assert!(ledger.acknowledged() >= cycles * 10, "too little was written to show anything: {found}");
    assert!(slowest < Duration::from_secs(5), "a start took {slowest:?}");
}

/// Compares what is stored with what was sent.
fn check(ledger: &Mutex<Ledger>, place: &[&str]) -> Result<String, String> {
    let sql = "SELECT span_id FROM spans";
    let output = binary()
        .args(["sql", "-c", sql, "-o", "csv", "--max-rows", "0"])
        .args(place)
        .stderr(Stdio::piped())
        .output()
        .expect("it runs");
    let err = String::from_utf8_lossy(&output.stderr);
    // A cut answer would look like a loss.
    assert!(output.status.success() && !err.contains("notice"), "{err}");
    let stored = std::str::from_utf8(&output.stdout).expect("UTF-8").lines().skip(1);
    let stored = stored.map(|id| u64::from_str_radix(id, 16).expect("an id"));
    ledger.lock().expect("not poisoned").compare(stored)
}

/// Sends requests one after another; several writers do so at once.
struct Writer {
    random: ChaCha8Rng,
    ledger: Arc<Mutex<Ledger>>,
    /// The request whose fate is unknown.
    unknown: Option<(usize, ExportTraceServiceRequest)>,
}

impl Writer {
    fn new(seed: u64, ledger: Arc<Mutex<Ledger>>) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(seed), ledger, unknown: None }
    }

    async fn write_until_it_fails(mut self, url: String) -> Self {
        let endpoint = Endpoint::from_shared(url).expect("a URL").timeout(Duration::from_secs(20));
        let Ok(channel) = endpoint.connect().await else { return self };
        let mut client = TraceServiceClient::new(channel);
        // As clients do: the same bytes again, or never.
        if let Some((number, request)) = self.unknown.take().filter(|_| self.random.random_bool(0.7))
            && !self.send(&mut client, number, request).await
        {
            return self;
        }
        loop {
            let count = self.random.random_range(1..=SPANS_MAX);
            let (number, ids) = self.ledger.lock().expect("not poisoned").new_request(count);
            let request = request(ids, &mut self.random);
            if !self.send(&mut client, number, request).await {
                return self;
            }
            tokio::time::sleep(Duration::from_micros(self.random.random_range(0..4000))).await;
        }
    }

    async fn send(
        &mut self,
        client: &mut TraceServiceClient<Channel>,
        number: usize,
        request: ExportTraceServiceRequest,
    ) -> bool {
        match client.export(request.clone()).await {
            Ok(response) => {
                let partial = response.into_inner().partial_success;
                assert!(partial.is_none(), "{partial:?}");
                self.ledger.lock().expect("not poisoned").acknowledge(number);
                true
            }
            Err(_) => {
                self.unknown = Some((number, request));
                false
            }
        }
    }
}

fn request(ids: std::ops::Range<u64>, random: &mut ChaCha8Rng) -> ExportTraceServiceRequest {
    let span = |id: u64| {
        // Two hours, so that a flush writes more than one file.
        let start = HOUR + random.random_range(0..7_200_000_000_000);
        Span {
            trace_id: u128::from(id).to_be_bytes().to_vec(),
            span_id: id.to_be_bytes().to_vec(),
            name: "write".to_owned(),
            start_time_unix_nano: start,
            end_time_unix_nano: start + 1_000,
            ..Span::default()
        }
    };
    let service = AnyValue { value: Some(any_value::Value::StringValue("crash".to_owned())) };
    let attribute = KeyValue { key: "service.name".to_owned(), value: Some(service), ..KeyValue::default() };
    let resource = Resource { attributes: vec![attribute], ..Resource::default() };
    let scope = ScopeSpans { spans: ids.map(span).collect(), ..ScopeSpans::default() };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![scope],
            ..ResourceSpans::default()
        }],
    }
}
