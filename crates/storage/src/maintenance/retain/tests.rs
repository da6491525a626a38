use std::time::Duration;

use super::age_text;

#[test]
fn ages_are_told_in_their_largest_unit() {
    for (seconds, text) in [(30 * 86_400, "30d"), (36 * 3600, "36h"), (90, "90s")] {
        assert_eq!(age_text(Duration::from_secs(seconds)), text);
    }
}
