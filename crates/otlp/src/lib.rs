//! OTLP bytes to record batches and rejections, and back.
//!
//! ```text
//! Payload ─ bound ─→ prost structs ─ check each record ─→ rows + rejections ─ encode ─→ prost structs
//!           json ──↗
//! ```
//!
//! Pure: no I/O, no clock, no global state. What a payload decodes to depends
//! on its bytes, its receive time, its key and the limits, so that replay
//! gives what was stored at first. Bytes are hostile until shown otherwise:
//! memory and nesting are bounded before anything is built.

mod attributes;
mod bound;
mod budget;
mod decode;
mod encode;
mod entities;
mod error;
pub mod file;
mod ids;
mod json;
mod lists;
mod logs;
mod metrics;
mod names;
mod normal;
mod origin;
mod receipt;
mod rejects;
mod sampling;
mod series;
mod spans;
mod text;

pub use decode::decode;
pub use encode::{encode_logs, encode_metrics, encode_traces};
pub use error::Error;
pub use normal::{normalize_logs, normalize_metrics, normalize_traces};
