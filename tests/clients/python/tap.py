"""One line for each thing shown, in TAP's words; the runner counts them."""

import contextlib
import sys

failed = False


@contextlib.contextmanager
def shown(what):
    """Says `ok` if the block ends well, `not ok` with the reason if it raises."""
    global failed
    try:
        yield
    except Exception as error:
        failed = True
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        print(f"not ok - {what}: {reason}", flush=True)
    else:
        print(f"ok - {what}", flush=True)


def expect(condition, otherwise):
    if not condition:
        raise AssertionError(otherwise)


def end():
    sys.exit(1 if failed else 0)
