"""The v1 door against what is known to break real clients, rule by rule, over HTTP and with no client's own parser in
between. Every entry is verified with the log's own key: promise, path, checkpoint.

    v1_rules.py URL
"""

import json
import re
import sys
import time

import requests

from tap import end, expect, shown
from v1 import (ENTRIES, JSON, NEVER_CACHED, Door, Key, b64, compact, dsse, expected_body, hashedrekord, intoto_v001,
                intoto_v002, refused, sha256, statement, unb64, unique)

ID = "[0-9a-f]{80}"


def rules(door):
    key = Key()
    artifact = unique(b"what the rules are tried on")
    proposed = hashedrekord(artifact, key)
    began = int(time.time())
    answer = door.create(proposed)
    again = door.create(proposed)
    found = door.get(f"{ENTRIES}/{answer.headers.get('ETag')}")
    entry_id = next(iter(answer.json()))
    entry = answer.json()[entry_id]

    with shown("rule 1: an entry is an object with one member, named by the 80-digit ID"):
        for text in [answer.text, found.text, door.get(f"{ENTRIES}?logIndex={entry['logIndex']}").text]:
            its_id, _ = door.check_entry(text, expected_body(proposed))
            expect(its_id == entry_id, f"{its_id} is not {entry_id}")
    with shown("rule 2: its text is compact and ends in one newline"):
        for text in [answer.text, found.text]:
            expect(re.match('^{"' + ID + '":{"', text) and text.endswith("}}}\n"), text)
            again_compact = json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False) + "\n"
            expect(text == again_compact, f"not compact: {text!r}")
    with shown("rule 3: an entry has the documented members, in alphabetical order, and no others"):
        documented = ["body", "integratedTime", "logID", "logIndex", "verification"]
        expect(list(entry) == documented, f"members {list(entry)}")
        attested = door.create(intoto_v001(statement(sha256(b"rule 3"))))
        read = door.get(attested.headers["Location"]).json()
        expect(list(*read.values()) == ["attestation", *documented], f"members {list(*read.values())}")
        expect(list(*attested.json().values()) == documented, "what was just created has an attestation")
    with shown("rule 4: a new entry is answered with 201"):
        expect(answer.status_code == 201, f"{answer.status_code}")
    with shown("rule 5: ETag is the bare ID, though the client takes compressed answers"):
        zipped = door.create(hashedrekord(b"compressed?"), headers=JSON | {"Accept-Encoding": "gzip, deflate, br, zstd"})
        for one in [answer, zipped]:
            expect(one.headers["ETag"] == next(iter(one.json())), f"ETag {one.headers['ETag']!r}")
            expect("Content-Encoding" not in one.headers, f"Content-Encoding {one.headers.get('Content-Encoding')}")
    with shown("rule 6: 201 and 409 have a Location without a host"):
        for one in [answer, again]:
            expect(one.headers["Location"] == f"{ENTRIES}/{entry_id}", one.headers["Location"])
        expect("ETag" not in again.headers, "409 has an ETag")
    with shown("rule 7: what is wrong with an entry is 400"):
        wrong = []
        for change in [lambda e: e["spec"]["signature"].update(content=b64(key.sign(b"another"))),
                       lambda e: e["spec"]["data"]["hash"].update(value=sha256(b"another").hex()),
                       lambda e: e["spec"]["data"]["hash"].update(value="00"),
                       lambda e: e["spec"]["signature"]["publicKey"].update(content=b64(b"no key")),
                       lambda e: e.update(apiVersion="0.0.9")]:
            one = json.loads(json.dumps(proposed))
            change(one)
            wrong.append(door.create(one))
        for one in wrong:
            refused(one, 400, "error processing entry: ")
    with shown("rule 8: the same canonical body again is 409 and says which entry it is"):
        refused(again, 409, f"an equivalent entry already exists in the transparency log with UUID {entry_id}")
        spaced = json.dumps(dict(reversed(proposed.items())), indent=3)
        refused(door.create(spaced), 409, entry_id)
    with shown("rule 9: a missing entry is 404 with nothing in it; retrieve leaves it out"):
        for path in [f"{ENTRIES}/{'0' * 64}", f"{ENTRIES}/{entry_id[:16]}{'0' * 64}", f"{ENTRIES}/{'1' * 16}{entry_id[16:]}",
                     f"{ENTRIES}?logIndex={2**40}"]:
            missing = door.get(path)
            expect((missing.status_code, missing.content) == (404, b""), f"{path}: {missing.status_code} {missing.text!r}")
            expect("Content-Type" not in missing.headers, f"{path}: {missing.headers.get('Content-Type')}")
        found_some = door.post(f"{ENTRIES}/retrieve", {"entryUUIDs": ["0" * 64, entry_id], "logIndexes": [2**40]})
        expect((found_some.status_code, [list(one) for one in found_some.json()]) == (200, [[entry_id]]), found_some.text)
    with shown("rule 10: the proof counts in the tree, the entry counts through all trees"):
        inactive = sum(shard["treeSize"] for shard in door.info()["inactiveShards"] or [])
        in_tree = entry["verification"]["inclusionProof"]["logIndex"]
        expect(entry["logIndex"] == in_tree + inactive, f"{entry['logIndex']} is not {in_tree} + {inactive}")
    with shown("rule 11: the promise signs RFC 8785 of body, integratedTime, logID and logIndex"):
        door.check_entry(answer.text)
    with shown("rule 12: integratedTime is whole seconds, of now"):
        expect(isinstance(entry["integratedTime"], int), f"{entry['integratedTime']!r}")
        expect(began - 1 <= entry["integratedTime"] <= int(time.time()) + 1, f"{began} and {entry['integratedTime']}")
    with shown("rule 13: a checkpoint is three lines, a blank one, and one signature"):
        for note in [door.info()["signedTreeHead"], entry["verification"]["inclusionProof"]["checkpoint"]]:
            lines = note.split("\n")
            expect(len(lines) == 6 and lines[3] == "" and lines[5] == "" and all(lines[n] for n in [0, 1, 2, 4]), f"{note!r}")
    info = door.info()
    with shown("rule 14: the key hint of a checkpoint is the start of SHA-256 of the key"):
        door.check_head(info["signedTreeHead"], info["treeID"], info["treeSize"], bytes.fromhex(info["rootHash"]))
    with shown("rule 15: logID is SHA-256 of the key, and the trusted root has that key under it"):
        _, log_id = door.key(int(info["treeID"]))
        tlogs = door.get("/trusted_root.json").json()["tlogs"]
        named = [log for log in tlogs if log["logId"]["keyId"] == b64(log_id)]
        expect(len(named) == 1 and sha256(unb64(named[0]["publicKey"]["rawBytes"])) == log_id, f"{tlogs}")
    with shown("rule 16: the public key is application/x-pem-file"):
        pem = door.get("/api/v1/log/publicKey", headers={"Accept": "application/x-pem-file"})
        expect(pem.headers["Content-Type"] == "application/x-pem-file", pem.headers["Content-Type"])
        expect(re.fullmatch(r"-----BEGIN PUBLIC KEY-----\n([!-~]+\n)+-----END PUBLIC KEY-----\n", pem.text), pem.text)
    with shown("rule 17: null is as good as absent"):
        nulls = hashedrekord(unique(b"with nulls"))
        nulls["spec"]["signature"]["publicKey"]["url"] = nulls["spec"]["data"]["content"] = None
        expect(door.create(nulls).status_code == 201, "refused nulls in an entry")
        sought = {"entryUUIDs": None, "logIndexes": None, "entries": [proposed]}
        expect(len(door.post(f"{ENTRIES}/retrieve", sought).json()) == 1, "refused nulls in retrieve")
        sought = {"email": None, "publicKey": None, "subject": None, "operator": None, "hash": sha256(artifact).hex()}
        expect(door.search(sought) == [entry_id], "refused nulls in a search")
    with shown("rule 18: slashes at the end and doubled ones are taken"):
        for path in [f"{ENTRIES}/retrieve/", "//api/v1/log/entries/retrieve", "/api/v1//log/./entries/retrieve"]:
            one = door.post(path, {"entryUUIDs": [entry_id]})
            expect([list(e) for e in one.json()] == [[entry_id]], f"{path}: {one.status_code} {one.text}")
        for path in ["/api/v1/log/", "//api/v1/log", f"/{ENTRIES}/{entry_id}/", f"{ENTRIES}/?logIndex=0"]:
            expect(door.get(path).status_code == 200, f"{path}: {door.get(path).status_code}")
        refused(door.post(f"/{ENTRIES}/", proposed), 409)
    with shown("rule 19: an empty treeID means the active tree"):
        here = door.get("/api/v1/log/publicKey").text
        expect(door.get("/api/v1/log/publicKey?treeID=").text == here, "another key")
        expect(door.get(f"/api/v1/log/publicKey?treeID={info['treeID']}").text == here, "another key")
        proof = door.get(f"/api/v1/log/proof?firstSize=1&lastSize={info['treeSize']}&treeID=")
        expect(proof.status_code == 200, proof.text)
    with shown("rule 20: numbers are numbers, treeID is text"):
        for value in [entry["logIndex"], entry["integratedTime"], info["treeSize"],
                      entry["verification"]["inclusionProof"]["treeSize"]]:
            expect(type(value) is int, f"{value!r}")
        expect(type(info["treeID"]) is str and info["treeID"].isdigit(), f"{info['treeID']!r}")


