//! What the engine asks of the process around it: tasks, blocking work, timers
//! and ids. In the simulation all of them come from one seed, so the crate
//! uses these and never tokio's own.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use ulid::Ulid;

use crate::Error;
#[cfg(test)]
use crate::sim;

/// What keeps promises. Each is taken away in a simulation that has to fail
/// without it; in production all are there, at no cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Safeguard {
    /// A group is written before it is acknowledged.
    WriteBeforeReply,
    /// A group is synced before it is acknowledged.
    SyncBeforeReply,
    /// What a failed sync left in the page cache is cut off.
    CutAfterFailedSync,
    /// What a start reads of the WAL is synced before it is relied on.
    SyncOnReplay,
    /// Payloads that a start reads are remembered, so that retries are recognised.
    RememberOnReplay,
    /// Segments stay until a manifest entry covers them.
    EntryBeforeReclaim,
    /// The names of folders are synced, whoever made them.
    SyncFolders,
}

/// Whether a safeguard is taken away.
#[cfg(test)]
pub(crate) fn without(safeguard: Safeguard) -> bool {
    sim::is_running() && sim::without(safeguard)
}

/// Whether a safeguard is taken away: never.
#[cfg(not(test))]
pub(crate) const fn without(_: Safeguard) -> bool {
    false
}

/// Does work that blocks off the runtime's threads.
///
/// # Errors
/// [`Error::Internal`] if the work panics.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    #[cfg(test)]
    if sim::is_running() {
        sim::pause().await;
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)
}

/// Waits for a future on a thread that may block.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    #[cfg(test)]
    if sim::is_running() {
        return sim::block_on(future);
    }
    tokio::runtime::Handle::current().block_on(future)
}

/// Starts a task that goes on by itself, whether or not anybody waits for it.
pub(crate) fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> Task<T> {
    #[cfg(test)]
    if sim::is_running() {
        return Task(Running::Simulated(sim::spawn(future)));
    }
    Task(Running::Tokio(tokio::spawn(future)))
}

/// A task that was started. Dropping it leaves the task running.
pub(crate) struct Task<T>(Running<T>);

enum Running<T> {
    Tokio(tokio::task::JoinHandle<T>),
    #[cfg(test)]
    Simulated(sim::Spawned<T>),
}

impl<T> Task<T> {
    /// Ends the task at the point where it waits.
    pub(crate) fn abort(&self) {
        match &self.0 {
            Running::Tokio(task) => task.abort(),
            #[cfg(test)]
            Running::Simulated(task) => task.abort(),
        }
    }
}

impl<T> Future for Task<T> {
    /// What the task gave; [`Error::Internal`] if it panicked or was ended.
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Running::Tokio(task) => Pin::new(task).poll(context).map_err(Error::internal),
            #[cfg(test)]
            Running::Simulated(task) => Pin::new(task).poll(context).map_err(|_| Error::internal("the task was ended")),
        }
    }
}

/// Waits.
pub(crate) async fn sleep(duration: Duration) {
    #[cfg(test)]
    if sim::is_running() {
        return sim::sleep(duration).await;
    }
    tokio::time::sleep(duration).await;
}

/// Waits for a future, but not longer than that; `None` if it took longer.
pub(crate) async fn timeout<T>(duration: Duration, future: impl Future<Output = T>) -> Option<T> {
    let future = std::pin::pin!(future);
    let sleep = std::pin::pin!(sleep(duration));
    match futures::future::select(future, sleep).await {
        futures::future::Either::Left((output, _)) => Some(output),
        futures::future::Either::Right(_) => None,
    }
}

/// A new id: unique, rising with time.
pub(crate) fn new_id() -> Ulid {
    #[cfg(test)]
    if sim::is_running() {
        return sim::new_id();
    }
    Ulid::new()
}
