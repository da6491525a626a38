use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tracehound_schema::TenantId;
use tracehound_server::Config;
use tracehound_storage::{StoreProbe, StoreStatus};

use crate::backend::{Local, Remote, is_data_dir, now_ns, on_thread};
use crate::cli::DoctorArgs;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::place::{Place, ServerPlace};

/// Below this the disk is nearly full: the WAL alone may take a gigabyte.
const FREE_BYTES_WARN: u64 = 2 << 30;
const FREE_BYTES_FAIL: u64 = 64 << 20;
/// Acknowledgements wait for it.
const SYNC_WARN: Duration = Duration::from_millis(100);
/// No clock is before the release, nor a century after it.
const YEARS: std::ops::Range<i64> = 2025..2125;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ok,
    Warn,
    Fail,
}

/// What one check found.
#[derive(Debug, Clone)]
struct Finding {
    check: &'static str,
    state: State,
    found: String,
    /// What to do; empty when all is well.
    todo: String,
}

fn ok(check: &'static str, found: impl Into<String>) -> Finding {
    Finding { check, state: State::Ok, found: found.into(), todo: String::new() }
}

fn warn(check: &'static str, found: impl Into<String>, todo: impl Into<String>) -> Finding {
    Finding { check, state: State::Warn, found: found.into(), todo: todo.into() }
}

fn fail(check: &'static str, found: impl Into<String>, todo: impl Into<String>) -> Finding {
    Finding { check, state: State::Fail, found: found.into(), todo: todo.into() }
}

/// Checks what Tracehound stands on; a failed check makes the exit code 6.
pub(crate) async fn run(args: DoctorArgs) -> anyhow::Result<ExitCode> {
    let mut findings = vec![clock(now_ns())];
    match Place::choose(&args.place)? {
        Place::Directory { path, .. } => {
            directory(&path, &mut findings).await;
            ports(&mut findings).await;
        }
        Place::Server(place) => server(place, &mut findings).await,
    }
    let failed = findings.iter().filter(|finding| finding.state == State::Fail).count();
    let row = |finding: &Finding| {
        let state = match finding.state {
            State::Ok => "ok",
            State::Warn => "warn",
            State::Fail => "FAIL",
        };
        vec![json!(state), json!(finding.check), json!(finding.found), json!(finding.todo)]
    };
    output::write_list(
        &["state", "check", "found", "what_to_do"],
        findings.iter().map(row).collect(),
        args.output.output,
    )?;
    if failed > 0 {
        let checks = if failed == 1 { "1 check".to_owned() } else { format!("{failed} checks") };
        return Err(Failure::new(Exit::CheckFailed, "unhealthy", format!("{checks} failed")).into());
    }
    Ok(ExitCode::SUCCESS)
}

fn clock(now_ns: i64) -> Finding {
    // A mean Gregorian year, in seconds.
    let year = 1970 + now_ns / 1_000_000_000 / 31_556_952;
    let now = tracehound_query::time::rfc3339(now_ns);
    if YEARS.contains(&year) {
        ok("clock", now)
    } else {
        fail("clock", format!("it is {now}, says this machine"), "set the clock, or switch time synchronisation on")
    }
}

async fn directory(path: &Path, findings: &mut Vec<Finding>) {
    let shown = path.display().to_string();
    if !path.exists() {
        findings.push(warn(
            "data directory",
            format!("{shown} does not exist"),
            "`tracehound serve` makes it; --data-dir names another",
        ));
        return;
    }
    findings.push(if is_data_dir(path) {
        ok("data directory", shown)
    } else {
        warn(
            "data directory",
            format!("{shown} holds no Tracehound data"),
            "is it the right one? --data-dir names another",
        )
    });
    findings.push(sync(path));
    findings.push(free_space(path));
    if is_data_dir(path) {
        store(path, findings).await;
    }
}

/// Writes a file and syncs it, as the WAL does.
fn sync(path: &Path) -> Finding {
    let probe = path.join(format!(".doctor-{}", std::process::id()));
    let began = Instant::now();
    let written = fs::File::create(&probe).and_then(|mut file| {
        file.write_all(&[0x5a; 4096])?;
        file.sync_all()
    });
    let took = began.elapsed();
    let read = written.and_then(|()| fs::read(&probe));
    // Best effort: the next check will meet it if it cannot go.
    let _ = fs::remove_file(&probe);
    match read {
        Ok(bytes) if bytes == [0x5a; 4096] => {
            let found = format!("4 KiB written, synced and read in {} µs", took.as_micros());
            if took > SYNC_WARN {
                warn("disk sync", found, "every acknowledgement waits for a sync: a faster disk ingests faster")
            } else {
                ok("disk sync", found)
            }
        }
        Ok(_) => fail("disk sync", "what was read is not what was written", "stop using this disk"),
        Err(error) => fail("disk sync", error.to_string(), "the directory has to be writable by this user"),
    }
}