def kinds(door):
    key = Key()
    payload = statement(sha256(b"each kind"))
    with shown("every day-one kind: exact body, then found as proposed, as logged, and by its leaf hash"):
        for proposed in [hashedrekord(b"each kind", key), dsse(payload, key), intoto_v001(payload, key), intoto_v002(payload, key)]:
            entry_id, entry = door.logged(proposed)
            for template in [proposed, json.loads(unb64(entry["body"]))]:
                answer = door.post(f"{ENTRIES}/retrieve", {"entries": [template]})
                expect(answer.status_code == 200, f"{proposed['kind']} {proposed['apiVersion']}: {answer.text}")
                expect([list(one) for one in answer.json()] == [[entry_id]], f"{proposed['kind']}: {answer.text}")
            expect(door.check_entry(door.get(f"{ENTRIES}/{entry_id[16:].upper()}").text)[0] == entry_id, "by leaf hash")
    with shown("what an intoto entry attests is kept and given back; a dsse entry's is not"):
        for made, kept in [(intoto_v001, True), (intoto_v002, True), (dsse, False)]:
            entry_id, _ = door.logged(made(payload))
            entry = door.get(f"{ENTRIES}/{entry_id}").json()[entry_id]
            data = entry.get("attestation", {}).get("data")
            expect(data == (b64(payload) if kept else None), f"{made.__name__}: {data}")
    with shown("an attestation that is too long is not kept, the entry is"):
        long = statement(sha256(b"long")) + b" " * 102_400
        entry_id, _ = door.logged(intoto_v001(long))
        expect("attestation" not in door.get(f"{ENTRIES}/{entry_id}").json()[entry_id], "kept")
    with shown("a canonical body is no proposal: its content is missing"):
        for proposed in [dsse(payload), intoto_v001(payload), intoto_v002(payload)]:
            _, entry = door.logged(proposed)
            refused(door.create(json.loads(unb64(entry["body"]))), 400, "error processing entry: ")
    with shown("hashes that the client computed do not go with a proposed envelope"):
        proposed = dsse(payload)
        proposed["spec"]["envelopeHash"] = {"algorithm": "sha256", "value": sha256(b"").hex()}
        refused(door.create(proposed), 400, "error processing entry: ")
    with shown("an envelope of another key could not be verified"):
        proposed = dsse(payload)
        proposed["spec"]["proposedContent"]["verifiers"] = [b64(Key().pem)]
        refused(door.create(proposed), 400, "could not verify envelope")
        proposed = intoto_v002(payload)
        proposed["spec"]["content"]["envelope"]["signatures"][0]["publicKey"] = b64(Key().pem)
        refused(door.create(proposed), 400, "could not verify envelope")
    with shown("one signature and its key twice is one signature; a key too few is refused"):
        twice = dsse(payload, key)
        twice["spec"]["proposedContent"]["verifiers"] *= 2
        one = dsse(payload, key)
        both = json.loads(one["spec"]["proposedContent"]["envelope"])
        answer = door.create(twice)
        expect(answer.status_code == 201, answer.text)
        body = json.loads(unb64(next(iter(answer.json().values()))["body"]))
        expect(len(body["spec"]["signatures"]) == 1, f"{body}")
        other = json.loads(dsse(payload, Key())["spec"]["proposedContent"]["envelope"])
        both["signatures"] += other["signatures"]
        one["spec"]["proposedContent"]["envelope"] = compact(both)
        refused(door.create(one), 400)
        both["signatures"] = []
        one["spec"]["proposedContent"]["envelope"] = compact(both)
        refused(door.create(one), 400)
    with shown("templates of intoto: no envelope is 400, an empty signature is 400, a hash alone is enough for 0.0.1"):
        pem = b64(key.pem)
        digest = {"algorithm": "sha256", "value": sha256(b"").hex()}
        template = lambda version, content: {"entries": [{"apiVersion": version, "kind": "intoto", "spec": content}]}
        path = f"{ENTRIES}/retrieve"
        refused(door.post(path, template("0.0.2", {"content": {"hash": digest}})), 400)
        empty = {"payloadType": "application/vnd.in-toto+json", "signatures": [{}]}
        refused(door.post(path, template("0.0.2", {"content": {"envelope": empty}})), 400)
        answer = door.post(path, template("0.0.1", {"content": {"hash": digest}, "publicKey": pem}))
        expect((answer.status_code, answer.json()) == (200, []), answer.text)
        refused(door.post(path, '{"entries":[],}'), 400)
    with shown("a digest in capital letters is another leaf"):
        proposed = hashedrekord(b"capitals", key)
        one, _ = door.logged(proposed)
        proposed["spec"]["data"]["hash"]["value"] = proposed["spec"]["data"]["hash"]["value"].upper()
        other, _ = door.logged(proposed)
        expect(one != other, "one leaf")


