"""What the v1 door has beyond the reference, and search as the reference has it: finding entries, proving them at any size,
reading through one door what was written through the other.

    v1_search.py URL       after clients have signed with certificates of the authority
"""

import json
import sys
import time

from cryptography import x509

from certificates import IDENTITY, ISSUER
from replay import root_from
from tap import end, expect, shown
from v1 import ENTRIES, Door, Key, as_v2, b64, compact, dsse, hashedrekord, refused, sha256, statement, unb64, unique


def search(door):
    with shown("found by digest, by key in PEM, and by either or both"):
        key, artifact = Key(), unique(b"found")
        one, _ = door.logged(hashedrekord(artifact, key))
        two, _ = door.logged(hashedrekord(b"found too", key))
        by_key = {"publicKey": {"format": "x509", "content": b64(key.pem)}}
        digest = sha256(artifact).hex()
        expect(door.search(by_key) == [one, two], "by key")
        for hash_ in [digest, digest.upper(), f"sha256:{digest}"]:
            expect(door.search({"hash": hash_}) == [one], f"by {hash_}")
        expect(door.search(by_key | {"hash": digest}) == [one, two], "or is not the default")
        expect(door.search(by_key | {"hash": digest, "operator": "or"}) == [one, two], "or")
        expect(door.search(by_key | {"hash": digest, "operator": "and"}) == [one], "and")
        expect(door.search({"hash": sha256(b"nobody has this").hex()}) == [], "nothing")
        expect(door.search({}) == [], "no question")
    with shown("a dsse entry is found by its key, envelope, payload and subject"):
        key, subject = Key(), sha256(unique(b"a subject of dsse"))
        proposed = dsse(statement(subject), key)
        one, _ = door.logged(proposed)
        text = proposed["spec"]["proposedContent"]["envelope"].encode()
        for query in [{"publicKey": {"format": "x509", "content": b64(key.pem)}}, {"hash": sha256(text).hex()},
                      {"hash": sha256(statement(subject)).hex()}, {"hash": subject.hex()}]:
            expect(door.search(query) == [one], f"{query}: {door.search(query)}")
    with shown("an answer says up to which size it is complete"):
        answer = door.post("/api/v1/index/retrieve", {"hash": digest})
        expect(int(answer.headers["X-Complete-Tree-Size"]) >= door.info()["treeSize"], answer.headers["X-Complete-Tree-Size"])


