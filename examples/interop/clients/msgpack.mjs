// @msgpack/msgpack over ws against the calculator example: the JSON-RPC 2.0
// envelope as a MessagePack map in binary frames, wireroom.v1.msgpack.

import { Decoder, Encoder } from '@msgpack/msgpack';
import { Socket, check, equal, run } from './check.mjs';

// With useBigInt64 the 64-bit integers on the wire are BigInts here, so that
// an id beyond 2^53 is compared exactly.
const encoder = new Encoder({ useBigInt64: true });
const decoder = new Decoder({ useBigInt64: true });

run(async (url) => {
  const s = await Socket.open(url, ['wireroom.v1.msgpack']);
  const send = (value) => s.ws.send(encoder.encode(value), { binary: true });
  const receive = async () => {
    const { data, isBinary } = await s.next();
    equal(isBinary, true, 'reply frame is binary');
    return decoder.decode(data);
  };
  const exchange = async (request) => {
    send({ jsonrpc: '2.0', ...request });
    const response = await receive();
    equal(response.jsonrpc, '2.0', 'jsonrpc');
    equal('result' in response, !('error' in response), 'exactly one of result and error');
    return response;
  };

  await check('the subprotocol is chosen', async () => equal(s.ws.protocol, 'wireroom.v1.msgpack'));

  await check('subtract by position', async () => {
    const r = await exchange({ method: 'subtract', params: [42, 23], id: 1 });
    equal([r.id, plain(r.result)], [1, 19]);
  });
  await check('subtract by name', async () => {
    const r = await exchange({ method: 'subtract', params: { subtrahend: 23, minuend: 42 }, id: 2 });
    equal([r.id, plain(r.result)], [2, 19]);
  });
  await check('sum of integers and of floats', async () => {
    equal(plain((await exchange({ method: 'sum', params: [1, 2, 4], id: 3 })).result), 7);
    equal(plain((await exchange({ method: 'sum', params: [0.5, 0.25], id: 4 })).result), 0.75);
  });
  await check('a method without parameters', async () => {
    equal(plain((await exchange({ method: 'get_data', id: 5 })).result), ['hello', 5]);
  });

  // One id for each way MessagePack has to write an integer or a string.
  const ids = [
    'a', '', 'x'.repeat(31), 'x'.repeat(32), 'x'.repeat(256), 'ключ',
    0, 127, 128, 255, 256, 65_535, 65_536, 0xffff_ffff,
    -1, -32, -33, -128, -129, -32_768, -32_769, -0x8000_0000,
    2n ** 53n + 1n, 2n ** 63n - 1n, 2n ** 64n - 1n, -(2n ** 63n),
  ];
  for (const id of ids) {
    const name = typeof id === 'string' ? `string of ${Buffer.byteLength(id)} bytes` : `${typeof id} ${id}`;
    await check(`id echoed: ${name}`, async () => {
      equal((await exchange({ method: 'get_data', id })).id, id, 'id');
    });
  }

  await check('an unknown method is -32601 with its id', async () => {
    const r = await exchange({ method: 'foobar', id: 'u' });
    equal([r.id, plain(r.error.code), typeof r.error.message], ['u', -32601, 'string']);
  });
  await check('parameters that do not bind are -32602', async () => {
    const r = await exchange({ method: 'subtract', params: ['forty-two', 23], id: 'p' });
    equal([r.id, plain(r.error.code)], ['p', -32602]);
  });
  await check('a map that is no request is -32600 with a null id', async () => {
    send({ jsonrpc: '2.0', method: 1, params: 'bar' });
    const r = await receive();
    equal([r.id, plain(r.error.code)], [null, -32600]);
  });
  await check('bytes that are no MessagePack are -32700 with a null id', async () => {
    s.ws.send(Buffer.from([0xc1]));
    const r = await receive();
    equal([r.id, plain(r.error.code)], [null, -32700]);
  });
  await check('notifications are not answered', async () => {
    send({ jsonrpc: '2.0', method: 'update', params: [1, 2, 3, 4, 5] });
    send({ jsonrpc: '2.0', method: 'foobar' });
    equal((await exchange({ method: 'get_data', id: 'after' })).id, 'after', 'id of the next reply');
  });

  await check('a batch is answered by one array, its notification left out', async () => {
    send([
      { jsonrpc: '2.0', method: 'sum', params: [1, 2, 4], id: '1' },
      { jsonrpc: '2.0', method: 'notify_hello', params: [7] },
      { jsonrpc: '2.0', method: 'subtract', params: [42, 23], id: 2n ** 60n },
      { foo: 'boo' },
      { jsonrpc: '2.0', method: 'foobar', params: { name: 'myself' }, id: '5' },
    ]);
    const responses = await receive();
    equal(Array.isArray(responses), true, 'is an array');
    equal(responses.length, 4, 'responses');
    const byID = new Map(responses.map((r) => [r.id, r]));
    equal(plain(byID.get('1').result), 7, 'sum');
    equal(plain(byID.get(2n ** 60n).result), 19, 'subtract');
    equal(plain(byID.get(null).error.code), -32600, 'code of the invalid request');
    equal(plain(byID.get('5').error.code), -32601, 'code of foobar');
  });
  await check('a batch of notifications is not answered', async () => {
    send([
      { jsonrpc: '2.0', method: 'notify_sum', params: [1, 2, 4] },
      { jsonrpc: '2.0', method: 'notify_hello', params: [7] },
    ]);
    equal((await exchange({ method: 'get_data', id: 'last' })).id, 'last', 'id of the next reply');
  });

  await check('close', async () => equal((await s.close(1000)).code, 1000, 'code'));
});

// plain turns BigInts that a number can hold into numbers: in which width a
// result is written is the server's choice. Ids are compared without it.
function plain(value) {
  if (typeof value === 'bigint' && BigInt(Number(value)) === value) return Number(value);
  if (Array.isArray(value)) return value.map(plain);
  return value;
}
