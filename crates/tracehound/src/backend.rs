//! Answers from a data directory in this process, or from a server.

mod data;
mod local;
mod remote;

use std::sync::Arc;

use tracehound_query::QueryRequest;

use crate::failure::Failure;
use crate::output::Answer;
use crate::place::Place;

pub(crate) use local::{Local, is_data_dir, now_ns};
pub(crate) use remote::{Refusal, Remote, Taken};

/// Who answers.
#[derive(Debug)]
pub(crate) enum Backend {
    Local(Box<Local>),
    Remote(Arc<Remote>),
}

impl Backend {
    /// For reading: a data directory has to be there.
    pub(crate) async fn open(place: Place) -> Result<Self, Failure> {
        Ok(match place {
            Place::Directory { path, tenant } => Self::Local(Box::new(Local::open_existing(&path, tenant).await?)),
            Place::Server(server) => Self::Remote(Arc::new(Remote::new(server))),
        })
    }

    /// The same, where the tenant does not matter.
    pub(crate) async fn open_any_tenant(place: Place) -> Result<Self, Failure> {
        match place {
            Place::Directory { path, tenant } => {
                Ok(Self::Local(Box::new(Local::open_existing_for(&path, tenant, false).await?)))
            }
            server => Self::open(server).await,
        }
    }

    /// Runs a query.
    pub(crate) async fn query(&self, request: QueryRequest) -> Result<Answer, Failure> {
        match self {
            Self::Local(local) => local.query(request).await,
            Self::Remote(remote) => on_thread(Arc::clone(remote), move |remote| remote.query(&request)).await,
        }
    }

    /// What a query would do.
    pub(crate) async fn explain(&self, request: QueryRequest) -> Result<Answer, Failure> {
        match self {
            Self::Local(local) => local.explain(request).await,
            Self::Remote(remote) => on_thread(Arc::clone(remote), move |remote| remote.explain(&request)).await,
        }
    }

    /// Gives the data directory up.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        match self {
            Self::Local(local) => local.close().await,
            Self::Remote(_) => Ok(()),
        }
    }
}

/// Calls something that blocks, so that an interruption is still heard.
pub(crate) async fn on_thread<T: Send + 'static>(
    remote: Arc<Remote>,
    call: impl FnOnce(&Remote) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let call = tokio::task::spawn_blocking(move || call(&remote)).await;
    call.map_err(|error| Failure::failed("internal", error.to_string()))?
}
