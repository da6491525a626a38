//! What can be done to a tenant's stored data: one vocabulary for the HTTP API, which reads it from a body, and for
//! the command line, which runs it on a directory or sends it to a server.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracehound_query::time::parse_duration;
use tracehound_schema::{Dataset, Hour, TenantId};
use tracehound_storage::{
    BackupOptions, BackupPlace, Engine, ErasureRequest, RetentionLimits, RetentionPolicy, Subject, VerifyOptions,
    VerifyProgress, backup,
};

use crate::quantity::parse_size;

/// A task on the data of one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum DataTask {
    /// Merge small files.
    Compact {
        /// Only this dataset.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dataset: Option<Dataset>,
        /// Only these hours, the first and the last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hours: Option<(Hour, Hour)>,
    },
    /// Rehash everything and walk the chain.
    Verify {
        /// Decode every page too.
        #[serde(default)]
        deep: bool,
        /// Set damaged data files aside.
        #[serde(default)]
        quarantine: bool,
    },
    /// Remove what is older or more than is to be kept.
    Retention {
        /// Only this dataset; needs an age or a size.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dataset: Option<Dataset>,
        /// Such as `30d`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        age: Option<String>,
        /// Such as `100GiB`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<String>,
        /// Only say what would go.
        #[serde(default)]
        dry_run: bool,
    },
    /// Remove a subject's rows from every file.
    Erase {
        /// Who or what; exactly one.
        subject: ErasedSubject,
        /// Why, for the record.
        why: String,
        /// Delete the replaced files at once.
        #[serde(default)]
        now: bool,
        /// Only say what would go.
        #[serde(default)]
        dry_run: bool,
    },
    /// Set a file aside.
    Quarantine {
        /// Its path below the store.
        path: String,
        /// Why.
        why: String,
    },
    /// Let queries read a file again.
    Release {
        /// Its path below the store.
        path: String,
    },
    /// Remove what no entry needs any more.
    Sweep {},
    /// Copy the tenant elsewhere, and verify the copy.
    Backup {
        /// A folder; the configured one when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
        /// The entry to copy up to; the latest when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        as_of: Option<u64>,
    },
}

/// What a task is done with.
pub struct DataTaskContext<'a> {
    /// Who asked for it, for the manifest.
    pub by: String,
    /// What retention applies when the task names no bound.
    pub retention: &'a RetentionPolicy,
    /// Where backups go when the task does not say.
    pub backup_to: Option<&'a str>,
    /// Hears how far a verification or a backup is: bytes done, and bytes in all.
    pub progress: &'a (dyn Fn(u64, u64) + Sync),
}

/// Who or what is erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErasedSubject {
    /// A user, by `user_id` and `data_subject_id`.
    User(String),
    /// A trace, 32 hex digits.
    Trace(String),
    /// All data of this tenant, named again so that it is not erased by mistake.
    Tenant(TenantId),
}