def entries_by_search(door):
    key, artifact = Key(), unique(b"one artifact of many signatures")
    ids = [door.logged(hashedrekord(artifact, key))[0] for _ in range(7)]
    digest = sha256(artifact).hex()
    page = lambda query: door.get(f"{ENTRIES}?{query}")
    listed = lambda answer: [next(iter(entry)) for entry in answer.json()["entries"]]
    with shown("search as GET: whole entries in the order of the log, page by page"):
        seen, number = [], 1
        while number is not None:
            answer = page(f"hash=sha256:{digest}&pageSize=3&page={number}")
            expect(sorted(answer.json()) == ["entries", "nextPage", "treeSize"], f"{sorted(answer.json())}")
            for entry in answer.json()["entries"]:
                door.check_entry(compact(entry))
            seen += listed(answer)
            number = answer.json()["nextPage"]
        expect(seen == ids, f"{seen} is not {ids}")
        expect(answer.json()["treeSize"] >= 7 and int(answer.headers["X-Complete-Tree-Size"]) == answer.json()["treeSize"], "size")
        past = page(f"hash={digest}&page=99").json()
        expect((past["entries"], past["nextPage"]) == ([], None), f"{past}")
    with shown("logIndex wins over a search, neither is 422"):
        expect(len(page(f"logIndex=0&hash={digest}").json()) == 1 and "entries" not in page(f"logIndex=0&hash={digest}").json(), "search won")
        refused(page("page=2&pageSize=1"), 422, "logIndex in query is required", code=602)
        refused(page("hash=xyz"), 422, "hash in query", code=605)
        refused(page(f"hash={digest}&page=0"), 422, "page in query", code=609)
        refused(page(f"hash={digest}&pageSize=x"), 422, "pageSize in query", code=601)
    with shown("search by key, kind and time, alone and together; a parameter that is none is 400"):
        fingerprint = sha256(key.pem).hex()
        expect(listed(page(f"key={fingerprint}")) == ids, "key")
        expect(listed(page(f"key=sha256:{fingerprint}&kind=hashedrekord")) == ids, "key and kind")
        expect(listed(page(f"key={fingerprint}&kind=intoto")) == [], "another kind")
        now = int(time.time())
        expect(listed(page(f"key={fingerprint}&since={now - 3600}&until={now + 60}")) == ids, "in time")
        expect(listed(page(f"key={fingerprint}&until=2020-01-01")) == [], "before")
        expect(listed(page(f"key={fingerprint}&since=2999-01-01T00:00:00Z")) == [], "after")
        refused(page(f"key={fingerprint}&colour=red"), 400, "colour")
        refused(page("key=abc"), 400, "key in query")
        refused(page(f"key={fingerprint}&since=soon"), 400, "since in query")
    with shown("search by e-mail, identity and issuer of a certificate"):
        mine = page(f"email={IDENTITY}&issuer={ISSUER}&kind=hashedrekord&pageSize=100").json()["entries"]
        bodies = {name: json.loads(unb64(entry["body"])) for one in mine for name, entry in one.items()}
        mine = [name for name, body in bodies.items() if body["apiVersion"] == "0.0.1"]
        expect(mine, "no client signed with a certificate: run the signing steps before this one")
        entry_id = mine[0]
        pem = unb64(bodies[entry_id]["spec"]["signature"]["publicKey"]["content"])
        san = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(x509.SubjectAlternativeName)
        expect(IDENTITY in san.value.get_values_for_type(x509.RFC822Name), "another's entry")
        for query in [f"identity={IDENTITY.upper()}", f"subject={IDENTITY}", f"issuer={ISSUER}"]:
            expect(entry_id in listed(page(f"{query}&kind=hashedrekord&pageSize=100")), query)
        expect(entry_id in door.search({"email": IDENTITY.title()}), "index/retrieve by e-mail")
        expect(entry_id in door.search({"subject": IDENTITY}), "index/retrieve by subject")


