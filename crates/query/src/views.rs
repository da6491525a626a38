//! The views: SELECTs in `sql/views`, planned when a query names them.

use include_dir::{Dir, include_dir};

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sql/views");

/// A view.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
}

/// All views, by name.
pub(crate) fn all() -> Vec<View> {
    let view = |file: &'static include_dir::File<'static>| {
        let name = file.path().to_str()?.strip_suffix(".sql")?;
        Some(View { name, sql: file.contents_utf8()? })
    };
    let mut views: Vec<_> = FILES.files().filter_map(view).collect();
    views.sort_by_key(|view| view.name);
    views
}

/// The views that a SQL text may use, those that they use first.
pub(crate) fn used_by(sql: &str) -> Vec<View> {
    let views = all();
    let listing = ["information_schema", "describe", "show", "desc"].iter().any(|word| mentions(sql, word));
    let mut used: Vec<View> = Vec::new();
    let mut waiting: Vec<View> = views.iter().copied().filter(|view| listing || mentions(sql, view.name)).collect();
    while let Some(view) = waiting.pop() {
        let needs = views.iter().copied().filter(|other| other.name != view.name && mentions(view.sql, other.name));
        let missing: Vec<_> = needs.filter(|other| used.iter().all(|known| known.name != other.name)).collect();
        if missing.is_empty() {
            if used.iter().all(|known| known.name != view.name) {
                used.push(view);
            }
        } else {
            waiting.push(view);
            waiting.extend(missing);
        }
    }
    used
}

/// Whether a word stands in a text, in any case; whole-line comments do not count, literals do, which costs a plan at most.
fn mentions(text: &str, word: &str) -> bool {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("--"));
    let mut words = lines.flat_map(|line| line.split(|c: char| !(c.is_alphanumeric() || c == '_')));
    words.any(|found| found.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_come_after_those_they_use() {
        let names = |sql| used_by(sql).iter().map(|view| view.name).collect::<Vec<_>>();
        assert_eq!(names("SELECT 1 FROM spans"), [""; 0]);
        assert_eq!(names("SELECT 1 FROM Actors"), ["actors"]);
        assert_eq!(names("SELECT 1 FROM service_calls"), ["actors", "service_calls"]);
        assert_eq!(names("SHOW TABLES").len(), all().len());
    }
}
