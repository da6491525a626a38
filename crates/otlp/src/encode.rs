//! Rows back to OTLP.
//!
//! What comes out equals what was sent, in the normal form of
//! [`normalize_traces`](crate::normalize_traces) and its siblings. Consecutive rows of one resource,
//! scope and metric share their message.

mod logs;
mod metrics;
mod origin;
mod rows;
mod spans;

pub use logs::encode_logs;
pub use metrics::encode_metrics;
pub use spans::encode_traces;
