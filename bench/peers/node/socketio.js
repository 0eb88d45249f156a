// socket.io, as its documentation has it: "Rooms" for the room, and of
// "Performance tuning" and "Memory usage" bufferutil and the HTTP request that
// is not kept. Clients come over WebSocket only, so no other transport is on;
// perMessageDeflate is off by default.
import { createServer } from 'node:http';
import { Server } from 'socket.io';
import { announce, messageLimit, parse } from './contract.js';

const { app, host, port } = parse(process.argv.slice(2));
const server = createServer();
const io = new Server(server, { transports: ['websocket'], serveClient: false, maxHttpBufferSize: messageLimit });

io.engine.on('connection', (rawSocket) => {
  rawSocket.request = null;
});
io.on('connection', (socket) => {
  if (app !== 'echo') socket.join('bench');
  if (app === 'room') socket.on('message', (text) => io.to('bench').emit('message', text));
  else socket.on('message', (text) => socket.emit('message', text));
});
server.listen(port, host, () => announce(server));
