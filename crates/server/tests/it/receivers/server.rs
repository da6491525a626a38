//! A server on free ports and a directory of its own.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;
use tokio::runtime::Runtime;
use tracehound_schema::Signal;
use tracehound_server::{Config, Running, Server, ServerOptions};

use super::http::{Reply, Request};

pub(crate) struct TestServer {
    running: Option<Running>,
    pub(crate) runtime: Runtime,
    directory: tempfile::TempDir,
    config: Config,
}

impl TestServer {
    /// With the defaults.
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    /// With a changed configuration.
    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        config.listen.http = free;
        config.listen.otlp_grpc = free;
        config.listen.otlp_http = free;
        change(&mut config);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let directory = tempfile::tempdir().expect("a directory");
        let mut server = Self { running: None, runtime, directory, config };
        server.open();
        server
    }

    /// Starts, again if it was stopped.
    pub(crate) fn open(&mut self) {
        let options = ServerOptions::new(self.config.clone(), self.data_dir());
        self.running = Some(self.runtime.block_on(Server::start(options)).expect("a server"));
    }

    /// Stops gracefully and starts on the same directory.
    pub(crate) fn restart(&mut self) {
        let running = self.running.take().expect("it runs");
        self.runtime.block_on(running.shutdown()).expect("a clean stop");
        self.open();
    }

    /// Stops gracefully in the background; the ports stop accepting.
    pub(crate) fn stop_in_background(&mut self) -> tokio::task::JoinHandle<Result<(), tracehound_server::Error>> {
        let running = self.running.take().expect("it runs");
        self.runtime.spawn(running.shutdown())
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().expect("it runs")
    }

    /// A request to the OTLP/HTTP port.
    pub(crate) fn otlp(&self, request: &Request) -> Reply {
        request.send(self.running().otlp_http)
    }

    /// A request to the API port.
    pub(crate) fn api(&self, request: &Request) -> Reply {
        request.send(self.running().http)
    }

    /// The rows of a query, for the default tenant.
    pub(crate) fn sql(&self, sql: &str) -> Value {
        let body = serde_json::json!({"sql": sql}).to_string();
        let reply = self.api(&Request::post("/api/v1/query").header("content-type", "application/json").body(body));
        assert_eq!(reply.status, 200, "{sql}: {}", reply.text());
        reply.json()["rows"].clone()
    }

    /// How many records of a signal are stored.
    pub(crate) fn count(&self, signal: Signal) -> u64 {
        let table = match signal {
            Signal::Traces => "spans",
            Signal::Logs => "logs",
            Signal::Metrics => "metrics",
        };
        self.sql(&format!("SELECT count(*) FROM {table}"))[0][0].as_u64().expect("a count")
    }
}
