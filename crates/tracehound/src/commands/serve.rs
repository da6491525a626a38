use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracehound_server::{Config, Error, Running, Server, ServerOptions};

use crate::cli::ServeArgs;
use crate::failure::{Exit, Failure};
use crate::place;

/// Serves until SIGINT or SIGTERM; a second one ends at once.
pub(crate) async fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let config = config(&args)?;
    let data_dir = place::data_dir(args.data_dir)?;
    // Heard from the start, so that a signal right after `ready` is a graceful stop.
    let mut signals = Signals::new()?;
    let mut running = Server::start(ServerOptions::new(config, &data_dir)).await.map_err(|error| failure(&error))?;
    tracing::info!(data_dir = %data_dir.display(), "serving");
    announce(&running);
    tokio::select! {
        error = running.failed() => return Err(failure(&error).into()),
        () = signals.next() => {}
    }
    tracing::info!("stopping: finishing what is under way; a second signal ends at once");
    tokio::select! {
        ended = running.shutdown() => ended.map_err(|error| failure(&error))?,
        () = signals.next() => std::process::exit(i32::from(Exit::Interrupted.code())),
    }
    Ok(ExitCode::SUCCESS)
}

fn config(args: &ServeArgs) -> Result<Config, Failure> {
    let mut config = match &args.config {
        Some(path) => Config::read(path).map_err(|error| failure(&error))?,
        None => Config::default(),
    };
    let listen = &mut config.listen;
    let flags = [
        ("--http", &args.http, &mut listen.http),
        ("--otlp-grpc", &args.otlp_grpc, &mut listen.otlp_grpc),
        ("--otlp-http", &args.otlp_http, &mut listen.otlp_http),
    ];
    for (flag, given, address) in flags {
        if let Some(given) = given {
            *address = resolve(flag, given)?;
        }
    }
    if args.store.is_some() {
        config.store.url.clone_from(&args.store);
    }
    config.store.environment = place::store_environment();
    config.check().map_err(|problems| Failure::new(Exit::Usage, "config", problems.join("; ")))?;
    Ok(config)
}

fn resolve(flag: &str, given: &str) -> Result<SocketAddr, Failure> {
    let wrong = || {
        Failure::usage(format!("{flag} {given:?} is not an address"))
            .hint("such as 127.0.0.1:4320, or 127.0.0.1:0 for a free port")
    };
    given.to_socket_addrs().ok().and_then(|mut addresses| addresses.next()).ok_or_else(wrong)
}

/// Four lines that scripts wait for.
fn announce(running: &Running) {
    let mut out = io::stdout().lock();
    // A server goes on serving when nobody reads what it prints.
    let _ = writeln!(out, "http listening on http://{}", running.http)
        .and_then(|()| writeln!(out, "otlp-grpc listening on http://{}", running.otlp_grpc))
        .and_then(|()| writeln!(out, "otlp-http listening on http://{}", running.otlp_http))
        .and_then(|()| writeln!(out, "ready"))
        .and_then(|()| out.flush());
}

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

fn failure(error: &Error) -> Failure {
    match error {
        Error::Config { .. } => Failure::new(Exit::Usage, "config", error.to_string()),
        Error::Listen { address, source, .. } => {
            let failure = Failure::failed("listen", error.to_string());
            match source.kind() {
                io::ErrorKind::AddrInUse => failure.hint(format!(
                    "another process listens on {address}, perhaps a server of yours; stop it, or take a free port with port 0"
                )),
                io::ErrorKind::PermissionDenied => failure.hint("ports below 1024 need privileges"),
                _ => failure,
            }
        }
        Error::Storage(error) => Failure::storage(error),
        Error::Query(error) => Failure::query(error, ""),
        Error::Serve { .. } => Failure::failed("serve", error.to_string()),
    }
}