/// Why a task was not done.
#[derive(Debug, thiserror::Error)]
pub enum DataTaskError {
    /// It asks for something that there is not.
    #[error("{0}")]
    Invalid(String),
    /// The storage engine failed.
    #[error(transparent)]
    Storage(#[from] tracehound_storage::Error),
}

impl DataTask {
    /// The names of all tasks, as they stand in the path of the HTTP API.
    pub const NAMES: [&str; 8] =
        ["compact", "verify", "retention", "erase", "quarantine", "release", "sweep", "backup"];

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Compact { .. } => "compact",
            Self::Verify { .. } => "verify",
            Self::Retention { .. } => "retention",
            Self::Erase { .. } => "erase",
            Self::Quarantine { .. } => "quarantine",
            Self::Release { .. } => "release",
            Self::Sweep {} => "sweep",
            Self::Backup { .. } => "backup",
        }
    }

    /// Whether it changes nothing, and so may be asked by everybody who may read.
    pub fn only_reads(&self) -> bool {
        match self {
            Self::Verify { quarantine, .. } => !quarantine,
            Self::Retention { dry_run, .. } | Self::Erase { dry_run, .. } => *dry_run,
            _ => false,
        }
    }

    /// Reads a task from its name and the JSON of its fields; an empty body has none.
    ///
    /// # Errors
    /// What is wrong with the body.
    pub fn from_body(name: &str, body: &[u8]) -> Result<Self, String> {
        let fields: Value = match body {
            [] => Value::Object(serde_json::Map::new()),
            body => serde_json::from_slice(body).map_err(|error| error.to_string())?,
        };
        serde_json::from_value(Value::Object([(name.to_owned(), fields)].into_iter().collect()))
            .map_err(|error| error.to_string())
    }

    /// The JSON of its fields.
    pub fn body(&self) -> Value {
        let whole = serde_json::to_value(self).unwrap_or_default();
        whole.get(self.name()).cloned().unwrap_or_default()
    }

    /// Does it, and returns the report as JSON.
    ///
    /// # Errors
    /// See [`DataTaskError`].
    pub async fn run(
        &self,
        engine: &Engine,
        tenant: &TenantId,
        context: &DataTaskContext<'_>,
    ) -> Result<Value, DataTaskError> {
        let maintenance = engine.maintenance();
        let report = match self {
            Self::Compact { dataset, hours } => json(maintenance.compact(tenant, *dataset, *hours).await?),
            Self::Verify { deep, quarantine } => {
                let options = VerifyOptions { deep: *deep, quarantine: *quarantine };
                let progress = |at: VerifyProgress| (context.progress)(at.bytes, at.bytes_total);
                json(maintenance.verify(tenant, &options, &progress).await?)
            }
            Self::Retention { dataset, age, size, dry_run } => {
                let asked = bounds(*dataset, age.as_deref(), size.as_deref()).map_err(DataTaskError::Invalid)?;
                let policy = asked.as_ref().unwrap_or(context.retention);
                if policy.is_empty() {
                    let detail = "there is no policy for this tenant: give an age or a size, or configure [retention]";
                    return Err(DataTaskError::Invalid(detail.to_owned()));
                }
                json(maintenance.retain(tenant, policy, *dry_run).await?)
            }
            Self::Erase { subject, why, now, dry_run } => {
                if why.trim().is_empty() {
                    return Err(DataTaskError::Invalid("say why: an erasure is recorded with its reason".to_owned()));
                }
                let request = ErasureRequest {
                    subject: subject.parse(tenant).map_err(DataTaskError::Invalid)?,
                    why: why.clone(),
                    by: context.by.clone(),
                    now: *now,
                    dry_run: *dry_run,
                };
                json(maintenance.erase(tenant, &request).await?)
            }
            Self::Quarantine { path, why } => {
                maintenance.quarantine(tenant, path, why).await?;
                serde_json::json!({"path": path, "quarantined": true})
            }
            Self::Release { path } => {
                let released = maintenance.release(tenant, path).await?;
                serde_json::json!({"path": path, "released": released})
            }
            Self::Sweep {} => json(maintenance.sweep(tenant).await?),
            Self::Backup { to, as_of } => {
                let to = to.as_deref().or(context.backup_to).ok_or_else(|| {
                    DataTaskError::Invalid("say where the backup goes, or configure [backup] to".to_owned())
                })?;
                let options = BackupOptions { tenants: vec![tenant.clone()], as_of: *as_of };
                json(backup(engine, &backup_place(to)?, &options, context.progress).await?)
            }
        };
        Ok(report)
    }
}

/// Where a backup is: a folder.
///
/// # Errors
/// [`DataTaskError::Invalid`] if it is a URL.
pub fn backup_place(text: &str) -> Result<BackupPlace, DataTaskError> {
    if text.contains("://") {
        return Err(DataTaskError::Invalid(format!("{text:?} is no folder: a backup goes to a folder")));
    }
    Ok(BackupPlace::Folder(text.into()))
}

/// The tenants of an engine, or some of them, with what they hold, as JSON.
pub fn tenants(engine: &Engine, only: Option<&[TenantId]>) -> Vec<Value> {
    let status = engine.status();
    let wanted = |tenant: &TenantId| only.is_none_or(|only| only.contains(tenant));
    let held = status.tenants.iter().filter(|(tenant, _)| wanted(tenant));
    held.map(|(tenant, status)| {
        serde_json::json!({
            "tenant": tenant, "entry": status.entry, "files": status.files, "rows": status.file_rows,
            "bytes": status.file_bytes, "unflushed_rows": status.unflushed_rows, "flush_error": status.flush_error,
        })
    })
    .collect()
}

/// The SQL that lists a system table, of one dataset or of all.
pub fn list_sql(table: DataList, dataset: Option<Dataset>) -> String {
    let only = dataset.map_or(String::new(), |dataset| format!(" WHERE dataset = '{dataset}'"));
    match table {
        DataList::Partitions => format!(
            "SELECT dataset, first_hour, last_hour, count(*) AS files, sum(rows) AS rows, sum(bytes) AS bytes, \
             max(\"commit\") AS version FROM system.files{only} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        ),
        DataList::Files => {
            let columns = "dataset, first_hour, last_hour, rows, bytes, \"commit\", origin, path";
            format!("SELECT {columns} FROM system.files{only} ORDER BY dataset, first_hour, path")
        }
    }
}

/// What can be listed of a tenant's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataList {
    /// Dataset and hour: files, rows, bytes, and the entry that touched it last.
    Partitions,
    /// The live files.
    Files,
}

