use url::Url;

use super::{Place, connect};
use crate::StoreOptions;

fn check(url: &str, change: impl FnOnce(&mut StoreOptions), expected: Result<&str, &str>) {
    let mut options = StoreOptions::default();
    let credentials =
        [("aws_access_key_id", "x"), ("aws_secret_access_key", "y"), ("azure_storage_account_name", "account")];
    let credentials = credentials.into_iter().chain([("google_skip_signature", "true"), ("aws_profile", "unknown")]);
    options.environment = credentials.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    change(&mut options);
    let found = match connect(&url.parse::<Url>().unwrap(), &options) {
        Ok(Place::Folder(folder)) => Ok(folder.display().to_string()),
        Ok(Place::Remote(store)) => Ok(store.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match (found, expected) {
        (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{url}"),
        (Err(found), Err(expected)) => assert!(found.contains(expected), "{url}: {found}"),
        (found, _) => panic!("{url}: {found:?}"),
    }
}

#[test]
fn urls_name_stores() {
    let plain = |_: &mut StoreOptions| {};
    check("s3://bucket", plain, Ok("AmazonS3(bucket)"));
    check("s3://bucket/", plain, Ok("AmazonS3(bucket)"));
    check("s3://bucket/a/b", plain, Ok("PrefixObjectStore(a/b)"));
    check("gs://bucket", plain, Ok("GoogleCloudStorage(bucket)"));
    check("az://container", plain, Ok("MicrosoftAzure { account: account, container: container }"));
    check("file:///srv/shared", plain, Ok("/srv/shared"));
}

#[test]
fn what_makes_no_store_is_refused() {
    let plain = |_: &mut StoreOptions| {};
    check("ftp://bucket", plain, Err("must begin with s3://"));
    check("s3:///prefix", plain, Err("names no bucket"));
    check("s3://key:secret@bucket", plain, Err("must have no user"));
    check("s3://bucket/a?b=c", plain, Err("must have no user"));
    let setting = |options: &mut StoreOptions| drop(options.settings.insert("aws_regoin".to_owned(), "x".to_owned()));
    check("s3://bucket", setting, Err("it has no setting \"aws_regoin\""));
    check("az://container", |options| options.environment.clear(), Err("Account must be specified"));
}

#[test]
fn a_secret_in_a_url_is_not_repeated() {
    let url = "s3://key:secret@bucket/prefix".parse().unwrap();
    let error = connect(&url, &StoreOptions::default()).err().unwrap().to_string();
    assert!(!error.contains("secret"), "{error}");
}
