"""python3-autobahn as client of an echo server: its engine sends what it may,
and frames by hand that it must not, and judges what comes back.

usage: autobahn_client.py ws://HOST:PORT/PATH [deflate]

With "deflate" the server must accept permessage-deflate; without, it must not.
"""

import asyncio
import collections
import os
import sys
import traceback

import txaio

txaio.use_asyncio()

from autobahn.asyncio.websocket import WebSocketClientFactory, WebSocketClientProtocol  # noqa: E402
from autobahn.websocket.compress import (  # noqa: E402
    PerMessageDeflateOffer,
    PerMessageDeflateResponse,
    PerMessageDeflateResponseAccept,
)

STEP_SECONDS = 10
TOTAL_SECONDS = 60

passed = 0


def equal(got, want, what):
    if type(got) is not type(want) or got != want:
        raise AssertionError(f"{what}: got {got!r:.200}, want {want!r:.200}")


class Client(WebSocketClientProtocol):
    """Keeps what happens, in order."""

    def __init__(self):
        super().__init__()
        self.events = collections.deque()
        self.change = asyncio.Event()
        self.faults = []

    def note(self, *event):
        self.events.append(event)
        self.change.set()

    def onOpen(self):
        self.note("open")

    def onMessage(self, payload, isBinary):
        self.note("binary" if isBinary else "text", payload)

    def onPong(self, payload):
        self.note("pong", payload)

    def onPing(self, payload):
        self.faults.append("ping from the server")

    def onClose(self, wasClean, code, reason):
        self.note("close", wasClean, code, reason)

    def _fail_connection(self, code=1001, reason="going away"):
        self.faults.append(f"the engine fails the connection: {code} {reason}")
        super()._fail_connection(code, reason)

    async def next(self):
        while not self.events:
            self.change.clear()
            await asyncio.wait_for(self.change.wait(), STEP_SECONDS)
        return self.events.popleft()

    async def expect(self, *event):
        equal(await self.next(), event, "event")


async def connect(url, offers=(), fragment=0):
    factory = WebSocketClientFactory(url)
    factory.protocol = Client
    factory.setProtocolOptions(
        version=18,
        utf8validateIncoming=True,
        acceptMaskedServerFrames=False,
        maskClientFrames=True,
        applyMask=True,
        autoFragmentSize=fragment,
        failByDrop=False,
        echoCloseCodeReason=True,
        serverConnectionDropTimeout=STEP_SECONDS,
        openHandshakeTimeout=STEP_SECONDS,
        closeHandshakeTimeout=STEP_SECONDS,
        perMessageCompressionOffers=list(offers),
        perMessageCompressionAccept=lambda r: PerMessageDeflateResponseAccept(r)
        if isinstance(r, PerMessageDeflateResponse)
        else None,
    )
    loop = asyncio.get_running_loop()
    _, c = await asyncio.wait_for(loop.create_connection(factory, factory.host, factory.port), STEP_SECONDS)
    await c.expect("open")
    return c


def judge(c):
    """The engine has found no fault, and it was not the one to end TCP."""
    equal(c.faults, [], "faults")
    equal(c.failedByMe, False, "failed by the client")
    equal(c.droppedByMe, False, "TCP ended by the client")
    equal(c.wasServerConnectionDropTimeout, False, "server did not end TCP")
    equal(c.wasCloseHandshakeTimeout, False, "server did not answer the close frame")
    equal(len(c.events), 0, "events left over")


async def close(c, code=1000, reason="done"):
    c.sendClose(code, reason)
    await c.expect("close", True, code if code else None, reason)
    judge(c)


async def fails(c, code):
    event = await c.next()
    equal(event[:3], ("close", True, code), "end")
    judge(c)


