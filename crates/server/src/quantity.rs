//! Sizes and durations with units, as configuration has them: `"64MiB"`, `"5m"`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

const UNITS: [(&str, usize); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// Reads a size: `"64MiB"`, `"10MB"`, or a number of bytes.
pub(crate) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    deserializer.deserialize_any(SizeVisitor)
}

/// The same for a size that may be absent.
pub(crate) fn optional_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    size(deserializer).map(Some)
}

/// Reads a duration: `"250ms"`, `"5m"`, `"1h 30m"`.
pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text)
        .map_err(|_| de::Error::custom(format!("{text:?} is not a duration such as \"250ms\", \"5m\" or \"1h\"")))
}

/// The same for a duration that may be absent.
pub(crate) fn optional_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

/// The bytes that a text such as `64MiB` says; `None` if it says none.
pub(crate) fn parse_size(text: &str) -> Option<usize> {
    let (number, factor) =
        UNITS.into_iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor))).unwrap_or((text, 1));
    number.trim().parse::<usize>().ok()?.checked_mul(factor)
}

struct SizeVisitor;

impl de::Visitor<'_> for SizeVisitor {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as \"64MiB\", \"10MB\", or a number of bytes")
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<usize, E> {
        usize::try_from(bytes).map_err(|_| E::invalid_value(de::Unexpected::Signed(bytes), &self))
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<usize, E> {
        usize::try_from(bytes).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(bytes), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<usize, E> {
        parse_size(text.trim()).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_carry_units() {
        for (text, bytes) in [("64MiB", Some(64 << 20)), ("10 KB", Some(10_000)), ("7", Some(7)), ("3B", Some(3))] {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
        for text in ["", "MiB", "-1", "64mib", "1.5GiB", "99999999999GiB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }
}
