//! The identity of a metric's series.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use prost::Message;
use sha2::{Digest, Sha256};

use crate::origin::Origin;
use crate::text::value_of;

/// The part of `series_id` that the points of one metric share.
///
/// The hash covers, in this order: resource attributes, scope name, version
/// and attributes, metric name, unit, kind, temporality (`i32`), monotonicity
/// (one byte), point attributes. Text is preceded by its length and maps by their number of
/// entries, as little-endian `u64`; maps are sorted by key, entries of one key
/// in the order sent; a value is the protobuf encoding of its `AnyValue`.
#[derive(Debug, Clone)]
pub(crate) struct Series(Sha256);

impl Series {
    /// The series of an origin.
    pub(crate) fn of_origin(origin: &Origin<'_>) -> Self {
        let mut series = Self(Sha256::new());
        series.map(&origin.resource.attributes);
        series.bytes(origin.scope.name.as_bytes());
        series.bytes(origin.scope.version.as_bytes());
        series.map(&origin.scope.attributes);
        series
    }

    /// The series of a metric of that origin.
    pub(crate) fn of_metric(&self, name: &str, unit: &str, kind: &str, temporality: i32, is_monotonic: bool) -> Self {
        let mut series = self.clone();
        for text in [name, unit, kind] {
            series.bytes(text.as_bytes());
        }
        series.0.update(temporality.to_le_bytes());
        series.0.update([u8::from(is_monotonic)]);
        series
    }

    /// The id of a point of that metric.
    pub(crate) fn id(&self, attributes: &[KeyValue]) -> [u8; 16] {
        let mut series = self.clone();
        series.map(attributes);
        let hash = series.0.finalize();
        std::array::from_fn(|index| hash[index])
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn map(&mut self, attributes: &[KeyValue]) {
        let mut sorted: Vec<&KeyValue> = attributes.iter().collect();
        sorted.sort_by_key(|attribute| attribute.key.as_str());
        self.0.update((sorted.len() as u64).to_le_bytes());
        for attribute in sorted {
            self.bytes(attribute.key.as_bytes());
            match value_of(attribute) {
                None => self.bytes(&[]),
                Some(_) => {
                    let bytes = attribute.value.as_ref().map(Message::encode_to_vec);
                    self.bytes(&bytes.unwrap_or_default());
                }
            }
        }
    }
}
