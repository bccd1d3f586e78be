"""Replays what unmodified clients really posted (../captured), byte for byte, and judges the answers with code of its
own: the canonical body from RFC 8785 by another library, the Merkle path, the checkpoint's signature, the read side.

    replay.py DIR URL       DIR/trusted_root.json holds the log's key; URL is the base of the log
"""

import base64
import hashlib
import json
import pathlib
import sys

import requests
import rfc8785
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tap import end, expect, shown

CAPTURED = pathlib.Path(__file__).parent.parent / "captured"
b64 = lambda data: base64.b64encode(data).decode()
unb64 = base64.b64decode
sha256 = lambda data: hashlib.sha256(data).digest()


def expected_body(request):
    """The leaf that this request must become."""
    if "dsseRequestV002" in request:
        envelope, (verifier,) = request["dsseRequestV002"]["envelope"], request["dsseRequestV002"]["verifiers"]
        kind, payload = envelope["payloadType"].encode(), unb64(envelope["payload"])
        digest = sha256(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
        signature = {"content": envelope["signatures"][0]["sig"], "verifier": verifier}
    else:
        request = request["hashedRekordRequestV002"]
        digest, signature = unb64(request["digest"]), request["signature"]
    expect(signature["verifier"]["keyDetails"] == "PKIX_ECDSA_P256_SHA_256", "a capture with another algorithm")
    data = {"algorithm": "SHA2_256", "digest": b64(digest)}
    return rfc8785.dumps({"apiVersion": "0.0.2", "kind": "hashedrekord",
                          "spec": {"hashedRekordV002": {"data": data, "signature": signature}}})


def root_from(leaf_hash, index, size, path):
    """RFC 9162 §2.1.3.2."""
    last, root = size - 1, leaf_hash
    for sibling in path:
        expect(last > 0, "the path is too long")
        if index & 1 or index == last:
            root = sha256(b"\1" + sibling + root)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            root = sha256(b"\1" + root + sibling)
        index, last = index >> 1, last >> 1
    expect(last == 0, "the path is too short")
    return root


def check_checkpoint(envelope, log, size, root):
    text, signatures = envelope.split("\n\n")
    origin, checkpoint_size, checkpoint_root = text.split("\n")[:3]
    expect((int(checkpoint_size), unb64(checkpoint_root)) == (size, root), f"checkpoint is of another tree: {text!r}")
    dash, name, signature = signatures.split("\n")[0].split(" ")
    expect((dash, name) == ("—", origin), f"signature line {signatures!r}")
    log_id = unb64(log["logId"]["keyId"])
    expect(unb64(signature)[:4] == log_id[:4], "key ID in the checkpoint is not the start of the log ID")
    load_der_public_key(unb64(log["publicKey"]["rawBytes"])).verify(unb64(signature)[4:], (text + "\n").encode())


MEMBERS = ["logIndex", "logId", "kindVersion", "integratedTime", "inclusionPromise", "inclusionProof", "canonicalizedBody"]


def check_entry(entry, body, log):
    expect(sorted(entry) == sorted(MEMBERS), f"members of the answer: {sorted(entry)}")
    expect(unb64(entry["canonicalizedBody"]) == body, f"body is {unb64(entry['canonicalizedBody'])}, expected {body}")
    expect(entry["kindVersion"] == {"kind": "hashedrekord", "version": "0.0.2"}, entry["kindVersion"])
    expect((entry["integratedTime"], entry["inclusionPromise"]) == ("0", None), "no time and no promise in v2")
    expect(entry["logId"] == log["logId"], f"log ID {entry['logId']}, trusted root says {log['logId']}")
    proof = entry["inclusionProof"]
    expect(proof["logIndex"] == entry["logIndex"], "two indexes")
    size, root = int(proof["treeSize"]), unb64(proof["rootHash"])
    path = [unb64(node) for node in proof["hashes"]]
    expect(root_from(sha256(b"\0" + body), int(proof["logIndex"]), size, path) == root, "the path leads to another root")
    check_checkpoint(proof["checkpoint"]["envelope"], log, size, root)


def fetch(query, body, log, url):
    """What GET says about an entry, with a proof for the tree as it is now."""
    found = requests.get(f"{url}/api/v2/log/entries{query}")
    expect(found.status_code == 200, f"GET {query}: {found.status_code} {found.text}")
    check_entry(found.json(), body, log)
    return found.json()["logIndex"]


def replay(capture, log, url):
    body = capture.read_bytes()
    post = lambda: requests.post(f"{url}/api/v2/log/entries", data=body, headers={"Content-Type": "application/json"})
    answer = post()
    expect(answer.status_code == 201, f"HTTP {answer.status_code}: {answer.text}")
    expect(answer.headers["Content-Type"] == "application/json", answer.headers["Content-Type"])
    expected, index = expected_body(json.loads(body)), answer.json()["logIndex"]
    check_entry(answer.json(), expected, log)
    again = post()
    expect((again.status_code, again.headers.get("X-Log-Index")) == (409, index), f"again: {again.status_code} {again.text}")
    found = fetch(f"?leafHash={sha256(bytes(1) + expected).hex()}", expected, log, url)
    expect(found == index, f"found by its leaf hash at {found}")
    return index, expected


def refused(capture, url):
    """The bug of sigstore-js with a bare key: an SPKI where a certificate should be. Nothing may be logged."""
    before = requests.get(f"{url}/api/v2/checkpoint").text.split("\n")[1]
    answer = requests.post(f"{url}/api/v2/log/entries", data=capture.read_bytes())
    expect(answer.status_code == 400, f"HTTP {answer.status_code}: {answer.text}")
    expect(sorted(answer.json()) == ["code", "details", "message"] and answer.json()["code"] == 3, answer.text)
    expect("x509Certificate" in answer.json()["message"], f"does not name the field: {answer.json()['message']}")
    after = requests.get(f"{url}/api/v2/checkpoint").text.split("\n")[1]
    expect(before == after, f"the log grew from {before} to {after}")


if __name__ == "__main__":
    tlogs = json.loads((pathlib.Path(sys.argv[1]) / "trusted_root.json").read_text())["tlogs"]
    # The other is the v1 door's.
    (log,) = [log for log in tlogs if log["publicKey"]["keyDetails"] == "PKIX_ED25519"]
    logged = []
    for capture in sorted(CAPTURED.glob("*.json")):
        if "rawkey" in capture.stem:
            with shown(f"{capture.stem} is refused, naming the field"):
                refused(capture, sys.argv[2])
        else:
            with shown(f"{capture.stem} is logged with the exact body, found again, and 409 the second time"):
                logged.append(replay(capture, log, sys.argv[2]))
    with shown("each is still at its index, with a path through the larger tree"):
        for index, body in logged:
            expect(fetch(f"/{index}", body, log, sys.argv[2]) == index, f"another index than {index}")
    end()
