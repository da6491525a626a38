// Runs the built `tracehound` binary, and asks it SQL.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import readline from 'node:readline';

const READY_MS = 60_000;
const LISTENING = /^(http|otlp-grpc|otlp-http) listening on http:\/\/(127\.0\.0\.1:\d+)$/;

function binary() {
  if (process.env.TRACEHOUND_BIN) return process.env.TRACEHOUND_BIN;
  const target = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL('../../../target', import.meta.url));
  return path.join(target, 'debug', 'tracehound');
}

/** One server on one data directory. It may be stopped, killed and started again on the same ports. */
export class Server {
  addresses = { http: '127.0.0.1:0', 'otlp-grpc': '127.0.0.1:0', 'otlp-http': '127.0.0.1:0' };

  constructor(directory) {
    this.directory = directory;
    this.logFile = path.join(directory, 'stderr.log');
  }

  async start() {
    const addresses = Object.entries(this.addresses).flatMap(([name, address]) => [`--${name}`, address]);
    const dataDir = path.join(this.directory, 'data');
    this.process = spawn(binary(), ['serve', '--data-dir', dataDir, ...addresses], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.exited = once(this.process, 'exit');
    this.process.stderr.on('data', (data) => appendFileSync(this.logFile, data));
    const late = setTimeout(() => this.process.kill('SIGKILL'), READY_MS);
    try {
      for await (const line of readline.createInterface({ input: this.process.stdout })) {
        if (line === 'ready') {
          this.process.stdout.resume();
          return this;
        }
        const match = LISTENING.exec(line);
        if (match) this.addresses[match[1]] = match[2];
      }
    } finally {
      clearTimeout(late);
    }
    throw new Error(`the server ended before it was ready: ${this.log()}`);
  }

  async end(signal) {
    this.process.kill(signal);
    const [code] = await this.exited;
    if (signal === 'SIGTERM' && code !== 0) throw new Error(`the server ended with ${code}: ${this.log()}`);
  }

  log() {
    try {
      return readFileSync(this.logFile, 'utf8').slice(-4000);
    } catch {
      return '(it said nothing)';
    }
  }

  /** The rows of the answer, as objects. */
  async query(sql, params = {}) {
    const response = await fetch(`http://${this.addresses.http}/api/v1/query`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify({ sql, params, limits: { max_rows: 100_000 } }),
    });
    if (!response.ok) throw new Error(`${response.status} for ${sql}: ${await response.text()}`);
    const { columns, rows, truncated } = await response.json();
    if (truncated !== false) throw new Error('the answer is truncated');
    return rows.map((row) => Object.fromEntries(row.map((value, n) => [columns[n].name, value])));
  }
}
