use serde::{Deserialize, Serialize};

/// Bounds that decoding applies to a message and its records.
///
/// The WAL keeps them beside the payloads, so that replay decodes to the same
/// rows and rejections whatever the configuration says by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecodeLimits {
    /// The most bytes a decoded message may take in memory, estimated before it is built.
    /// A message beyond it is refused whole.
    pub decoded_bytes_max: usize,
    /// The most levels of arrays and maps inside one value.
    /// A message beyond it is refused whole.
    pub value_depth_max: usize,
    /// The most attributes of a record, and of each resource, scope, event, link and exemplar.
    /// A record beyond it is rejected.
    pub attributes_max: usize,
    /// The most bytes of one attribute's key and value together.
    /// A record beyond it is rejected.
    pub attribute_bytes_max: usize,
    /// The most events, links, exemplars, buckets or quantiles of a record.
    /// A record beyond it is rejected.
    pub children_max: usize,
    /// The most bytes of a rejected record that are kept with its reason.
    pub reject_bytes_max: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            decoded_bytes_max: 512 << 20,
            value_depth_max: 40,
            attributes_max: 1024,
            attribute_bytes_max: 1 << 20,
            children_max: 16_384,
            reject_bytes_max: 16 << 10,
        }
    }
}
