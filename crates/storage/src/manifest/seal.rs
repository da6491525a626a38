//! JSON that tells when a byte of it changed: its last key is the SHA-256 of what is before.

use super::entry::hash;

const KEY: &[u8] = b",\"sha256\":\"";
const END: &[u8] = b"\"}";

/// Adds the key to a JSON object.
pub(crate) fn seal(mut json: Vec<u8>) -> Vec<u8> {
    json.pop();
    let sha256 = hash(&json);
    json.extend_from_slice(KEY);
    json.extend_from_slice(sha256.as_bytes());
    json.extend_from_slice(END);
    json
}

/// The JSON object without the key, after checking it.
///
/// # Errors
/// A text that says what is wrong.
pub(crate) fn open(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let sealed = bytes.len().checked_sub(KEY.len() + 64 + END.len()).map(|at| bytes.split_at(at));
    let Some((json, seal)) = sealed else { return Err("it is too short".to_owned()) };
    let sha256 = seal.strip_prefix(KEY).and_then(|rest| rest.strip_suffix(END));
    let Some(sha256) = sha256 else { return Err("it does not end with its hash".to_owned()) };
    if hash(json).as_bytes() != sha256 {
        return Err("its bytes do not have the hash that it names".to_owned());
    }
    Ok([json, b"}"].concat())
}
