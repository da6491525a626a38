//! How many spans a sampled one stands for.

/// 1 / (1 − T / 2^56), T being the rejection threshold in the tracestate's `ot`
/// member; 1 without one, or if it is not valid.
///
/// Source: opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling.
pub(crate) fn sample_weight(trace_state: &str) -> f64 {
    threshold(trace_state).map_or(1.0, |threshold| {
        const ALL: u64 = 1 << 56;
        // Both are below 2^53 significant bits apart, so the quotient is exact enough.
        ALL as f64 / (ALL - threshold) as f64
    })
}

/// The threshold, below 2^56.
fn threshold(trace_state: &str) -> Option<u64> {
    let member = trace_state.split(',').find_map(|member| member.trim().strip_prefix("ot="))?;
    let digits = member.split(';').find_map(|field| field.strip_prefix("th:"))?;
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if digits.is_empty() || digits.len() > 14 || !digits.bytes().all(hex) {
        return None;
    }
    let value = u64::from_str_radix(digits, 16).ok()?;
    Some(value << (4 * (14 - digits.len())))
}

#[cfg(test)]
mod tests {
    use super::sample_weight;

    #[test]
    fn weights_follow_the_threshold() {
        for (trace_state, weight) in [
            ("", 1.0),
            ("ot=th:0", 1.0),
            ("ot=th:8", 2.0),
            ("ot=th:c", 4.0),
            ("ot=th:80000000000000", 2.0),
            ("ot=rv:1234;th:c,vendor=x", 4.0),
            ("vendor=x, ot=th:c", 4.0),
            ("vendor=th:c", 1.0),
            ("ot=th:", 1.0),
            ("ot=th:g", 1.0),
            ("ot=th:123456789012345", 1.0),
        ] {
            assert_eq!(sample_weight(trace_state), weight, "{trace_state}");
        }
        assert_eq!(sample_weight("ot=th:ffffffffffffff"), 72_057_594_037_927_936.0);
    }
}
