//! The library of hunts: named, documented, parameterised queries, embedded from `sql/hunts`.
//!
//! A hunt is a file `<name>.sql`: a header of `-- key: value` lines, then one SELECT. Keys: `name`, `title`,
//! `finds`, `why`, `attack` (ATT&CK or ATLAS ids, separated by commas), `window` (the default range, ending
//! now), `benign`, `next`, and any number of `param: NAME TYPE [= DEFAULT] — HELP`, TYPE being `text`, `int`,
//! `double` or `bool`, a text default in double quotes. A parameter without default must be given.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use include_dir::{Dir, include_dir};

use crate::{Error, ParamValue, params, time};

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sql/hunts");

static HUNTS: LazyLock<Vec<Hunt>> = LazyLock::new(|| {
    let mut hunts: Vec<_> = sources().filter_map(|(name, text)| parse(name, text).ok()).collect();
    hunts.sort_by(|a, b| a.name.cmp(&b.name));
    hunts
});

/// A named query that a person runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Hunt {
    /// Its name, that of its file.
    pub name: String,
    /// What happened, if it finds something.
    pub title: String,
    /// What its rows are.
    pub finds: String,
    /// Why that matters.
    pub why: String,
    /// MITRE ATT&CK or ATLAS techniques.
    pub attack: Vec<String>,
    /// The default length of `$from` to `$to`, ending now, as written.
    pub window: String,
    /// The same in nanoseconds.
    pub window_ns: i64,
    /// What it can be told, besides the time range.
    pub parameters: Vec<HuntParameter>,
    /// What is found though nothing is wrong.
    pub benign: String,
    /// What to do with a hit.
    pub next: String,
    /// The query.
    pub sql: String,
}

/// A parameter of a hunt.
#[derive(Debug, Clone, PartialEq)]
pub struct HuntParameter {
    /// Its name, `$name` in the SQL.
    pub name: String,
    /// Its type: `text`, `int`, `double` or `bool`.
    pub kind: ParameterKind,
    /// Its value when none is given; `None` when one must be.
    pub default: Option<String>,
    /// What it means.
    pub help: String,
}

/// The type of a hunt's parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterKind {
    /// Text.
    Text,
    /// A whole number.
    Int,
    /// A number.
    Double,
    /// `true` or `false`.
    Bool,
}

impl ParameterKind {
    /// Its name in a hunt's header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Int => "int",
            Self::Double => "double",
            Self::Bool => "bool",
        }
    }

    fn data_type(self) -> &'static str {
        match self {
            Self::Text => "Utf8",
            Self::Int => "Int64",
            Self::Double => "Float64",
            Self::Bool => "Boolean",
        }
    }
}

impl Hunt {
    /// Types the given values and fills in the defaults.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a name that the hunt does not know, a required value that is missing,
    /// or one that its type does not allow.
    pub fn bind(&self, given: &BTreeMap<String, String>) -> Result<BTreeMap<String, ParamValue>, Error> {
        if let Some(name) = given.keys().find(|name| self.parameters.iter().all(|known| known.name != **name)) {
            let known: Vec<_> = self.parameters.iter().map(|known| known.name.as_str()).collect();
            let message = format!("hunt {} has no parameter {name}; it has {}", self.name, known.join(", "));
            return Err(Error::parameter("parameter-unknown", name, message));
        }
        let bind = |parameter: &HuntParameter| {
            let value = given.get(&parameter.name).or(parameter.default.as_ref()).cloned();
            let value = value.ok_or_else(|| {
                let message = format!("hunt {} needs parameter {}: {}", self.name, parameter.name, parameter.help);
                Error::parameter("parameter-missing", &parameter.name, message)
            })?;
            let value = ParamValue::typed(parameter.kind.data_type(), value);
            params::check(&parameter.name, &value)?;
            Ok((parameter.name.clone(), value))
        };
        self.parameters.iter().map(bind).collect()
    }
}

/// All hunts, by name.
pub fn list() -> &'static [Hunt] {
    &HUNTS
}

/// The hunt of a name.
///
/// # Errors
/// [`Error::NotFound`] with the names that are like it.
pub fn get(name: &str) -> Result<&'static Hunt, Error> {
    HUNTS.iter().find(|hunt| hunt.name == name).ok_or_else(|| {
        let near = crate::did_you_mean::nearest(name, HUNTS.iter().map(|hunt| hunt.name.as_str()));
        let hint = if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(", ")) };
        Error::NotFound { message: format!("there is no hunt {name:?}{hint}") }
    })
}

