// A dapanda of its own: a free port, a folder that is gone afterwards, and it can be killed.

import { spawn, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync, createWriteStream } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './until.js';

/** An orderly stop takes half a second at most, on an idle machine. */
const STOP_MS = 10_000;

export class Server {
  /** A first start: on an empty folder, which gets the demo's members, rooms and offers. */
  static async start(binary, log) {
    const server = new Server(binary, newFolder(), log);
    try {
      await server.run();
    } catch (error) {
      await server.end();
      throw error;
    }
    return server;
  }

  constructor(binary, data, log) {
    this.binary = binary;
    this.data = data;
    this.log = createWriteStream(log);
    /** The system's choice at the first start; a restart takes the same. */
    this.port = 0;
  }

  get url() {
    return `http://localhost:${this.port}`;
  }

  async run() {
    const args = ['--listen', `127.0.0.1:${this.port}`, '--data', this.data];
    this.child = spawn(this.binary, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout.pipe(this.log, { end: false });
    this.child.stderr.pipe(this.log, { end: false });
    let head = '';
    const port = () => head.match(/open http:\/\/localhost:(\d+)/)?.[1];
    this.child.stderr.on('data', (text) => {
      if (!port()) head += text;
    });
    await until('the server is ready', async () => {
      if (this.child.exitCode !== null) throw new Error(`the server ended with ${this.child.exitCode}`);
      if (!port()) return false;
      this.port = Number(port());
      const response = await fetch(`${this.url}/readyz`).catch(() => null);
      return response?.ok;
    });
  }

  get isRunning() {
    return this.child.exitCode === null && this.child.signalCode === null;
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

  /** Stops, and starts on a copy of its folder, as after a restored backup. */
  async restore() {
    await this.interrupt();
    const old = this.data;
    this.data = newFolder();
    cpSync(old, this.data, { recursive: true });
    rmSync(old, { recursive: true, force: true });
    await this.run();
  }

  /** What `dapanda …` prints. */
  command(...args) {
    const all = [...args, '--data', this.data];
    return execFileSync(this.binary, all, { encoding: 'utf8', timeout: 30_000 }).trim();
  }

  /** The id of a new chat room. */
  room(...members) {
    return this.command('room', '--members', members.join(','), '--server', this.url);
  }

  /** In order, so that a program compiled for it writes what it covered. */
  async end() {
    if (this.isRunning) {
      const timer = setTimeout(() => this.child.kill('SIGKILL'), STOP_MS);
      await this.interrupt();
      clearTimeout(timer);
    }
    this.log.end();
    rmSync(this.data, { recursive: true, force: true });
  }
}

function newFolder() {
  return mkdtempSync(join(tmpdir(), 'dapanda-page-'));
}
