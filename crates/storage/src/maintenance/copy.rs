//! Copying a tenant from store to store, as of an entry: files first, entries last and in order, everything compared with its hash.

use std::collections::HashMap;
use std::io::Write;

use futures::stream::{self, StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};
use tracehound_schema::TenantId;

use super::quarantine;
use crate::manifest::{self, Entry};
use crate::store::Store;
use crate::{Error, partition};

const READS_AT_ONCE: usize = 16;
const FILES_AT_ONCE: usize = 4;
const PIECE_BYTES: u64 = 4 << 20;

/// What is to be copied of a tenant.
pub(super) struct Manifest {
    pub(super) tenant: TenantId,
    /// The entry up to which is copied.
    pub(super) entry: u64,
    /// Its hash.
    pub(super) hash: String,
    pub(super) rows: u64,
    /// The live files and sidecars: object, bytes and SHA-256; the files only in `rows`.
    pub(super) objects: Vec<Object>,
    pub(super) files: u64,
}

/// A file or sidecar.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// What copying did.
#[derive(Debug, Default)]
pub(super) struct Copied {
    pub(super) objects: u64,
    pub(super) bytes: u64,
    /// Objects that were there already.
    pub(super) kept: u64,
    /// What could not be copied, since it is missing or damaged, with what is wrong.
    pub(super) damaged: Vec<(String, String)>,
}

/// Reads the log of a tenant up to an entry, checking its chain.
///
/// # Errors
/// [`Error::Corrupt`] if the log is damaged: nothing that can be proven could be copied.
pub(super) async fn manifest(store: &Store, tenant: &TenantId, entry: u64) -> Result<Manifest, Error> {
    let dir = partition::tenant_dir(tenant);
    let mut live: HashMap<String, (u64, Vec<Object>)> = HashMap::new();
    let mut previous: Option<String> = None;
    let reads =
        stream::iter(1..=entry).map(async |number| Ok::<_, Error>((number, bytes(store, tenant, number).await?)));
    let mut reads = std::pin::pin!(reads.buffered(READS_AT_ONCE));
    while let Some(read) = reads.next().await {
        let (number, bytes) = read?;
        let path = store.name(&partition::manifest_entry(tenant, number));
        let found = Entry::decode(&path, &bytes)?;
        if found.previous != previous || found.entry != number || found.tenant != *tenant {
            return Err(Error::corrupt(&path, "it is not the entry that follows the one before"));
        }
        for removed in &found.remove {
            live.remove(&removed.path);
        }
        for file in found.add {
            let mut objects =
                vec![Object { name: format!("{dir}/{}", file.path), bytes: file.bytes, sha256: file.sha256 }];
            objects.extend(file.sidecar.map(|sidecar| Object {
                name: format!("{dir}/{}", sidecar.path),
                bytes: sidecar.bytes,
                sha256: sidecar.sha256,
            }));
            live.insert(file.path, (file.rows, objects));
        }
        previous = Some(manifest::hash(&bytes));
    }
    let rows = live.values().map(|(rows, _)| rows).sum();
    let files = live.len() as u64;
    let objects = live.into_values().flat_map(|(_, objects)| objects).collect();
    Ok(Manifest { tenant: tenant.clone(), entry, hash: previous.unwrap_or_default(), rows, objects, files })
}

async fn bytes(store: &Store, tenant: &TenantId, number: u64) -> Result<bytes::Bytes, Error> {
    let object = partition::manifest_entry(tenant, number);
    let found = store.read(&object).await?;
    found.ok_or_else(|| Error::corrupt(&store.name(&object), "the entry is missing"))
}

