"""The trust repository of a stack, followed by python-tuf (tuf_client.py) while it changes: as it is at first, after a shard was
begun and so other files are handed out, and after its root was replaced in a ceremony, once with one signature too few.

    trust_repository.py BULLA
"""

import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

import requests

from served import Stack
from tap import end, expect, shown

CLIENT = pathlib.Path(__file__).parent / "tuf_client.py"


def follow(stack, root, known, when):
    """What the client knew before stays in its folder, and it looks again. It shows what it finds, line by line."""
    done = subprocess.run([sys.executable, CLIENT, f"{stack.url}/tuf", root, known], capture_output=True, text=True, timeout=120)
    for line in done.stdout.splitlines():
        print(line.replace("ok - ", f"ok - {when}: ", 1), flush=True)
    expect(done.returncode in (0, 1) and done.stdout, f"the client ended with {done.returncode}: {done.stderr}")
    return {role: json.loads((known / f"{role}.json").read_text())["signed"] for role in ["root", "timestamp", "snapshot", "targets"]}


def handed_out(stack, known, signed):
    """The trusted root that the client took, which must be the one that the log serves and the one that is printed."""
    held = json.loads((known / "trusted_root.json").read_text())
    served = requests.get(f"{stack.url}/trusted_root.json", timeout=10).json()
    expect(held == served == json.loads(stack.command("trust", "root", "--data", stack.data)), "served, printed and handed out differ")
    expect(set(signed["targets"]["targets"]) >= {"trusted_root.json", "signing_config.v0.2.json"}, f"{signed['targets']['targets']}")
    return held


def ceremony(stack, folder, keys):
    """A root with two keys, of which both must sign: published when they have."""
    draft, second = folder / "root.draft.json", folder / "second.key"
    trust = lambda verb, *words: stack.command("trust", verb, "--draft", draft, *words)
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", second], check=True, capture_output=True)
    subprocess.run(["openssl", "ec", "-in", second, "-pubout", "-out", folder / "second.pub"], check=True, capture_output=True)
    trust("init", "--threshold", "2", "--data", stack.data)
    trust("add-key", folder / "second.pub")
    trust("sign", "--root-key", keys / "tuf-root.key")
    with shown("a root with one of two signatures is not published"):
        try:
            trust("publish", "--data", stack.data)
        except AssertionError:
            expect(requests.get(f"{stack.url}/tuf/2.root.json", timeout=10).status_code == 404, "it is served all the same")
        else:
            raise AssertionError("was published")
    trust("sign", "--root-key", second)
    trust("publish", "--data", stack.data)


def run(binary, folder):
    stack, known, keys = Stack(binary, folder), folder / "known", folder / "safe"
    stack.start()
    try:
        # Nothing that runs needs the keys of the roots.
        shutil.move(stack.data / "offline", keys)
        # What a client is given by hand, once: it must do for everything that follows.
        first = folder / "first-root.json"
        shutil.copy(stack.data / "tuf/repository/root.json", first)
        before = follow(stack, first, known, "at first")
        logs = len(handed_out(stack, known, before)["tlogs"])

        stack.command("shard", "rotate", "--data", stack.data)
        after = follow(stack, first, known, "after a new shard")
        with shown("after a new shard the repository lists newer files, and the client that knew the old ones takes them"):
            for role in ["timestamp", "snapshot", "targets"]:
                expect(after[role]["version"] > before[role]["version"], f"{role} is still version {after[role]['version']}")
            expect(after["root"]["version"] == before["root"]["version"] == 1, "the root changed, and nobody was asked")
            now = len(handed_out(stack, known, after)["tlogs"])
            expect(now == logs + 2, f"{now} logs, were {logs}: a shard has one for each door")

        ceremony(stack, folder, keys)
        last = follow(stack, first, known, "after a ceremony")
        with shown("the client that was given the first root follows to the second, signed by the keys of both"):
            root = last["root"]
            expect((root["version"], root["roles"]["root"]["threshold"]) == (2, 2), f"root {root['version']}, {root['roles']['root']}")
        newcomer = follow(stack, first, folder / "newcomer", "a newcomer with the first root")
        with shown("a newcomer who has only the first root arrives at the same files"):
            expect(newcomer == last, "other files")

        stack.stop()
        stack.start()
        again = follow(stack, first, known, "after a restart")
        with shown("nothing goes back after a restart"):
            for role, was in last.items():
                expect(again[role]["version"] >= was["version"], f"{role} {again[role]['version']}, was {was['version']}")
    finally:
        if stack.process.poll() is None:
            stack.stop(signal.SIGTERM)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        run(sys.argv[1], pathlib.Path(scratch))
    end()
