// A dapanda of its own: a free port, a folder that is gone afterwards, and it can be killed.

import { spawn, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, createWriteStream } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './until.js';

export class Server {
  static async start(binary, logFolder) {
    const server = new Server(binary, await freePort(), join(logFolder, 'server.log'));
    await server.run();
    return server;
  }

  constructor(binary, port, log) {
    this.binary = binary;
    this.data = mkdtempSync(join(tmpdir(), 'dapanda-page-'));
    this.address = `127.0.0.1:${port}`;
    this.url = `http://localhost:${port}`;
    this.log = createWriteStream(log);
  }

  async run() {
    const args = ['--listen', this.address, '--data', this.data];
    this.child = spawn(this.binary, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout.pipe(this.log, { end: false });
    this.child.stderr.pipe(this.log, { end: false });
    await until('the server is ready', async () => {
      if (this.child.exitCode !== null) throw new Error(`the server ended with ${this.child.exitCode}`);
      const response = await fetch(`${this.url}/readyz`).catch(() => null);
      return response?.ok;
    });
  }

  async kill() {
    this.child.kill('SIGKILL');
    await once(this.child, 'exit');
  }

  /** Ctrl-C: returns the exit code. */
  async interrupt() {
    this.child.kill('SIGINT');
    const [code] = await once(this.child, 'exit');
    return code;
  }

  /** What `dapanda …` prints. */
  command(...args) {
    const all = [...args, '--data', this.data];
    return execFileSync(this.binary, all, { encoding: 'utf8', timeout: 30_000 }).trim();
  }

  async end() {
    if (this.child.exitCode === null && this.child.signalCode === null) await this.kill();
    this.log.end();
    rmSync(this.data, { recursive: true, force: true });
  }
}

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}
