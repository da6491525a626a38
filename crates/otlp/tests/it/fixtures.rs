//! Real payloads of other projects, where they are at hand.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value as Json;
use tracehound_otlp::decode;
use tracehound_otlp::file::MessageReader;
use tracehound_schema::DecodeLimits;

use crate::payload;

#[test]
fn payloads_of_other_projects_are_accepted_whole() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/otlp");
    let Ok(expected) = fs::read(folder.join("expected.json")) else {
        println!("skipped: there is no {}", folder.display());
        return;
    };
    let expected: BTreeMap<String, Json> = serde_json::from_slice(&expected).unwrap();
    assert!(!expected.is_empty());
    for (name, expected) in expected {
        let file = fs::read(folder.join(&name)).unwrap();
        let (mut messages, mut records) = (0, 0);
        for message in MessageReader::new(file.as_slice(), 64 << 20) {
            let (signal, encoding, body) = message.unwrap();
            assert_eq!(signal.as_str(), expected["signal"], "{name}");
            let decoded = decode(&payload(signal, encoding, body), &DecodeLimits::default()).unwrap();
            assert_eq!(decoded.rejected(), 0, "{name}: {}", decoded.message);
            messages += 1;
            records += decoded.accepted();
        }
        let counts = &expected["counts"];
        let wanted = ["spans", "log_records", "data_points"].iter().find_map(|key| counts[key].as_u64());
        assert_eq!(Some(messages), expected["messages"].as_u64(), "{name}");
        assert_eq!(Some(records as u64), wanted, "{name}");
    }
}
