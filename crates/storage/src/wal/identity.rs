use std::io::{self, Write};
use std::path::Path;

use ulid::Ulid;

use super::segment;
use crate::disk::{Access, Disk};
use crate::{Error, runtime};

/// The id of a WAL folder, from its file `ID`; made on the first start.
///
/// # Errors
/// [`Error::Corrupt`] if the file is damaged, or missing beside segments: with
/// another id the manifest would not cover them, and their rows would come twice.
pub(crate) fn identity(disk: &Disk, dir: &Path) -> Result<Ulid, Error> {
    let path = dir.join("ID");
    match disk.read(&path) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            return Ulid::from_string(text.trim())
                .map_err(|_| Error::corrupt(&path, format!("{text:?} is not a ULID")));
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(Error::io(&path, e)),
    }
    if segment::list(disk, dir)?.number_max > 0 {
        return Err(Error::corrupt(&path, "it is missing, though segments exist"));
    }
    let id = runtime::new_id();
    let temporary = path.with_extension("tmp");
    let make = || {
        let mut file = disk.open(&temporary, Access::Empty)?;
        file.write_all(id.to_string().as_bytes())?;
        file.sync_all()?;
        disk.rename(&temporary, &path)?;
        disk.sync_dir(dir)
    };
    make().map_err(|e| Error::io(&path, e))?;
    Ok(id)
}
