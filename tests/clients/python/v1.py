"""What the v1 checks share: proposals made from nothing but a key, and a judge of entries that knows the log only by the
key it was given. Nothing here is ours but the judging: hashes, RFC 8785 and signatures are other people's code.
"""

import base64
import hashlib
import json
import re
import secrets

import requests
import rfc8785
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from replay import root_from
from tap import expect

JSON = {"Content-Type": "application/json"}
ENTRIES = "/api/v1/log/entries"
NEVER_CACHED = {
    "Cache-Control": "no-cache, no-store, no-transform, must-revalidate, private, max-age=0",
    "Pragma": "no-cache",
    "Expires": "Thu, 01 Jan 1970 00:00:00 UTC",
    "X-Accel-Expires": "0",
}

sha256 = lambda data: hashlib.sha256(data).digest()
b64 = lambda data: base64.b64encode(data).decode()
unb64 = lambda text: base64.b64decode(text, validate=True)
compact = lambda value: json.dumps(value, separators=(",", ":"))


def unique(text):
    """An artifact that no log has yet, so that a check can be run again."""
    return b"%s %s" % (text, secrets.token_hex(8).encode())


class Key:
    """An ECDSA P-256 key as signers use it."""

    def __init__(self):
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.pem = self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def sign(self, data):
        return self.private.sign(data, ec.ECDSA(hashes.SHA256()))


def hashedrekord(artifact, key=None, pem=None):
    key = key or Key()
    return {"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
        "data": {"hash": {"algorithm": "sha256", "value": sha256(artifact).hex()}},
        "signature": {"content": b64(key.sign(artifact)), "publicKey": {"content": b64(pem or key.pem)}}}}


