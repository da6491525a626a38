//! A server's life: bind, serve, drain, flush, unlock.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracehound_query::Queries;
use tracehound_storage::{Clock, Engine};

use crate::app::{App, decoder, system_clock};
use crate::auth::Keys;
use crate::config::Config;
use crate::in_flight::InFlight;
use crate::ingest::Ingester;
use crate::telemetry::Counters;
use crate::{Error, api, otlp};

/// How long requests in flight may take once the server is told to stop.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// What a server is started with.
#[derive(Clone)]
pub struct ServerOptions {
    /// The configuration.
    pub config: Config,
    /// The data directory; made if absent.
    pub data_dir: PathBuf,
    /// The clock.
    pub clock: Clock,
}

impl ServerOptions {
    /// A server on a data directory, with the machine's clock.
    pub fn new(config: Config, data_dir: impl Into<PathBuf>) -> Self {
        Self { config, data_dir: data_dir.into(), clock: system_clock() }
    }
}

/// The server; see [`Server::start`].
pub struct Server;

/// A server that serves. Dropping it stops it without draining; the WAL keeps what was acknowledged.
pub struct Running {
    /// Where the HTTP API listens.
    pub http: SocketAddr,
    /// Where OTLP/gRPC is received.
    pub otlp_grpc: SocketAddr,
    /// Where OTLP/HTTP is received.
    pub otlp_http: SocketAddr,
    app: Arc<App>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<Result<(), Error>>>,
}

impl Server {
    /// Opens the data directory and serves.
    ///
    /// # Errors
    /// [`Error::Config`] and [`Error::Listen`] before anything is opened;
    /// [`Error::Storage`] if the data directory is in use or damaged.
    pub async fn start(options: ServerOptions) -> Result<Running, Error> {
        let ServerOptions { config, data_dir, clock } = options;
        config.check().map_err(|problems| Error::Config { path: None, problems })?;
        let http = listen("http", config.listen.http).await?;
        let grpc = listen("otlp-grpc", config.listen.otlp_grpc).await?;
        let otlp_http = listen("otlp-http", config.listen.otlp_http).await?;
        let addresses = (address(&http)?, address(&grpc)?, address(&otlp_http)?);

        let mut storage = config.storage_options(&data_dir, Arc::clone(&clock));
        storage.holder = format!("process {} at http://{}", std::process::id(), addresses.0);
        let engine = Engine::open(storage, decoder()).await?;
        let queries = Queries::new(engine.clone(), config.query_limits(), Arc::clone(&clock))?;
        let ingester = Ingester::new(engine.clone(), config.decode_limits())
            .with_quota(config.limits.tenant_ingest_bytes_per_second);
        let app = Arc::new(App {
            ingester,
            keys: Keys::new(&config.keys),
            in_flight: InFlight::new(config.limits.in_flight_bytes),
            counters: Counters::default(),
            engine,
            queries,
            config,
            clock,
            data_tasks: tokio::sync::Semaphore::new(1),
        });

        let (stop, stopping) = watch::channel(false);
        let api = api::router(Arc::clone(&app)).merge(otlp::http::routes(Arc::clone(&app)));
        let receiver = otlp::http::router(Arc::clone(&app));
        let grpc_server = otlp::grpc::serve(Arc::clone(&app), grpc, stopped(stopping.clone()));
        let tasks = vec![
            tokio::spawn(serve("http", http, api, stopping.clone())),
            tokio::spawn(serve("otlp-http", otlp_http, receiver, stopping)),
            tokio::spawn(async move {
                grpc_server.await.map_err(|error| Error::Serve { what: "otlp-grpc", detail: error.to_string() })
            }),
        ];
        let (http, otlp_grpc, otlp_http) = addresses;
        Ok(Running { http, otlp_grpc, otlp_http, app, stop, tasks })
    }
}

impl Running {
    /// The storage engine behind the server.
    pub fn engine(&self) -> &Engine {
        &self.app.engine
    }

    /// The query engine behind the server.
    pub fn queries(&self) -> &Queries {
        &self.app.queries
    }

    /// Waits until a listener fails, which none should.
    ///
    /// # Errors
    /// What failed.
    pub async fn failed(&mut self) -> Error {
        let (outcome, index, _) = futures::future::select_all(&mut self.tasks).await;
        drop(self.tasks.swap_remove(index));
        match outcome {
            Ok(Err(error)) => error,
            Ok(Ok(())) => Error::Serve { what: "a listener", detail: "it ended".to_owned() },
            Err(error) => Error::Serve { what: "a listener", detail: error.to_string() },
        }
    }

    /// Stops accepting, lets requests in flight end, flushes and unlocks the data directory.
    ///
    /// # Errors
    /// A listener's failure, or [`Error::Storage`] if the last flush failed; the WAL has the data then.
    pub async fn shutdown(mut self) -> Result<(), Error> {
        self.stop.send_replace(true);
        let mut outcome = Ok(());
        let deadline = tokio::time::Instant::now() + DRAIN_MAX;
        for task in &mut self.tasks {
            match tokio::time::timeout_at(deadline, &mut *task).await {
                Ok(Ok(ended)) => outcome = outcome.and(ended),
                Ok(Err(_)) => {}
                Err(_) => {
                    tracing::warn!("requests in flight took too long and were cut off");
                    task.abort();
                }
            }
        }
        let closed = self.app.engine.clone().close().await;
        outcome.and(closed.map_err(Error::from))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn listen(what: &'static str, address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Listen { what, address, source })
}

fn address(listener: &TcpListener) -> Result<SocketAddr, Error> {
    listener.local_addr().map_err(|error| Error::Serve { what: "a listener", detail: error.to_string() })
}

async fn serve(
    what: &'static str,
    listener: TcpListener,
    router: Router,
    stopping: watch::Receiver<bool>,
) -> Result<(), Error> {
    axum::serve(listener, router)
        .with_graceful_shutdown(stopped(stopping))
        .await
        .map_err(|error| Error::Serve { what, detail: error.to_string() })
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // A dropped sender means stop as well.
    let _ = stopping.wait_for(|stop| *stop).await;
}