def headers(door):
    with shown("every GET has the four headers against caches"):
        for path in ["/api/v1/log", "/api/v1/log/publicKey", "/api/v1/log/proof?lastSize=1", f"{ENTRIES}?logIndex=0",
                     f"{ENTRIES}/{'0' * 64}", "/api/v1/version", "/api/v1/nowhere"]:
            got = door.get(path).headers
            expect({name: got.get(name) for name in NEVER_CACHED} == NEVER_CACHED, f"{path}: {dict(got)}")
    with shown("a browser's preflight and what follows it"):
        asks = {"Origin": "https://search.example.org", "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "content-type,x-requested-with"}
        answer = requests.options(door.url + "/api/v1/index/retrieve", headers=asks)
        expect(answer.status_code == 204 and answer.content == b"", f"{answer.status_code}")
        expect(answer.headers["Access-Control-Allow-Origin"] == "*", "origin")
        allowed = {name.strip().lower() for name in answer.headers["Access-Control-Allow-Headers"].split(",")}
        expect({"accept", "content-type", "x-requested-with"} <= allowed, f"{allowed}")
        methods = {name.strip() for name in answer.headers["Access-Control-Allow-Methods"].split(",")}
        expect({"GET", "POST", "HEAD"} <= methods, f"{methods}")
        posted = door.post("/api/v1/index/retrieve", {}, headers=JSON | {"Origin": "https://search.example.org"})
        expect(posted.headers["Access-Control-Allow-Origin"] == "*", "origin of the answer")
        exposed = posted.headers["Access-Control-Expose-Headers"]
        expect("ETag" in exposed and "Location" in exposed, exposed)
    with shown("other media types are 415 and 406, other methods 405 with Allow, other paths 404"):
        refused(door.post(ENTRIES, "{}", headers={"Content-Type": "text/plain"}), 415, "unsupported media type", "application/json")
        refused(door.post(ENTRIES, "{}", headers={"Content-Type": ""}), 415)
        refused(door.post(f"{ENTRIES}/retrieve", "", headers=JSON | {"Content-Type": "application/json; charset=utf-8"}), 422, code=602)
        refused(door.get("/api/v1/log", headers={"Accept": "text/html"}), 406)
        for accept in ["application/json", "application/x-pem-file", "text/html, */*;q=0.1"]:
            key = door.get("/api/v1/log/publicKey", headers={"Accept": accept})
            expect((key.status_code, key.headers["Content-Type"]) == (200, "application/x-pem-file"), f"{accept}: {key.text}")
        refused(door.get("/api/v1/log/publicKey", headers={"Accept": "text/html"}), 406)
        answer = requests.put(door.url + ENTRIES)
        refused(answer, 405, "method PUT is not allowed, but [GET,POST] are")
        expect(answer.headers["Allow"].replace(" ", "") == "GET,POST", answer.headers["Allow"])
        refused(requests.delete(door.url + "/api/v1/log"), 405, "method DELETE is not allowed, but [GET] are")
        refused(door.get("/api/v1/nowhere"), 404, "path /api/v1/nowhere was not found")
    with shown("HEAD answers as GET, without the body"):
        for path in ["/api/v1/log", f"{ENTRIES}?logIndex=0", "/ping", "/healthz"]:
            answer = requests.head(door.url + path)
            expect((answer.status_code, answer.content) == (200, b""), f"{path}: {answer.status_code}")


def limits(door):
    path = f"{ENTRIES}/retrieve"
    with shown("a body that is too long is 413, though it is no entry either"):
        limit = 4 << 20
        long = json.dumps({"kind": "x" * limit})
        for target in [ENTRIES, path, "/api/v1/index/retrieve", f"{ENTRIES}/batch"]:
            refused(door.post(target, long), 413, f"Request Entity Too Large. Limit set to {limit}")
    with shown("retrieve takes ten, not eleven, in all"):
        expect(door.post(path, {"logIndexes": [0] * 10}).status_code == 200, "ten")
        refused(door.post(path, {"logIndexes": list(range(11))}), 422, "logIndexes in body should have at most 10 items", code=611)
        refused(door.post(path, {"entryUUIDs": ["0" * 64] * 11}), 422, code=611)
        both = {"logIndexes": list(range(6)), "entryUUIDs": ["0" * 64] * 5}
        refused(door.post(path, both), 422, "more than max allowed 10 entries in request")
        expect(door.post(path, {}).json() == [], "nothing asked")
    with shown("what breaks a rule of the description is 422 with the rule's number"):
        for answer, code, part in [
            (door.get(f"{ENTRIES}?logIndex=abc"), 601, 'logIndex in query must be of type int64: "abc"'),
            (door.get(ENTRIES), 602, "logIndex in query is required"),
            (door.get(f"{ENTRIES}?logIndex=-1"), 609, "logIndex in query should be greater than or equal to 0"),
            (door.get(f"{ENTRIES}/xyz"), 605, "entryUUID in path should match '^([0-9a-fA-F]{64}|[0-9a-fA-F]{80})$'"),
            (door.post("/api/v1/index/retrieve", {"operator": "AND"}), 606, "operator in body should be one of [and or]"),
            (door.post("/api/v1/index/retrieve", {"hash": "00"}), 605, "hash in body should match"),
            (door.post("/api/v1/index/retrieve", {"email": "nobody"}), 601, "email in body must be of type email"),
            (door.post("/api/v1/index/retrieve", {"subject": "x" * 513}), 603, "subject in body should be at most 512 chars long"),
            (door.post("/api/v1/index/retrieve", {"publicKey": {}}), 602, "publicKey.format in body is required"),
            (door.post("/api/v1/index/retrieve", ""), 602, "in body is required"),
            (door.create(""), 602, "in body is required"),
            (door.create({"kind": "x", "apiVersion": "0.0.1", "spec": {}}), 422, 'invalid kind value: "x"'),
        ]:
            refused(answer, 422, part, code=code)
        refused(door.create("{"), 400)
        refused(door.get(f"{ENTRIES}/{'f' * 16}{'0' * 64}"), 400, "invalid entryID")
        refused(door.post("/api/v1/index/retrieve", {"publicKey": {"format": "x509", "content": b64(b"no key")}}), 400, "public key provided could not be parsed")


def small_things(door):
    with shown("version, ping, health, the description, the page at the root"):
        expect(sorted(door.get("/api/v1/version").json()) == ["builddate", "commit", "treestate", "version"], "version")
        ping = door.get("/ping")
        expect((ping.status_code, ping.text, ping.headers["Content-Type"]) == (200, ".", "text/plain"), ping.text)
        expect(door.get("/healthz").json() == {"status": "SERVING"}, "healthz")
        expect(door.get("/swagger.json").json()["swagger"] == "2.0", "swagger")
        expect("This is the transparency log" in door.get("/").text, "page")


if __name__ == "__main__":
    here = Door(sys.argv[1])
    for part in [rules, kinds, headers, limits, small_things]:
        part(here)
    end()
