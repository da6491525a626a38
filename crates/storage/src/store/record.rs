//! Which store a data directory belongs to: its WAL holds rows on their way
//! there, and to no other store.

use std::fs;
use std::io;
use std::path::Path;

use url::Url;

use super::StoreOptions;
use super::local::Local;
use crate::Error;

/// The file of the data directory that names its store; absent where that is its own folder.
const FILE: &str = "STORE";

/// The URL of the store that a data directory belongs to; `None` for its own folder, or if it is new.
///
/// # Errors
/// [`Error::Io`] and [`Error::Corrupt`] if the file that names it cannot be read.
pub fn store_of(data_dir: &Path) -> Result<Option<Url>, Error> {
    let path = data_dir.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => StoreOptions::parse_url(text.trim()).map(Some).map_err(|detail| Error::corrupt(&path, detail)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(&path, e)),
    }
}

/// Checks that a data directory may be opened with a store.
pub(super) fn check(data_dir: &Path, url: Option<&Url>) -> Result<(), Error> {
    let recorded = store_of(data_dir)?;
    let own = data_dir.join("store");
    let name = |url: Option<&Url>| url.map_or_else(|| own.display().to_string(), Url::to_string);
    let is_new = recorded.is_none() && !own.exists();
    if is_new || recorded.as_ref() == url {
        return Ok(());
    }
    Err(Error::StoreUnusable {
        store: name(url),
        detail: format!(
            "the data directory \"{}\" belongs to the store \"{}\", and its write-ahead log may hold rows for it; use that store, or another data directory",
            data_dir.display(),
            name(recorded.as_ref()),
        ),
    })
}

/// Notes, durably, which store a data directory belongs to.
pub(super) fn write(data_dir: &Path, url: &Url) -> Result<(), Error> {
    if store_of(data_dir)?.as_ref() == Some(url) {
        return Ok(());
    }
    Local::write(&data_dir.join(FILE), url.as_str().as_bytes())
}