def as_v2(artifact, key):
    """The same as a request of the v2 door."""
    der = key.private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return {"hashedRekordRequestV002": {"digest": b64(sha256(artifact)), "signature": {
        "content": b64(key.sign(artifact)),
        "verifier": {"publicKey": {"rawBytes": b64(der)}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"}}}}


def envelope(payload, key, payload_type="application/vnd.in-toto+json"):
    """A DSSE envelope with one signature, as a value."""
    kind = payload_type.encode()
    pae = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    return {"payload": b64(payload), "payloadType": payload_type, "signatures": [{"sig": b64(key.sign(pae))}]}


def statement(digest):
    return compact({"_type": "https://in-toto.io/Statement/v1",
                    "subject": [{"name": "artifact", "digest": {"sha256": digest.hex()}}],
                    "predicateType": "https://example.org/tested/v1", "predicate": {}}).encode()


def dsse(payload, key=None):
    key = key or Key()
    return {"apiVersion": "0.0.1", "kind": "dsse", "spec": {
        "proposedContent": {"envelope": compact(envelope(payload, key)), "verifiers": [b64(key.pem)]}}}


def intoto_v001(payload, key=None):
    key = key or Key()
    return {"apiVersion": "0.0.1", "kind": "intoto", "spec": {
        "content": {"envelope": compact(envelope(payload, key))}, "publicKey": b64(key.pem)}}


def intoto_v002(payload, key=None):
    key = key or Key()
    signed = envelope(payload, key)
    twice = lambda text: b64(text.encode())
    return {"apiVersion": "0.0.2", "kind": "intoto", "spec": {"content": {
        "envelope": {"payloadType": signed["payloadType"], "payload": twice(signed["payload"]),
                     "signatures": [{"sig": twice(signed["signatures"][0]["sig"]), "publicKey": b64(key.pem)}]},
        "hash": {"algorithm": "sha256", "value": sha256(compact(signed).encode()).hex()}}}}


def expected_body(proposed):
    """The leaf that a proposal becomes."""
    spec, kind = proposed["spec"], (proposed["kind"], proposed["apiVersion"])
    digest = lambda data: {"algorithm": "sha256", "value": sha256(data).hex()}
    # PEM comes back with lines of 64 characters that end in one newline.
    pem = lambda text: b64(re.sub(rb"\r\n?", b"\n", unb64(text)).strip() + b"\n")
    if kind == ("hashedrekord", "0.0.1"):
        signature = spec["signature"]
        canonical = {"data": {"hash": {k: spec["data"]["hash"][k] for k in ["algorithm", "value"]}},
                     "signature": {"content": signature["content"],
                                   "publicKey": {"content": pem(signature["publicKey"]["content"])}}}
    elif kind == ("dsse", "0.0.1"):
        text = spec["proposedContent"]["envelope"]
        signed = json.loads(text)
        (key,), (signature,) = spec["proposedContent"]["verifiers"], signed["signatures"]
        canonical = {"envelopeHash": digest(text.encode()), "payloadHash": digest(unb64(signed["payload"])),
                     "signatures": [{"signature": signature["sig"], "verifier": pem(key)}]}
    elif kind == ("intoto", "0.0.1"):
        text = spec["content"]["envelope"]
        payload = unb64(json.loads(text)["payload"])
        canonical = {"content": {"hash": digest(text.encode()), "payloadHash": digest(payload)}, "publicKey": pem(spec["publicKey"])}
    else:
        expect(kind == ("intoto", "0.0.2"), f"no rule for {kind}")
        content = spec["content"]
        signatures = [s | {"publicKey": pem(s["publicKey"])} for s in content["envelope"]["signatures"]]
        payload = unb64(unb64(content["envelope"]["payload"]))
        canonical = {"content": {"envelope": {"payloadType": content["envelope"]["payloadType"], "signatures": signatures},
                                 "hash": content["hash"], "payloadHash": digest(payload)}}
    return rfc8785.dumps({"apiVersion": kind[1], "kind": kind[0], "spec": canonical})


class Door:
    """The v1 door of a log, and what a client verifies of its answers."""

    def __init__(self, url):
        self.url, self.keys = url, {}

    def get(self, path, **how):
        return requests.get(self.url + path, **how)

    def post(self, path, body, headers=JSON, **how):
        data = body if isinstance(body, (bytes, str)) else json.dumps(body)
        return requests.post(self.url + path, data=data, headers=headers, **how)

    def create(self, proposed, **how):
        return self.post(ENTRIES, proposed, **how)

    def info(self):
        return self.get("/api/v1/log").json()

    def key(self, tree):
        """The public key of a tree, and its ID."""
        if tree not in self.keys:
            key = load_pem_public_key(self.get(f"/api/v1/log/publicKey?treeID={tree}").content)
            der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
            self.keys[tree] = key, sha256(der)
        return self.keys[tree]

    def check_head(self, note, tree, size, root):
        """One checkpoint: its three lines, one blank line, one signature line, and the signature itself."""
        text, _, line = note.partition("\n\n")
        origin, its_size, its_root = text.split("\n")
        expect(origin.endswith(f" - {tree}"), f"first line {origin!r} does not name tree {tree}")
        expect((int(its_size), unb64(its_root)) == (size, root), f"checkpoint is of another tree: {text!r}")
        expect(line.endswith("\n") and "\n" not in line[:-1], f"not one signature line: {line!r}")
        dash, name, signature = line[:-1].split(" ")
        expect((dash, f"{name} - {tree}") == ("—", origin), f"signature line {line!r}")
        key, log_id = self.key(tree)
        expect(unb64(signature)[:4] == log_id[:4], "key hint is not the start of SHA-256 of the key")
        key.verify(unb64(signature)[4:], (text + "\n").encode(), ec.ECDSA(hashes.SHA256()))

    def check_entry(self, text, body=None):
        """An object with one entry, all of it verified; gives its ID and the entry."""
        (entry_id, entry), = json.loads(text).items()
        expect(re.fullmatch("[0-9a-f]{80}", entry_id), f"ID {entry_id!r}")
        members = set(entry) - {"attestation"}
        expect(members == {"body", "integratedTime", "logID", "logIndex", "verification"}, f"members {sorted(entry)}")
        expect(set(entry["verification"]) == {"inclusionProof", "signedEntryTimestamp"}, f"{sorted(entry['verification'])}")
        leaf = unb64(entry["body"])
        if body is not None:
            expect(leaf == body, f"body is {leaf}, expected {body}")
        tree, leaf_hash = int(entry_id[:16], 16), sha256(b"\0" + leaf)
        expect(entry_id[16:] == leaf_hash.hex(), "the ID does not end with the leaf hash")
        key, log_id = self.key(tree)
        expect(entry["logID"] == log_id.hex(), f"logID {entry['logID']}, the key's hash is {log_id.hex()}")
        promised = rfc8785.dumps({name: entry[name] for name in ["body", "integratedTime", "logID", "logIndex"]})
        key.verify(unb64(entry["verification"]["signedEntryTimestamp"]), promised, ec.ECDSA(hashes.SHA256()))
        self.check_proof(entry["verification"]["inclusionProof"], tree, leaf_hash)
        return entry_id, entry

    def check_proof(self, proof, tree, leaf_hash):
        expect(sorted(proof) == ["checkpoint", "hashes", "logIndex", "rootHash", "treeSize"], f"members {sorted(proof)}")
        root, path = bytes.fromhex(proof["rootHash"]), [bytes.fromhex(node) for node in proof["hashes"]]
        computed = root_from(leaf_hash, proof["logIndex"], proof["treeSize"], path)
        expect(computed == root, "the path leads to another root")
        self.check_head(proof["checkpoint"], tree, proof["treeSize"], root)

    def logged(self, proposed):
        """Logs a proposal that is new; gives its ID and entry, both verified."""
        answer = self.create(proposed)
        expect(answer.status_code == 201, f"HTTP {answer.status_code}: {answer.text}")
        return self.check_entry(answer.text, expected_body(proposed))

    def search(self, query, **how):
        answer = self.post("/api/v1/index/retrieve", query, **how)
        expect(answer.status_code == 200, f"HTTP {answer.status_code}: {answer.text}")
        return answer.json()


def refused(answer, status, *parts, code=None):
    """An answer is a refusal with this status, whose message has these parts."""
    expect(answer.status_code == status, f"HTTP {answer.status_code}, expected {status}: {answer.text}")
    expect(answer.headers["Content-Type"] == "application/json", answer.headers["Content-Type"])
    refusal = answer.json()
    expect(sorted(refusal) == ["code", "message"], f"members {sorted(refusal)}")
    expect(refusal["code"] == (code or status), f"code {refusal['code']}, expected {code or status}")
    for part in parts:
        expect(part in refusal["message"], f"{part!r} is not in {refusal['message']!r}")
