use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a server did not start or stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong: all that is wrong with it, a line each.
    #[error("configuration{}: {}", at(.path), .problems.join("; "))]
    Config {
        /// The file, where there is one.
        path: Option<PathBuf>,
        /// What is wrong.
        problems: Vec<String>,
    },
    /// An address cannot be listened on: free it, or choose another.
    #[error("cannot listen on {address} ({what}): {source}")]
    Listen {
        /// Which of the listeners.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    Storage(#[from] tracehound_storage::Error),
    /// The query engine did not start.
    #[error(transparent)]
    Query(#[from] tracehound_query::Error),
    /// A listener failed while serving.
    #[error("{what} stopped: {detail}")]
    Serve {
        /// Which of the listeners.
        what: &'static str,
        /// What happened.
        detail: String,
    },
}

fn at(path: &Option<PathBuf>) -> String {
    path.as_ref().map_or(String::new(), |path| format!(" {}", path.display()))
}
