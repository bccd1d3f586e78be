"""What clients of both doors were told of one log's entries, and the judge who asks for each of them by everything that
must find it."""

import base64
import json
import os
import random
import subprocess
import threading
import time
import urllib.parse

import p256
from doors import Doors, base
from entries import leaf_hash, roots
from server import Server
from writers import Writers

JSON = {"Content-Type": "application/json"}
# Seconds within which the search index has grown back.
COMPLETE_WITHIN = 30


class Entry:
    """An acknowledged entry: what was sent, its leaf hash, and what was said of it, now or later."""

    def __init__(self, made, leaf):
        self.made, self.leaf = made, leaf
        self.index = self.tree = self.at = None


class Batch:
    """A batch under an idempotency key."""

    def __init__(self, key, v2, mades, fresh):
        self.key, self.v2, self.mades, self.fresh = key, v2, mades, fresh
        self.body = '{"entries":[' + ",".join(made.request for made in mades) + "]}"
        self.answer = None


class Known(Writers):
    def __init__(self, binary, data, options=(), kinds=None):
        self.binary, self.data, self.options, self.kinds = binary, data, list(options), kinds
        self.doors, self.lock = Doors(), threading.Lock()
        self.entries = {}  # leaf -> Entry
        self.of_made = {}  # made -> leaf
        self.doubtful = set()  # sent alone, and no answer came or it was 503
        self.unanswered, self.answered = [], []  # batches
        self.heads = {}  # (tree ID, or key ID of v2) -> {size: root}
        self.notes = {}  # the same -> {size: note}
        self.wrong, self.refused = [], 0

    def start(self, *options, **more):
        return Server(self.binary, self.data, "--search-patience", "30s", *self.options, *options, **more)

    # ---- writing ----------------------------------------------------------------------------------------------------

    def new(self, v2=None):
        kinds = [kind for kind in self.kinds or () if v2 in (None, kind.startswith("v2 "))]
        made = self.doors.make(random.choice(kinds) if kinds else None)
        while v2 not in (None, made.v2):
            made = self.doors.make()
        return made

    def post(self, connection, made):
        """Sends one entry; returns the status."""
        self.doubtful.add(made)
        connection.request("POST", made.path, made.request, JSON)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status == 201:
            told = json.loads(body)
            if made.v2:
                leaf = leaf_hash(base64.b64decode(told["canonicalizedBody"])).hex()
                self._told(made, leaf)
                self.saw(told["logId"]["keyId"], told["inclusionProof"]["checkpoint"]["envelope"])
            else:
                self._entry(made, told)
        elif answer.status == 409:
            if made.v2:
                connection.request("GET", f"/api/v2/log/entries/{answer.headers['X-Log-Index']}")
                told = json.loads(connection.getresponse().read())
                leaf = leaf_hash(base64.b64decode(told["canonicalizedBody"])).hex()
            else:
                leaf = answer.headers["Location"][-64:]
            self._told(made, leaf)
        elif answer.status == 503 and answer.headers["Retry-After"]:
            self.refused += 1
        else:
            self.wrong.append(f"{made.kind} was answered {answer.status}: {body[:300]!r}")
        return answer.status

    def post_batch(self, connection, batch):
        """Sends a batch; returns the status. The answer is kept."""
        path = f"/api/{'v2' if batch.v2 else 'v1'}/log/entries/batch"
        connection.request("POST", path, batch.body, {**JSON, "Idempotency-Key": batch.key})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status in (201, 207):
            outcomes = json.loads(body)["entries"]
            if len(outcomes) != len(batch.mades) or (answer.status == 201) != all(o["status"] == 201 for o in outcomes):
                self.wrong.append(f"a batch was answered {answer.status}: {body[:300]!r}")
            if batch.fresh and answer.status != 201:
                self.wrong.append(f"a batch of new entries was answered {answer.status}: {body[:300]!r}")
            for made, outcome in zip(batch.mades, outcomes):
                if outcome["status"] in (201, 409):
                    # The v2 door counts in the tree, not through all of them.
                    index = None if batch.v2 else int(outcome["logIndex"])
                    self._told(made, outcome["uuid"][16:], index, outcome["uuid"][:16])
                else:
                    self.wrong.append(f"{made.kind} in a batch: {outcome}")
            if batch.answer not in (None, body):
                self.wrong.append("a batch that was answered was answered otherwise")
            batch.answer = body
        elif answer.status == 503 and answer.headers["Retry-After"]:
            self.refused += 1
        else:
            self.wrong.append(f"a batch was answered {answer.status}: {body[:300]!r}")
        return answer.status

    def _told(self, made, leaf, index=None, tree=None):
        with self.lock:
            entry = self.entries.setdefault(leaf, Entry(made, leaf))
            self.of_made[made] = leaf
            self.doubtful.discard(made)
        if entry.made is not made:
            self.wrong.append(f"two entries have the leaf hash {leaf}")
        for name, value in (("index", index), ("tree", tree)):
            if value is not None and getattr(entry, name) not in (None, value):
                self.wrong.append(f"{leaf} had {name} {getattr(entry, name)} and has {value}")
            setattr(entry, name, getattr(entry, name) if value is None else value)
        return entry

    def _entry(self, made, told):
        """Notes an entry as v1 gives it."""
        [(uuid, said)] = told.items()
        if leaf_hash(base64.b64decode(said["body"])).hex() != uuid[16:]:
            self.wrong.append(f"{uuid} is not the leaf hash of its body")
        entry = self._told(made, uuid[16:], said["logIndex"], uuid[:16])
        at = said["integratedTime"]
        if entry.at not in (None, at):
            self.wrong.append(f"{uuid} was integrated at {entry.at} and then at {at}")
        if made.life and not made.life[0] <= at <= made.life[1]:
            self.wrong.append(f"{uuid} was integrated at {at}, its certificate lives {made.life}")
        entry.at = at
        self.saw(str(int(uuid[:16], 16)), said["verification"]["inclusionProof"]["checkpoint"])
        return said

    def saw(self, log, note):
        """Notes a checkpoint of a tree, or of a v2 log."""
        lines = note.split("\n")
        size, root = int(lines[1]), base64.b64decode(lines[2])
        with self.lock:
            if self.heads.setdefault(log, {}).setdefault(size, root) != root:
                self.wrong.append(f"two checkpoints of {log} of size {size}")
            self.notes.setdefault(log, {})[size] = note

    def load(self, server, clients=6, sent=None, until=None, largest=30, again=0.2):
        """Concurrent clients of both doors, each sending so many requests or until told; so many of the batches have an
        entry that is known already."""

        def send(connection):
            if random.random() >= 0.4:
                self.post(connection, self.new())
                return
            v2 = random.random() < 0.4
            mades = [self.new(v2) for _ in range(random.randint(1, largest))]
            with self.lock:
                old = [entry.made for entry in list(self.entries.values())[:200] if entry.made.v2 == v2]
            fresh = not old or random.random() >= again
            if not fresh:
                mades[0] = random.choice(old)
            batch = Batch(f"{random.getrandbits(128):x}", v2, mades, fresh)
            self.unanswered.append(batch)
            if self.post_batch(connection, batch) in (201, 207):
                self.unanswered.remove(batch)
                self.answered.append(batch)

        return self.start_clients(server, clients, send, sent, until)

    def retry(self, server):
        """Sends again what got no answer, and some of what did. Says how many batches were in the log without their
        client's knowing."""
        connection, found = server.connect(), 0
        status, log = server.get("/api/v1/log")
        log = json.loads(log)
        size = log["treeSize"] + sum(shard["treeSize"] for shard in log["inactiveShards"] or ())
        for batch in self.unanswered:
            status = self.post_batch(connection, batch)
            assert status == 201 or status == 207 and not batch.fresh, f"a batch sent again was answered {status}"
            outcomes = json.loads(batch.answer)["entries"]
            assert all(outcome["status"] == 201 for outcome in outcomes[not batch.fresh :]), f"not all new: {outcomes}"
            found += any(outcome["logIndex"] < size for outcome in outcomes[not batch.fresh :])
            self.answered.append(batch)
        again = self.unanswered + random.sample(self.answered, min(3, len(self.answered)))
        self.unanswered = []
        for batch in again:
            self.post_batch(connection, batch)
            other = Batch(batch.key, batch.v2, [self.new(batch.v2)], True)
            path = f"/api/{'v2' if batch.v2 else 'v1'}/log/entries/batch"
            connection.request("POST", path, other.body, {**JSON, "Idempotency-Key": batch.key})
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 422, f"another body under a used key: {answer.status} {body[:200]!r}"
        for made in list(self.doubtful):
            status = self.post(connection, made)
            assert status in (201, 409), f"{made.kind}, sent again, was answered {status}"
        connection.close()
        self.calm()
        return found

    def find(self, server):
        """Finds out what became of entries in doubt; those that are not in the log are sent again. A shard that followed
        takes what is in the one before, so they are not just sent again."""
        connection = server.connect()
        for batch in self.unanswered:
            self.doubtful.update(batch.mades)
        self.unanswered = []
        for made in list(self.doubtful):
            for leaf in self._lookup(connection, "hash", made.own):
                self._told(made, leaf)
        for made in list(self.doubtful):
            status = self.post(connection, made)
            assert status == 201, f"{made.kind}, which nobody finds, was answered {status}"
        connection.close()
        self.calm()

    def calm(self):
        assert not self.wrong, "; ".join(self.wrong[:3])

    # ---- the judge --------------------------------------------------------------------------------------------------

    def judge(self, server, at_most=None, pages=True):
        """Every key of every entry, or so many keys of them, finds exactly the entries that have it. Nothing may be in
        doubt."""
        self.calm()
        assert not self.doubtful and not self.unanswered, "there are entries in doubt"
        expected = {}
        for leaf, entry in self.entries.items():
            for key in entry.made.found:
                expected.setdefault(key, set()).add(leaf)
        connection = server.connect()
        if pages:
            self._pages(connection, len(self.entries))
        keys = [key for key in expected if key[0] not in ("issuer", "kind")]
        if at_most is not None and len(keys) > at_most:
            keys = random.sample(keys, at_most)
        for how, value in keys:
            found = self._lookup(connection, how, value)
            missing, others = expected[how, value] - found, found - expected[how, value]
            assert not missing, f"{how} {value[:90]} does not find {self._named(missing)}"
            assert not others, f"{how} {value[:90]} finds {others}"
        many = [key for key in expected if key[0] in ("issuer", "kind")]
        some = 60 if pages else 15
        for how, value in random.sample(keys, min(some, len(keys))) + (many if pages else []):
            found = {leaf for leaf, _ in self._search(connection, how, value)}
            assert found == expected[how, value], f"GET {how}={value[:90]} finds {len(found)} of {len(expected[how, value])}"
        for leaf in random.sample(sorted(self.entries), min(some, len(self.entries))):
            self.by_names(connection, self.entries[leaf])
        connection.close()
        self.calm()

    def _named(self, leaves):
        entries = [self.entries[leaf] for leaf in leaves]
        return ", ".join(f"{entry.made.kind} {entry.leaf[:16]} at {entry.index}" for entry in entries[:4])

    def _lookup(self, connection, how, value):
        """`POST /api/v1/index/retrieve`."""
        query = {how: value}
        if how == "key":
            query = {"hash": f"sha256:{value}"}
        elif how == "publicKey":
            query = {how: {"format": "x509", "content": base(value)}}
        _, body = self._complete(connection, "POST", "/api/v1/index/retrieve?kinds=all", json.dumps(query))
        uuids = json.loads(body)
        assert len(set(uuids)) == len(uuids), f"search for {query} names an entry twice"
        return {uuid[16:] for uuid in uuids}

    def _complete(self, connection, method, path, query=None):
        """The answer of a search that speaks of all that is known here. An index that meets damage answers with what is left
        of it, says so, and grows back."""
        deadline = time.monotonic() + COMPLETE_WITHIN
        while True:
            connection.request(method, path, query, JSON)
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, f"search {path} for {query}: {answer.status} {body[:200]!r}"
            if int(answer.headers["X-Complete-Tree-Size"]) >= len(self.entries):
                return answer, body
            assert time.monotonic() < deadline, f"search is not complete after {COMPLETE_WITHIN} s"

    def _search(self, connection, how, value, **more):
        """`GET /api/v1/log/entries?…`, all pages: leaf hashes with what is said of them, in order."""
        if how == "publicKey":
            how, value = "key", p256.hashlib.sha256(value.encode()).hexdigest()
        found, page = [], 1
        while page:
            query = urllib.parse.urlencode({how: value, "page": page, "pageSize": 100, **more})
            answer, body = self._complete(connection, "GET", f"/api/v1/log/entries?{query}")
            told = json.loads(body)
            assert told["treeSize"] == int(answer.headers["X-Complete-Tree-Size"])
            for one in told["entries"]:
                [uuid] = one
                entry = self.entries.get(uuid[16:])
                assert entry, f"{uuid} is in the log and was never acknowledged"
                found.append((uuid[16:], self._entry(entry.made, one)))
            page = told["nextPage"]
        indexes = [said["logIndex"] for _, said in found]
        assert indexes == sorted(set(indexes)), f"{how} {value}: not in the order of the log"
        self.complete = told["treeSize"]
        return found

    def _pages(self, connection, size):
        """The log from end to end: nothing else is in it, times never go back, and ranges of time are found."""
        everything = self._search(connection, "since", "0")
        assert self.complete == size == len(everything), f"{len(everything)} entries of {size}, complete to {self.complete}"
        assert [said["logIndex"] for _, said in everything] == list(range(size)), "indexes have gaps"
        times = [said["integratedTime"] for _, said in everything]
        assert times == sorted(times), "integrated times go back"
        for _ in range(3):
            since, until = sorted(random.choices(times, k=2))
            expected = {leaf for leaf, said in everything if since <= said["integratedTime"] < until}
            found = {leaf for leaf, _ in self._search(connection, "since", since, until=until)}
            assert found == expected, f"from {since} until {until}: {len(found)} entries, not {len(expected)}"

    def by_names(self, connection, entry):
        """By 64 and 80 hexadecimal digits and by virtual index: the same entry, with a promise and a proof that hold."""
        for name in ("leaf", "uuid", "index"):
            path = {"leaf": f"/{entry.leaf}", "uuid": f"/{entry.tree}{entry.leaf}", "index": f"?logIndex={entry.index}"}[name]
            connection.request("GET", f"/api/v1/log/entries{path}")
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, f"{path}: {answer.status} {body[:200]!r}"
            said = self._entry(entry.made, json.loads(body))
        return said

    def promise(self, server, leaf):
        """The promised time of an entry, whose signature holds."""
        entry = self.entries[leaf]
        connection = server.connect()
        connection.request("GET", f"/api/v1/log/entries/{leaf}")
        said = self._entry(entry.made, json.loads(connection.getresponse().read()))
        connection.request("GET", f"/api/v1/log/publicKey?treeID={int(entry.tree, 16)}")
        spki = p256.of_pem(connection.getresponse().read().decode())
        connection.close()
        payload = {name: said[name] for name in ("body", "integratedTime", "logID", "logIndex")}
        payload = json.dumps(payload, sort_keys=True, separators=(",", ":")).encode()
        signature = base64.b64decode(said["verification"]["signedEntryTimestamp"])
        assert p256.verify(spki, payload, signature), f"the promise of {leaf} does not hold"
        assert p256.hashlib.sha256(spki).hexdigest() == said["logID"], f"{leaf} is promised by another key"
        return said["integratedTime"]

    def judge_trees(self, server, thorough=True):
        """All checkpoints of each tree that were ever seen are of one history, and `bulla fsck` passes every shard, or the
        last two and one of the others."""
        connection, by_tree = server.connect(), {}
        for entry in self.entries.values():
            if entry.index is None or entry.tree is None:
                self.by_names(connection, entry)
        connection.close()
        for entry in sorted(self.entries.values(), key=lambda entry: entry.index):
            by_tree.setdefault(entry.tree, []).append(bytes.fromhex(entry.leaf))
        shards = json.loads(self.command("shard", "list", "--output", "json"))["shards"]
        assert {int(tree, 16) for tree in by_tree} <= {int(shard["treeID"]) for shard in shards}
        judged = range(len(shards)) if thorough else {random.randrange(len(shards)), *range(len(shards))[-2:]}
        for number, shard in enumerate(shards):
            if number not in judged:
                continue
            leaves = by_tree.get(f"{int(shard['treeID']):016x}", [])
            for log in (shard["treeID"], shard["v2LogID"]):
                heads = self.heads.get(log, {})
                assert max(heads, default=0) <= len(leaves), f"a head of {max(heads)} of {log} was seen: {len(leaves)}"
                computed = roots(leaves, heads)
                for size, root in heads.items():
                    assert computed[size] == root, f"the checkpoint of {log} of size {size} is not a prefix"
            self.fsck(f"{server.url}/shards/{shard['treeID']}/", shard)
            place = self.data if number == 0 else f"{self.data}/shards/{shard['treeID']}"
            if os.path.exists(f"{place}/cell/checkpoint"):
                self.fsck(place, shard, notes=shard["ended"] is not None)
        return shards

    def fsck(self, target, shard, notes=True):
        command, saved = [self.binary, "fsck", target, "--key", shard["vkey"]], []
        for size, note in sorted(self.notes.get(shard["v2LogID"], {}).items())[-2:] if notes else ():
            saved.append(f"{self.data}.seen-{size}")
            with open(saved[-1], "w") as file:
                file.write(note)
            command += ["--checkpoint", saved[-1]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        for path in saved:
            os.unlink(path)
        assert done.returncode == 0, f"fsck {target}: {done.returncode} {done.stdout} {done.stderr}"

    def command(self, *arguments, code=0):
        """A command on the log's directory that ends with that code; what it said."""
        command = [self.binary, *arguments, "--data", self.data]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        assert done.returncode == code, f"{' '.join(arguments)}: {done.returncode} {done.stdout} {done.stderr}"
        return done.stdout if code == 0 else done.stderr
