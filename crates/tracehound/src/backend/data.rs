//! Tasks on stored data, in this process or on a server.

use std::sync::Arc;

use serde_json::Value;
use tracehound_server::{DataTask, DataTaskContext, DataTaskError, data_tenants};
use tracehound_storage::RetentionPolicy;

use super::{Backend, Local, on_thread};
use crate::failure::{Exit, Failure};

impl Backend {
    /// Does a task and returns its report. `progress` hears bytes done and bytes in all, where this process does it.
    pub(crate) async fn data_task(
        &self,
        task: DataTask,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Value, Failure> {
        match self {
            Self::Local(local) => local.data_task(&task, progress).await,
            Self::Remote(remote) => on_thread(Arc::clone(remote), move |remote| remote.data_task(&task)).await,
        }
    }

    /// The tenants that there are, and what they hold.
    pub(crate) async fn data_tenants(&self) -> Result<Vec<Value>, Failure> {
        match self {
            Self::Local(local) => Ok(data_tenants(local.engine(), None)),
            Self::Remote(remote) => on_thread(Arc::clone(remote), |remote| remote.data_list("tenants")).await,
        }
    }

    /// The files in quarantine.
    pub(crate) async fn data_quarantine(&self) -> Result<Vec<Value>, Failure> {
        match self {
            Self::Local(local) => {
                let found = local.engine().maintenance().quarantined(local.tenant()).await;
                let found = found.map_err(|error| Failure::storage(&error))?;
                Ok(found.iter().map(|file| serde_json::to_value(file).unwrap_or_default()).collect())
            }
            Self::Remote(remote) => on_thread(Arc::clone(remote), |remote| remote.data_list("quarantine")).await,
        }
    }
}

impl Local {
    async fn data_task(&self, task: &DataTask, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<Value, Failure> {
        let user = std::env::var("USER").ok().filter(|user| !user.is_empty());
        let context = DataTaskContext {
            by: user.map_or_else(|| "command line".to_owned(), |user| format!("command line, {user}")),
            retention: &RetentionPolicy::default(),
            backup_to: None,
            progress,
        };
        task.run(self.engine(), self.tenant(), &context).await.map_err(|error| match error {
            DataTaskError::Invalid(what) => Failure::new(Exit::Usage, "parameter-invalid", what),
            DataTaskError::Storage(error) => Failure::storage(&error),
        })
    }
}
