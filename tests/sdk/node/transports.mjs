// The SDK's exporters by transport, each keeping what it was asked to send.

import { OTLPLogExporter as GrpcLogs } from '@opentelemetry/exporter-logs-otlp-grpc';
import { OTLPLogExporter as JsonLogs } from '@opentelemetry/exporter-logs-otlp-http';
import { OTLPLogExporter as ProtoLogs } from '@opentelemetry/exporter-logs-otlp-proto';
import { OTLPMetricExporter as GrpcMetrics } from '@opentelemetry/exporter-metrics-otlp-grpc';
import { OTLPMetricExporter as JsonMetrics } from '@opentelemetry/exporter-metrics-otlp-http';
import { OTLPMetricExporter as ProtoMetrics } from '@opentelemetry/exporter-metrics-otlp-proto';
import { OTLPTraceExporter as GrpcSpans } from '@opentelemetry/exporter-trace-otlp-grpc';
import { OTLPTraceExporter as JsonSpans } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtoSpans } from '@opentelemetry/exporter-trace-otlp-proto';

const PATHS = { spans: '/v1/traces', logs: '/v1/logs', metrics: '/v1/metrics' };

export const TRANSPORTS = [
  { name: 'grpc', spans: GrpcSpans, logs: GrpcLogs, metrics: GrpcMetrics, gzip: false },
  { name: 'grpc-gzip', spans: GrpcSpans, logs: GrpcLogs, metrics: GrpcMetrics, gzip: true },
  { name: 'http-protobuf', spans: ProtoSpans, logs: ProtoLogs, metrics: ProtoMetrics, gzip: false },
  { name: 'http-json', spans: JsonSpans, logs: JsonLogs, metrics: JsonMetrics, gzip: false },
  { name: 'http-json-gzip', spans: JsonSpans, logs: JsonLogs, metrics: JsonMetrics, gzip: true },
];

/** An exporter that records in `sent` and `results`. `address` replaces the server's own, so that a proxy may stand between. */
export function exporter(transport, signal, server, { address, ...options } = {}) {
  const isGrpc = transport.name.startsWith('grpc');
  const url = `http://${address ?? server.addresses[isGrpc ? 'otlp-grpc' : 'otlp-http']}${isGrpc ? '' : PATHS[signal]}`;
  const made = new transport[signal]({ url, compression: transport.gzip ? 'gzip' : 'none', ...options });
  const { export: send } = made;
  made.sent = [];
  made.results = [];
  made.export = (items, done) => {
    send.call(made, items, (result) => {
      made.sent.push(items);
      made.results.push(result.code === 0 ? 'SUCCESS' : 'FAILURE');
      done(result);
    });
  };
  return made;
}
