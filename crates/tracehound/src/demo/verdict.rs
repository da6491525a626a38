use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::attacks::Truth;

/// One row of a hunt's answer.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    pub(super) hunt: String,
    pub(super) row: Map<String, Value>,
}

impl Finding {
    /// Its sample of traces, in hex.
    pub(super) fn trace_ids(&self) -> Vec<&str> {
        let ids = self.row.get("trace_ids").and_then(Value::as_array);
        ids.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// A text column, or an empty text.
    pub(super) fn text(&self, column: &str) -> &str {
        self.row.get(column).and_then(Value::as_str).unwrap_or_default()
    }

    fn is_about(&self, truth: &Truth) -> bool {
        let expected =
            truth.found_by.iter().any(|(hunt, column, value)| *hunt == self.hunt && self.text(column) == value);
        let planted: BTreeSet<String> = truth.traces.iter().map(hex::encode).collect();
        expected && self.trace_ids().into_iter().any(|id| planted.contains(id))
    }
}

/// What the hunts found, held against what was planted.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Attacks and hunts that should have found them and did not.
    pub(super) missed: Vec<String>,
    /// Findings that are about no attack.
    pub(super) extra: Vec<String>,
}

impl Verdict {
    /// Compares all findings of all hunts with all attacks.
    pub(super) fn reach(truths: &[Truth], findings: &[Finding]) -> Self {
        let mut verdict = Self::default();
        for truth in truths {
            for (hunt, column, value) in &truth.found_by {
                let found = findings
                    .iter()
                    .any(|finding| finding.hunt == *hunt && finding.text(column) == value && finding.is_about(truth));
                if !found {
                    verdict.missed.push(format!("{hunt} does not list {column} {value}: {}", truth.story));
                }
            }
        }
        for finding in findings {
            if !truths.iter().any(|truth| finding.is_about(truth)) {
                let row = Value::Object(finding.row.clone());
                verdict.extra.push(format!("{} lists what nobody planted: {row}", finding.hunt));
            }
        }
        verdict
    }

    /// Whether everything was found and nothing else.
    pub(super) fn is_right(&self) -> bool {
        self.missed.is_empty() && self.extra.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn truth() -> Truth {
        Truth {
            attack: "lateral-movement",
            story: "u-1 moved".to_owned(),
            found_by: vec![("lateral-movement", "user_id", "u-1".to_owned())],
            traces: vec![[1; 16]],
        }
    }

    fn finding(hunt: &str, user: &str, trace: u8) -> Finding {
        let row = json!({"user_id": user, "trace_ids": [hex::encode([trace; 16])]});
        let Value::Object(row) = row else { panic!("an object") };
        Finding { hunt: hunt.to_owned(), row }
    }

    fn check(findings: &[Finding], missed: usize, extra: usize) {
        let verdict = Verdict::reach(&[truth()], findings);
        assert_eq!((verdict.missed.len(), verdict.extra.len()), (missed, extra));
        assert_eq!(verdict.is_right(), missed + extra == 0);
    }

    #[test]
    fn misses_and_extras_are_told() {
        check(&[finding("lateral-movement", "u-1", 1)], 0, 0);
        check(&[], 1, 0);
        check(&[finding("lateral-movement", "u-1", 1), finding("lateral-movement", "u-2", 1)], 0, 1);
        check(&[finding("lateral-movement", "u-1", 2)], 1, 1);
        check(&[finding("api-scraping", "u-1", 1)], 1, 1);
    }
}
