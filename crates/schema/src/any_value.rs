use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use prost::Message;
use serde_json::{Map, Number, Value as Json};

/// Renders a protobuf-encoded `AnyValue` as JSON.
///
/// Arrays become arrays, maps objects (the last of duplicate keys wins), bytes
/// lowercase hex text, NaN and the infinities text. `None` if the bytes are
/// not an `AnyValue` or hold no value.
pub fn any_value_to_json(bytes: &[u8]) -> Option<Json> {
    to_json(AnyValue::decode(bytes).ok()?)
}

/// Renders a protobuf-encoded `AnyValue` as the text SQL shows: strings and
/// bytes (lowercase hex) bare, everything else as JSON.
pub fn any_value_to_text(bytes: &[u8]) -> Option<String> {
    Some(match any_value_to_json(bytes)? {
        Json::String(text) => text,
        json => json.to_string(),
    })
}

fn to_json(value: AnyValue) -> Option<Json> {
    Some(match value.value? {
        Value::StringValue(text) => Json::String(text),
        Value::BoolValue(value) => Json::Bool(value),
        Value::IntValue(value) => Json::from(value),
        Value::DoubleValue(value) => {
            Number::from_f64(value).map_or_else(|| Json::String(value.to_string()), Json::Number)
        }
        Value::BytesValue(bytes) => Json::String(hex::encode(bytes)),
        Value::ArrayValue(array) => {
            let element = |value| to_json(value).unwrap_or(Json::Null);
            Json::Array(array.values.into_iter().map(element).collect())
        }
        Value::KvlistValue(list) => Json::Object(to_object(list.values)),
        Value::StringValueStrindex(_) => return None,
    })
}

fn to_object(entries: Vec<KeyValue>) -> Map<String, Json> {
    let entry = |KeyValue { key, value, .. }| (key, value.and_then(to_json).unwrap_or(Json::Null));
    entries.into_iter().map(entry).collect()
}