fn sources() -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES.files().filter_map(|file| {
        let name = file.path().to_str()?.strip_suffix(".sql")?;
        Some((name, file.contents_utf8()?))
    })
}

/// Reads a hunt from the text of its file.
///
/// # Errors
/// The line, and what is wrong with it.
pub fn parse(file: &str, text: &str) -> Result<Hunt, String> {
    let mut values: BTreeMap<&str, String> = BTreeMap::new();
    let mut parameters = Vec::new();
    let mut begins = 0;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let Some(comment) = line.strip_prefix("--") else { break };
        begins += line.len() + 1;
        let wrong = |what: &str| format!("{file}.sql:{number}: {what}");
        let (key, value) = comment.split_once(':').ok_or_else(|| wrong("expected \"-- key: value\""))?;
        let (key, value) = (key.trim(), value.trim());
        match key {
            "param" => parameters.push(parameter(value).map_err(|what| wrong(&what))?),
            "name" | "title" | "finds" | "why" | "attack" | "window" | "benign" | "next" => {
                if values.insert(key, value.to_owned()).is_some() {
                    return Err(wrong(&format!("{key} is said twice")));
                }
            }
            _ => return Err(wrong(&format!("unknown key {key:?}"))),
        }
    }
    let mut take = |key: &str| {
        let value = values.remove(key).filter(|value| !value.is_empty());
        value.ok_or_else(|| format!("{file}.sql:1: the header lacks {key}"))
    };
    let name = take("name")?;
    if name != file {
        return Err(format!("{file}.sql:1: the name {name:?} is not the file's"));
    }
    let window = take("window")?;
    let window_ns = time::parse_duration(&window).map_err(|e| format!("{file}.sql:1: window: {e}"))?;
    let attack = take("attack")?.split(',').map(|id| id.trim().to_owned()).collect();
    let sql = text.get(begins..).unwrap_or_default().trim().to_owned();
    if sql.is_empty() {
        return Err(format!("{file}.sql: there is no SQL below the header"));
    }
    let (title, finds, why) = (take("title")?, take("finds")?, take("why")?);
    let (benign, next) = (take("benign")?, take("next")?);
    Ok(Hunt { name, title, finds, why, attack, window, window_ns, parameters, benign, next, sql })
}

/// Reads `NAME TYPE [= DEFAULT] — HELP`.
fn parameter(text: &str) -> Result<HuntParameter, String> {
    let form = || "expected \"NAME TYPE [= DEFAULT] — HELP\"".to_owned();
    let (name, rest) = text.split_once(' ').ok_or_else(form)?;
    if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
        return Err(format!("parameter {name:?} is not of a-z, 0-9 and _"));
    }
    if name == "from" || name == "to" {
        return Err(format!("parameter {name} is the time range's"));
    }
    // The default may hold a dash, so a quoted one is read to its closing quote first.
    let (kind, rest) = rest.trim().split_once(' ').ok_or_else(form)?;
    let kind = match kind {
        "text" => ParameterKind::Text,
        "int" => ParameterKind::Int,
        "double" => ParameterKind::Double,
        "bool" => ParameterKind::Bool,
        other => return Err(format!("unknown type {other:?}: text, int, double or bool")),
    };
    let rest = rest.trim();
    let (default, rest) = match rest.strip_prefix('=').map(str::trim_start) {
        None => (None, rest),
        Some(rest) => match rest.strip_prefix('"') {
            Some(quoted) => {
                let (value, rest) = quoted.split_once("\" —").ok_or_else(form)?;
                (Some(value.to_owned()), rest)
            }
            None => {
                let (value, rest) = rest.split_once('—').ok_or_else(form)?;
                (Some(value.trim().to_owned()), rest)
            }
        },
    };
    let help = rest.trim_start_matches('—').trim().to_owned();
    if help.is_empty() {
        return Err(form());
    }
    let parameter = HuntParameter { name: name.to_owned(), kind, default, help };
    if let Some(default) = &parameter.default {
        let value = ParamValue::typed(kind.data_type(), default.clone());
        params::check(&parameter.name, &value).map_err(|e| e.to_string())?;
    }
    Ok(parameter)
}

#[cfg(test)]
mod tests;
