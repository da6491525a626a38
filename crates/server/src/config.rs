//! The configuration: one TOML file, every key optional, unknown keys refused.

mod maintenance;
mod store;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use tracehound_query::QueryLimits;
use tracehound_schema::{DecodeLimits, TenantId};
use tracehound_storage::{Clock, Options};

pub use self::maintenance::{CompactionConfig, KeepConfig, RetentionConfig, TenantRetentionConfig};
pub use self::store::StoreConfig;
use crate::Error;
use crate::quantity::{duration, optional_size, size};

/// What a server is told.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where it listens.
    pub listen: ListenConfig,
    /// What it refuses.
    pub limits: LimitsConfig,
    /// How it stores.
    pub storage: StorageConfig,
    /// How it merges files.
    pub compaction: CompactionConfig,
    /// What it removes as it grows old or large.
    pub retention: RetentionConfig,
    /// Where it keeps files and manifests.
    pub store: StoreConfig,
    /// Where backups go.
    pub backup: BackupConfig,
    /// Who may use it. Without keys everybody who reaches it may.
    pub keys: Vec<KeyConfig>,
}

/// Where a server listens. Port 0 takes a free port.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListenConfig {
    /// The HTTP API; it takes OTLP/HTTP too. Default 127.0.0.1:4320.
    pub http: SocketAddr,
    /// OTLP/gRPC. Default 127.0.0.1:4317.
    pub otlp_grpc: SocketAddr,
    /// OTLP/HTTP. Default 127.0.0.1:4318.
    pub otlp_http: SocketAddr,
    /// Listen beyond this machine although there are no keys. Default false.
    pub allow_unauthenticated: bool,
}

/// What is too much.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// The most bytes of an OTLP body, as sent and decompressed. Default 64MiB.
    #[serde(deserialize_with = "size")]
    pub body_bytes: usize,
    /// How many times larger than its compressed form a body may be, once it is beyond 1 MiB. Default 1000.
    pub compression_ratio: usize,
    /// The time a client has to send a body. Default 30s.
    #[serde(deserialize_with = "duration")]
    pub body_timeout: Duration,
    /// The most bytes that all OTLP bodies in work hold together; beyond it clients are told to retry. Default 256MiB.
    #[serde(deserialize_with = "size")]
    pub in_flight_bytes: usize,
    /// The most memory that a decoded OTLP message may take. Default 512MiB.
    #[serde(deserialize_with = "size")]
    pub decoded_bytes: usize,
    /// The most levels of arrays and maps in a value. Default 40; 45 at most.
    pub value_depth: usize,
    /// The most attributes of a record, resource, scope, event or link. Default 1024.
    pub attributes: usize,
    /// The most bytes of an attribute's key and value. Default 1MiB.
    #[serde(deserialize_with = "size")]
    pub attribute_bytes: usize,
    /// The most events, links, exemplars or buckets of a record. Default 16384.
    pub children: usize,
    /// The most bytes kept of a rejected record. Default 16KiB.
    #[serde(deserialize_with = "size")]
    pub reject_bytes: usize,
    /// How many OTLP bytes a tenant may send each second; bursts of ten seconds are allowed. Default: no quota.
    #[serde(deserialize_with = "optional_size")]
    pub tenant_ingest_bytes_per_second: Option<usize>,
    /// The most bytes of an API request. Default 1MiB.
    #[serde(deserialize_with = "size")]
    pub request_bytes: usize,
    /// The most rows of a query's answer when the request does not say. Default 10000.
    pub query_rows: usize,
    /// The most bytes of a query's answer. Default 256MiB.
    #[serde(deserialize_with = "size")]
    pub query_bytes: usize,
    /// The time of a query when the request does not say. Default 30s.
    #[serde(deserialize_with = "duration")]
    pub query_timeout: Duration,
    /// The memory of all queries for sorts, joins and groups. Default 1GiB.
    #[serde(deserialize_with = "size")]
    pub query_memory: usize,
}

/// How a server stores.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageConfig {
    /// The most bytes of rows that are in no file yet. Default 512MiB.
    #[serde(deserialize_with = "size")]
    pub memtable_bytes: usize,
    /// The most bytes of the write-ahead log. Default 1GiB.
    #[serde(deserialize_with = "size")]
    pub wal_bytes: usize,
    /// The bytes after which a segment of the write-ahead log is followed by the next. Default 64MiB.
    #[serde(deserialize_with = "size")]
    pub wal_segment_bytes: usize,
    /// The bytes of a tenant's rows that are flushed at once. Default 64MiB.
    #[serde(deserialize_with = "size")]
    pub flush_bytes: usize,
    /// The age at which rows of a busy tenant are flushed. Default 10s.
    #[serde(deserialize_with = "duration")]
    pub flush_age_busy: Duration,
    /// The age at which any rows are flushed. Default 60s.
    #[serde(deserialize_with = "duration")]
    pub flush_age_quiet: Duration,
}

