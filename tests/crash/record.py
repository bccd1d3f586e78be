"""What clients of one log were told, and the judge who compares it with the log that is left after a crash.

Defends the invariants of the design: a checkpoint once seen is a prefix of every later one (A), what a checkpoint
implies can be read (B), an acknowledged entry is in every later tree at its index (C), nothing is there twice (E).
"""

import base64
import json
import os
import random
import subprocess
import threading

from entries import leaf_hash, roots
from server import Server
from writers import Writers


class Record(Writers):
    """One log's directory and what is known of it."""

    def __init__(self, binary, data, entries, options=()):
        self.binary, self.data, self.entries, self.options = binary, data, entries, list(options)
        self.lock = threading.Lock()
        self.next = 0
        self.made = {}  # number -> (large, leaf hash)
        self.index = {}  # number -> index, of what was acknowledged
        self.doubtful = set()  # numbers whose answer was an error or never came
        self.heads = {}  # size -> root, of every checkpoint seen
        self.notes = {}  # size -> the note
        self.wrong = []  # what no server may answer
        self.refused, self.refusals = 0, set()

    def start(self, *options, **more):
        return Server(self.binary, self.data, *self.options, *options, **more)

    # ---- clients ----------------------------------------------------------------------------------------------------

    def new(self, large=False):
        with self.lock:
            number, self.next = self.next, self.next + 1
        request, leaf = self.entries.make(number, large)
        self.made[number] = (large, leaf)
        self.doubtful.add(number)
        return number, request

    def again(self, number):
        return number, self.entries.make(number, self.made[number][0])[0]

    def acknowledged(self):
        with self.lock:
            return list(self.index)

    def post(self, connection, number, request):
        """Sends one entry and notes the answer; returns the status."""
        connection.request("POST", "/api/v2/log/entries", request, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status == 201:
            entry = json.loads(body)
            proof = entry["inclusionProof"]
            leaf = leaf_hash(base64.b64decode(entry["canonicalizedBody"]))
            if leaf != self.made[number][1]:
                self.wrong.append(f"entry {number}: 201 with another body")
            self._told(number, int(entry["logIndex"]), fresh=True)
            self.saw(proof["checkpoint"]["envelope"])
        elif answer.status == 409:
            self._told(number, int(answer.headers["X-Log-Index"]), fresh=False)
        elif answer.status == 503:
            message = json.loads(body).get("message", "")
            if not message or not answer.headers["Retry-After"]:
                self.wrong.append(f"503 without a message or Retry-After: {body!r}")
            self.refused += 1
            self.refusals.add(message)
        else:
            self.wrong.append(f"entry {number} was answered {answer.status}: {body[:300]!r}")
        return answer.status

    def _told(self, number, index, fresh):
        with self.lock:
            known = self.index.get(number)
            self.index.setdefault(number, index)
            self.doubtful.discard(number)
        if known not in (None, index):
            self.wrong.append(f"entry {number} was acknowledged at {known} and then at {index}")
        elif fresh and known is not None:
            self.wrong.append(f"entry {number} was acknowledged as new twice")

    def saw(self, note):
        """Notes a checkpoint."""
        lines = note.split("\n")
        size, root = int(lines[1]), base64.b64decode(lines[2])
        with self.lock:
            if self.heads.setdefault(size, root) != root:
                self.wrong.append(f"two checkpoints of size {size}")
            self.notes[size] = note

    def load(self, server, clients=8, entries=None, until=None, large=0.03, duplicates=0.1):
        """Concurrent clients, each sending `entries` or until told; a broken connection ends a client."""

        def send(connection):
            known = self.acknowledged() if random.random() < duplicates else None
            if not known:
                self.post(connection, *self.new(random.random() < large))
                return
            number = random.choice(known)
            status = self.post(connection, *self.again(number))
            if status not in (409, 503):
                self.wrong.append(f"entry {number}, known already, was answered {status}")

        return self.start_clients(server, clients, send, entries, until)

    # ---- the judge --------------------------------------------------------------------------------------------------

    def judge(self, server, thorough=False):
        """Raises AssertionError at the first thing that is not as it was acknowledged, asking everything of the log
        that is left, also for new entries."""
        known, heads, places = self.judge_reads(server)
        numbers = list(known)
        newest = sorted(numbers, key=known.get)[-4:]
        chosen = numbers if thorough else newest + random.sample(numbers, min(8, len(numbers)))
        connection = server.connect()
        for number in chosen:
            connection.request("GET", f"/api/v2/log/entries/{known[number]}")
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, f"entry {known[number]}: {answer.status} {body[:200]!r}"
            body = base64.b64decode(json.loads(body)["canonicalizedBody"])
            assert leaf_hash(body) == self.made[number][1], f"another body at {known[number]}"
        for number in random.sample(chosen, min(6, len(chosen))):
            status = self.post(connection, *self.again(number))
            assert status == 409, f"the known entry {number} was answered {status}"
        # What was in doubt is in the log or not, and the log knows which.
        for number in random.sample(sorted(self.doubtful), min(6, len(self.doubtful))):
            place = places.get(self.made[number][1])
            status = self.post(connection, *self.again(number))
            assert status == (201 if place is None else 409), f"entry {number} in doubt, at {place}: {status}"
            assert place is None or self.index[number] == place, f"entry {number}: not at {place}"
        connection.close()
        assert not self.wrong, "; ".join(self.wrong[:3])
        self.fsck(server.url, sorted(heads)[-3:])
        # Before the first settling the directory shows nothing to strangers.
        if os.path.exists(os.path.join(self.data, "cell", "checkpoint")):
            self.fsck(self.data, [])

    def judge_reads(self, server):
        """The same, only reading: the entries acknowledged, the checkpoints seen, and where each leaf is."""
        assert not self.wrong, "; ".join(self.wrong[:3])
        status, note = server.get("/api/v2/checkpoint")
        assert status == 200, f"checkpoint: {status}"
        self.saw(note.decode())
        size = int(note.split(b"\n")[1])
        leaves = []
        for bundle in range((size + 255) // 256):
            width = min(256, size - bundle * 256)
            status, body = server.get(f"/api/v2/tile/entries/{_path(bundle, width)}")
            assert status == 200, f"bundle {bundle} of {width}: {status} {body[:200]!r}"
            while body:
                length = int.from_bytes(body[:2], "big")
                leaves.append(leaf_hash(body[2 : 2 + length]))
                body = body[2 + length :]
        assert len(leaves) == size, f"{len(leaves)} leaves in a tree of {size}"
        assert len(set(leaves)) == size, "an entry is in the log twice"
        with self.lock:
            known, heads = dict(self.index), dict(self.heads)
        for number, index in known.items():
            assert index < size, f"entry {number} was acknowledged at {index}, the log has {size}"
            assert leaves[index] == self.made[number][1], f"entry {number} is no longer at {index}"
        assert max(heads) <= size, f"a checkpoint of {max(heads)} was seen, the log has {size}"
        computed = roots(leaves, heads)
        for seen, root in heads.items():
            assert computed[seen] == root, f"the checkpoint of size {seen} is not a prefix"
        return known, heads, {leaf: index for index, leaf in enumerate(leaves)}

    def fsck(self, target, sizes):
        command = [self.binary, "fsck", target, "--key", os.path.join(self.data, "log.vkey")]
        for size in sizes:
            path = f"{self.data}.seen-{size}"
            with open(path, "w") as saved:
                saved.write(self.notes[size])
            command += ["--checkpoint", path]
        done = subprocess.run(command, capture_output=True, text=True)
        for option in command[5::2]:
            if os.path.exists(option) and ".seen-" in option:
                os.unlink(option)
        assert done.returncode == 0, f"fsck {target}: {done.returncode} {done.stdout} {done.stderr}"


def _path(index, width):
    """The C2SP tlog-tiles path of a bundle."""
    groups = [f"{index % 1000:03}"]
    while index >= 1000:
        index //= 1000
        groups.insert(0, f"x{index % 1000:03}")
    return "/".join(groups) + (f".p/{width}" if width < 256 else "")