def text_of(n):
    return ("Grüße, κόσμε! 👋 " * (n // 16 + 1)).encode()[:n].decode("utf8", "ignore").ljust(1 if n else 0).encode()


SIZES = (0, 1, 16, 125, 126, 127, 128, 1000, 65535, 65536, 200_000)


async def echoes(c, sizes=SIZES):
    for n in sizes:
        for payload, binary in ((text_of(n), False), (os.urandom(n), True), (bytes(n), True)):
            c.sendMessage(payload, binary)
            await c.expect("binary" if binary else "text", payload)
            await check(f"{'binary' if binary else 'text'} of {n} octets")


async def check(_name):
    global passed
    passed += 1


async def plain(url):
    c = await connect(url, [PerMessageDeflateOffer()])
    equal(c.websocket_extensions_in_use, [], "extensions")
    await echoes(c)
    await close(c)

    # Fragments, of the engine's own making and of ours.
    for size in (1, 125, 126, 1300, 65535):
        c = await connect(url, fragment=size)
        await echoes(c, (0, 1, 126, 3000) if size == 1 else SIZES)
        await close(c)
    c = await connect(url)
    for parts in ([b"a"], [b"", b""], [b"a", b"", b"b"], [bytes([i % 128]) * i for i in range(150)]):
        for binary in (False, True):
            c.beginMessage(binary)
            for part in parts:
                c.sendMessageFrame(part)
                c.sendPing(b"between")
                await c.expect("pong", b"between")
            c.endMessage()
            await c.expect("binary" if binary else "text", b"".join(parts))
            await check("fragments")
    c.beginMessage(True)
    c.beginMessageFrame(70000)
    for _ in range(70):
        c.sendMessageFrameData(b"x" * 1000)
    c.endMessage()
    await c.expect("binary", b"x" * 70000)
    await check("frame in pieces")
    await close(c)

    # Pings.
    c = await connect(url)
    for n in (0, 1, 8, 124, 125):
        payload = os.urandom(n)
        c.sendPing(payload)
        await c.expect("pong", payload)
        c.sendPong(payload)
        await check(f"ping of {n} octets")
    for i in range(10):
        c.sendPing(b"%d" % i)
        await c.expect("pong", b"%d" % i)
    for n in range(500):
        c.sendMessage(b"message %d" % n)
    for n in range(500):
        await c.expect("text", b"message %d" % n)
    await check("pipelined")
    await close(c)

    # Closing.
    for code in (1000, 3000, 3999, 4000, 4999):
        for reason in ("bye", "ä" * 61):
            await close(await connect(url), code, reason)
            await check(f"close {code}")
    c = await connect(url)
    c.sendClose()
    await c.expect("close", True, None, None)
    judge(c)
    await check("close without a code")
    c = await connect(url)
    c.sendMessage(b"first")
    c.sendClose(1000, "after a message")
    await c.expect("text", b"first") if c.state != c.STATE_CLOSING else None
    event = await c.next()
    while event[0] != "close":
        event = await c.next()
    equal(event, ("close", True, 1000, "after a message"), "end")
    judge(c)
    await check("close behind a message")

    # What must fail the connection, and with which code.
    bad = []
    for rsv in range(1, 8):
        for opcode in (1, 2, 9, 10):
            bad.append((1002, [dict(opcode=opcode, payload=b"x", rsv=rsv)]))
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        bad.append((1002, [dict(opcode=opcode)]))
        bad.append((1002, [dict(opcode=opcode, payload=b"x")]))
        bad.append((1002, [dict(opcode=1, payload=b"a", fin=False), dict(opcode=opcode)]))
    for opcode in (8, 9, 10):
        bad.append((1002, [dict(opcode=opcode, payload=b"\x03\xe8", fin=False)]))
        bad.append((1002, [dict(opcode=opcode, payload=b"\x03\xe8" + b"x" * 124)]))
        bad.append((1002, [dict(opcode=opcode, payload=b"\x03\xe8", payload_len=70000)]))
    bad.append((1002, [dict(opcode=0, payload=b"x")]))
    bad.append((1002, [dict(opcode=0, payload=b"x", fin=False)]))
    bad.append((1002, [dict(opcode=1, payload=b"x", fin=False), dict(opcode=1, payload=b"x")]))
    bad.append((1002, [dict(opcode=2, payload=b"x", fin=False), dict(opcode=1, payload=b"x", fin=False)]))
    bad.append((1002, [dict(opcode=8, payload=b"\x03")]))
    for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535):
        bad.append((1002, [dict(opcode=8, payload=code.to_bytes(2, "big"))]))
    for payload in (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\xe2\x82a"):
        bad.append((1007, [dict(opcode=1, payload=b"a" + payload)]))
        bad.append((1007, [dict(opcode=1, payload=b"a" + payload, chopsize=1)]))
        bad.append((1007, [dict(opcode=8, payload=b"\x03\xe8" + payload)]))
        bad.append((1007, [dict(opcode=1, payload=b"a", fin=False), dict(opcode=0, payload=payload)]))
    bad.append((1007, [dict(opcode=1, payload=b"a\xff", fin=False)]))
    bad.append((1009, [dict(opcode=2, payload=b"x", payload_len=(1 << 20) + 1)]))
    for code, frames in bad:
        c = await connect(url)
        for frame in frames:
            c.sendFrame(**frame)
        await fails(c, code)
        await check(f"{code} for {frames}")
    c = await connect(url)
    c.maskClientFrames = False
    c.sendMessage(b"unmasked")
    await fails(c, 1002)
    await check("not masked")


async def deflate(url):
    offers = [
        ("plain", PerMessageDeflateOffer()),
        ("no parameters", PerMessageDeflateOffer(False, False)),
        ("server without takeover", PerMessageDeflateOffer(request_no_context_takeover=True)),
        ("server with 15 bits", PerMessageDeflateOffer(request_max_window_bits=15)),
    ]
    for name, offer in offers:
        for fragment in (0, 1300):
            c = await connect(url, [offer], fragment)
            equal(len(c.websocket_extensions_in_use), 1, f"extensions for an offer: {name}")
            await echoes(c)
            c.beginMessage()
            for part in (b"Hello, ", b"", "Grüße".encode(), b"!" * 5000):
                c.sendMessageFrame(part)
                c.sendPing(b"between")
                await c.expect("pong", b"between")
            c.endMessage()
            await c.expect("text", "Hello, Grüße".encode() + b"!" * 5000)
            await check("compressed fragments")
            c.sendMessage(b"not compressed", doNotCompress=True)
            await c.expect("text", b"not compressed")
            for n in range(200):
                c.sendMessage(text_of(n))
            for n in range(200):
                await c.expect("text", text_of(n))
            await check("pipelined")
            await close(c)
    # Narrow windows may be declined, but not misunderstood.
    for bits in (9, 10, 12):
        c = await connect(url, [PerMessageDeflateOffer(request_max_window_bits=bits)])
        await echoes(c)
        await close(c)
    for rsv, opcode in ((4, 9), (4, 10), (6, 1), (2, 1), (1, 1), (7, 2)):
        c = await connect(url, [PerMessageDeflateOffer()])
        c.sendFrame(opcode=opcode, payload=b"", rsv=rsv)
        await fails(c, 1002)
        await check(f"bits {rsv} on opcode {opcode}")


async def main():
    url, modes = sys.argv[1], sys.argv[2:]
    await asyncio.wait_for((deflate if modes == ["deflate"] else plain)(url), TOTAL_SECONDS)


try:
    asyncio.run(main())
except Exception:
    print(f"not ok after {passed} checks")
    traceback.print_exc(file=sys.stdout)
    sys.exit(1)
print(f"\ndone: {passed} checks")
