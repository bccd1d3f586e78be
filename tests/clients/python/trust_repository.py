"""The trust repository of a stack, followed by python-tuf (tuf_client.py) while it changes: as it is at first, after a shard was
begun and so other files are handed out, after its root was replaced in a ceremony, once with one signature too few, and after
the key that signs from day to day was replaced, first beside the old one and then instead of it.

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


def new_key(folder, name):
    key, public = folder / f"{name}.key", folder / f"{name}.pub"
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key], check=True, capture_output=True)
    subprocess.run(["openssl", "ec", "-in", key, "-pubout", "-out", public], check=True, capture_output=True)
    return key, public


class Ceremony:
    """Roots that two keys must sign."""

    def __init__(self, stack, folder, first):
        self.stack, self.draft, self.first = stack, folder / "root.draft.json", first
        self.second, self.second_public = new_key(folder, "second")

    def trust(self, verb, *words):
        return self.stack.command("trust", verb, "--draft", self.draft, *words)

    def begin(self):
        self.trust("init", "--threshold", "2", "--data", self.stack.data)

    def finish(self):
        for key in [self.first, self.second]:
            self.trust("sign", "--root-key", key)
        self.trust("publish", "--data", self.stack.data)

    def two_keys(self):
        self.begin()
        self.trust("add-key", self.second_public)
        self.trust("sign", "--root-key", self.first)
        with shown("a root with one of two signatures is not published"):
            try:
                self.trust("publish", "--data", self.stack.data)
            except AssertionError:
                expect(requests.get(f"{self.stack.url}/tuf/2.root.json", timeout=10).status_code == 404, "it is served all the same")
            else:
                raise AssertionError("was published")
        self.finish()

    def online(self, verb, key):
        self.draft.unlink()
        self.begin()
        self.trust(verb, "--online", key)
        self.finish()


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

        ceremony = Ceremony(stack, folder, keys / "tuf-root.key")
        ceremony.two_keys()
        last = follow(stack, first, known, "after a ceremony")
        with shown("the client that was given the first root follows to the second, signed by the keys of both"):
            root = last["root"]
            expect((root["version"], root["roles"]["root"]["threshold"]) == (2, 2), f"root {root['version']}, {root['roles']['root']}")
        newcomer = follow(stack, first, folder / "newcomer", "a newcomer with the first root")
        with shown("a newcomer who has only the first root arrives at the same files"):
            expect(newcomer == last, "other files")

        (old,) = last["root"]["roles"]["timestamp"]["keyids"]
        online, public = new_key(folder, "online")
        ceremony.online("add-key", public)
        stack.stop()
        shutil.copy(online, stack.data / "tuf/online.key")
        stack.start()
        follow(stack, first, known, "after a restart with a new key beside the old")
        ceremony.online("remove-key", old)
        again = follow(stack, first, known, "after the old key was taken out")
        with shown("nothing goes back over a restart, and what the old key signed is no longer asked for"):
            for role, was in last.items():
                expect(again[role]["version"] >= was["version"], f"{role} {again[role]['version']}, was {was['version']}")
            for role in ["timestamp", "snapshot", "targets"]:
                keys = again["root"]["roles"][role]["keyids"]
                expect(len(keys) == 1 and old not in keys, f"{role}: {keys}")
            expect(again["root"]["version"] == 4, f"root {again['root']['version']}")
    finally:
        if stack.process.poll() is None:
            stack.stop(signal.SIGTERM)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        run(sys.argv[1], pathlib.Path(scratch))
    end()
