use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use tracehound_storage::StoreOptions;

use crate::quantity::{duration, size};

/// Where a server keeps files and manifests. Credentials come from the environment, as `AWS_*`, `GOOGLE_*` and `AZURE_*`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, or `file:///folder` for a folder that
    /// several servers share. Default: the folder `store` of the data directory.
    pub url: Option<String>,
    /// Where the service answers, for services other than the cloud's own, such as `http://127.0.0.1:9000`.
    pub endpoint: Option<String>,
    /// The region of the bucket, for S3.
    pub region: Option<String>,
    /// Whether the bucket stands in the path and not in the host name, for S3. Default true.
    pub path_style: bool,
    /// The most bytes of the disk that the read cache takes; 0 for none. Default 10GiB.
    #[serde(deserialize_with = "size")]
    pub cache: usize,
    /// The time that one request to the store may take. Default 30s.
    #[serde(deserialize_with = "duration")]
    pub request_timeout: Duration,
    /// The time for which a failing request is tried again. Default 10s.
    #[serde(deserialize_with = "duration")]
    pub retry_timeout: Duration,
    /// Further settings by the names of the environment variables in lowercase, such as `aws_session_token`.
    pub settings: BTreeMap<String, String>,
    /// Environment variables that the binary read, by lowercase name.
    #[serde(skip)]
    pub environment: BTreeMap<String, String>,
}

impl Default for StoreConfig {
    fn default() -> Self {
        let store = StoreOptions::default();
        Self {
            url: None,
            endpoint: None,
            region: None,
            path_style: store.path_style,
            cache: usize::try_from(store.cache_bytes).unwrap_or(usize::MAX),
            request_timeout: store.request_timeout,
            retry_timeout: store.retry_timeout,
            settings: BTreeMap::new(),
            environment: BTreeMap::new(),
        }
    }
}

impl StoreConfig {
    /// Tells what contradicts itself or cannot work.
    pub(super) fn check(&self, must: &mut impl FnMut(bool, &str)) {
        if let Some(Err(problem)) = self.url.as_deref().map(StoreOptions::parse_url) {
            must(false, &format!("store.url: {problem}"));
        }
        let remote = self.endpoint.is_some() || self.region.is_some() || !self.settings.is_empty();
        must(self.url.is_some() || !remote, "store.url is missing: the other keys of [store] are about that store");
        must(self.cache == 0 || self.cache >= 16 << 20, "store.cache must be 0 or at least 16MiB");
        let a_second = Duration::from_secs(1);
        must(self.request_timeout >= a_second, "store.request_timeout must be at least 1s");
        must(self.retry_timeout <= a_second * 300, "store.retry_timeout must be at most 5m");
    }

    /// The options of the store.
    pub fn options(&self) -> StoreOptions {
        StoreOptions {
            // A URL that is wrong was refused by the check.
            url: self.url.as_deref().and_then(|url| StoreOptions::parse_url(url).ok()),
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            path_style: self.path_style,
            settings: self.settings.clone(),
            environment: self.environment.clone(),
            cache_bytes: self.cache as u64,
            request_timeout: self.request_timeout,
            retry_timeout: self.retry_timeout,
            ..StoreOptions::default()
        }
    }
}
