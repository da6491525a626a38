//! The types that the OpenTelemetry semantic conventions give to attribute keys.
//!
//! Only keys that are not text stand here. `attributes['k']` has the type of
//! its key, whatever a sender sent, so that no sender can change what a query
//! means. Source: semantic conventions 1.37, attribute registry.

use crate::Kind;

/// The type of a key; `None` for text and for keys that the conventions do not know.
pub fn kind(key: &str) -> Option<Kind> {
    let found = KEYS.binary_search_by_key(&key, |(key, _)| key).ok()?;
    Some(KEYS[found].1)
}

use Kind::{Bool, Double, Int};

/// Sorted by key.
const KEYS: &[(&str, Kind)] = &[
    ("artifact.size", Int),
    ("aws.dynamodb.consistent_read", Bool),
    ("aws.dynamodb.count", Int),
    ("aws.dynamodb.limit", Int),
    ("aws.dynamodb.provisioned_read_capacity", Double),
    ("aws.dynamodb.provisioned_write_capacity", Double),
    ("aws.dynamodb.scan_forward", Bool),
    ("aws.dynamodb.scanned_count", Int),
    ("aws.dynamodb.segment", Int),
    ("aws.dynamodb.table_count", Int),
    ("aws.dynamodb.total_segments", Int),
    ("aws.s3.part_number", Int),
    ("azure.cosmosdb.operation.request_charge", Double),
    ("azure.cosmosdb.request.body.size", Int),
    ("azure.cosmosdb.response.sub_status_code", Int),
    ("browser.mobile", Bool),
    ("cassandra.page.size", Int),
    ("cassandra.query.idempotent", Bool),
    ("cassandra.speculative_execution.count", Int),
    ("client.port", Int),
    ("code.column", Int),
    ("code.column.number", Int),
    ("code.line.number", Int),
    ("code.lineno", Int),
    ("cpu.logical_number", Int),
    ("db.cosmosdb.request_charge", Double),
    ("db.cosmosdb.request_content_length", Int),
    ("db.cosmosdb.status_code", Int),
    ("db.cosmosdb.sub_status_code", Int),
    ("db.operation.batch.size", Int),
    ("db.redis.database_index", Int),
    ("db.response.returned_rows", Int),
    ("destination.port", Int),
    ("exception.escaped", Bool),
    ("faas.coldstart", Bool),
    ("faas.max_memory", Int),
    ("file.size", Int),
    ("gen_ai.request.choice.count", Int),
    ("gen_ai.request.frequency_penalty", Double),
    ("gen_ai.request.max_tokens", Int),
    ("gen_ai.request.presence_penalty", Double),
    ("gen_ai.request.seed", Int),
    ("gen_ai.request.temperature", Double),
    ("gen_ai.request.top_k", Double),
    ("gen_ai.request.top_p", Double),
    ("gen_ai.usage.completion_tokens", Int),
    ("gen_ai.usage.input_tokens", Int),
    ("gen_ai.usage.output_tokens", Int),
    ("gen_ai.usage.prompt_tokens", Int),
    ("geo.location.lat", Double),
    ("geo.location.lon", Double),
    ("host.cpu.cache.l2.size", Int),
    ("http.request.body.size", Int),
    ("http.request.resend_count", Int),
    ("http.request.size", Int),
    ("http.request_content_length", Int),
    ("http.request_content_length_uncompressed", Int),
    ("http.resend_count", Int),
    ("http.response.body.size", Int),
    ("http.response.size", Int),
    ("http.response.status_code", Int),
    ("http.response_content_length", Int),
    ("http.response_content_length_uncompressed", Int),
    ("http.status_code", Int),
    ("jsonrpc.error.code", Int),
    ("messaging.batch.message_count", Int),
    ("messaging.destination.anonymous", Bool),
    ("messaging.destination.partition.number", Int),
    ("messaging.destination.temporary", Bool),
    ("messaging.destination_publish.anonymous", Bool),
    ("messaging.eventhubs.message.enqueued_time", Int),
    ("messaging.gcp_pubsub.message.ack_deadline", Int),
    ("messaging.gcp_pubsub.message.delivery_attempt", Int),
    ("messaging.kafka.message.tombstone", Bool),
    ("messaging.kafka.offset", Int),
    ("messaging.message.body.size", Int),
    ("messaging.message.envelope.size", Int),
    ("messaging.rabbitmq.message.delivery_tag", Int),
    ("messaging.rocketmq.message.delay_time_level", Int),
    ("messaging.rocketmq.message.delivery_timestamp", Int),
    ("messaging.servicebus.message.delivery_count", Int),
    ("messaging.servicebus.message.enqueued_time", Int),
    ("net.host.port", Int),
    ("net.peer.port", Int),
    ("net.sock.host.port", Int),
    ("net.sock.peer.port", Int),
    ("network.local.port", Int),
    ("network.peer.port", Int),
    ("otel.dropped_attributes_count", Int),
    ("otel.dropped_events_count", Int),
    ("otel.dropped_links_count", Int),
    ("process.args_count", Int),
    ("process.exit.code", Int),
    ("process.group_leader.pid", Int),
    ("process.interactive", Bool),
    ("process.parent_pid", Int),
    ("process.pid", Int),
    ("process.session_leader.pid", Int),
    ("process.vpid", Int),
    ("rpc.connect_rpc.status", Int),
    ("rpc.grpc.status_code", Int),
    ("rpc.jsonrpc.error_code", Int),
    ("rpc.message.compressed_size", Int),
    ("rpc.message.id", Int),
    ("rpc.message.uncompressed_size", Int),
    ("server.port", Int),
    ("source.port", Int),
    ("system.cpu.logical_number", Int),
    ("thread.id", Int),
    ("url.port", Int),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_looked_up() {
        if let Some(pair) = KEYS.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
            panic!("{} stands before {}", pair[0].0, pair[1].0);
        }
        assert_eq!(kind("http.response.status_code"), Some(Int));
        assert_eq!(kind("exception.escaped"), Some(Bool));
        assert_eq!(kind("gen_ai.request.temperature"), Some(Double));
        assert_eq!(kind("http.route"), None);
    }
}
