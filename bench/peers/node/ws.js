// npm ws, as its README has it: "Server broadcast" for the room, bufferutil
// ("Opt-in for performance"), and perMessageDeflate off, which is its default.
// Text is handled as the Buffer that it comes in. MessagePack is encoded and
// decoded by reused instances, as the README of @msgpack/msgpack recommends.
import { createServer } from 'node:http';
import { Decoder, Encoder } from '@msgpack/msgpack';
import { WebSocket, WebSocketServer } from 'ws';
import { announce, messageLimit, parse } from './contract.js';

const { app, host, port } = parse(process.argv.slice(2));
const encoder = new Encoder();
const decoder = new Decoder();

function answer(request) {
  const { method, params, id } = request;
  if (method !== 'echo') return { jsonrpc: '2.0', error: { code: -32601, message: `no method ${method}` }, id };
  return { jsonrpc: '2.0', result: { seq: params.seq, text: params.text }, id };
}

const handlers = {
  echo: (client, data, isBinary) => client.send(data, { binary: isBinary }),
  churn: (client, data, isBinary) => client.send(data, { binary: isBinary }),
  rpc(client, data, isBinary) {
    if (isBinary) client.send(encoder.encode(answer(decoder.decode(data))), { binary: true });
    else client.send(JSON.stringify(answer(JSON.parse(data))));
  },
  room(_, data, isBinary) {
    for (const member of wss.clients) {
      if (member.readyState === WebSocket.OPEN) member.send(data, { binary: isBinary });
    }
  },
};

const handle = handlers[app];
const server = createServer();
const wss = new WebSocketServer({ server, perMessageDeflate: false, maxPayload: messageLimit });
wss.on('connection', (client) => {
  client.on('error', () => {}); // the connection is closed then
  client.on('message', (data, isBinary) => handle(client, data, isBinary));
});
server.listen(port, host, () => announce(server));
