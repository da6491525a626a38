//! The threads that plan and run queries.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::Error;

/// Deep plans recurse; this is address space, used only as far as a plan needs it.
const STACK_BYTES: usize = 128 << 20;

/// Threads of our own, so that no query blocks its caller's.
#[derive(Debug)]
pub(crate) struct QueryRuntime {
    runtime: Option<Runtime>,
}

impl QueryRuntime {
    pub(crate) fn new(threads: usize) -> Result<Self, Error> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(2))
            .thread_name("tracehound-query")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()
            .map_err(Error::internal)?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Runs a future to its end, or to the deadline, which the caller's runtime watches. Dropping the call
    /// drops the future.
    ///
    /// # Errors
    /// [`Error::Timeout`], the future's own, or [`Error::Internal`] if it panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        timeout: Duration,
        future: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let Some(runtime) = &self.runtime else { return Err(Error::internal("the query threads are gone")) };
        let mut task = Task(runtime.spawn(future));
        match tokio::time::timeout(timeout, &mut task.0).await {
            Err(_) => Err(Error::Timeout { after: timeout }),
            Ok(Ok(result)) => result,
            Ok(Err(e)) if e.is_panic() => Err(Error::internal("the query panicked")),
            Ok(Err(e)) => Err(Error::internal(e)),
        }
    }
}

impl Drop for QueryRuntime {
    fn drop(&mut self) {
        // Waiting for threads is not allowed inside another runtime, where this may be.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Ends the task when nobody waits for it any more.
struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
