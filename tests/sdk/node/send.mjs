// What an application does: spans, logs and metrics of every shape, sent by the SDK.

import { setTimeout } from 'node:timers/promises';

import { ROOT_CONTEXT, SpanKind, SpanStatusCode, TraceFlags, ValueType, createTraceState, trace } from '@opentelemetry/api';
import { JsonLogsSerializer, JsonMetricsSerializer, JsonTraceSerializer } from '@opentelemetry/otlp-transformer';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';
import {
  AggregationTemporality,
  AggregationType,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';

import { logRows, metricRows, spanRows } from './expected.mjs';
import { exporter as makeExporter } from './transports.mjs';

const SCHEMA = { schemaUrl: 'https://example.org/scope/1' };
const CALLER = {
  traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
  spanId: '00f067aa0ba902b7',
  traceFlags: TraceFlags.SAMPLED,
  traceState: createTraceState('vendor=a:b,other=1'),
  isRemote: true,
};
export const ATTRIBUTES = {
  text: 'naïve ☕ 🐾',
  'text.empty': '',
  'text.numeric': '17',
  'text.long': 'x'.repeat(20_000),
  'bool.true': true,
  'bool.false': false,
  int: 42,
  'int.negative': -7,
  'int.large': Number.MAX_SAFE_INTEGER,
  double: 1.5,
  'double.tiny': 5e-324,
  'list.text': ['a', 'b', ''],
  'list.int': [1, 2, 3],
  'list.double': [0.5, 2.25],
  'list.bool': [true, false],
  'list.empty': [],
  'quote\'s "key" \\ back': 'odd key',
};

export const service = (transport) => `node-${transport.name}`;

const parse = (serializer, items) => JSON.parse(new TextDecoder().decode(serializer.serializeRequest(items)));

function succeeded({ results }) {
  if (results.length === 0 || results.some((result) => result !== 'SUCCESS')) throw new Error(`exports: ${results}`);
}

export async function sendSpans(transport, server) {
  const exporter = makeExporter(transport, 'spans', server);
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({ 'service.name': service(transport), 'host.cpus': 8, zones: ['a', 'b'], load: 0.25 }),
    spanLimits: { eventCountLimit: 4 },
    spanProcessors: [new BatchSpanProcessor(exporter)],
  });
  const tracer = provider.getTracer('scope.name', '0.1', SCHEMA);
  const start = [1_795_000_000, 123_456_789];
  const after = (ns) => [start[0], start[1] + ns];

  const root = tracer.startSpan(
    'GET /invoices',
    { kind: SpanKind.SERVER, startTime: start, attributes: { 'user.id': 'u-4711', 'user.roles': ['user', 'support'] } },
    trace.setSpanContext(ROOT_CONTEXT, CALLER),
  );
  const everything = tracer.startSpan(
    'everything',
    {
      startTime: after(1),
      attributes: ATTRIBUTES,
      links: [{ context: CALLER, attributes: { why: 'retry', n: 3 } }],
    },
    trace.setSpan(ROOT_CONTEXT, root),
  );
  for (let n = 0; n < 6; n++) everything.addEvent(`event ${n}`, { n, list: ['a', 'b'], share: n + 0.5 }, after(10 + n));
  everything.recordException(new Error('no such invoice'), after(30));
  everything.setStatus({ code: SpanStatusCode.ERROR, message: 'it failed — «badly»' });
  const client = tracer.startSpan(
    'export',
    { kind: SpanKind.CLIENT, startTime: after(2), attributes: { 'server.address': 'storage.example.org' } },
    trace.setSpan(ROOT_CONTEXT, everything),
  );
  client.setStatus({ code: SpanStatusCode.OK });
  client.end(after(2));
  everything.end(after(50));
  root.end([start[0] + 3600, 1]);
  for (const kind of [SpanKind.PRODUCER, SpanKind.CONSUMER]) tracer.startSpan('root', { kind }, ROOT_CONTEXT).end();

  await provider.forceFlush();
  await provider.shutdown();
  succeeded(exporter);
  return spanRows(parse(JsonTraceSerializer, exporter.sent.flat()));
}

