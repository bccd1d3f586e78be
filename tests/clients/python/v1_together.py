"""Many clients of the v1 door at once: each entry lands once, every proof fits its checkpoint, batches are answered once.

    v1_together.py URL
"""

import concurrent.futures
import json
import sys
import threading

import requests

from tap import end, expect, shown
from v1 import ENTRIES, JSON, Door, Key, as_v2, b64, dsse, expected_body, hashedrekord, refused, sha256, statement, unique

MANY = 50
BATCH = f"{ENTRIES}/batch"


def at_once(tasks):
    """Runs all of them, begun at the same moment; the results in their order."""
    start = threading.Barrier(len(tasks))

    def run(task):
        start.wait()
        return task()

    with concurrent.futures.ThreadPoolExecutor(len(tasks)) as pool:
        return list(pool.map(run, tasks))


def uploads_and_verifies(door):
    key = Key()
    old, _ = door.logged(hashedrekord(unique(b"verified meanwhile"), key))
    proposals = [hashedrekord(unique(b"upload %d" % n), key) for n in range(MANY)]
    uploads = [lambda one=one: door.create(one) for one in proposals]
    reads = [lambda: door.get(f"{ENTRIES}/{old}") for _ in range(MANY)]
    with shown(f"{MANY} uploads and {MANY} verifies at once: proof and checkpoint are of one tree in each"):
        answers = at_once([task for pair in zip(uploads, reads) for task in pair])
        for n, (upload, read) in enumerate(zip(answers[::2], answers[1::2])):
            expect(upload.status_code == 201, upload.text)
            door.check_entry(upload.text, expected_body(proposals[n]))
            expect(door.check_entry(read.text)[0] == old, "another entry")


def each_lands_once(door):
    key = Key()
    proposals = [json.dumps(hashedrekord(unique(b"contended %d" % n), key)) for n in range(MANY)]
    before = door.info()["treeSize"]

    def client(first):
        session, seen = requests.Session(), {}
        for n in range(MANY):
            n = (n + first) % MANY
            answer = session.post(door.url + ENTRIES, data=proposals[n], headers=JSON)
            seen[n] = answer.status_code, answer.headers["Location"]
        return seen

    with shown(f"{MANY} clients post the same {MANY} entries: each is 201 once and 409 with the same place {MANY - 1} times"):
        answers = at_once([lambda first=first: client(first) for first in range(MANY)])
        for n in range(MANY):
            statuses = sorted(seen[n][0] for seen in answers)
            expect(statuses == [201] + [409] * (MANY - 1), f"entry {n}: {statuses}")
            expect(len({seen[n][1] for seen in answers}) == 1, f"entry {n} has several places")
        expect(door.info()["treeSize"] == before + MANY, f"from {before} to {door.info()['treeSize']}")


def batches(door):
    key = Key()
    fresh = lambda: hashedrekord(unique(b"of a batch"), key)
    post = lambda entries, **headers: door.post(BATCH, {"entries": entries}, headers=JSON | headers)

    def check(answer, status):
        expect(answer.status_code == status, f"HTTP {answer.status_code}: {answer.text}")
        expect(sorted(answer.json()) == ["entries", "treeID", "treeSize"], f"{sorted(answer.json())}")
        return answer.json()["entries"]

    with shown("a batch of new entries is 201; each has a place where it is found"):
        sent = [fresh(), dsse(statement(sha256(b"batch")), key), *(fresh() for _ in range(98))]
        results = check(post(sent), 201)
        indexes = [result["logIndex"] for result in results]
        expect(indexes == list(range(indexes[0], indexes[0] + 100)), f"indexes {indexes}: one commit has them side by side")
        for proposed, result in list(zip(sent, results))[::20]:
            expect(sorted(result) == ["location", "logIndex", "status", "uuid"] and result["status"] == 201, f"{result}")
            entry_id, entry = door.check_entry(door.get(result["location"]).text, expected_body(proposed))
            expect((entry_id, entry["logIndex"]) == (result["uuid"], result["logIndex"]), f"{result}")
    with shown("a batch with known and wrong entries is 207; each says what became of it, and can be sent alone"):
        known, wrong, new = sent[0], fresh(), fresh()
        wrong["spec"]["signature"]["content"] = b64(key.sign(b"another"))
        one, two, three, four = check(post([known, wrong, new, new]), 207)
        expect((one["status"], one["location"]) == (409, results[0]["location"]) and results[0]["uuid"] in one["error"], f"{one}")
        expect(sorted(two) == ["error", "status"] and two["status"] == 400 and "error processing entry: " in two["error"], f"{two}")
        expect(three["status"] == 201, f"{three}")
        expect((four["status"], four["uuid"]) == (409, three["uuid"]), f"the same twice: {four}")
        refused(door.create(wrong), 400, two["error"])
        refused(door.create(known), 409, one["error"])
    with shown("none and more than a hundred are 422"):
        refused(post([]), 422, "entries in body should have at least 1 items", code=612)
        refused(post([known] * 101), 422, "entries in body should have at most 100 items", code=611)
        refused(door.post(BATCH, {}), 422, "entries in body is required", code=602)
        refused(door.post(BATCH, "["), 400)
    with shown("Idempotency-Key: the same request has the same answer, another body is 422, without it 207"):
        name, sent = unique(b"key").decode(), [fresh(), fresh()]
        body = json.dumps({"entries": sent})
        keyed = lambda body, name=name: door.post(BATCH, body, headers=JSON | {"Idempotency-Key": name})
        first, again = keyed(body), keyed(body)
        check(first, 201)
        expect((again.status_code, again.content) == (201, first.content), again.text)
        refused(keyed(json.dumps({"entries": [fresh()]})), 422, "Idempotency-Key was used for a request with another body")
        check(door.post(BATCH, body), 207)
        refused(keyed(body, "x" * 256), 400, "Idempotency-Key")
    with shown("the same key at once: answered as the first, or 409 with Retry-After while that is running"):
        name, body = unique(b"at once").decode(), json.dumps({"entries": [fresh() for _ in range(100)]})
        answers = at_once([lambda: keyed(body, name)] * 20)
        first = [answer for answer in answers if answer.status_code == 201]
        expect(len({answer.content for answer in first}) == 1, f"{len(first)} different answers")
        for answer in answers:
            if answer.status_code != 201:
                refused(answer, 409, "a request with this Idempotency-Key is still running")
                expect(int(answer.headers["Retry-After"]) >= 1, "Retry-After")
    with shown("the v2 door's batch: 201 and 207, found through both doors"):
        v2 = [as_v2(unique(b"v2 batch"), key) for _ in range(3)]
        path = "/api/v2/log/entries/batch"
        results = check(door.post(path, {"entries": v2}), 201)
        for result in results:
            by_leaf = door.get(result["location"]).json()
            expect(by_leaf["kindVersion"] == {"kind": "hashedrekord", "version": "0.0.2"}, f"{by_leaf}")
            expect(door.check_entry(door.get(f"{ENTRIES}/{result['uuid']}").text)[0] == result["uuid"], "through v1")
        one, two, three = check(door.post(path, {"entries": [v2[0], {"hashedRekordRequestV002": {}}, as_v2(unique(b"more"), key)]}), 207)
        expect([one["status"], two["status"], three["status"]] == [409, 400, 201], f"{one} {two} {three}")
        expect(one["location"] == results[0]["location"], f"{one}")


if __name__ == "__main__":
    here = Door(sys.argv[1])
    for part in [uploads_and_verifies, each_lands_once, batches]:
        part(here)
    end()
