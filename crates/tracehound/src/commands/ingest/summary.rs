use std::io::Write;

use serde_json::json;

use super::sink::Outcome;
use crate::terminal::{self, Output};

/// The rejections that are told in full.
const REJECTIONS_TOLD: usize = 20;

/// What became of the files so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) files: u64,
    pub(super) messages: u64,
    pub(super) accepted: u64,
    rejected: u64,
    duplicates: u64,
    rejections: Vec<(String, u64, String)>,
    rejections_untold: u64,
}

impl Summary {
    /// Adds one message. The records of a duplicate were counted when it came first.
    pub(super) fn add(&mut self, file: &str, number: u64, outcome: Outcome) {
        self.messages += 1;
        if outcome.duplicate {
            self.duplicates += 1;
            return;
        }
        self.accepted += outcome.accepted;
        self.rejected += outcome.rejected;
        if outcome.message.is_empty() {
            return;
        }
        if self.rejections.len() < REJECTIONS_TOLD {
            self.rejections.push((file.to_owned(), number, outcome.message));
        } else {
            self.rejections_untold += 1;
        }
    }

    /// One line of JSON on stdout, or sentences on stderr.
    pub(super) fn write(&self, as_json: bool) -> anyhow::Result<()> {
        if as_json {
            let mut out = Output::new();
            writeln!(out, "{}", self.json())?;
            out.flush()?;
        } else {
            self.lines().iter().for_each(terminal::say);
        }
        Ok(())
    }

    fn json(&self) -> serde_json::Value {
        let rejection = |(file, number, message): &(String, u64, String)| json!({"file": file, "message": number, "detail": message});
        json!({
            "files": self.files,
            "messages": self.messages,
            "accepted": self.accepted,
            "rejected": self.rejected,
            "duplicates": self.duplicates,
            "rejections": self.rejections.iter().map(rejection).collect::<Vec<_>>(),
        })
    }

    fn lines(&self) -> Vec<String> {
        let count = |number: u64, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
        let mut first = format!(
            "{}, {}: {} accepted, {} rejected",
            count(self.files, "file"),
            count(self.messages, "message"),
            count(self.accepted, "record"),
            self.rejected
        );
        if self.duplicates > 0 {
            first.push_str(&format!(", {} taken in before", count(self.duplicates, "message")));
        }
        let mut lines = vec![first];
        for (file, number, message) in &self.rejections {
            lines.push(format!("warning: {}: message {number}: {}", terminal::escape(file), terminal::escape(message)));
        }
        if self.rejections_untold > 0 {
            lines.push(format!("warning: {} more messages had rejected records", self.rejections_untold));
        }
        if self.rejected > 0 {
            lines.push("hint: SELECT * FROM system.ingest_rejects shows each rejected record".to_owned());
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_adds_up() {
        let mut summary = Summary { files: 1, ..Summary::default() };
        let outcome = Outcome { accepted: 5, rejected: 1, message: "span_id_zero\u{1b}".to_owned(), duplicate: false };
        summary.add("a.json", 1, outcome.clone());
        summary.add("a.json", 2, Outcome { duplicate: true, ..outcome.clone() });
        assert_eq!(summary.json()["accepted"], 5);
        assert_eq!(summary.json()["duplicates"], 1);
        assert_eq!(
            summary.lines(),
            [
                "1 file, 2 messages: 5 records accepted, 1 rejected, 1 message taken in before",
                "warning: a.json: message 1: span_id_zero\\u{1b}",
                "hint: SELECT * FROM system.ingest_rejects shows each rejected record",
            ]
        );
        for number in 0..100 {
            summary.add("a.json", number, outcome.clone());
        }
        assert_eq!(summary.lines().len(), 1 + REJECTIONS_TOLD + 2);
    }
}
