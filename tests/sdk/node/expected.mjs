// Rows as `docs/format.md` defines them, computed from the OTLP/JSON message that the SDK serialises.
// This is another implementation of the mapping on purpose: it shares no code with the server.

const KINDS = ['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'];
const STATUS_CODES = ['UNSET', 'OK', 'ERROR'];
const TEMPORALITIES = ['UNSPECIFIED', 'DELTA', 'CUMULATIVE'];
const SECOND = 1_000_000_000n;

const listOrNull = (list, render) => (list?.length ? list.map(render) : null);

function time(ns) {
  const seconds = BigInt(ns) / SECOND;
  const fraction = String(BigInt(ns) % SECOND).padStart(9, '0');
  return new Date(Number(seconds) * 1000).toISOString().replace(/\.000Z$/, `.${fraction}Z`);
}

const timeOrNull = (ns) => (ns && ns !== '0' ? time(ns) : null);

function anyValue(value = {}) {
  if ('bytesValue' in value) return Buffer.from(value.bytesValue, 'base64').toString('hex');
  if ('arrayValue' in value) return value.arrayValue.values.map(anyValue);
  if ('kvlistValue' in value) return attributes(value.kvlistValue.values);
  return value.stringValue ?? value.boolValue ?? value.intValue ?? value.doubleValue ?? null;
}

const attributes = (pairs = []) => Object.fromEntries(pairs.map(({ key, value }) => [key, anyValue(value)]));

function origin(resourceGroup, scopeGroup) {
  const { resource } = resourceGroup;
  const { scope } = scopeGroup;
  return {
    service_name: attributes(resource.attributes)['service.name'] ?? null,
    resource: attributes(resource.attributes),
    resource_dropped_attributes_count: resource.droppedAttributesCount ?? 0,
    resource_schema_url: resourceGroup.schemaUrl || null,
    scope_name: scope.name || null,
    scope_version: scope.version || null,
    scope: attributes(scope.attributes),
    scope_dropped_attributes_count: scope.droppedAttributesCount ?? 0,
    scope_schema_url: scopeGroup.schemaUrl || null,
  };
}

export function spanRows({ resourceSpans }) {
  return resourceSpans.flatMap((resource) =>
    resource.scopeSpans.flatMap((scope) => scope.spans.map((span) => ({ ...spanRow(span), ...origin(resource, scope) }))),
  );
}

function spanRow(span) {
  return {
    start_time: time(span.startTimeUnixNano),
    end_time: time(span.endTimeUnixNano),
    duration_ns: Number(BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)),
    trace_id: span.traceId,
    span_id: span.spanId,
    parent_span_id: span.parentSpanId || null,
    trace_state: span.traceState || null,
    flags: span.flags,
    name: span.name,
    kind: KINDS[span.kind],
    status_code: STATUS_CODES[span.status.code],
    status_message: span.status.message || null,
    events: listOrNull(span.events, (event) => ({
      time: time(event.timeUnixNano),
      name: event.name,
      attributes: attributes(event.attributes),
      dropped_attributes_count: event.droppedAttributesCount,
    })),
    dropped_events_count: span.droppedEventsCount,
    links: listOrNull(span.links, (link) => ({
      trace_id: link.traceId,
      span_id: link.spanId,
      trace_state: link.traceState || null,
      attributes: attributes(link.attributes),
      dropped_attributes_count: link.droppedAttributesCount,
      flags: link.flags,
    })),
    dropped_links_count: span.droppedLinksCount,
    attributes: attributes(span.attributes),
    dropped_attributes_count: span.droppedAttributesCount,
  };
}

export function logRows({ resourceLogs }) {
  return resourceLogs.flatMap((resource) =>
    resource.scopeLogs.flatMap((scope) => scope.logRecords.map((record) => ({ ...logRow(record), ...origin(resource, scope) }))),
  );
}

function logRow(record) {
  const body = anyValue(record.body);
  return {
    time: timeOrNull(record.timeUnixNano) ?? time(record.observedTimeUnixNano),
    observed_time: timeOrNull(record.observedTimeUnixNano),
    trace_id: record.traceId || null,
    span_id: record.spanId || null,
    flags: record.flags ?? 0,
    severity_number: record.severityNumber ?? 0,
    severity_text: record.severityText || null,
    event_name: record.eventName || null,
    body: typeof body === 'string' || body === null ? body : JSON.stringify(body),
    attributes: attributes(record.attributes),
    dropped_attributes_count: record.droppedAttributesCount,
  };
}

const METRIC_COLUMNS = [
  'temporality', 'is_monotonic', 'value', 'value_int', 'count', 'sum', 'min', 'max', 'bucket_counts', 'explicit_bounds',
  'scale', 'zero_count', 'zero_threshold', 'positive_offset', 'positive_bucket_counts', 'negative_offset', 'negative_bucket_counts',
];
const METRIC_KINDS = { gauge: 'gauge', sum: 'sum', histogram: 'histogram', exponentialHistogram: 'exponential_histogram' };

export function metricRows({ resourceMetrics }) {
  return resourceMetrics.flatMap((resource) =>
    resource.scopeMetrics.flatMap((scope) =>
      scope.metrics.flatMap((metric) => {
        const kind = Object.keys(METRIC_KINDS).find((name) => name in metric);
        const row = (point) => ({ ...metricRow(metric, kind, point), ...origin(resource, scope) });
        return metric[kind].dataPoints.map(row);
      }),
    ),
  );
}

function metricRow(metric, kind, point) {
  const row = {
    ...Object.fromEntries(METRIC_COLUMNS.map((name) => [name, null])),
    time: time(point.timeUnixNano),
    start_time: timeOrNull(point.startTimeUnixNano),
    name: metric.name,
    description: metric.description || null,
    unit: metric.unit || null,
    kind: METRIC_KINDS[kind],
    flags: point.flags ?? 0,
    attributes: attributes(point.attributes),
  };
  if (kind !== 'gauge') row.temporality = TEMPORALITIES[metric[kind].aggregationTemporality];
  if (kind === 'sum') row.is_monotonic = metric.sum.isMonotonic;
  if (kind === 'gauge' || kind === 'sum') {
    return { ...row, value: point.asInt ?? point.asDouble, value_int: point.asInt ?? null };
  }
  Object.assign(row, { count: point.count, sum: point.sum ?? null, min: point.min ?? null, max: point.max ?? null });
  if (kind === 'histogram') return { ...row, bucket_counts: point.bucketCounts, explicit_bounds: point.explicitBounds };
  return {
    ...row,
    scale: point.scale,
    zero_count: point.zeroCount,
    zero_threshold: point.zeroThreshold ?? 0,
    positive_offset: point.positive.offset,
    positive_bucket_counts: point.positive.bucketCounts,
    negative_offset: point.negative.offset,
    negative_bucket_counts: point.negative.bucketCounts,
  };
}
