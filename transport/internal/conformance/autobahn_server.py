"""python3-autobahn as echo server for one client after another. It prints its
URL, ends with its standard input, and then says what its engine had to object.

usage: autobahn_server.py [deflate]
"""

import asyncio
import sys

import txaio

txaio.use_asyncio()

from autobahn.asyncio.websocket import WebSocketServerFactory, WebSocketServerProtocol  # noqa: E402
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept  # noqa: E402

faults = []
counts = {"connections": 0, "messages": 0, "deflate": 0, "pongs": 0}


class Server(WebSocketServerProtocol):
    def onOpen(self):
        counts["connections"] += 1
        counts["deflate"] += len(self.websocket_extensions_in_use)
        self.sendPing(b"are you there?")

    def onPong(self, payload):
        counts["pongs"] += 1
        if payload != b"are you there?":
            faults.append(f"pong {payload!r}")

    def onMessage(self, payload, isBinary):
        counts["messages"] += 1
        if payload == b"close, please":
            self.sendClose(4001, "as you wish")
        elif payload == b"in fragments, please":
            self.beginMessage(isBinary)
            for part in (b"a", b"", b"b" * 126, b"c" * 70000):
                self.sendMessageFrame(part)
                self.sendPing(b"are you there?")
            self.endMessage()
        elif payload == b"a breach, please":
            self.sendFrame(opcode=1, payload=b"x", rsv=1)
        else:
            self.sendMessage(payload, isBinary)

    def onClose(self, wasClean, code, reason):
        if not wasClean:
            faults.append(f"close {code} {reason}")

    def _fail_connection(self, code=1001, reason="going away"):
        faults.append(f"{code} {reason}")
        super()._fail_connection(code, reason)


def accept(offers):
    for offer in offers:
        if isinstance(offer, PerMessageDeflateOffer):
            return PerMessageDeflateOfferAccept(offer)
    return None


async def main():
    factory = WebSocketServerFactory()
    factory.protocol = Server
    factory.setProtocolOptions(
        versions=[13],
        utf8validateIncoming=True,
        requireMaskedClientFrames=True,
        failByDrop=False,
        echoCloseCodeReason=True,
        openHandshakeTimeout=10,
        closeHandshakeTimeout=10,
    )
    if sys.argv[1:] == ["deflate"]:
        factory.setProtocolOptions(perMessageCompressionAccept=accept)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(factory, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(f"listening on ws://127.0.0.1:{port}/", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()
    print("counts: " + " ".join(f"{k}={v}" for k, v in counts.items()))
    for fault in faults:
        print("fault: " + fault)
    print("\ndone", flush=True)


asyncio.run(main())