/// Copies what is not there yet. Damaged files are left out and reported; everything else is there when this returns.
///
/// # Errors
/// What failed on either store, or [`Error::Corrupt`] if the target holds another log of this tenant.
pub(super) async fn copy(
    from: &Store,
    to: &Store,
    manifest: &Manifest,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Copied, Error> {
    let dir = partition::tenant_dir(&manifest.tenant);
    let listed = to.list(&dir).await?;
    let there: HashMap<_, _> = listed.into_iter().map(|listed| (listed.object, listed.bytes)).collect();
    let mut copied = Copied::default();
    let copies = stream::iter(&manifest.objects).map(async |object| {
        if there.get(&object.name) == Some(&object.bytes) {
            progress(object.bytes);
            return Ok::<_, Error>((object, Outcome::Kept));
        }
        Ok((object, copy_object(from, to, object, progress).await?))
    });
    let mut copies = std::pin::pin!(copies.buffer_unordered(FILES_AT_ONCE));
    while let Some((object, outcome)) = copies.try_next().await? {
        match outcome {
            Outcome::Kept => copied.kept += 1,
            Outcome::Copied => {
                copied.objects += 1;
                copied.bytes += object.bytes;
            }
            Outcome::Damaged(detail) => copied.damaged.push((object.name.clone(), detail)),
        }
    }
    for (object, _) in quarantine::records(from, &manifest.tenant).await? {
        copy_small(from, to, &object).await?;
    }
    let mut entries = stream::iter(1..=manifest.entry)
        .map(async |number| {
            let object = partition::manifest_entry(&manifest.tenant, number);
            let was_there = there.contains_key(&object);
            copy_small(from, to, &object).await.map(|bytes| (was_there, bytes))
        })
        // In order: whoever is interrupted leaves a log without gaps.
        .buffered(1);
    while let Some((was_there, bytes)) = entries.try_next().await? {
        if was_there {
            copied.kept += 1;
        } else {
            copied.objects += 1;
            copied.bytes += bytes;
        }
    }
    Ok(copied)
}

enum Outcome {
    Kept,
    Copied,
    Damaged(String),
}

/// Copies a file, hashing what it reads; it stands under its name only if it is whole.
async fn copy_object(
    from: &Store,
    to: &Store,
    object: &Object,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Outcome, Error> {
    let mut file = {
        let (to, name) = (to.clone(), object.name.clone());
        tokio::task::spawn_blocking(move || to.new_file(&name)).await.map_err(Error::internal)??
    };
    let mut hash = Sha256::new();
    let mut at = 0;
    while at < object.bytes {
        let end = object.bytes.min(at + PIECE_BYTES);
        let piece = match from.read_range(&object.name, at..end).await {
            Ok(piece) => piece,
            Err(Error::Corrupt { detail, .. }) => return Ok(Outcome::Damaged(detail)),
            Err(error) => return Err(error),
        };
        hash.update(&piece);
        let name = to.name(&object.name);
        file = tokio::task::spawn_blocking(move || {
            file.write_all(&piece).map_err(|e| Error::io(&name, e))?;
            Ok::<_, Error>(file)
        })
        .await
        .map_err(Error::internal)??;
        progress(end - at);
        at = end;
    }
    let found = hex::encode(hash.finalize());
    if found != object.sha256 {
        return Ok(Outcome::Damaged(format!("its SHA-256 is {found}, the manifest says {}", object.sha256)));
    }
    file.finish().await?;
    Ok(Outcome::Copied)
}

/// Copies an object that never changes; its bytes.
async fn copy_small(from: &Store, to: &Store, object: &str) -> Result<u64, Error> {
    let Some(bytes) = from.read(object).await? else {
        return Err(Error::corrupt(&from.name(object), "it is missing"));
    };
    let Err(failure) = to.create(object, bytes.clone()).await else { return Ok(bytes.len() as u64) };
    if let Error::Poisoned { .. } = failure {
        return Err(failure);
    }
    match to.read(object).await? {
        Some(found) if found == bytes => Ok(bytes.len() as u64),
        Some(_) => Err(Error::corrupt(&to.name(object), "it holds something else than what is to be copied there")),
        None => Err(failure),
    }
}

/// Reads what was copied, and compares it with its hash. Returns what is wrong.
pub(super) async fn verify(
    store: &Store,
    manifest: &Manifest,
    left_out: &[(String, String)],
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<(String, String)>, Error> {
    let checks = stream::iter(&manifest.objects)
        .filter(|object| {
            let expected = !left_out.iter().any(|(name, _)| *name == object.name);
            futures::future::ready(expected)
        })
        .map(async |object| {
            let wrong = quarantine::check(store, &object.name, object.bytes, &object.sha256, progress).await?;
            Ok::<_, Error>(wrong.map(|detail| (object.name.clone(), detail)))
        });
    let wrong: Vec<_> = checks.buffer_unordered(FILES_AT_ONCE).try_collect().await?;
    let copied = self::manifest(store, &manifest.tenant, manifest.entry).await?;
    if copied.hash != manifest.hash {
        let object = partition::manifest_entry(&manifest.tenant, manifest.entry);
        return Err(Error::corrupt(&store.name(&object), "its hash is not that of the entry that was copied"));
    }
    Ok(wrong.into_iter().flatten().collect())
}
