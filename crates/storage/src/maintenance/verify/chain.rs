//! The chain of entries, and whether the files that the engine believes live are those that the entries say.

use std::collections::HashMap;

use futures::stream::{self, StreamExt};
use sha2::{Digest, Sha256};
use tracehound_schema::Dataset;

use super::{DefectKind, Verifier, VerifyReport};
use crate::maintenance::parts;
use crate::manifest::{self, Entry};
use crate::{DataFile, Error, Snapshot, partition};

const READS_AT_ONCE: usize = 16;

/// Walks the entries from 1 to the snapshot's. `head` is the hash of the last one, as the engine knows it.
pub(super) async fn check(
    verifier: &Verifier<'_>,
    snapshot: &Snapshot,
    head: Option<&str>,
    report: &mut VerifyReport,
) -> Result<(), Error> {
    let store = verifier.store();
    let tenant = &verifier.tenant.id;
    let object = |number: u64| partition::manifest_entry(tenant, number);
    let reads =
        stream::iter(1..=report.entry).map(async |number| Ok::<_, Error>((number, store.read(&object(number)).await?)));
    let mut reads = std::pin::pin!(reads.buffered(READS_AT_ONCE));
    let mut previous: Option<String> = None;
    let mut whole = true;
    let mut live = Live::default();
    while let Some(read) = reads.next().await {
        let (number, bytes) = read?;
        report.entries += 1;
        verifier.checked(true);
        let Some(bytes) = bytes else {
            verifier.defect(report, DefectKind::Entry, &object(number), "it is missing, though later ones exist");
            (previous, whole) = (None, false);
            continue;
        };
        verifier.read(bytes.len() as u64, false);
        let hash = manifest::hash(&bytes);
        let entry = match Entry::decode(&store.name(&object(number)), &bytes) {
            Ok(entry) => entry,
            Err(Error::Corrupt { detail, .. }) => {
                verifier.defect(report, DefectKind::Entry, &object(number), detail);
                (previous, whole) = (Some(hash), false);
                continue;
            }
            Err(error) => return Err(error),
        };
        let linked = entry.previous == previous && (number == 1) == entry.previous.is_none();
        // After a missing entry there is nothing to compare with.
        if !linked && (previous.is_some() || number == 1) {
            let before = object(number.saturating_sub(1));
            let (at, detail) = match &entry.previous {
                Some(said) => (before, format!("its SHA-256 is not {said}, which entry {number} says")),
                None => (object(number), "it does not name the hash of the entry before".to_owned()),
            };
            verifier.defect(report, DefectKind::Entry, &at, detail);
            whole = false;
        }
        if entry.entry != number || entry.tenant != *tenant {
            let detail = format!("it says that it is entry {} of tenant {}", entry.entry, entry.tenant);
            verifier.defect(report, DefectKind::Entry, &object(number), detail);
            whole = false;
        } else if let Err(detail) = live.apply(tenant, &entry) {
            verifier.defect(report, DefectKind::Entry, &object(number), detail);
            whole = false;
        }
        previous = Some(hash);
    }
    if let (Some(head), Some(found)) = (head, &previous)
        && head != found
    {
        let detail = format!("its SHA-256 is {found}, it was {head} when it was read or written");
        verifier.defect(report, DefectKind::Entry, &object(report.entry), detail);
        whole = false;
    }
    if whole {
        compare(verifier, snapshot, live, report).await?;
    }
    Ok(())
}

/// Compares the live files that the entries say with those that the engine would read.
async fn compare(
    verifier: &Verifier<'_>,
    snapshot: &Snapshot,
    mut live: Live,
    report: &mut VerifyReport,
) -> Result<(), Error> {
    let detail = "the entries say otherwise of the live files than the checkpoint that was read at start";
    for dataset in Dataset::ALL {
        for part in parts::parts(snapshot, dataset).into_keys() {
            for file in parts::files(snapshot, dataset, part).await? {
                if live.files.remove(file.path.as_ref()) != Some(digest(&file)) {
                    verifier.defect(report, DefectKind::Checkpoint, file.path.as_ref(), detail);
                }
            }
        }
    }
    for path in live.files.keys() {
        verifier.defect(report, DefectKind::Checkpoint, path, detail);
    }
    Ok(())
}

/// The live files, each with a digest of all that is said of it.
#[derive(Default)]
struct Live {
    files: HashMap<String, [u8; 16]>,
}

impl Live {
    fn apply(&mut self, tenant: &tracehound_schema::TenantId, entry: &Entry) -> Result<(), String> {
        let dir = partition::tenant_dir(tenant);
        for removed in &entry.remove {
            if self.files.remove(&format!("{dir}/{}", removed.path)).is_none() {
                return Err(format!("it removes {:?}, which is not live", removed.path));
            }
        }
        for file in &entry.add {
            let file = file.live(tenant, entry.entry);
            if self.files.insert(file.path.to_string(), digest(&file)).is_some() {
                return Err(format!("it adds {:?}, which is live", file.path));
            }
        }
        Ok(())
    }
}

fn digest(file: &DataFile) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::digest(format!("{file:?}")).into();
    *digest.first_chunk().expect("SHA-256 has 32 bytes")
}
