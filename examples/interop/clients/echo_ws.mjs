// npm package ws against the echo example: messages, control frames, the
// closing handshake, and an extension offer that the server does not take.

import { randomBytes } from 'node:crypto';
import { Socket, check, equal, run } from './check.mjs';

run(async (url) => {
  // A client of ws offers permessage-deflate unless told otherwise.
  const s = await Socket.open(url);

  await check('permessage-deflate is declined and no subprotocol is chosen', async () => {
    equal(s.ws.extensions, '', 'extensions');
    equal(s.ws.protocol, '', 'protocol');
    equal(s.response.headers['sec-websocket-extensions'], undefined, 'Sec-WebSocket-Extensions');
    equal(s.response.headers['sec-websocket-protocol'], undefined, 'Sec-WebSocket-Protocol');
  });

  for (const [name, text] of [
    ['ASCII text', 'hello'],
    ['empty text', ''],
    ['text of several scripts', 'grüße, Привет, 你好, 👋🏽'],
    ['text of 60 KiB', 'x'.repeat(60 * 1024)],
  ]) {
    await check(name, async () => {
      s.ws.send(text);
      const { data, isBinary } = await s.next();
      equal(isBinary, false, 'isBinary');
      equal(data.toString(), text, 'text');
    });
  }

  // The lengths on both sides of each form of the length field (RFC 6455, 5.2).
  for (const size of [0, 1, 125, 126, 65_535, 65_536]) {
    await check(`binary of ${size} bytes`, async () => {
      const sent = randomBytes(size);
      s.ws.send(sent);
      const { data, isBinary } = await s.next();
      equal(isBinary, true, 'isBinary');
      equal(Buffer.compare(data, sent), 0, 'difference of the bytes');
    });
  }

  await check('a fragmented message comes back whole, a ping in between is answered first', async () => {
    const pong = new Promise((resolve) => s.ws.once('pong', resolve));
    s.ws.send('one ', { fin: false });
    s.ws.ping('mid');
    s.ws.send('two ', { fin: false });
    s.ws.send('three', { fin: true });
    const message = s.next();
    const first = await Promise.race([pong.then((p) => `pong ${p}`), message.then(() => 'message')]);
    equal(first, 'pong mid', 'first to arrive');
    equal((await message).data.toString(), 'one two three', 'text');
  });

  for (const payload of ['', 'are you there?', 'p'.repeat(125)]) {
    await check(`ping with ${payload.length} bytes`, async () => {
      const pong = new Promise((resolve) => s.ws.once('pong', resolve));
      s.ws.ping(payload);
      equal((await pong).toString(), payload, 'pong');
    });
  }

  await check('1,000 pipelined messages come back in order', async () => {
    const count = 1_000;
    for (let i = 0; i < count; i++) s.ws.send(i % 2 ? Buffer.from(`message ${i}`) : `message ${i}`);
    for (let i = 0; i < count; i++) {
      const { data, isBinary } = await s.next();
      equal(data.toString(), `message ${i}`, `message ${i}`);
      equal(isBinary, i % 2 === 1, `isBinary of message ${i}`);
    }
  });

  await check('close with 4000 and a reason is answered with 4000', async () => {
    const { code, reason } = await s.close(4000, 'enough');
    equal(code, 4000, 'code');
    // RFC 6455, 5.5.1 speaks of echoing the code only: the reason may be missing, not different.
    if (reason !== '') equal(reason, 'enough', 'reason');
  });

  await check('close without a code is answered in kind', async () => {
    const t = await Socket.open(url);
    t.ws.close();
    const { code } = await t.closed;
    // An empty close frame or an explicit 1000: both are normal closure.
    if (code !== 1005) equal(code, 1000, 'code');
  });
});
