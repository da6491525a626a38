//! Roots and segments of checkpoints.

use std::collections::BTreeMap;

use super::{DefectKind, Verifier, VerifyReport};
use crate::manifest::{self, Root};
use crate::{Error, partition};

/// Checks every root that there is, against the entry that it is as of, and every segment that one names.
pub(super) async fn check(verifier: &Verifier<'_>, report: &mut VerifyReport) -> Result<(), Error> {
    let (store, tenant) = (verifier.store(), &verifier.tenant.id);
    let dir = partition::checkpoint_dir(tenant);
    // Segments with a root that names them.
    let mut named: BTreeMap<String, String> = BTreeMap::new();
    for listed in store.list(&dir).await? {
        let name = listed.object.strip_prefix(&dir).and_then(|name| name.strip_prefix('/'));
        let number = name.and_then(|name| name.strip_suffix(".json")).and_then(|name| name.parse::<u64>().ok());
        let Some(number) = number else { continue };
        // It may have been pruned meanwhile.
        let Some(bytes) = store.read(&listed.object).await? else { continue };
        report.checkpoints += 1;
        verifier.read(bytes.len() as u64, false);
        verifier.checked(false);
        let root = match Root::decode(&store.name(&listed.object), &bytes) {
            Ok(root) => root,
            Err(Error::Corrupt { detail, .. }) => {
                verifier.defect(report, DefectKind::Checkpoint, &listed.object, detail);
                continue;
            }
            Err(error) => return Err(error),
        };
        if let Some(detail) = misplaced(verifier, &root, number).await? {
            verifier.defect(report, DefectKind::Checkpoint, &listed.object, detail);
        }
        named.extend(root.segment_hashes().map(|hash| (hash.to_owned(), listed.object.clone())));
    }
    for (hash, root) in named {
        let object = manifest::segment_object(tenant, &hash);
        let wrong = match store.read(&object).await? {
            Some(bytes) => {
                verifier.read(bytes.len() as u64, false);
                let found = manifest::hash(&bytes);
                (found != hash).then(|| format!("its SHA-256 is {found}, which is not its name"))
            }
            // Pruned with its root, or gone.
            None if store.read(&root).await?.is_none() => None,
            None => Some(format!("it is missing, though {root} names it")),
        };
        report.checkpoints += 1;
        verifier.checked(false);
        if let Some(detail) = wrong {
            verifier.defect(report, DefectKind::Checkpoint, &object, detail);
        }
    }
    Ok(())
}

/// What is wrong with where a root stands, and with the entry that it says it is as of.
async fn misplaced(verifier: &Verifier<'_>, root: &Root, number: u64) -> Result<Option<String>, Error> {
    let (store, tenant) = (verifier.store(), &verifier.tenant.id);
    if root.entry != number || root.tenant != *tenant {
        return Ok(Some(format!("it is the root of tenant {} as of entry {}", root.tenant, root.entry)));
    }
    let Some(entry) = store.read(&partition::manifest_entry(tenant, number)).await? else {
        return Ok(Some(format!("there is no entry {number}, which it is as of")));
    };
    let found = manifest::hash(&entry);
    Ok((found != root.hash).then(|| format!("it names {} as the hash of entry {number}, which has {found}", root.hash)))
}
