use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime};
use serde::{Deserialize, Serialize};

/// One hour of event time, counted from the Unix epoch; may be negative.
///
/// Its text form is `2026-11-22T15`, the value of a partition folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hour(i64);

impl Hour {
    /// Nanoseconds in an hour.
    pub const LENGTH_NS: i64 = 3_600_000_000_000;

    /// The hour that holds an instant, in nanoseconds since the Unix epoch.
    pub fn containing(time_ns: i64) -> Self {
        Self(time_ns.div_euclid(Self::LENGTH_NS))
    }

    /// Its first nanosecond since the Unix epoch (saturating at the ends of `i64`).
    pub fn start_ns(self) -> i64 {
        self.0.saturating_mul(Self::LENGTH_NS)
    }

    /// The first nanosecond after it (saturating at the ends of `i64`).
    pub fn end_ns(self) -> i64 {
        self.0.saturating_add(1).saturating_mul(Self::LENGTH_NS)
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = DateTime::from_timestamp(self.0 * 3600, 0).ok_or(fmt::Error)?;
        write!(f, "{}", start.format("%Y-%m-%dT%H"))
    }
}

impl FromStr for Hour {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not an hour like 2026-11-22T15");
        let start =
            NaiveDateTime::parse_from_str(&format!("{text}:00:00"), "%Y-%m-%dT%H:%M:%S").map_err(|_| wrong())?;
        let hour = Self(start.and_utc().timestamp().div_euclid(3600));
        if hour.to_string() == text { Ok(hour) } else { Err(wrong()) }
    }
}

impl TryFrom<String> for Hour {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Hour> for String {
    fn from(hour: Hour) -> Self {
        hour.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_round_trip_over_all_of_i64() {
        for time_ns in [i64::MIN, -1, 0, 1, 1_795_360_000_000_000_000, i64::MAX] {
            let hour = Hour::containing(time_ns);
            assert_eq!(hour.to_string().parse::<Hour>(), Ok(hour));
            assert!(hour.start_ns() <= time_ns);
            assert!(time_ns <= hour.end_ns());
        }
        assert_eq!(Hour::containing(0).to_string(), "1970-01-01T00");
        assert_eq!(Hour::containing(-1).to_string(), "1969-12-31T23");
        assert!("2026-11-22T15:00".parse::<Hour>().is_err());
        assert!("2026-11-22T5".parse::<Hour>().is_err());
    }
}
