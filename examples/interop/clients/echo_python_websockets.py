"""Debian's python3-websockets (10.4) against the echo example."""

import os

import websockets

from check import check, equal, run


async def main(url):
    # connect offers permessage-deflate unless told otherwise.
    async with websockets.connect(url) as ws:
        with check("permessage-deflate is declined and no subprotocol is chosen"):
            equal(ws.extensions, [], "extensions")
            equal(ws.subprotocol, None, "subprotocol")

        for name, text in [
            ("ASCII text", "hello"),
            ("empty text", ""),
            ("text of several scripts", "grüße, Привет, 你好, 👋🏽"),
            ("text of 60 KiB", "x" * (60 * 1024)),
        ]:
            with check(name):
                await ws.send(text)
                equal(await ws.recv(), text)

        for size in (0, 1, 125, 126, 60 * 1024):
            with check(f"binary of {size} bytes"):
                sent = os.urandom(size)
                await ws.send(sent)
                equal(await ws.recv(), sent)

        with check("a text message in fragments, cut between characters"):
            await ws.send(["grü", "", "ße, ", "你", "好"])
            equal(await ws.recv(), "grüße, 你好")

        with check("a binary message in 100 fragments"):
            parts = [bytes([i]) * i for i in range(100)]
            await ws.send(parts)
            equal(await ws.recv(), b"".join(parts))

        with check("ping and pong"):
            for payload in (b"", b"are you there?", b"p" * 125):
                await (await ws.ping(payload))

        with check("a pong that nobody asked for is ignored"):
            await ws.pong(b"unsolicited")
            await ws.send("still here")
            equal(await ws.recv(), "still here")

        with check("200 pipelined messages come back in order"):
            for i in range(200):
                await ws.send(f"message {i}")
            for i in range(200):
                equal(await ws.recv(), f"message {i}")

        with check("close with 1000: sent and answered"):
            await ws.close(1000, "done")
            equal(int(ws.close_sent.code), 1000, "code sent")
            equal(int(ws.close_rcvd.code), 1000, "code received")
            equal(ws.close_rcvd_then_sent, False, "server closed first")
            equal(ws.close_code, 1000, "close code")


run(main)
