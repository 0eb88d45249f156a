"""What the Python scripts of this folder share: a deadline and named checks."""

import asyncio
import contextlib
import sys
import traceback

DEADLINE_SECONDS = 20

_current = "none"
_passed = 0


@contextlib.contextmanager
def check(name):
    """One named check: prints a line if its block ends without an exception."""
    global _current, _passed
    _current = name
    yield
    _passed += 1
    print(f"ok - {name}", flush=True)


def equal(got, want, what="value"):
    """Raises unless got and want are the same in type and value."""
    if type(got) is not type(want) or got != want:
        raise AssertionError(f"{what}: got {got!r:.300}, want {want!r:.300}")


def run(main):
    """Calls main with the server's URL, the script's only argument, and ends
    the process: 0 if all checks held, 1 if one did not or time ran out."""
    if len(sys.argv) != 2:
        sys.exit("usage: SCRIPT ws://HOST:PORT/PATH")

    async def bounded():
        await asyncio.wait_for(main(sys.argv[1]), DEADLINE_SECONDS)

    try:
        asyncio.run(bounded())
    except asyncio.TimeoutError:
        print(f"not ok - deadline of {DEADLINE_SECONDS} s passed; last check begun: {_current}")
        sys.exit(1)
    except Exception:
        print(f"not ok - {_current}:")
        traceback.print_exc(file=sys.stdout)
        sys.exit(1)
    print(f"done: {_passed} checks")
    sys.exit(0 if _passed else 1)
