"""A log of its own that is rotated while clients post, stopped and started again: what was logged stays what it was, and is
found through every shard.

    v1_shards.py BULLA SERVE_OPTION…
"""

import json
import pathlib
import signal
import sys
import tempfile
import threading
import time

import requests

from served import Log, free_ports
from tap import end, expect, shown
from v1 import ENTRIES, JSON, Door, Key, as_v2, expected_body, hashedrekord, refused, sha256, unb64, unique


class Posting:
    """Clients that post new entries until they are told to stop, and remember every answer."""

    def __init__(self, door, clients=4):
        self.door, self.stopping, self.answers, self.failures = door, threading.Event(), [], []
        self.threads = [threading.Thread(target=self.post) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def post(self):
        session, key = requests.Session(), Key()
        while not self.stopping.is_set():
            proposed = hashedrekord(unique(b"while the shard rotates"), key)
            try:
                answer = session.post(self.door.url + ENTRIES, data=json.dumps(proposed), headers=JSON)
            except requests.RequestException as error:
                self.failures.append(str(error))
                continue
            if answer.status_code == 201:
                self.answers.append((proposed, answer.text))
            else:
                self.failures.append(f"{answer.status_code} {answer.text}")

    def wait_for(self, more):
        wanted, deadline = len(self.answers) + more, time.monotonic() + 60
        while len(self.answers) < wanted and time.monotonic() < deadline and not self.failures:
            time.sleep(0.01)

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


def stable(entry):
    """What must never change of an entry."""
    proof = entry["verification"]["inclusionProof"]
    return {name: entry[name] for name in ["body", "integratedTime", "logID", "logIndex"]} | {"inTree": proof["logIndex"]}


def rotate_while_posting(log, door, kept):
    key = Key()
    early = hashedrekord(unique(b"before the first rotation"), key)
    entry_id, entry = door.logged(early)
    kept[entry_id] = stable(entry)
    before = door.info()
    posting = Posting(door)
    posting.wait_for(20)
    for _ in range(2):
        log.command("shard", "rotate", "--data", log.data)
        posting.wait_for(20)
    posting.stop()
    with shown(f"no request fails while the shard is rotated, twice, under {len(posting.threads)} clients"):
        expect(not posting.failures, f"{posting.failures[:3]}")
        expect(len(posting.answers) >= 60, f"{len(posting.answers)} entries")
    for proposed, text in posting.answers:
        its_id, its_entry = door.check_entry(text, expected_body(proposed))
        kept[its_id] = stable(its_entry)
    with shown("virtual indexes go on through the shards, each once and none left out"):
        indexes = sorted(entry["logIndex"] for entry in kept.values())
        expect(indexes == list(range(len(indexes))), f"{indexes}")
    with shown("inactiveShards lists the ended trees, oldest first, with heads that their own keys signed"):
        info = door.info()
        trees = [shard["treeID"] for shard in info["inactiveShards"]]
        expect(len(trees) == 2 and trees[0] == before["treeID"] and info["treeID"] not in trees, f"{trees}")
        sizes = [shard["treeSize"] for shard in info["inactiveShards"]]
        expect(sum(sizes) + info["treeSize"] == len(kept), f"{sizes} and {info['treeSize']}")
        for shard in [*info["inactiveShards"], info]:
            door.check_head(shard["signedTreeHead"], shard["treeID"], shard["treeSize"], bytes.fromhex(shard["rootHash"]))
        keys = [door.key(int(tree))[1] for tree in [*trees, info["treeID"]]]
        expect(len(set(keys)) == 3, "two shards have one key")
    return trees, early, entry_id


def found_across(door, kept, trees, early, early_id):
    with shown("every entry of every shard is as it was: by index, by 80 and by 64 digits, promise of its shard's key"):
        for entry_id, was in kept.items():
            for path in [f"{ENTRIES}?logIndex={was['logIndex']}", f"{ENTRIES}/{entry_id}", f"{ENTRIES}/{entry_id[16:]}"]:
                its_id, entry = door.check_entry(door.get(path).text)
                expect((its_id, stable(entry)) == (entry_id, was), f"{path}: {stable(entry)}, was {was}")
    with shown("an ID of one tree is not looked for in another"):
        other = f"{int(trees[1]):016x}{early_id[16:]}"
        expect(door.get(f"{ENTRIES}/{other}").status_code == 404, "found in a tree that never had it")
    with shown("retrieve, search and proofs reach ended shards"):
        answer = door.post(f"{ENTRIES}/retrieve", {"entryUUIDs": [early_id], "entries": [early], "logIndexes": [0]})
        expect([list(one) for one in answer.json()] == [[early_id]] * 3, answer.text)
        digest = early["spec"]["data"]["hash"]["value"]
        expect(door.search({"hash": digest}) == [early_id], "index/retrieve")
        expect([list(one) for one in door.get(f"{ENTRIES}?hash={digest}").json()["entries"]] == [[early_id]], "search")
        proof = door.get(f"{ENTRIES}/{early_id}/proof").json()
        door.check_proof(proof, int(trees[0]), bytes.fromhex(early_id[16:]))
        size = door.info()["inactiveShards"][0]["treeSize"]
        consistent = door.get(f"/api/v1/log/proof?firstSize=1&lastSize={size}&treeID={trees[0]}")
        expect(consistent.status_code == 200 and len(consistent.json()["hashes"]) > 0, consistent.text)
        refused(door.get(f"/api/v1/log/proof?lastSize={size + 1}&treeID={trees[0]}"), 400, "currently observable")


def duplicates(door, early, early_id):
    with shown("the same entry may be logged again in a new shard; 64 digits then mean the newest, retrieve gives both"):
        entry_id, _ = door.logged(early)
        expect(entry_id[16:] == early_id[16:] and entry_id != early_id, f"{entry_id}")
        expect(list(door.get(f"{ENTRIES}/{entry_id[16:]}").json()) == [entry_id], "not the newest")
        answer = door.post(f"{ENTRIES}/retrieve", {"entryUUIDs": [entry_id[16:]]})
        expect([list(one) for one in answer.json()] == [[entry_id], [early_id]], answer.text)
        refused(door.create(early), 409, entry_id)


def trusted(log, door, trees):
    with shown("the trusted root lists every shard through both doors, with the time in which each was in use"):
        printed, served = json.loads(log.command("trust", "root", "--data", log.data)), door.get("/trusted_root.json").json()
        expect(printed["tlogs"] == served["tlogs"], "printed and served differ")
        logs = {unb64(one["logId"]["keyId"]): one for one in served["tlogs"]}
        for tree in trees:
            one = logs[door.key(int(tree))[1]]
            expect("end" in one["publicKey"]["validFor"], f"{one['publicKey']['validFor']}")
        active = logs[door.key(int(door.info()["treeID"]))[1]]
        expect("end" not in active["publicKey"]["validFor"], f"{active['publicKey']['validFor']}")
        expect(len(logs) == 6, f"{len(logs)} log keys of three shards with two doors")


def idempotency(log, door):
    key = Key()
    body = json.dumps({"entries": [hashedrekord(unique(b"again after a restart"), key) for _ in range(3)]})
    keyed = lambda body: door.post(f"{ENTRIES}/batch", body, headers=JSON | {"Idempotency-Key": "over a restart"})
    first = keyed(body)
    for how in [signal.SIGTERM, signal.SIGKILL]:
        log.stop(how)
        log.start()
        with shown(f"a batch sent again after {how.name} has the same answer; another body is still 422"):
            expect(first.status_code == 201, first.text)
            again = keyed(body)
            expect((again.status_code, again.content) == (201, first.content), f"{again.status_code} {again.text}")
            refused(keyed(json.dumps({"entries": []})), 422, "Idempotency-Key")


def run(binary, options, folder):
    log = Log(binary, options, folder, free_ports(3))
    log.start()
    try:
        door, kept = Door(log.url), {}
        trees, early, early_id = rotate_while_posting(log, door, kept)
        found_across(door, kept, trees, early, early_id)
        trusted(log, door, trees)
        written = door.post("/api/v2/log/entries", as_v2(unique(b"v2 and then rotated"), Key())).json()
        leaf = sha256(b"\0" + unb64(written["canonicalizedBody"])).hex()
        log.stop()
        log.start()
        with shown("all of that is so after a restart"):
            expect([shard["treeID"] for shard in door.info()["inactiveShards"]] == trees, "other shards")
        found_across(door, kept, trees, early, early_id)
        duplicates(door, early, early_id)
        log.command("shard", "rotate", "--data", log.data)
        with shown("an entry of the v2 door stays readable through both when its shard has ended"):
            expect(door.get(f"/api/v2/log/entries?leafHash={leaf}").status_code == 200, "v2")
            door.check_entry(door.get(f"{ENTRIES}/{leaf}").text)
        idempotency(log, door)
        log.stop()
        with shown("fsck passes every shard"):
            log.command("fsck", log.data)
    finally:
        if log.process.poll() is None:
            log.stop(signal.SIGKILL)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        run(sys.argv[1], sys.argv[2:], pathlib.Path(scratch))
    end()
