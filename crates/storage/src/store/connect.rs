//! From a URL to an object store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path as ObjectPath;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientConfigKey, ClientOptions, ObjectStore, RetryConfig};
use url::Url;

use super::StoreOptions;
use crate::Error;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const RETRIES_MAX: usize = 10;

/// What a URL names.
pub(super) enum Place {
    /// A folder of the local disk.
    Folder(PathBuf),
    /// An object store, with names relative to the URL's path.
    Remote(Arc<dyn ObjectStore>),
}

/// A builder with what the options say: environment first, then settings.
macro_rules! configured {
    ($builder:ty, $key:ty, $variables:literal, $url:expr, $options:expr) => {{
        let mut builder = <$builder>::new().with_client_options(client($options)).with_retry(retry($options));
        for (name, value) in &$options.environment {
            if name.starts_with($variables)
                && let Ok(key) = name.parse::<$key>()
            {
                builder = builder.with_config(key, value);
            }
        }
        for (name, value) in &$options.settings {
            let unknown = |_| wrong($url, format!("it has no setting {name:?}"));
            builder = builder.with_config(name.to_ascii_lowercase().parse::<$key>().map_err(unknown)?, value);
        }
        builder
    }};
}

/// Makes the store that a URL names. Nothing is sent yet.
///
/// # Errors
/// [`Error::StoreUnusable`] if the options do not make a store.
pub(super) fn connect(url: &Url, options: &StoreOptions) -> Result<Place, Error> {
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        // Not repeated in the message, since it may be a secret.
        let store = format!("{}://{}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path());
        let detail = "its URL must have no user, password, query or fragment; credentials come from the environment";
        return Err(Error::StoreUnusable { store, detail: detail.to_owned() });
    }
    let refused = |error: object_store::Error| wrong(url, error.to_string());
    let bucket = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong(url, "it names no bucket"));
    let store: Arc<dyn ObjectStore> = match url.scheme() {
        "file" => {
            let folder = url.to_file_path().map_err(|()| wrong(url, "it is not an absolute path of this machine"))?;
            return Ok(Place::Folder(folder));
        }
        "s3" => Arc::new(s3(url, bucket?, options)?.build().map_err(refused)?),
        "gs" => Arc::new(gcs(url, bucket?, options)?.build().map_err(refused)?),
        "az" => Arc::new(azure(url, bucket?, options)?.build().map_err(refused)?),
        _ => return Err(wrong(url, "it must begin with s3://, gs://, az:// or file:///")),
    };
    let prefix = ObjectPath::from_url_path(url.path()).map_err(|error| wrong(url, error.to_string()))?;
    if prefix.as_ref().is_empty() {
        return Ok(Place::Remote(store));
    }
    Ok(Place::Remote(Arc::new(PrefixStore::new(store, prefix))))
}

fn s3(url: &Url, bucket: &str, options: &StoreOptions) -> Result<AmazonS3Builder, Error> {
    use AmazonS3ConfigKey::{Bucket, Client, Endpoint, Region, S3Endpoint, VirtualHostedStyleRequest};
    let mut builder = configured!(AmazonS3Builder, AmazonS3ConfigKey, "aws_", url, options);
    builder = builder.with_config(Bucket, bucket);
    if let Some(region) = &options.region {
        builder = builder.with_config(Region, region);
    }
    if !options.path_style {
        builder = builder.with_config(VirtualHostedStyleRequest, "true");
    }
    if let Some(endpoint) = &options.endpoint {
        let endpoint = if options.path_style { endpoint.clone() } else { with_bucket(url, endpoint, bucket)? };
        builder = builder.with_config(S3Endpoint, endpoint);
    }
    let endpoint = builder.get_config_value(&S3Endpoint).or_else(|| builder.get_config_value(&Endpoint));
    Ok(if is_plain(endpoint) { builder.with_config(Client(ClientConfigKey::AllowHttp), "true") } else { builder })
}

fn gcs(url: &Url, bucket: &str, options: &StoreOptions) -> Result<GoogleCloudStorageBuilder, Error> {
    use GoogleConfigKey::{BaseUrl, Bucket, Client};
    let mut builder = configured!(GoogleCloudStorageBuilder, GoogleConfigKey, "google_", url, options);
    builder = builder.with_config(Bucket, bucket);
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_config(BaseUrl, endpoint);
    }
    let plain = is_plain(builder.get_config_value(&BaseUrl));
    Ok(if plain { builder.with_config(Client(ClientConfigKey::AllowHttp), "true") } else { builder })
}

fn azure(url: &Url, container: &str, options: &StoreOptions) -> Result<MicrosoftAzureBuilder, Error> {
    use AzureConfigKey::{Client, ContainerName, Endpoint};
    let mut builder = configured!(MicrosoftAzureBuilder, AzureConfigKey, "azure_", url, options);
    builder = builder.with_config(ContainerName, container);
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_config(Endpoint, endpoint);
    }
    let plain = is_plain(builder.get_config_value(&Endpoint));
    Ok(if plain { builder.with_config(Client(ClientConfigKey::AllowHttp), "true") } else { builder })
}

/// Who writes `http://` means it.
fn is_plain(endpoint: Option<String>) -> bool {
    endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"))
}

/// The endpoint with the bucket in front of its host name.
fn with_bucket(url: &Url, endpoint: &str, bucket: &str) -> Result<String, Error> {
    let mut parsed: Url = endpoint.parse().map_err(|error| wrong(url, format!("endpoint {endpoint:?}: {error}")))?;
    let host = parsed.host_str().map(|host| format!("{bucket}.{host}"));
    parsed.set_host(host.as_deref()).map_err(|error| wrong(url, format!("endpoint {endpoint:?}: {error}")))?;
    Ok(parsed.as_str().trim_end_matches('/').to_owned())
}

fn client(options: &StoreOptions) -> ClientOptions {
    ClientOptions::new()
        .with_timeout(options.request_timeout)
        .with_connect_timeout(CONNECT_TIMEOUT.min(options.request_timeout))
        .with_config(ClientConfigKey::UserAgent, concat!("tracehound/", env!("CARGO_PKG_VERSION")))
}

fn retry(options: &StoreOptions) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
        max_retries: RETRIES_MAX,
        retry_timeout: options.retry_timeout,
    }
}

fn wrong(url: &Url, detail: impl Into<String>) -> Error {
    Error::StoreUnusable { store: url.to_string(), detail: detail.into() }
}

#[cfg(test)]
mod tests;
