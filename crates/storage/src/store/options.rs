use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use url::Url;

/// Which store an engine keeps its files in, and how it talks to it.
#[derive(Clone)]
pub struct StoreOptions {
    /// `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, or
    /// `file:///folder` for a folder that several processes may share. Without
    /// it, the folder `store` of the data directory.
    pub url: Option<Url>,
    /// Where the service answers, for services other than the cloud's own.
    pub endpoint: Option<String>,
    /// The region of the bucket, for S3.
    pub region: Option<String>,
    /// Whether the bucket stands in the path and not in the host name, for S3.
    pub path_style: bool,
    /// Settings of the store by the names that object_store gives them, such
    /// as `aws_access_key_id`. A name that it does not know is an error.
    pub settings: BTreeMap<String, String>,
    /// Environment variables, by lowercase name. Those that the store knows count, `settings` go before them.
    pub environment: BTreeMap<String, String>,
    /// An open store instead of the one that `url` would name, for tests and simulations.
    pub object_store: Option<Arc<dyn ObjectStore>>,
    /// The most bytes of the disk that the read cache of a remote store takes; 0 for none.
    pub cache_bytes: u64,
    /// The time that one request may take.
    pub request_timeout: Duration,
    /// The time for which a failing request is tried again.
    pub retry_timeout: Duration,
}

impl StoreOptions {
    /// Reads the URL of a store.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse_url(text: &str) -> Result<Url, String> {
        let url: Url =
            text.parse().map_err(|error| format!("{text:?} is not a URL such as s3://bucket/prefix: {error}"))?;
        match url.scheme() {
            "s3" | "gs" | "az" | "file" => Ok(url),
            other => Err(format!("a store's URL begins with s3://, gs://, az:// or file:///, not {other}:")),
        }
    }
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            url: None,
            endpoint: None,
            region: None,
            path_style: true,
            settings: BTreeMap::new(),
            environment: BTreeMap::new(),
            object_store: None,
            cache_bytes: 10 << 30,
            request_timeout: Duration::from_secs(30),
            retry_timeout: Duration::from_secs(10),
        }
    }
}
