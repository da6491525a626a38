//! Runs the binary, and makes the OTLP that it is given.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

/// The end of a run: code, stdout, stderr.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Its stdout, where the code is as expected.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// The rows of NDJSON on stdout.
    pub(crate) fn rows(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
    }
}

/// The binary with an environment of its own.
pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracehound"));
    for name in [
        "TRACEHOUND_URL",
        "TRACEHOUND_DATA_DIR",
        "TRACEHOUND_TENANT",
        "TRACEHOUND_KEY",
        "TRACEHOUND_LOG",
        "NO_COLOR",
        "CLICOLOR_FORCE",
    ] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

pub(crate) fn run(arguments: &[&str]) -> Ended {
    Ended::of(binary().args(arguments).output().expect("the binary runs"))
}

pub(crate) fn run_with_stdin(arguments: &[&str], input: &[u8]) -> Ended {
    let mut command = binary();
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // It may end before it has read everything.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("the writer ends");
    Ended::of(output)
}

/// A directory for one test.
pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory") }
    }

    /// The data directory, not made yet.
    pub(crate) fn data(&self) -> String {
        self.dir.path().join("data").display().to_string()
    }

    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).expect("written");
        path.display().to_string()
    }

    /// Takes a file in.
    #[track_caller]
    pub(crate) fn ingest(&self, content: impl AsRef<[u8]>) -> Ended {
        let file = self.file("input", content);
        run(&["ingest", "--data-dir", &self.data(), &file]).expect(0)
    }

    /// The rows of a query as NDJSON.
    #[track_caller]
    pub(crate) fn rows(&self, sql: &str) -> Vec<Value> {
        run(&["sql", "--data-dir", &self.data(), "-c", sql]).expect(0).rows()
    }
}

/// 2026-11-22T15:00:00Z.
pub(crate) const HOUR: u64 = 1_795_359_600_000_000_000;

/// A span in OTLP/JSON.
pub(crate) fn span(trace: u8, span: u8, parent: u8, name: &str, attributes: &[(&str, Value)]) -> Value {
    let id = |byte: u8, length: usize| format!("{byte:02x}").repeat(length);
    let start = HOUR + u64::from(span) * 1_000_000;
    let attributes: Vec<_> = attributes.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
    json!({
        "traceId": id(trace, 16), "spanId": id(span, 8), "parentSpanId": if parent == 0 { String::new() } else { id(parent, 8) },
        "name": name, "kind": 2, "startTimeUnixNano": start.to_string(), "endTimeUnixNano": (start + 5_000_000).to_string(),
        "attributes": attributes, "status": {}
    })
}

pub(crate) fn text(value: &str) -> Value {
    json!({"stringValue": value})
}

/// An export request of one service.
pub(crate) fn traces(service: &str, spans: &[Value]) -> String {
    json!({"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]},
        "scopeSpans": [{"scope": {"name": "test"}, "spans": spans}]
    }]})
    .to_string()
}

/// A served data directory.
pub(crate) struct Served {
    child: Child,
    pub(crate) http: String,
    pub(crate) otlp_grpc: String,
    pub(crate) otlp_http: String,
    stderr: PathBuf,
}

impl Served {
    fn spawn(dir: &Path, config: Option<&str>) -> (Child, PathBuf) {
        let stderr = dir.join("stderr.log");
        let log = std::fs::File::options().create(true).append(true).open(&stderr).expect("a log");
        let mut command = binary();
        command.args([
            "serve",
            "--http",
            "127.0.0.1:0",
            "--otlp-grpc",
            "127.0.0.1:0",
            "--otlp-http",
            "127.0.0.1:0",
            "--data-dir",
        ]);
        command.arg(dir.join("data"));
        if let Some(config) = config {
            let path = dir.join("tracehound.toml");
            std::fs::write(&path, config).expect("written");
            command.arg("--config").arg(path);
        }
        let child = command.stdout(Stdio::piped()).stderr(log).spawn().expect("the binary runs");
        (child, stderr)
    }

    /// Starts the binary and kills it after a while, ready or not.
    pub(crate) fn crash_at_start(dir: &Path, config: &str, after: std::time::Duration) {
        let (mut child, _) = Self::spawn(dir, Some(config));
        std::thread::sleep(after);
        child.kill().expect("killed");
        child.wait().expect("gone");
    }

    /// Starts the binary on free ports and waits until it is ready.
    pub(crate) fn start(dir: &Path, config: Option<&str>) -> Self {
        let (child, stderr) = Self::spawn(dir, config);
        let mut served =
            Self { http: String::new(), otlp_grpc: String::new(), otlp_http: String::new(), stderr, child };
        served.wait_until_ready();
        served
    }

    fn wait_until_ready(&mut self) {
        let stdout = self.child.stdout.take().expect("piped");
        let mut lines = BufReader::new(stdout).lines();
        loop {
            let Some(Ok(line)) = lines.next() else { panic!("the server ended: {}", self.log()) };
            match line.split_once(" listening on ") {
                Some(("http", url)) => self.http = url.to_owned(),
                Some(("otlp-grpc", url)) => self.otlp_grpc = url.to_owned(),
                Some(("otlp-http", url)) => self.otlp_http = url.to_owned(),
                Some((other, _)) => panic!("unknown listener {other}"),
                None => {
                    assert_eq!(line, "ready");
                    return;
                }
            }
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// The exit code once it has ended.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }

    pub(crate) fn log(&self) -> String {
        let mut text = String::new();
        let read = std::fs::File::open(&self.stderr).and_then(|mut file| file.read_to_string(&mut text));
        read.map_or_else(|error| error.to_string(), |_| text)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
