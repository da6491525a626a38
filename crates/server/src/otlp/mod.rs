//! The OTLP receivers: gRPC and HTTP, for traces, logs and metrics.
//!
//! ```text
//! http  ─┐                                                    ┌─→ reply
//! grpc  ─┴─→ receiver: caller ─→ body ─→ decompress ─→ accept ─┴─→ refusal
//! ```
//!
//! Both transports share everything but their framing, so that a limit, an
//! error or a reply means the same on each.
//!
//! Source: opentelemetry.io/docs/specs/otlp.

mod body;
mod compression;
mod decompress;
mod frame;
pub(crate) mod grpc;
pub(crate) mod http;
mod receiver;
mod refusal;
mod reply;
