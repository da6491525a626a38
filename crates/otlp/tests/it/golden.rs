//! Each payload in `testdata/otlp` decodes to the rows beside it.
//!
//! A new case is a new `<name>.json`; `UPDATE=1` writes its `<name>.rows.json`.

use std::fs;
use std::path::Path;

use prost::Message;
use tracehound_otlp::file::MessageReader;
use tracehound_otlp::{decode, encode_logs, encode_metrics, encode_traces};
use tracehound_schema::{DecodeLimits, Encoding, Signal};

use crate::{payload, render};

/// Small, so that payloads that break them stay short.
const LIMITS: DecodeLimits = DecodeLimits {
    decoded_bytes_max: 1 << 20,
    value_depth_max: 8,
    attributes_max: 20,
    attribute_bytes_max: 256,
    children_max: 8,
    reject_bytes_max: 32,
};

#[test]
fn payloads_decode_to_their_rows() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/otlp");
    let mut cases = 0;
    let mut wrong = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.ends_with(".json") || name.ends_with(".rows.json") {
            continue;
        }
        cases += 1;
        let rows = decoded(&fs::read(&path).unwrap());
        let snapshot = path.with_extension("rows.json");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&snapshot, &rows).unwrap();
        } else if fs::read_to_string(&snapshot).unwrap_or_default() != rows {
            wrong.push(format!("{name} gives:\n{rows}"));
        }
    }
    assert!(cases >= 8, "only {cases} cases in {}", folder.display());
    assert!(wrong.is_empty(), "run with UPDATE=1 if this is wanted\n{}", wrong.join("\n"));
}

fn decoded(body: &[u8]) -> String {
    let messages: Vec<_> = MessageReader::new(body, 1 << 20).map(Result::unwrap).collect();
    let [(signal, encoding, body)] = messages.as_slice() else { panic!("not one message") };
    let decoded = decode(&payload(*signal, *encoding, body.clone()), &LIMITS).unwrap();
    // What is accepted decodes the same once it was written as protobuf.
    let again = match signal {
        Signal::Traces => encode_traces(&decoded.rows).unwrap().encode_to_vec(),
        Signal::Logs => encode_logs(&decoded.rows).unwrap().encode_to_vec(),
        Signal::Metrics => encode_metrics(&decoded.rows).unwrap().encode_to_vec(),
    };
    let again = decode(&payload(*signal, Encoding::Protobuf, again), &LIMITS).unwrap();
    assert_eq!(again.rows, decoded.rows);
    let shown = serde_json::json!({
        "message": decoded.message,
        "rejects": render::rows(&decoded.rejects),
        "rows": render::rows(&decoded.rows),
    });
    format!("{shown:#}\n")
}
