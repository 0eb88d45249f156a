// npm package json-rpc-2.0, which brings no transport of its own, over ws,
// against the calculator example: it is the client here that sends batches.

import jsonrpc from 'json-rpc-2.0';
import { Socket, check, equal, rejects, run } from './check.mjs';

const { JSONRPCClient } = jsonrpc;
const TIMEOUT_MS = 5_000;

run(async (url) => {
  const s = await Socket.open(url, ['wireroom.v1.json']);
  const client = new JSONRPCClient((payload) => s.ws.send(JSON.stringify(payload)));
  const received = [];
  s.ws.on('message', (data, isBinary) => {
    if (isBinary) throw new Error('a binary frame under wireroom.v1.json');
    const response = JSON.parse(data);
    received.push(response);
    client.receive(response);
  });
  const timed = client.timeout(TIMEOUT_MS);
  const request = (method, params) => timed.request(method, params);

  await check('the subprotocol is chosen', async () => equal(s.ws.protocol, 'wireroom.v1.json'));
  await check('by position', async () => equal(await request('subtract', [42, 23]), 19));
  await check('by name', async () => equal(await request('subtract', { subtrahend: 23, minuend: 42 }), 19));
  await check('no parameters', async () => equal(await request('get_data'), ['hello', 5]));

  await check('an unknown method is -32601', async () => {
    equal((await rejects(request('foobar'))).code, -32601, 'code');
  });

  await check('a notification is not answered', async () => {
    received.length = 0;
    client.notify('update', [1, 2, 3, 4, 5]);
    await request('get_data');
    equal(received.length, 1, 'messages received');
  });

  await check('a batch is answered by one array', async () => {
    received.length = 0;
    const responses = await timed.requestAdvanced([
      { jsonrpc: '2.0', id: 'a', method: 'sum', params: [1, 2, 4] },
      { jsonrpc: '2.0', id: 'b', method: 'subtract', params: [42, 23] },
      { jsonrpc: '2.0', id: 'c', method: 'foobar' },
    ]);
    equal(received.length, 1, 'messages received');
    const byID = new Map(responses.map((r) => [r.id, r]));
    equal(byID.size, 3, 'responses');
    equal(byID.get('a').result, 7, 'sum');
    equal(byID.get('b').result, 19, 'subtract');
    equal(byID.get('c').error.code, -32601, 'code of foobar');
  });

  await check('close', async () => equal((await s.close(1000)).code, 1000, 'code'));
});