impl ErasedSubject {
    fn parse(&self, tenant: &TenantId) -> Result<Subject, String> {
        match self {
            Self::User(user) if user.is_empty() => Err("the user's id is empty".to_owned()),
            Self::User(user) => Ok(Subject::User(user.clone())),
            Self::Trace(id) => {
                let bytes = hex::decode(id).ok().and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
                bytes.map(Subject::Trace).ok_or_else(|| format!("{id:?} is not a trace id of 32 hex digits"))
            }
            Self::Tenant(named) if named != tenant => {
                Err(format!("the request is for tenant \"{tenant}\", and names \"{named}\" to be erased"))
            }
            Self::Tenant(_) => Ok(Subject::Tenant),
        }
    }
}

/// The policy that a request names; `None` if it names no bound.
fn bounds(dataset: Option<Dataset>, age: Option<&str>, size: Option<&str>) -> Result<Option<RetentionPolicy>, String> {
    if age.is_none() && size.is_none() {
        let detail = "a dataset alone is no bound: give an age or a size too";
        return if dataset.is_some() { Err(detail.to_owned()) } else { Ok(None) };
    }
    let duration = |text: &str| {
        let nanos = parse_duration(text).map_err(|error| error.to_string())?;
        Ok::<_, String>(std::time::Duration::from_nanos(nanos.unsigned_abs()))
    };
    let bytes = |text: &str| {
        parse_size(text).map(|bytes| bytes as u64).ok_or_else(|| format!("{text:?} is not a size such as \"100GiB\""))
    };
    let limits = RetentionLimits { max_age: age.map(duration).transpose()?, max_bytes: size.map(bytes).transpose()? };
    let datasets = Dataset::ALL.into_iter().filter(|known| dataset.is_none_or(|wanted| wanted == *known));
    Ok(Some(RetentionPolicy { datasets: datasets.map(|dataset| (dataset, limits)).collect() }))
}

fn json(report: impl Serialize) -> Value {
    // Reports are structs of numbers and texts.
    serde_json::to_value(report).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_read_from_bodies_and_written_back() {
        let check = |name: &str, body: &str| {
            let task =
                DataTask::from_body(name, body.as_bytes()).unwrap_or_else(|error| panic!("{name} {body}: {error}"));
            assert_eq!(task.name(), name);
            assert_eq!(DataTask::from_body(name, task.body().to_string().as_bytes()), Ok(task));
        };
        check("compact", "");
        check("compact", r#"{"dataset": "spans", "hours": ["2026-11-22T15", "2026-11-22T17"]}"#);
        check("verify", r#"{"deep": true}"#);
        check("retention", r#"{"age": "30d", "dry_run": true}"#);
        check("erase", r#"{"subject": {"user": "u-1"}, "why": "asked"}"#);
        check("erase", r#"{"subject": {"tenant": "acme"}, "why": "left", "now": true}"#);
        check("quarantine", r#"{"path": "tenant=a/spans/x.parquet", "why": "disk"}"#);
        check("release", r#"{"path": "tenant=a/spans/x.parquet"}"#);
        check("sweep", "{}");
        check("backup", r#"{"to": "/mnt/backup", "as_of": 7}"#);
        for name in DataTask::NAMES {
            let refused = DataTask::from_body(name, br#"{"colour": 1}"#).expect_err("an unknown field");
            assert!(refused.contains("colour"), "{name}: {refused}");
        }
        for (name, body) in
            [("erase", r#"{"why": "x"}"#), ("erase", r#"{"subject": {}, "why": "x"}"#), ("fly", "{}"), ("compact", "[")]
        {
            assert!(DataTask::from_body(name, body.as_bytes()).is_err(), "{name} {body}");
        }
    }

    #[test]
    fn subjects_are_checked() {
        let tenant: TenantId = "acme".parse().expect("a tenant");
        let parse = |subject: ErasedSubject| subject.parse(&tenant);
        assert!(parse(ErasedSubject::User(String::new())).is_err());
        assert!(parse(ErasedSubject::Trace("5b8e".to_owned())).is_err());
        assert!(parse(ErasedSubject::Trace("5b8efff798038103d269b633813fc60c".to_owned())).is_ok());
        assert!(parse(ErasedSubject::Tenant("globex".parse().expect("a tenant"))).is_err());
        assert!(parse(ErasedSubject::Tenant(tenant.clone())).is_ok());
    }

    #[test]
    fn bounds_are_all_or_nothing() {
        assert_eq!(bounds(None, None, None), Ok(None));
        assert!(bounds(Some(Dataset::Spans), None, None).is_err());
        assert!(bounds(None, Some("soon"), None).is_err());
        assert!(bounds(None, None, Some("-1")).is_err());
        let policy = bounds(Some(Dataset::Logs), Some("30d"), Some("1GiB")).expect("bounds").expect("a policy");
        let limits = policy.datasets.get(&Dataset::Logs).expect("logs");
        assert_eq!(limits.max_age, Some(std::time::Duration::from_secs(30 * 86_400)));
        assert_eq!((limits.max_bytes, policy.datasets.len()), (Some(1 << 30), 1));
        assert_eq!(bounds(None, Some("1d"), None).expect("bounds").map(|policy| policy.datasets.len()), Some(4));
    }
}
