//! OTLP conformance, numbered as in the project's list of cases: a table over
//! signals, encodings and transports for each. And bodies made to hurt.

mod calls;
mod connections;
mod grpc;
mod hostile;
mod http;
mod json;
mod payload;
mod refusals;
mod replies;
mod server;
mod success;
