//! Where the data is: a directory or a server.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;

use tracehound_schema::TenantId;
use url::Url;

use crate::cli::PlaceArgs;
use crate::failure::{Exit, Failure};

/// Where a command finds the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A data directory that this process opens itself.
    Directory { path: PathBuf, tenant: TenantId },
    /// A server.
    Server(ServerPlace),
}

/// A server, and how to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerPlace {
    /// Without a slash at its end.
    pub(crate) url: String,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) key: Option<String>,
}

impl Place {
    /// Flags, then `TRACEHOUND_URL`, then `TRACEHOUND_DATA_DIR`, then the platform's data directory.
    pub(crate) fn choose(args: &PlaceArgs) -> Result<Self, Failure> {
        Self::choose_with(args, &|name| env::var(name).ok().filter(|value| !value.is_empty()))
    }

    /// The tenant it is about, as far as can be told here.
    pub(crate) fn tenant(&self) -> TenantId {
        match self {
            Self::Directory { tenant, .. } => tenant.clone(),
            Self::Server(server) => server.tenant.clone().unwrap_or_else(TenantId::default_tenant),
        }
    }

    fn choose_with(args: &PlaceArgs, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let tenant = args.tenant.as_deref().map(tenant_id).transpose()?;
        let url = args.url.clone().or_else(|| args.data_dir.is_none().then(|| variable("TRACEHOUND_URL")).flatten());
        if let Some(url) = url {
            return Ok(Self::Server(ServerPlace { url: base(&url)?, tenant, key: args.key.clone() }));
        }
        let path = args.data_dir.clone().or_else(|| variable("TRACEHOUND_DATA_DIR").map(PathBuf::from));
        let path = path.map_or_else(platform_data_dir, Ok)?;
        Ok(Self::Directory { path, tenant: tenant.unwrap_or_else(TenantId::default_tenant) })
    }
}

/// The data directory that the environment or the platform names.
pub(crate) fn data_dir(flag: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let of_variable = || env::var_os("TRACEHOUND_DATA_DIR").filter(|value| !value.is_empty()).map(PathBuf::from);
    flag.or_else(of_variable).map_or_else(platform_data_dir, Ok)
}

/// The variables that say how an object store is reached, by lowercase name.
pub(crate) fn store_environment() -> BTreeMap<String, String> {
    let variables =
        env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let of_store = |name: &str| ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|prefix| name.starts_with(prefix));
    variables.filter(|(name, _)| of_store(name)).map(|(name, value)| (name.to_ascii_lowercase(), value)).collect()
}

/// The platform's place for the data of Tracehound.
pub(crate) fn platform_data_dir() -> Result<PathBuf, Failure> {
    let dirs = directories::BaseDirs::new().ok_or_else(|| {
        Failure::new(Exit::Usage, "no-data-dir", "this user has no home directory")
            .hint("say where the data is: --data-dir DIR")
    })?;
    Ok(dirs.data_local_dir().join("tracehound"))
}

fn tenant_id(name: &str) -> Result<TenantId, Failure> {
    name.parse().map_err(|error: tracehound_schema::InvalidTenant| Failure::usage(error.to_string()))
}

fn base(text: &str) -> Result<String, Failure> {
    let hint = "give the server's HTTP address, such as http://127.0.0.1:4320";
    let wrong = |what: String| Failure::usage(format!("{text:?} is not a server's address: {what}")).hint(hint);
    let url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("it has to begin with http:// or https://".to_owned()));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(data_dir: Option<&str>, url: Option<&str>, set: &[(&str, &str)]) -> Place {
        let args =
            PlaceArgs { data_dir: data_dir.map(PathBuf::from), url: url.map(str::to_owned), ..PlaceArgs::default() };
        let variable = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Place::choose_with(&args, &variable).unwrap()
    }

    fn shown(place: Place) -> String {
        match place {
            Place::Directory { path, tenant } => format!("{} {tenant}", path.display()),
            Place::Server(server) => server.url,
        }
    }

    #[test]
    fn flags_go_before_the_environment() {
        let both = [("TRACEHOUND_URL", "http://e:1"), ("TRACEHOUND_DATA_DIR", "e")];
        assert_eq!(shown(place(Some("d"), None, &both)), "d default");
        assert_eq!(shown(place(None, Some("http://f:1/"), &both)), "http://f:1");
        assert_eq!(shown(place(None, None, &both)), "http://e:1");
        assert_eq!(shown(place(None, None, &both[1..])), "e default");
    }

    #[test]
    fn nonsense_is_refused() {
        let refuse = |url: &str, tenant: &str| {
            let args = PlaceArgs { url: Some(url.to_owned()), tenant: Some(tenant.to_owned()), ..PlaceArgs::default() };
            assert_eq!(Place::choose(&args).unwrap_err().exit, Exit::Usage, "{url} {tenant}");
        };
        refuse("127.0.0.1:4320", "default");
        refuse("file:///etc", "default");
        refuse("http://h", "../up");
    }
}
