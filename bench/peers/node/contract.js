// What a server for Node has to do to be measured: flags, the line that tells
// where it listens, and the end with its standard input.

/** The flags that the harness gives: { addr, control, app, server }. */
export function parse(args) {
  const flags = {};
  for (let i = 0; i + 1 < args.length; i += 2) flags[args[i].replace(/^-+/, '')] = args[i + 1];
  const at = flags.addr.lastIndexOf(':');
  return { app: flags.app, host: flags.addr.slice(0, at), port: Number(flags.addr.slice(at + 1)) };
}

/** Prints where an HTTP server listens; there is no control endpoint. */
export function announce(server) {
  const { address, port } = server.address();
  console.log(`listening on ${address}:${port}`);
  process.stdin.on('end', () => process.exit(0)).resume();
}

/** Bounds the messages of clients, in bytes. */
export const messageLimit = 1 << 20;
