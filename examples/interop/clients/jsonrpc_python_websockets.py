"""Debian's python3-websockets (10.4) against the calculator example: every
example of the JSON-RPC 2.0 specification (section 7), as text on the wire."""

import json

import websockets

from check import check, equal, run

SUBPROTOCOL = "wireroom.v1.json"


async def main(url):
    with check("an offer of unknown subprotocols only is refused with 400"):
        try:
            async with websockets.connect(url, subprotocols=["wireroom.v0.unknown", "soap"]):
                raise AssertionError("the handshake was accepted")
        except websockets.exceptions.InvalidStatusCode as err:
            equal(err.status_code, 400, "status")

    with check("a known subprotocol is picked from among unknown ones"):
        async with websockets.connect(url, subprotocols=["wireroom.v0.unknown", SUBPROTOCOL]) as ws:
            equal(ws.subprotocol, SUBPROTOCOL, "subprotocol")

    with check("without an offer none is chosen, and JSON is spoken"):
        async with websockets.connect(url) as ws:
            equal(ws.subprotocol, None, "subprotocol")
            await ws.send('{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}')
            equal(response(json.loads(await ws.recv())), (1, 19))

    async with websockets.connect(url, subprotocols=[SUBPROTOCOL]) as ws:
        with check("the subprotocol is chosen"):
            equal(ws.subprotocol, SUBPROTOCOL, "subprotocol")

        async def ask(text):
            await ws.send(text)
            reply = await ws.recv()
            equal(type(reply), str, "reply frame is text")
            return json.loads(reply)

        async def nothing(text):
            """Sends what must not be answered: the next reply is that of the call behind it."""
            await ws.send(text)
            equal(response(await ask('{"jsonrpc":"2.0","method":"get_data","id":"probe"}')), ("probe", ["hello", 5]))

        with check("positional parameters"):
            equal(response(await ask('{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}')), (1, 19))
            equal(response(await ask('{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}')), (2, -19))

        with check("named parameters"):
            equal(
                response(await ask('{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}')),
                (3, 19),
            )
            equal(
                response(await ask('{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}')),
                (4, 19),
            )

        with check("a notification"):
            await nothing('{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}')

        with check("a notification of a method that does not exist"):
            await nothing('{"jsonrpc": "2.0", "method": "foobar"}')

        with check("a call of a method that does not exist"):
            equal(response(await ask('{"jsonrpc": "2.0", "method": "foobar", "id": "1"}')), ("1", Code(-32601)))

        with check("invalid JSON"):
            equal(
                response(await ask('{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]')),
                (None, Code(-32700)),
            )

        with check("an invalid request"):
            equal(response(await ask('{"jsonrpc": "2.0", "method": 1, "params": "bar"}')), (None, Code(-32600)))

        with check("a batch of invalid JSON"):
            equal(
                response(await ask('[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},{"jsonrpc": "2.0", "method"]')),
                (None, Code(-32700)),
            )

        with check("an empty batch"):
            equal(response(await ask("[]")), (None, Code(-32600)))

        with check("an invalid batch that is not empty"):
            equal(responses(await ask("[1]")), [(None, Code(-32600))])

        with check("an invalid batch of three"):
            equal(responses(await ask("[1,2,3]")), [(None, Code(-32600))] * 3)

        with check("a mixed batch"):
            batch = """[
                {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
                {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
                {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
                {"foo": "boo"},
                {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
                {"jsonrpc": "2.0", "method": "get_data", "id": "9"}
            ]"""
            want = [("1", 7), ("2", 19), (None, Code(-32600)), ("5", Code(-32601)), ("9", ["hello", 5])]
            # Section 6 lets the responses come in any order.
            equal(sorted(responses(await ask(batch)), key=repr), sorted(want, key=repr))

        with check("a batch of notifications"):
            await nothing(
                '[{"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},'
                ' {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}]'
            )

        with check("parameters that do not bind"):
            equal(
                response(await ask('{"jsonrpc": "2.0", "method": "subtract", "params": ["forty-two", 23], "id": 6}')),
                (6, Code(-32602)),
            )

        with check("ids are echoed as they were written"):
            for text in ("9007199254740993", "18446744073709551616", "-7", "1.50", '"\\u00fc"', "null"):
                await ws.send('{"jsonrpc": "2.0", "method": "get_data", "id": %s}' % text)
                reply = await ws.recv()
                equal(response(json.loads(reply))[1], ["hello", 5], "result")
                if f'"id":{text}' not in reply.replace('"id": ', '"id":'):
                    raise AssertionError(f"id {text} is not in {reply}")

        with check("a request cut into fragments"):
            await ws.send(['{"jsonrpc": "2.0", "met', 'hod": "subtract", "params": [42,', ' 23], "id": 7}'])
            equal(response(json.loads(await ws.recv())), (7, 19))

        with check("close with 1000: sent and answered"):
            await ws.close(1000)
            equal(ws.close_code, 1000, "close code")


class Code(int):
    """The code of an error response, told apart from a result."""

    def __repr__(self):
        return f"Code({int(self)})"

    def __eq__(self, other):
        return type(other) is Code and int(self) == int(other)

    __hash__ = int.__hash__


def response(obj):
    """The id of a response and its result or the Code of its error, after
    checking the rest of it against section 5."""
    equal(type(obj), dict, "type of the response")
    equal(obj.get("jsonrpc"), "2.0", "jsonrpc")
    if "error" in obj:
        equal(set(obj), {"jsonrpc", "error", "id"}, "members")
        error = obj["error"]
        equal(type(error["code"]), int, "type of the code")
        equal(type(error["message"]), str, "type of the message")
        return obj["id"], Code(error["code"])
    equal(set(obj), {"jsonrpc", "result", "id"}, "members")
    return obj["id"], obj["result"]


def responses(obj):
    """The same for the responses of a batch."""
    equal(type(obj), list, "type of the batch's answer")
    return [response(item) for item in obj]


run(main)
