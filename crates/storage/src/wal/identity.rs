use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use ulid::Ulid;

use super::segment;
use crate::Error;
use crate::store::sync_dir;

/// The id of a WAL folder, from its file `ID`; made on the first start.
///
/// # Errors
/// [`Error::Corrupt`] if the file is damaged, or missing beside segments: with
/// another id the manifest would not cover them, and their rows would come twice.
pub(crate) fn identity(dir: &Path) -> Result<Ulid, Error> {
    let path = dir.join("ID");
    match fs::read_to_string(&path) {
        Ok(text) => {
            return Ulid::from_string(text.trim())
                .map_err(|_| Error::corrupt(&path, format!("{text:?} is not a ULID")));
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(Error::io(&path, e)),
    }
    if segment::list(dir)?.number_max > 0 {
        return Err(Error::corrupt(&path, "it is missing, though segments exist"));
    }
    let id = Ulid::new();
    let temporary = path.with_extension("tmp");
    let make = || {
        let mut file = File::create(&temporary)?;
        file.write_all(id.to_string().as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        sync_dir(dir)
    };
    make().map_err(|e| Error::io(&path, e))?;
    Ok(id)
}