def proofs(door):
    entry_id, entry = door.logged(hashedrekord(b"proven at several sizes"))
    tree, index = int(entry_id[:16], 16), entry["verification"]["inclusionProof"]["logIndex"]
    for n in range(3):
        door.logged(hashedrekord(b"more %d" % n))
    with shown("an entry is proven at every size from its own to the tree's"):
        now = door.info()["treeSize"]
        for size in range(index + 1, now + 1):
            answer = door.get(f"{ENTRIES}/{entry_id}/proof?treeSize={size}")
            expect(answer.json()["treeSize"] == size, answer.text)
            door.check_proof(answer.json(), tree, bytes.fromhex(entry_id[16:]))
        door.check_proof(door.get(f"{ENTRIES}/{entry_id[16:]}/proof").json(), tree, bytes.fromhex(entry_id[16:]))
    with shown("a size that cannot be is refused, saying why"):
        refused(door.get(f"{ENTRIES}/{entry_id}/proof?treeSize={2**40}"), 400, "was greater than what is currently observable")
        refused(door.get(f"{ENTRIES}/{entry_id}/proof?treeSize={index}"), 400 if index else 422, "treeSize")
        refused(door.get(f"{ENTRIES}/{entry_id}/proof?treeSize=x"), 422, "treeSize in query must be of type int64", code=601)
        missing = door.get(f"{ENTRIES}/{'0' * 64}/proof")
        expect((missing.status_code, missing.content) == (404, b""), f"{missing.status_code}")
    with shown("a .tlog-proof names the index, has the path, and ends with the checkpoint of the other door"):
        file = door.get(f"{ENTRIES}/{entry_id}.tlog-proof")
        expect(file.headers["Content-Type"] == "text/plain; charset=utf-8", file.headers["Content-Type"])
        first, its_index, *rest = file.text.split("\n")
        expect((first, its_index) == ("c2sp.org/tlog-proof@v1", f"index {index}"), file.text)
        blank = rest.index("")
        path, note = [unb64(line) for line in rest[:blank]], rest[blank + 1:]
        expect(root_from(bytes.fromhex(entry_id[16:]), index, int(note[1]), path) == unb64(note[2]), "another root")
        expect(file.text.endswith(door.get("/checkpoint").text), "another checkpoint")
    with shown("consistency between any two sizes; out of order and beyond are 400"):
        for first in range(1, now + 1, max(1, now // 7)):
            answer = door.get(f"/api/v1/log/proof?firstSize={first}&lastSize={now}")
            expect(sorted(answer.json()) == ["hashes", "rootHash"] and (first < now or answer.json()["hashes"] == []), answer.text)
        expect(len(door.get(f"/api/v1/log/proof?lastSize={now}").json()["hashes"]) > 0, "firstSize is 1 by default")
        refused(door.get("/api/v1/log/proof?firstSize=3&lastSize=2"), 400, "firstSize(3) must be less than lastSize(2)")
        refused(door.get(f"/api/v1/log/proof?lastSize={2**40}"), 400, f"the tree size requested({2**40}) was greater than what is currently observable")
        refused(door.get("/api/v1/log/proof"), 422, "lastSize in query is required", code=602)
        refused(door.get("/api/v1/log/proof?lastSize=0"), 422, code=609)
        refused(door.get("/api/v1/log/proof?lastSize=1&treeID=7"), 400, "7")


def both_doors(door):
    with shown("an entry of the v2 door is read through v1, one of the v1 door through v2, byte for byte"):
        key, artifact = Key(), unique(b"through the other door")
        written = door.post("/api/v2/log/entries", as_v2(artifact, key))
        expect(written.status_code == 201, written.text)
        body = unb64(written.json()["canonicalizedBody"])
        entry_id, entry = door.check_entry(door.get(f"{ENTRIES}/{sha256(bytes(1) + body).hex()}").text, body)
        expect(abs(entry["integratedTime"] - time.time()) < 60, f"{entry['integratedTime']}")
        expect(door.check_entry(door.get(f"{ENTRIES}?logIndex={entry['logIndex']}").text)[0] == entry_id, "by index")
        expect(door.search({"hash": sha256(artifact).hex()}) == [], "a v1 client would not understand it")
        expect(door.search({"hash": sha256(artifact).hex()}, params={"kinds": "all"}) == [entry_id], "kinds=all")
        entry_id, entry = door.logged(hashedrekord(artifact, key))
        found = door.get(f"/api/v2/log/entries?leafHash={entry_id[16:]}").json()
        expect(found["canonicalizedBody"] == entry["body"], "another body")
        expect(found["kindVersion"] == {"kind": "hashedrekord", "version": "0.0.1"}, f"{found['kindVersion']}")
        expect(door.search({"hash": sha256(artifact).hex()}) == [entry_id], "search")
    with shown("one tree behind both: the same size and root"):
        for _ in range(20):
            info, checkpoint = door.info(), door.get("/checkpoint").text.split("\n")
            if int(checkpoint[1]) == info["treeSize"]:
                break
        expect((int(checkpoint[1]), unb64(checkpoint[2]).hex()) == (info["treeSize"], info["rootHash"]), f"{info} {checkpoint}")


if __name__ == "__main__":
    here = Door(sys.argv[1])
    for part in [search, entries_by_search, proofs, both_doors]:
        part(here)
    end()
