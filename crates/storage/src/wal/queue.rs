//! Appends on their way to the WAL's writer.

use std::sync::mpsc::{self, RecvTimeoutError, TryRecvError};
use std::time::Duration;

#[cfg(test)]
use std::sync::Arc;
#[cfg(test)]
use tokio::sync::Notify;

use super::writer::Request;

/// Where appends hand their requests in.
pub(crate) struct Queue {
    requests: mpsc::Sender<Request>,
    /// Wakes the writer where it is a task, in the simulation.
    #[cfg(test)]
    filled: Arc<Notify>,
}

/// Where the writer takes them out.
pub(crate) struct Requests {
    requests: mpsc::Receiver<Request>,
    #[cfg(test)]
    filled: Arc<Notify>,
}

/// A queue's two ends.
pub(crate) fn queue() -> (Queue, Requests) {
    let (sender, receiver) = mpsc::channel();
    #[cfg(test)]
    let filled = Arc::<Notify>::default();
    let queue = Queue {
        requests: sender,
        #[cfg(test)]
        filled: Arc::clone(&filled),
    };
    let requests = Requests {
        requests: receiver,
        #[cfg(test)]
        filled,
    };
    (queue, requests)
}

impl Queue {
    /// Hands a request in.
    ///
    /// # Errors
    /// The request, if the writer is gone.
    pub(crate) fn send(&self, request: Request) -> Result<(), Request> {
        let sent = self.requests.send(request).map_err(|mpsc::SendError(request)| request);
        #[cfg(test)]
        self.filled.notify_one();
        sent
    }
}

impl Requests {
    /// The next request; waits for it. `None` when no more can come.
    pub(crate) fn next(&mut self) -> Option<Request> {
        self.requests.recv().ok()
    }

    /// A request that is there.
    pub(crate) fn try_next(&mut self) -> Result<Request, TryRecvError> {
        self.requests.try_recv()
    }

    /// A request that is there or comes within that time.
    pub(crate) fn next_within(&mut self, time: Duration) -> Result<Request, RecvTimeoutError> {
        self.requests.recv_timeout(time)
    }

    /// As [`next`](Self::next), for a writer that is a task.
    #[cfg(test)]
    pub(crate) async fn next_simulated(&mut self) -> Option<Request> {
        loop {
            match self.requests.try_recv() {
                Ok(request) => return Some(request),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => self.filled.notified().await,
            }
        }
    }
}

#[cfg(test)]
impl Drop for Queue {
    fn drop(&mut self) {
        // The writer looks after this, when the sender is gone.
        self.filled.notify_one();
    }
}
