import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { ROOT_CONTEXT } from '@opentelemetry/api';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';

import { ATTRIBUTES, sendLogs, sendMetrics, sendSpans, service } from './send.mjs';
import { Server } from './server.mjs';
import { TRANSPORTS, exporter as makeExporter } from './transports.mjs';

const STATES = [
  { name: 'at once', reach: async () => {} },
  { name: 'after a crash', reach: (server) => restart(server, 'SIGKILL') },
  { name: 'after a clean restart', reach: (server) => restart(server, 'SIGTERM') },
];
const TEMPORALITIES = ['DELTA', 'CUMULATIVE'];
const directory = mkdtempSync(path.join(tmpdir(), 'tracehound-node-'));
const server = new Server(directory);

async function restart(server, signal) {
  await server.end(signal);
  await server.start();
}

async function assertRows(table, serviceName, sent, identity, normalize = (row) => row) {
  const columns = Object.keys(sent[0]).map((name) => `"${name}"`);
  const found = await server.query(`SELECT ${columns} FROM ${table} WHERE service_name = $service`, { service: serviceName });
  const byIdentity = (rows) => rows.map(normalize).sort((a, b) => (identity(a) < identity(b) ? -1 : 1));
  assert.equal(new Set(sent.map(identity)).size, sent.length, 'what was sent has no identity');
  assert.deepEqual(byIdentity(found), byIdentity(sent));
}

/** Structured bodies compare as JSON, since JSON text is free in its spaces. */
function bodyAsJson(row) {
  try {
    return { ...row, body: JSON.parse(row.body) };
  } catch {
    return row;
  }
}

before(() => server.start());
after(async () => {
  await server.end('SIGKILL');
  rmSync(directory, { recursive: true });
});

describe('SQL returns what the SDK sent', () => {
  const sent = new Map();

  for (const transport of TRANSPORTS) {
    test(`${transport.name}: every export succeeds`, async () => {
      const metrics = {};
      for (const temporality of TEMPORALITIES) metrics[temporality] = await sendMetrics(transport, server, temporality);
      sent.set(transport, { spans: await sendSpans(transport, server), logs: await sendLogs(transport, server), metrics });
    });
  }

  test('what was sent is worth comparing', () => {
    for (const { spans, logs, metrics } of sent.values()) {
      const everything = spans.find((row) => row.name === 'everything');
      assert.deepEqual(everything.attributes, ATTRIBUTES);
      assert.equal(everything.events.length, 4);
      assert.equal(everything.dropped_events_count, 3);
      assert.equal(everything.links.length, 1);
      assert.equal(new Set(logs.map((row) => row.body)).size, 8);
      const kinds = new Set(metrics.DELTA.map((row) => row.kind));
      assert.deepEqual([...kinds].sort(), ['exponential_histogram', 'gauge', 'histogram', 'sum']);
    }
    assert.equal(sent.size, TRANSPORTS.length);
  });

  for (const state of STATES) {
    test(state.name, async (t) => {
      await state.reach(server);
      for (const transport of TRANSPORTS) {
        const { spans, logs, metrics } = sent.get(transport);
        await t.test(`${transport.name}: spans`, () => assertRows('spans', service(transport), spans, (row) => row.span_id));
        await t.test(`${transport.name}: logs`, () => assertRows('logs', service(transport), logs, (row) => row.time, bodyAsJson));
        for (const temporality of TEMPORALITIES) {
          const identity = (row) => JSON.stringify([row.name, row.attributes, row.time]);
          await t.test(`${transport.name}: metrics, ${temporality}`, () =>
            assertRows('metrics', `${service(transport)}-${temporality}`, metrics[temporality], identity),
          );
        }
      }
    });
  }
});

describe('an exporter meets trouble', () => {
  async function send(exporter, serviceName, count) {
    const provider = new NodeTracerProvider({
      resource: resourceFromAttributes({ 'service.name': serviceName }),
      spanProcessors: [new BatchSpanProcessor(exporter, { scheduledDelayMillis: 3_600_000, exportTimeoutMillis: 60_000 })],
    });
    const tracer = provider.getTracer('failures');
    const ids = Array.from({ length: count }, (_, n) => {
      const span = tracer.startSpan(`span ${n}`, {}, ROOT_CONTEXT);
      span.end();
      return span.spanContext().spanId;
    });
    await provider.forceFlush().catch(() => {});
    await provider.shutdown();
    return ids.sort();
  }

  async function stored(serviceName) {
    const rows = await server.query('SELECT span_id FROM spans WHERE service_name = $service', { service: serviceName });
    return rows.map((row) => row.span_id).sort();
  }

  // Not gRPC: the SDK's exporter for it gives up at once where nobody listens.
  for (const transport of TRANSPORTS.filter(({ name, gzip }) => !gzip && name !== 'grpc')) {
    test(`${transport.name}: a restart in the middle loses and doubles nothing`, async () => {
      const name = `node-restart-${transport.name}`;
      await server.end('SIGTERM');
      const exporter = makeExporter(transport, 'spans', server, { timeoutMillis: 30_000 });
      const sending = send(exporter, name, 20);
      await new Promise((resolve) => setTimeout(resolve, 500));
      await server.start();
      const ids = await sending;
      assert.deepEqual(exporter.results, ['SUCCESS']);
      assert.deepEqual(await stored(name), ids);
    });
  }

  for (const transport of TRANSPORTS.filter(({ name }) => name === 'http-protobuf' || name === 'http-json')) {
    test(`${transport.name}: a lost reply is retried and stored once`, async () => {
      const name = `node-lost-reply-${transport.name}`;
      const proxy = await lossyProxy(server.addresses['otlp-http']);
      const exporter = makeExporter(transport, 'spans', server, { address: proxy.address, timeoutMillis: 30_000 });
      const ids = await send(exporter, name, 20);
      proxy.close();
      assert.ok(proxy.replies() >= 2, 'the SDK did not send again, so nothing was tested');
      assert.deepEqual(exporter.results, ['SUCCESS']);
      assert.deepEqual(await stored(name), ids);
    });
  }

  /** Forwards to `target`; the first reply is lost and its connection reset, later ones pass. */
  async function lossyProxy(target) {
    const [host, port] = target.split(':');
    let replies = 0;
    const clients = new Set();
    const listener = net.createServer((client) => {
      clients.add(client);
      const upstream = net.connect(Number(port), host);
      client.pipe(upstream);
      upstream.on('data', (data) => {
        replies += 1;
        if (replies === 1) {
          upstream.destroy();
          client.resetAndDestroy();
        } else {
          client.write(data);
        }
      });
      upstream.on('error', () => client.destroy());
      client.on('error', () => upstream.destroy());
      client.on('close', () => upstream.destroy());
    });
    await new Promise((resolve) => listener.listen(0, '127.0.0.1', resolve));
    // The SDK keeps its connection, which would keep this process.
    const close = () => {
      listener.close();
      clients.forEach((client) => client.destroy());
    };
    return { address: `127.0.0.1:${listener.address().port}`, replies: () => replies, close };
  }
});
