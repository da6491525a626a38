//! The names of compressions, as headers have them.

use axum::http::HeaderMap;
use axum::http::header::CONTENT_ENCODING;

use super::refusal::Refusal;

/// How a body may be compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 8878, any number of frames.
    Zstd,
}

/// The most compressions of one body.
const LAYERS_MAX: usize = 2;

impl Compression {
    /// The name in HTTP and gRPC.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// Reads one name; `None` is identity.
    pub(crate) fn parse(name: &str) -> Result<Option<Self>, Refusal> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("identity") {
            Ok(None)
        } else if is("gzip") || is("x-gzip") {
            Ok(Some(Self::Gzip))
        } else if is("zstd") {
            Ok(Some(Self::Zstd))
        } else {
            Err(Refusal::compression(format!("the compression {name:?} is not known here: use gzip, zstd or identity")))
        }
    }

    /// The compressions that Content-Encoding lists, in the order in which they were applied.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Vec<Self>, Refusal> {
        let mut applied = Vec::new();
        for value in headers.get_all(CONTENT_ENCODING) {
            let value = value.to_str().map_err(|_| Refusal::bad_header("content-encoding"))?;
            for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                applied.extend(Self::parse(name)?);
                if applied.len() > LAYERS_MAX {
                    let message = format!("at most {LAYERS_MAX} compressions of one body are accepted");
                    return Err(Refusal::compression(message));
                }
            }
        }
        Ok(applied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn check(values: &[&'static str], expected: Option<&[Compression]>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_ENCODING, HeaderValue::from_static(value));
        }
        assert_eq!(Compression::of(&headers).ok().as_deref(), expected, "{values:?}");
    }

    #[test]
    fn content_encodings() {
        use Compression::{Gzip, Zstd};
        check(&[], Some(&[]));
        check(&["identity"], Some(&[]));
        check(&["GZIP"], Some(&[Gzip]));
        check(&["x-gzip"], Some(&[Gzip]));
        check(&["gzip, zstd"], Some(&[Gzip, Zstd]));
        check(&["gzip", "zstd"], Some(&[Gzip, Zstd]));
        check(&[" , gzip ,"], Some(&[Gzip]));
        check(&["gzip, gzip, gzip"], None);
        check(&["br"], None);
        check(&["deflate"], None);
        check(&["gzip, br"], None);
    }
}
