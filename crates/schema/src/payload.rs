use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::TenantId;

/// An OTLP signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// `ExportTraceServiceRequest`.
    Traces,
    /// `ExportLogsServiceRequest`.
    Logs,
    /// `ExportMetricsServiceRequest`.
    Metrics,
}

impl Signal {
    /// All signals, in the order of their WAL codes.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Logs, Self::Metrics];

    /// The name as OTLP/HTTP paths have it: `traces`, `logs`, `metrics`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How an OTLP message is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Binary protobuf.
    Protobuf,
    /// OTLP/JSON.
    Json,
}

/// One export request as it was received: what the WAL keeps and what
/// decoding, now or on replay, is a pure function of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Whose data it is.
    pub tenant: TenantId,
    /// What it holds.
    pub signal: Signal,
    /// How `body` is encoded.
    pub encoding: Encoding,
    /// When it was received, nanoseconds since the Unix epoch.
    pub received_at_ns: i64,
    /// The id of the key it was sent with; `None` on a server without keys.
    pub ingest_key_id: Option<String>,
    /// The message, decompressed.
    pub body: Bytes,
}