export async function sendLogs(transport, server) {
  const exporter = makeExporter(transport, 'logs', server);
  const provider = new LoggerProvider({
    resource: resourceFromAttributes({ 'service.name': service(transport), cpus: 4 }),
    processors: [new BatchLogRecordProcessor({ exporter })],
  });
  const logger = provider.getLogger('log.scope', '2.0', SCHEMA);
  const bodies = [
    'plain text, ☕',
    '',
    true,
    17,
    2.5,
    new Uint8Array([1, 2]),
    ['a', 1, 0.5, false, null],
    { user: { id: 7, tags: ['x', 'y'] }, ok: true },
  ];
  bodies.forEach((body, n) => {
    logger.emit({
      timestamp: [1_795_000_000, n + 1],
      observedTimestamp: [1_795_000_000, 1_000_000 + n],
      severityNumber: n * 3,
      severityText: n % 3 ? undefined : 'WARN',
      body,
      attributes: { n, list: ['a', 'b'], map: { deep: [1, 2.5] }, bytes: new Uint8Array([0, 255]), 'user.id': `u-${n}` },
      eventName: n === 4 ? 'login.failed' : undefined,
      context: n % 2 ? trace.setSpanContext(ROOT_CONTEXT, CALLER) : ROOT_CONTEXT,
    });
  });
  await provider.forceFlush();
  await provider.shutdown();
  succeeded(exporter);
  return logRows(parse(JsonLogsSerializer, exporter.sent.flat()));
}

export async function sendMetrics(transport, server, temporality) {
  const temporalityPreference = AggregationTemporality[temporality];
  const exporter = makeExporter(transport, 'metrics', server, { temporalityPreference });
  const provider = new MeterProvider({
    resource: resourceFromAttributes({ 'service.name': `${service(transport)}-${temporality}`, cpus: 4 }),
    readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000, exportTimeoutMillis: 30_000 })],
    views: [
      { instrumentName: 'exponential.*', aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM, options: { maxSize: 20 } } },
    ],
  });
  const meter = provider.getMeter('meter.scope', '3.0', SCHEMA);
  const logins = meter.createCounter('auth.login.attempts', { unit: '{attempt}', description: 'tried', valueType: ValueType.INT });
  const traffic = meter.createCounter('traffic', { unit: 'By' });
  const open = meter.createUpDownCounter('sessions.open');
  const duration = meter.createHistogram('duration', { unit: 's', advice: { explicitBucketBoundaries: [0.1, 1, 10] } });
  const sizes = meter.createHistogram('exponential.sizes', { unit: 'By' });
  const temperature = meter.createGauge('temperature', { unit: 'Cel' });
  meter.createObservableGauge('queue.length', { valueType: ValueType.INT }).addCallback((result) => {
    result.observe(5, { queue: 'a' });
    result.observe(-1, { queue: 'b' });
  });
  for (let n = 0; n < 2; n++) {
    logins.add(3, { user_id: 'u-1', source_region: 'EU' });
    logins.add(2 ** 40, { user_id: 'u-2', source_region: 'US' });
    traffic.add(0.5, { bool: true, int: 1, list: ['a', 'b'] });
    open.add(-4);
    for (const seconds of [0.05, 0.5, 5, 50]) duration.record(seconds, { route: '/invoices' });
    for (const size of [0, 1, 1000, 4096.5]) sizes.record(size);
    temperature.record(-3.25, { room: '1' });
    await provider.forceFlush();
    // The SDK's clock ticks in milliseconds: two collections within one could not be told apart.
    await setTimeout(5);
  }
  await provider.shutdown();
  succeeded(exporter);
  return exporter.sent.flatMap((data) => metricRows(parse(JsonMetricsSerializer, data)));
}
