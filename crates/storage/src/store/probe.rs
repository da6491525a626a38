//! What a store really does, tried out at start. Not every store that speaks
//! S3 refuses to create an object twice, and the commit protocol rests on that.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::TryStreamExt;
use futures::future::join_all;
use object_store::path::Path as ObjectPath;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use ulid::Ulid;

const ROUNDS: usize = 8;
const RACERS: usize = 16;
const RANGE_ATTEMPTS: u32 = 5;
/// The folder of a store that probes write to.
pub(super) const FOLDER: &str = "probe";
/// Objects of older probes were left by a crash.
const LEFT_BEHIND: Duration = Duration::from_secs(3600);

/// What a probe found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreProbe {
    /// Why the store must have only one writer; `None` where it lets exactly
    /// one of many racers create an object.
    pub single_writer: Option<String>,
    /// How long it took.
    pub took: Duration,
}

/// Why a probe ended without a verdict.
pub(super) enum Failure {
    /// The store answered wrongly: it cannot be used.
    Unusable(String),
    /// The store did not answer.
    Unavailable(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error)
    }
}

/// Tries a store out, in a folder of its own that it removes afterwards.
pub(super) async fn probe(store: &dyn ObjectStore) -> Result<StoreProbe, Failure> {
    let began = Instant::now();
    let folder = format!("{FOLDER}/{}", Ulid::new());
    let outcome = tried(store, &folder).await;
    // Best effort: the next probe removes what is left.
    let _ = clean_up(store, &folder).await;
    outcome.map(|single_writer| StoreProbe { single_writer, took: began.elapsed() })
}

async fn tried(store: &dyn ObjectStore, folder: &str) -> Result<Option<String>, Failure> {
    let path = |name: &str| ObjectPath::from(format!("{folder}/{name}"));
    reads_what_it_wrote(store, &path("object")).await?;
    takes_parts(store, &path("parts")).await?;
    let mut single_writer = None;
    for round in 0..ROUNDS {
        single_writer = race(store, &path(&format!("race-{round}"))).await?;
        if single_writer.is_some() {
            break;
        }
    }
    lists_what_it_wrote(store, folder, &["object", "parts", "race-0"]).await?;
    Ok(single_writer)
}

async fn reads_what_it_wrote(store: &dyn ObjectStore, path: &ObjectPath) -> Result<(), Failure> {
    match store.get(path).await {
        Err(StoreError::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
        Ok(_) => return Err(Failure::Unusable("it gives an object that nobody wrote".to_owned())),
    }
    for content in ["first content", "other content"] {
        store.put(path, PutPayload::from_static(content.as_bytes())).await?;
        if store.get(path).await?.bytes().await? != content {
            return Err(Failure::Unusable("reading an object right after writing it gives something else".to_owned()));
        }
    }
    for attempt in 1..=RANGE_ATTEMPTS {
        match store.get_range(path, 6..9).await {
            Ok(found) if found == "con" => break,
            Ok(_) => return Err(Failure::Unusable("reading a range of an object gives other bytes".to_owned())),
            // Reading the whole object worked, so this is no outage.
            Err(error) if attempt == RANGE_ATTEMPTS => {
                return Err(Failure::Unusable(format!("it does not give a range of an object: {error}")));
            }
            Err(_) => {}
        }
    }
    Ok(())
}

async fn takes_parts(store: &dyn ObjectStore, path: &ObjectPath) -> Result<(), Failure> {
    let content = "uploaded as one part";
    let mut upload = store.put_multipart(path).await?;
    upload.put_part(PutPayload::from_static(content.as_bytes())).await?;
    upload.complete().await?;
    if store.get(path).await?.bytes().await? != content {
        return Err(Failure::Unusable("an object that was uploaded in parts has another content".to_owned()));
    }
    Ok(())
}

/// Why the store must have one writer only: two of the racers could create the same object.
async fn race(store: &dyn ObjectStore, path: &ObjectPath) -> Result<Option<String>, Failure> {
    let create = async |racer: usize| {
        let options = PutOptions::from(PutMode::Create);
        store.put_opts(path, Bytes::from(format!("racer {racer}")).into(), options).await
    };
    let outcomes = join_all((0..RACERS).map(create)).await;
    let winners: Vec<_> = (0..RACERS).filter(|racer| outcomes[*racer].is_ok()).collect();
    if winners.len() > 1 {
        return Ok(Some(format!("{} of {RACERS} writers that raced created the same object", winners.len())));
    }
    if let Some(Err(error @ StoreError::NotImplemented { .. })) = outcomes.first() {
        return Ok(Some(format!("it cannot create an object only if it is absent: {error}")));
    }
    let found = match store.get(path).await {
        Ok(found) => found.bytes().await?,
        // Nobody created it, so the requests failed; the first failure says why.
        Err(StoreError::NotFound { .. }) => {
            return outcomes.into_iter().collect::<Result<Vec<_>, _>>().map(|_| None).map_err(Into::into);
        }
        Err(error) => return Err(error.into()),
    };
    // Without a winner, the answer to the one who created it was lost.
    if let [winner] = winners[..]
        && found != format!("racer {winner}")
    {
        return Ok(Some("a writer that lost a race replaced what the winner had created".to_owned()));
    }
    if create(RACERS).await.is_ok() || store.get(path).await?.bytes().await? != found {
        return Ok(Some("an object that existed could be created again".to_owned()));
    }
    Ok(None)
}

async fn lists_what_it_wrote(store: &dyn ObjectStore, folder: &str, names: &[&str]) -> Result<(), Failure> {
    let folder_path = ObjectPath::from(folder);
    let listed: Vec<_> = store.list(Some(&folder_path)).try_collect().await?;
    for name in names {
        if !listed.iter().any(|found| found.location.filename() == Some(name) && found.size > 0) {
            return Err(Failure::Unusable(format!("a listing lacks \"{folder}/{name}\", which was just written")));
        }
    }
    // As deep as a tenant's files are: some stores list only folders that hold objects themselves.
    let deep = ObjectPath::from(format!("{folder}/tenant=a/manifest/1.json"));
    store.put(&deep, PutPayload::from_static(b"{}")).await?;
    for (above, wanted) in [(FOLDER, folder.to_owned()), (folder, format!("{folder}/tenant=a"))] {
        let listed = store.list_with_delimiter(Some(&ObjectPath::from(above))).await?;
        if !listed.common_prefixes.contains(&ObjectPath::from(wanted.as_str())) {
            return Err(Failure::Unusable(format!("a listing of folders lacks \"{wanted}\", which was just made")));
        }
    }
    Ok(())
}

/// Removes the objects of this probe, and those of probes that a crash cut short.
async fn clean_up(store: &dyn ObjectStore, folder: &str) -> Result<(), StoreError> {
    let listed: Vec<_> = store.list(Some(&ObjectPath::from(FOLDER))).try_collect().await?;
    let own = ObjectPath::from(folder);
    let newest = listed.iter().map(|found| found.last_modified).max();
    for found in listed {
        let age = newest.map(|newest| newest - found.last_modified).and_then(|age| age.to_std().ok());
        if found.location.prefix_matches(&own) || age.is_some_and(|age| age > LEFT_BEHIND) {
            store.delete(&found.location).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
