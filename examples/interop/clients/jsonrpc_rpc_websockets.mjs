// npm package rpc-websockets against the calculator example. The package has
// no batches; its subscribe and listMethods call methods of its own server
// ("rpc.on", "__listMethods"), which here are unknown methods like any other.

import { Client, CommonClient } from 'rpc-websockets';
import WebSocket from 'ws';
import { check, equal, rejects, run } from './check.mjs';

const TIMEOUT_MS = 5_000;
// A lost connection is a failure here, not something to mend in silence.
const OPTIONS = { reconnect: false };

run(async (url) => {
  await check('its defaults connect: no subprotocol offered, none chosen', async () => {
    const client = new Client(url, OPTIONS);
    await opened(client);
    equal(client.socket.protocol, '', 'protocol');
    await exercise(client, 'no subprotocol');
    await closed(client);
  });

  await check('with the subprotocol wireroom.v1.json', async () => {
    // Client has no way to offer a subprotocol; CommonClient takes the factory of its socket.
    const factory = (address, options) => new WebSocket(address, ['wireroom.v1.json'], options);
    const client = new CommonClient(factory, url, OPTIONS);
    await opened(client);
    equal(client.socket.protocol, 'wireroom.v1.json', 'protocol');
    await exercise(client, 'wireroom.v1.json');
    await closed(client);
  });

  await check('ids of its own making, strings', async () => {
    let n = 0;
    const client = new Client(url, OPTIONS, () => `call/${++n}`);
    await opened(client);
    equal(await client.call('subtract', [42, 23], TIMEOUT_MS), 19);
    equal(await client.call('sum', [1, 2, 4], TIMEOUT_MS), 7);
    equal(n, 2, 'ids made');
    await closed(client);
  });
});

async function exercise(client, label) {
  const call = (method, params) => client.call(method, params, TIMEOUT_MS);

  await check(`${label}: subtract by position`, async () => {
    equal(await call('subtract', [42, 23]), 19);
    equal(await call('subtract', [23, 42]), -19);
  });
  await check(`${label}: subtract by name`, async () => {
    equal(await call('subtract', { subtrahend: 23, minuend: 42 }), 19);
    equal(await call('subtract', { minuend: 42, subtrahend: 23 }), 19);
  });
  await check(`${label}: sum of any number of parameters`, async () => {
    equal(await call('sum', [1, 2, 4]), 7);
    equal(await call('sum', [5]), 5);
  });
  await check(`${label}: a method without parameters`, async () => {
    equal(await call('get_data'), ['hello', 5]);
  });
  await check(`${label}: notifications are taken and not answered`, async () => {
    const answers = [];
    const listen = ({ data }) => answers.push(JSON.parse(data));
    client.socket.addEventListener('message', listen);
    await client.notify('update', [1, 2, 3, 4, 5]);
    await client.notify('notify_hello', [7]);
    await client.notify('no_such_method', []);
    await call('get_data');
    client.socket.removeEventListener('message', listen);
    equal(answers.map((a) => a.result), [['hello', 5]], 'results seen');
  });
  await check(`${label}: an unknown method is -32601`, async () => {
    equal((await rejects(call('foobar', []))).code, -32601, 'code');
  });
  await check(`${label}: parameters that do not bind are -32602`, async () => {
    equal((await rejects(call('subtract', ['forty-two', 23]))).code, -32602, 'code');
  });
  await check(`${label}: subscribe and listMethods are unknown methods`, async () => {
    equal((await rejects(client.subscribe('news'))).code, -32601, 'code of subscribe');
    equal((await rejects(client.listMethods())).code, -32601, 'code of listMethods');
  });
  await check(`${label}: 200 calls at once each get their own answer`, async () => {
    const calls = Array.from({ length: 200 }, (_, i) => call('subtract', [i, 1]));
    equal(await Promise.all(calls), Array.from({ length: 200 }, (_, i) => i - 1));
  });
}

function opened(client) {
  return new Promise((resolve, reject) => {
    client.once('open', resolve);
    client.on('error', (event) => reject(event.error ?? event));
  });
}

async function closed(client) {
  const done = new Promise((resolve) => client.once('close', resolve));
  client.close();
  equal(await done, 1000, 'close code');
}
