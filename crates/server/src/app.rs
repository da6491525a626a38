use std::sync::Arc;

use tracehound_query::Queries;
use tracehound_storage::{Clock, Decode, Engine};

use crate::auth::Keys;
use crate::config::Config;
use crate::in_flight::InFlight;
use crate::ingest::Ingester;
use crate::telemetry::Counters;

/// What all handlers share.
pub(crate) struct App {
    pub(crate) engine: Engine,
    pub(crate) queries: Queries,
    pub(crate) ingester: Ingester,
    pub(crate) keys: Keys,
    pub(crate) in_flight: InFlight,
    pub(crate) config: Config,
    pub(crate) counters: Counters,
    pub(crate) clock: Clock,
    /// Lets one data task run at a time.
    pub(crate) data_tasks: tokio::sync::Semaphore,
}

impl App {
    /// The time, nanoseconds since the Unix epoch.
    pub(crate) fn now_ns(&self) -> i64 {
        (self.clock)()
    }
}

/// How the storage engine decodes payloads on replay.
pub fn decoder() -> Decode {
    Arc::new(|payload, limits| tracehound_otlp::decode(payload, limits).map_err(|error| error.to_string()))
}

/// The machine's clock.
pub fn system_clock() -> Clock {
    Arc::new(|| chrono::Utc::now().timestamp_nanos_opt().unwrap_or(i64::MAX))
}