/// Where backups go.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackupConfig {
    /// A folder. With keys it is the only place that a backup may be sent to over the API.
    pub to: Option<String>,
}

/// A key and what it is for. The server holds its hash only.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// Its public name, which rows are stamped with.
    pub id: String,
    /// SHA-256 of the secret, in hex: `printf %s "$SECRET" | sha256sum`.
    pub sha256: String,
    /// The tenants it may use; the first is taken when a request does not say and there is only one.
    pub tenants: Vec<TenantId>,
    /// Whether it may change and remove what its tenants have stored: compact, erase, back up. Default false.
    #[serde(default)]
    pub admin: bool,
}

impl Default for ListenConfig {
    fn default() -> Self {
        let local = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        Self { http: local(4320), otlp_grpc: local(4317), otlp_http: local(4318), allow_unauthenticated: false }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let decode = DecodeLimits::default();
        let query = QueryLimits::default();
        Self {
            body_bytes: 64 << 20,
            compression_ratio: 1000,
            body_timeout: Duration::from_secs(30),
            in_flight_bytes: 256 << 20,
            decoded_bytes: decode.decoded_bytes_max,
            value_depth: decode.value_depth_max,
            attributes: decode.attributes_max,
            attribute_bytes: decode.attribute_bytes_max,
            children: decode.children_max,
            reject_bytes: decode.reject_bytes_max,
            tenant_ingest_bytes_per_second: None,
            request_bytes: 1 << 20,
            query_rows: query.max_rows,
            query_bytes: query.max_bytes,
            query_timeout: query.timeout,
            query_memory: query.memory_bytes,
        }
    }
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            memtable_bytes: 512 << 20,
            wal_bytes: 1 << 30,
            wal_segment_bytes: 64 << 20,
            flush_bytes: 64 << 20,
            flush_age_busy: Duration::from_secs(10),
            flush_age_quiet: Duration::from_secs(60),
        }
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Config`] with everything that is wrong with it.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let wrong = |problem: String| Error::Config { path: Some(path.to_owned()), problems: vec![problem] };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let config: Self = toml::from_str(&text).map_err(|error| wrong(error.to_string().trim_end().to_owned()))?;
        config.check().map_err(|problems| Error::Config { path: Some(path.to_owned()), problems })?;
        Ok(config)
    }

    /// Finds what contradicts itself or cannot work.
    ///
    /// # Errors
    /// All problems, a sentence each.
    pub fn check(&self) -> Result<(), Vec<String>> {
        let mut problems = Vec::new();
        let mut must = |holds: bool, problem: &str| {
            if !holds {
                problems.push(problem.to_owned());
            }
        };
        let limits = &self.limits;
        let storage = &self.storage;
        must(limits.body_bytes > 0, "limits.body_bytes must be positive");
        must(limits.body_bytes <= 1 << 29, "limits.body_bytes must be at most 512MiB");
        must(
            limits.in_flight_bytes / 2 >= limits.body_bytes,
            "limits.in_flight_bytes must be at least twice limits.body_bytes: a body is held compressed and decompressed",
        );
        must(limits.compression_ratio > 0, "limits.compression_ratio must be positive");
        must((1..=45).contains(&limits.value_depth), "limits.value_depth must be 1 to 45");
        must(limits.query_rows > 0, "limits.query_rows must be positive");
        must(storage.memtable_bytes >= 1 << 20, "storage.memtable_bytes must be at least 1MiB");
        must(
            storage.flush_bytes <= storage.memtable_bytes / 2,
            "storage.flush_bytes must be at most half of storage.memtable_bytes",
        );
        must(storage.wal_segment_bytes >= 1 << 12, "storage.wal_segment_bytes must be at least 4KiB");
        must(storage.wal_bytes >= 1 << 20, "storage.wal_bytes must be at least 1MiB");
        self.compaction.check(limits.query_timeout, |problem| must(false, problem));
        self.store.check(&mut must);
        let mut seen = std::collections::HashSet::new();
        for key in &self.keys {
            let hash = hex::decode(&key.sha256).unwrap_or_default();
            must(hash.len() == 32, &format!("key {:?}: sha256 must be 64 hex digits", key.id));
            must(!key.id.is_empty(), "a key needs an id");
            must(!key.tenants.is_empty(), &format!("key {:?} needs at least one tenant", key.id));
            must(seen.insert(&key.id), &format!("key id {:?} stands twice", key.id));
        }
        let listen = &self.listen;
        if self.keys.is_empty() && !listen.allow_unauthenticated {
            for address in [listen.http, listen.otlp_grpc, listen.otlp_http] {
                must(
                    address.ip().is_loopback(),
                    &format!(
                        "{address} is reachable from other machines and there are no keys: add [[keys]], or set listen.allow_unauthenticated = true"
                    ),
                );
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// The limits that decoding works with.
    pub fn decode_limits(&self) -> DecodeLimits {
        DecodeLimits {
            decoded_bytes_max: self.limits.decoded_bytes,
            value_depth_max: self.limits.value_depth,
            attributes_max: self.limits.attributes,
            attribute_bytes_max: self.limits.attribute_bytes,
            children_max: self.limits.children,
            reject_bytes_max: self.limits.reject_bytes,
        }
    }

    /// The options of the storage engine.
    pub fn storage_options(&self, data_dir: &Path, clock: Clock) -> Options {
        let mut options = Options::new(data_dir, clock);
        options.memtable_bytes_max = self.storage.memtable_bytes;
        options.wal_bytes_max = self.storage.wal_bytes as u64;
        options.wal_segment_bytes = self.storage.wal_segment_bytes as u64;
        options.flush_bytes = self.storage.flush_bytes;
        options.flush_age_busy = self.storage.flush_age_busy;
        options.flush_age_quiet = self.storage.flush_age_quiet;
        options.decode_limits = self.decode_limits();
        options.maintenance = self.compaction.options(&self.retention);
        options.store = self.store.options();
        options
    }

    /// The bounds of queries.
    pub fn query_limits(&self) -> QueryLimits {
        QueryLimits {
            max_rows: self.limits.query_rows,
            max_bytes: self.limits.query_bytes,
            timeout: self.limits.query_timeout,
            memory_bytes: self.limits.query_memory,
            ..QueryLimits::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_work_without_a_file() {
        assert_eq!(Config::default().check(), Ok(()));
        assert!(toml::from_str::<Config>("").is_ok());
    }

    #[test]
    fn unknown_keys_are_refused() {
        let error = toml::from_str::<Config>("[limits]\nbody_byte = 3").expect_err("unknown key");
        assert!(error.to_string().contains("body_byte"), "{error}");
    }

    #[test]
    fn all_problems_come_at_once() {
        let config: Config = toml::from_str(
            r#"
            [listen]
            http = "0.0.0.0:80"
            [limits]
            body_bytes = "0B"
            value_depth = 99
            "#,
        )
        .expect("well-formed");
        let problems = config.check().expect_err("wrong in three ways");
        assert_eq!(problems.len(), 3, "{problems:?}");
    }

    #[test]
    fn a_tenants_retention_replaces_the_default() {
        let config: Config = toml::from_str(
            r#"
            [retention]
            spans = { age = "30d" }
            logs = { size = "10GiB" }
            [retention.tenants.acme]
            spans = { age = "90d", size = "1000GB" }
            "#,
        )
        .expect("well-formed");
        let options = config.storage_options(Path::new("x"), std::sync::Arc::new(|| 0)).maintenance.retention;
        assert_eq!(options.default.datasets.len(), 2);
        let own = options.policy(&"acme".parse().expect("a tenant"));
        assert_eq!(own.datasets.len(), 1);
        let limits = own.datasets[&tracehound_schema::Dataset::Spans];
        assert_eq!(limits.max_age, Some(Duration::from_secs(90 * 86_400)));
    }

    #[test]
    fn a_store_is_named_by_its_url() {
        let problems = |text: &str| {
            let config: Config = toml::from_str(text).expect("well-formed");
            config.check().err().unwrap_or_default().join("; ")
        };
        let s3 = "[store]\nurl = \"s3://bucket/prefix\"\nendpoint = \"http://127.0.0.1:9000\"\ncache = \"1GiB\"";
        assert_eq!(problems(s3), "");
        let options = toml::from_str::<Config>(s3).expect("well-formed").store.options();
        assert_eq!(options.url.map(|url| url.to_string()).as_deref(), Some("s3://bucket/prefix"));
        assert_eq!(options.cache_bytes, 1 << 30);
        assert!(problems("[store]\nurl = \"/srv/data\"").contains("is not a URL"));
        assert!(problems("[store]\nurl = \"http://bucket\"").contains("begins with s3://"));
        assert!(problems("[store]\nregion = \"eu-1\"").contains("store.url is missing"));
        assert!(problems("[store]\ncache = 5").contains("store.cache"));
        assert!(toml::from_str::<Config>("[store]\nbucket = \"x\"").is_err());
    }

    #[test]
    fn a_server_without_keys_stays_on_this_machine() {
        let mut config = Config::default();
        config.listen.http = "[::]:4320".parse().expect("an address");
        assert!(config.check().is_err());
        config.listen.allow_unauthenticated = true;
        assert_eq!(config.check(), Ok(()));
    }
}