fn free_space(path: &Path) -> Finding {
    let free = match rustix::fs::statvfs(path) {
        Ok(stat) => stat.f_bavail.saturating_mul(stat.f_frsize),
        Err(error) => return warn("free space", format!("unknown: {error}"), "look with df"),
    };
    let found = format!("{} MiB", free >> 20);
    match free {
        0..FREE_BYTES_FAIL => fail("free space", found, "free some: ingest is refused when the disk is full"),
        FREE_BYTES_FAIL..FREE_BYTES_WARN => {
            warn("free space", found, "free some: the write-ahead log may take 1 GiB by itself")
        }
        _ => ok("free space", found),
    }
}

/// Opens the data directory, which reads the manifests and replays the WAL.
async fn store(path: &Path, findings: &mut Vec<Finding>) {
    let local = match Local::open(path, TenantId::default_tenant()).await {
        Ok(local) => local,
        Err(failure) if failure.code == "locked" => {
            findings.push(warn("store", failure.message, failure.hint.unwrap_or_default()));
            return;
        }
        Err(failure) => {
            findings.push(fail("store", failure.message, failure.hint.unwrap_or_default()));
            return;
        }
    };
    let status = local.engine().status();
    findings.push(object_store(&status.store));
    for damage in &status.damage {
        let found = format!("{}: {}", damage.path.display(), damage.detail);
        findings.push(fail(
            "damage",
            found,
            "keep the file, restore it from a backup if there is one; whatever could be read is there",
        ));
    }
    let replay = status.replay;
    let torn = if replay.bytes_cut > 0 {
        format!(", {} bytes never acknowledged were cut", replay.bytes_cut)
    } else {
        String::new()
    };
    findings.push(ok(
        "write-ahead log",
        format!("{} frames replayed, {} in files already{torn}", replay.frames, replay.frames_covered),
    ));
    let (files, rows): (u64, u64) =
        status.tenants.values().fold((0, 0), |(files, rows), tenant| (files + tenant.files, rows + tenant.file_rows));
    findings.push(ok(
        "manifest",
        format!("tenants: {}, files: {files}, rows: {rows}; every chain of entries is whole", status.tenants.len()),
    ));
    if let Err(failure) = local.close().await {
        findings.push(fail("flush", failure.message, failure.hint.unwrap_or_default()));
    }
}

/// What the store is, and what trying it out found.
fn object_store(store: &StoreStatus) -> Finding {
    let name = &store.name;
    match &store.probe {
        None => ok("store", name),
        Some(StoreProbe { single_writer: None, took }) => {
            ok("store", format!("{name} keeps writers apart, tried in {} ms", took.as_millis()))
        }
        Some(StoreProbe { single_writer: Some(why), .. }) => warn(
            "store",
            format!("{name} does not keep writers apart: {why}"),
            "it may have one writer only; docs/stores.md lists stores that may have several",
        ),
    }
}

/// The ports that a server takes by default.
async fn ports(findings: &mut Vec<Finding>) {
    let listen = Config::default().listen;
    for (check, address) in
        [("port http", listen.http), ("port otlp-grpc", listen.otlp_grpc), ("port otlp-http", listen.otlp_http)]
    {
        findings.push(port(check, address).await);
    }
}

async fn port(check: &'static str, address: SocketAddr) -> Finding {
    if TcpListener::bind(address).is_ok() {
        return ok(check, format!("{address} is free"));
    }
    let place = ServerPlace { url: format!("http://{address}"), tenant: None, key: None };
    let answer = on_thread(Arc::new(Remote::new(place)), |remote| remote.get("/healthz")).await;
    match answer {
        Ok((status, _)) if status.is_success() => ok(check, format!("a Tracehound server has {address}")),
        _ if TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok() => warn(
            check,
            format!("a process listens on {address}"),
            "if it is no server of yours: stop it, or serve on another port",
        ),
        _ => warn(check, format!("{address} cannot be listened on"), "serve on another port"),
    }
}

async fn server(place: ServerPlace, findings: &mut Vec<Finding>) {
    let remote = Arc::new(Remote::new(place));
    let url = remote.url().to_owned();
    for (check, path, todo) in [
        ("server health", "/healthz", "is --url the HTTP address of a Tracehound server?"),
        ("server ready", "/readyz", "it refuses data: its log says why"),
        ("server schema", "/api/v1/schema", "give a key: --key SECRET, or TRACEHOUND_KEY"),
    ] {
        match on_thread(Arc::clone(&remote), move |remote| remote.get(path)).await {
            Ok((status, _)) if status.is_success() => {
                findings.push(ok(check, format!("{url}{path} answers {}", status.as_u16())))
            }
            Ok((status, _)) => findings.push(fail(check, format!("{url}{path} answers {}", status.as_u16()), todo)),
            Err(failure) => {
                findings.push(fail(check, failure.message, failure.hint.unwrap_or_default()));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_without_a_battery_fails() {
        let check = |now_ns, state| assert_eq!(clock(now_ns).state, state, "{now_ns}");
        check(0, State::Fail);
        check(1_763_823_600_000_000_000, State::Ok);
        check(i64::MAX, State::Fail);
    }

    #[test]
    fn a_directory_that_cannot_be_written_fails() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(sync(dir.path()).state, State::Ok);
        assert_eq!(sync(&dir.path().join("absent")).state, State::Fail);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "the probe is gone");
    }
}
