//! Times as people write them: `now`, `now-6h`, `-24h`, RFC 3339, Unix numbers.

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat};

use crate::Error;

/// A half-open range of time, nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// Its first nanosecond.
    pub from_ns: i64,
    /// The first nanosecond after it.
    pub to_ns: i64,
}

impl TimeRange {
    /// Reads both ends; `to` is now when absent.
    ///
    /// # Errors
    /// [`Error::Parameter`] if one of them is no time, or the range is empty.
    pub fn parse(from: &str, to: Option<&str>, now_ns: i64) -> Result<Self, Error> {
        let from_ns = parse_named("from", from, now_ns)?;
        let to_ns = to.map_or(Ok(now_ns), |to| parse_named("to", to, now_ns))?;
        if from_ns >= to_ns {
            let message =
                format!("the time range is empty: from {} is not before to {}", rfc3339(from_ns), rfc3339(to_ns));
            return Err(Error::parameter("parameter-invalid", "from", message));
        }
        Ok(Self { from_ns, to_ns })
    }
}

/// Reads a time: `now`, `now-6h`, `-24h`, `+5m`, `1h30m` units `ns us ms s m h d w`, RFC 3339 (UTC where no
/// offset is given, a date alone is its midnight), or a Unix number in seconds, milliseconds, microseconds
/// or nanoseconds, told apart by size.
///
/// # Errors
/// [`Error::Parameter`] that says which forms are understood.
pub fn parse(text: &str, now_ns: i64) -> Result<i64, Error> {
    parse_named("time", text, now_ns)
}

/// Reads a length of time such as `24h`, `1h30m` or `28d`, in nanoseconds.
///
/// # Errors
/// [`Error::Parameter`] if it is none, or longer than 292 years.
pub fn parse_duration(text: &str) -> Result<i64, Error> {
    duration(text.trim()).ok_or_else(|| {
        let message = format!("{text:?} is not a length of time like 30m, 24h or 7d");
        Error::parameter("parameter-invalid", "duration", message)
    })
}

/// Writes a time as RFC 3339 with nanoseconds and `Z`.
pub fn rfc3339(time_ns: i64) -> String {
    DateTime::from_timestamp_nanos(time_ns).to_rfc3339_opts(SecondsFormat::Nanos, true)
}

fn parse_named(name: &str, text: &str, now_ns: i64) -> Result<i64, Error> {
    read(text.trim(), now_ns).ok_or_else(|| {
        let message = format!(
            "{text:?} is not a time: use now, now-6h, -24h, 2026-11-22T15:00:00Z, or Unix seconds or nanoseconds"
        );
        Error::parameter("parameter-invalid", name, message)
    })
}

fn read(text: &str, now_ns: i64) -> Option<i64> {
    let offset = text.strip_prefix("now").map(str::trim).unwrap_or(text);
    if offset.is_empty() {
        return text.starts_with("now").then_some(now_ns);
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let signed =
        [('-', -1), ('+', 1)].into_iter().find_map(|(sign, factor)| Some((offset.strip_prefix(sign)?, factor)));
    if let Some((length, sign)) = signed {
        if digits(length) && !text.starts_with("now") {
            return unix(text.parse().ok()?);
        }
        return now_ns.checked_add(duration(length.trim())?.checked_mul(sign)?);
    }
    if text.starts_with("now") {
        return None;
    }
    if digits(text) {
        return unix(text.parse().ok()?);
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(&text.replacen(' ', "T", 1)) {
        return time.timestamp_nanos_opt();
    }
    let forms = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"];
    let time = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(&text.replacen(' ', "T", 1), form).ok());
    let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
    time.or_else(day)?.and_utc().timestamp_nanos_opt()
}

/// Tells the unit of a Unix number by its size: seconds until the year 5138, then finer.
fn unix(number: i64) -> Option<i64> {
    let factor = match number.unsigned_abs() {
        0..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1000,
        _ => 1,
    };
    number.checked_mul(factor)
}

fn duration(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit: i64 = match &rest[..letters] {
            "ns" => 1,
            "us" | "µs" => 1000,
            "ms" => 1_000_000,
            "s" | "sec" => 1_000_000_000,
            "m" | "min" => 60_000_000_000,
            "h" | "hour" | "hours" => 3_600_000_000_000,
            "d" | "day" | "days" => 86_400_000_000_000,
            "w" | "week" | "weeks" => 604_800_000_000_000,
            _ => return None,
        };
        rest = rest[letters..].trim_start();
        total = total.checked_add(number.checked_mul(unit)?)?;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_370_400_000_000_000;
    const HOUR: i64 = 3_600_000_000_000;

    #[track_caller]
    fn check(text: &str, expected: Option<i64>) {
        assert_eq!(parse(text, NOW).ok(), expected, "{text}");
    }

    #[test]
    fn every_form_is_read() {
        check("now", Some(NOW));
        check("now-6h", Some(NOW - 6 * HOUR));
        check("now - 6h", Some(NOW - 6 * HOUR));
        check("-24h", Some(NOW - 24 * HOUR));
        check("+1h30m", Some(NOW + HOUR + HOUR / 2));
        check("-2d", Some(NOW - 48 * HOUR));
        check("2026-11-22T18:00:00Z", Some(NOW));
        check("2026-11-22T20:00:00+02:00", Some(NOW));
        check("2026-11-22T18:00", Some(NOW));
        check("2026-11-22 18:00:00", Some(NOW));
        check("2026-11-22", Some(NOW - 18 * HOUR));
        check("1795370400", Some(NOW));
        check("1795370400000", Some(NOW));
        check("1795370400000000", Some(NOW));
        check("1795370400000000000", Some(NOW));
        check("-1", Some(-1_000_000_000));
        for wrong in
            ["", "yesterday", "now6h", "now-", "-6", "-6x", "6h", "2026-13-01", "99999999999999999999", "-999999w"]
        {
            if wrong == "-6" {
                check(wrong, Some(-6_000_000_000));
            } else {
                check(wrong, None);
            }
        }
    }

    #[test]
    fn empty_ranges_are_refused() {
        assert!(TimeRange::parse("now", None, NOW).is_err());
        assert_eq!(TimeRange::parse("-1h", None, NOW), Ok(TimeRange { from_ns: NOW - HOUR, to_ns: NOW }));
    }
}
