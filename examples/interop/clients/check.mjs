// What the Node scripts of this folder share: a deadline, named checks, and a
// socket whose messages are awaited one by one.

import { isDeepStrictEqual, inspect } from 'node:util';
import WebSocket from 'ws';

const DEADLINE_MS = 20_000;

// run calls main with the server's URL, the script's only argument. It prints
// one line per check and ends the process: 0 if all checks held, 1 if one did
// not or the deadline passed.
export function run(main) {
  const url = process.argv[2];
  if (!url) {
    console.error('usage: node SCRIPT ws://HOST:PORT/PATH');
    process.exit(2);
  }
  setTimeout(() => {
    console.log(`not ok - deadline of ${DEADLINE_MS / 1000} s passed; last check begun: ${current}`);
    process.exit(1);
  }, DEADLINE_MS);
  main(url).then(
    () => {
      console.log(`done: ${passed} checks`);
      process.exit(passed > 0 ? 0 : 1);
    },
    (err) => {
      console.log(`not ok - ${current}: ${err?.stack ?? inspect(err)}`);
      process.exit(1);
    },
  );
}

let current = 'none';
let passed = 0;

// check runs one named check; an exception of fn fails the whole script.
export async function check(name, fn) {
  current = name;
  await fn();
  passed++;
  console.log(`ok - ${name}`);
}

// equal throws unless got and want are the same in type and value.
export function equal(got, want, what = 'value') {
  if (!isDeepStrictEqual(got, want)) {
    throw new Error(`${what}: got ${inspect(got)}, want ${inspect(want)}`);
  }
}

// rejects awaits promise and returns what it was rejected with.
export async function rejects(promise) {
  let value;
  try {
    value = await promise;
  } catch (err) {
    return err;
  }
  throw new Error(`got ${inspect(value)}, want a rejection`);
}

// Socket is a ws client whose messages wait in a queue until next is called.
export class Socket {
  #queue = [];
  #waiting = [];

  // open resolves to a Socket whose handshake is done.
  static open(url, protocols = [], options = {}) {
    return new Promise((resolve, reject) => {
      const ws = new WebSocket(url, protocols, options);
      const s = new Socket(ws);
      ws.once('upgrade', (response) => (s.response = response));
      ws.once('error', reject);
      ws.once('open', () => {
        ws.off('error', reject);
        ws.on('error', (err) => s.#fail(err));
        resolve(s);
      });
    });
  }

  constructor(ws) {
    this.ws = ws;
    this.closed = new Promise((resolve) => {
      ws.on('close', (code, reason) => {
        resolve({ code, reason: reason.toString() });
        this.#fail(new Error(`closed with ${code} ${reason}`));
      });
    });
    ws.on('message', (data, isBinary) => {
      const message = { data, isBinary };
      const waiter = this.#waiting.shift();
      if (waiter) waiter.resolve(message);
      else this.#queue.push(message);
    });
  }

  #fail(err) {
    for (const waiter of this.#waiting.splice(0)) waiter.reject(err);
  }

  // next resolves to the next message: its bytes and whether it was binary.
  next() {
    if (this.#queue.length > 0) return Promise.resolve(this.#queue.shift());
    if (this.ws.readyState !== WebSocket.OPEN) return Promise.reject(new Error('socket is not open'));
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  // close starts the closing handshake and resolves to what the server answered.
  close(code = 1000, reason = '') {
    this.ws.close(code, reason);
    return this.closed;
  }
}
