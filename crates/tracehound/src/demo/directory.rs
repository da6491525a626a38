use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::failure::Failure;

/// The file that says that a demo made a directory.
const MARKER: &str = "DEMO";

/// Makes the directory of a run, and marks it.
///
/// # Errors
/// A directory that holds anything is refused: a demo never mixes its data with
/// somebody's, nor with an earlier demo's.
pub(super) fn prepare(dir: &Path, marker: &str) -> anyhow::Result<()> {
    match fs::read_dir(dir) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                let marked = dir.join(MARKER).exists();
                let dir = dir.display();
                if marked {
                    let hint = format!("choose another --data-dir, or look at it: tracehound serve --data-dir {dir}");
                    return Err(Failure::usage(format!("{dir} holds the data of an earlier demo")).hint(hint).into());
                }
                let hint = "the demo writes into a directory of its own: choose another --data-dir";
                return Err(Failure::usage(format!("{dir} is not empty")).hint(hint).into());
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", dir.display())),
    }
    let file = dir.join(MARKER);
    fs::write(&file, marker).with_context(|| format!("cannot write {}", file.display()))
}

/// A directory that does not exist yet, below `parent`.
pub(super) fn fresh(parent: &Path, name: &str) -> PathBuf {
    let numbered = (2..).map(|number| parent.join(format!("{name}-{number}")));
    std::iter::once(parent.join(name)).chain(numbered).find(|dir| !dir.exists()).expect("some number is free")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_directory_is_taken() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("new/demo");
        prepare(&dir, "seed 7").unwrap();
        assert!(prepare(&dir, "seed 7").unwrap_err().to_string().contains("earlier demo"));
        let other = parent.path().join("other");
        fs::create_dir(&other).unwrap();
        fs::write(other.join("letters.txt"), "dear").unwrap();
        assert!(prepare(&other, "seed 7").unwrap_err().to_string().contains("not empty"));
        assert_eq!(fs::read(other.join("letters.txt")).unwrap(), b"dear");
        assert_eq!(fs::read_dir(&other).unwrap().count(), 1);
    }

    #[test]
    fn each_run_has_a_directory_of_its_own() {
        let parent = tempfile::tempdir().unwrap();
        let first = fresh(parent.path(), "7");
        prepare(&first, "").unwrap();
        assert_ne!(fresh(parent.path(), "7"), first);
    }
}
