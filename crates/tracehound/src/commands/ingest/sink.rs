use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};
use tracehound_schema::{Encoding, Signal};
use tracehound_server::Accepted;

use super::records;
use crate::backend::{Local, Refusal, Remote, Taken, on_thread};
use crate::failure::{Exit, Failure};
use crate::place::Place;

/// What a server takes by default, and so what a file's message may have.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
const DELAY_MIN: Duration = Duration::from_millis(200);
const DELAY_MAX: Duration = Duration::from_secs(30);

/// Where messages go.
#[derive(Debug)]
pub(super) struct Sink {
    target: Target,
    retry_for: Duration,
}

#[derive(Debug)]
enum Target {
    Local(Box<Local>),
    Remote(Arc<Remote>),
}

/// What became of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) accepted: u64,
    pub(super) rejected: u64,
    /// Why records were rejected.
    pub(super) message: String,
    /// Whether it had been taken in before, within the retry window. A server does not tell.
    pub(super) duplicate: bool,
}

impl Sink {
    /// Makes a data directory if it is absent.
    pub(super) async fn open(place: Place, retry_for: Duration) -> Result<Self, Failure> {
        let target = match place {
            Place::Directory { path, tenant } => Target::Local(Box::new(Local::open(&path, tenant).await?)),
            Place::Server(server) => Target::Remote(Arc::new(Remote::new(server))),
        };
        Ok(Self { target, retry_for })
    }

    pub(super) fn message_bytes_max(&self) -> usize {
        MESSAGE_BYTES_MAX
    }

    /// Hands a message over, trying again for as long as that makes sense and is allowed.
    pub(super) async fn accept(&self, signal: Signal, encoding: Encoding, body: Bytes) -> Result<Outcome, Failure> {
        let deadline = Instant::now() + self.retry_for;
        let mut delay = DELAY_MIN;
        loop {
            let (asked, failure) = match self.try_once(signal, encoding, &body).await {
                Ok(outcome) => return Ok(outcome),
                Err(Refusal::Never(failure)) => return Err(failure),
                Err(Refusal::Later(asked, failure)) => (asked, failure),
            };
            let wait = wait(asked, delay);
            if Instant::now() + wait > deadline {
                return Err(failure);
            }
            tracing::debug!(?wait, %failure, "trying again");
            sleep(wait).await;
            delay = (delay * 2).min(DELAY_MAX);
        }
    }

    async fn try_once(&self, signal: Signal, encoding: Encoding, body: &Bytes) -> Result<Outcome, Refusal> {
        match &self.target {
            Target::Local(local) => match local.accept(signal, encoding, body.clone()).await {
                Ok(Accepted { accepted, rejected, message, duplicate }) => {
                    Ok(Outcome { accepted, rejected, message, duplicate })
                }
                Err(failure) if failure.exit == Exit::Retryable => Err(Refusal::Later(None, failure)),
                Err(failure) => Err(Refusal::Never(failure)),
            },
            Target::Remote(remote) => {
                let body = body.clone();
                let sent = on_thread(Arc::clone(remote), move |remote| {
                    Ok((remote.send(signal, encoding, &body), records::count(signal, encoding, &body)))
                });
                let (sent, count) = sent.await.map_err(Refusal::Never)?;
                let Taken { rejected, message } = sent?;
                Ok(Outcome { accepted: count.saturating_sub(rejected), rejected, message, duplicate: false })
            }
        }
    }

    /// Writes what is not in files yet.
    pub(super) async fn close(self) -> Result<(), Failure> {
        match self.target {
            Target::Local(local) => local.close().await,
            Target::Remote(_) => Ok(()),
        }
    }
}

/// What the server asked for, never less; else the next step of the backoff.
fn wait(asked: Option<Duration>, delay: Duration) -> Duration {
    asked.map_or(delay, |asked| asked.max(DELAY_MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_says_how_long_to_wait() {
        assert_eq!(wait(Some(Duration::from_secs(7)), DELAY_MIN), Duration::from_secs(7));
        assert_eq!(wait(Some(Duration::ZERO), DELAY_MIN), DELAY_MIN);
        assert_eq!(wait(None, Duration::from_secs(3)), Duration::from_secs(3));
    }
}
