//! Names that may have been meant.

/// The names nearest to a wrong one, at most three, the nearest first.
pub(crate) fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let wrong = wrong.to_lowercase();
    let distance_max = (wrong.chars().count() / 3).max(1);
    let mut near: Vec<_> = names
        .filter_map(|name| {
            let distance = distance(&wrong, &name.to_lowercase());
            let contained = wrong.len() >= 4 && name.to_lowercase().contains(&wrong);
            (distance <= distance_max || contained).then_some((distance, name))
        })
        .collect();
    near.sort_unstable();
    near.dedup();
    near.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
}

/// The edits (insert, delete, replace, swap neighbours) between two words.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(x != y);
            let mut best = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i - 1] == *y && *x == b[j - 1] {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_the_nearest_first() {
        let names = ["service_name", "scope_name", "name", "span_id", "trace_id"];
        let check = |wrong: &str, expected: &[&str]| assert_eq!(nearest(wrong, names.into_iter()), expected, "{wrong}");
        check("servce_name", &["service_name"]);
        check("service", &["service_name"]);
        check("tarce_id", &["trace_id"]);
        check("SPAN_ID", &["span_id"]);
        check("elephant", &[]);
    }
}
