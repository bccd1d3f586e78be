"""What gitsign and tlogistry do with the v1 door, call by call, as their sources have it (both are Go programs that no
registry here installs): how they log, what of the answer they use, and how they find it again.

    v1_flows.py URL       a stack with an issuer of identity tokens
"""

import json
import sys

import requests
from cryptography import x509

from certificates import IDENTITY
from tap import end, expect, shown
from v1 import ENTRIES, Door, Key, b64, compact, expected_body, hashedrekord, intoto_v001, sha256, statement, unb64, unique


def certified(key, url):
    """A short-lived certificate for a key, in PEM."""
    token = requests.post(f"{url}/oidc/mint", data={"email": IDENTITY}).json()["token"]
    proof = key.sign(IDENTITY.encode())
    request = {"credentials": {"oidcIdentityToken": token}, "publicKeyRequest": {
        "publicKey": {"algorithm": "ECDSA", "content": key.pem.decode()}, "proofOfPossession": b64(proof)}}
    answer = requests.post(f"{url}/api/v2/signingCert", json=request).json()
    return answer["signedCertificateEmbeddedSct"]["chain"]["certificates"][0].encode()


def gitsign(door, url):
    key, commit = Key(), unique(b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n\na commit")
    pem = certified(key, url)
    with shown("gitsign commit: hashedrekord over the digest of the commit, with a certificate"):
        proposed = hashedrekord(sha256(commit), key, pem)
        answer = door.create(proposed)
        entry_id, entry = door.check_entry(answer.text, expected_body(proposed))
        certificate = x509.load_pem_x509_certificate(pem)
        valid = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
        expect(valid[0] <= entry["integratedTime"] <= valid[1], "integrated outside the life of the certificate")
    with shown("gitsign commit, again: 409, and the last part of Location is an entry"):
        again = door.create(proposed)
        expect(again.status_code == 409, again.text)
        found = door.get(f"{ENTRIES}/{again.headers['Location'].rsplit('/', 1)[1]}")
        expect(door.check_entry(found.text)[0] == entry_id, "another entry")
    with shown("gitsign verify: by the certificate, then by 64 digits; the digest in the body is the commit's"):
        ids = door.search({"publicKey": {"format": "x509", "content": b64(pem)}})
        expect(ids == [entry_id], f"{ids}")
        its_id, its_entry = door.check_entry(door.get(f"{ENTRIES}/{ids[0][-64:]}").text)
        body = json.loads(unb64(its_entry["body"]))
        expect(body["spec"]["data"]["hash"]["value"] == sha256(sha256(commit)).hex(), f"{body}")
        both = {"publicKey": {"format": "x509", "content": b64(pem)}, "hash": f"sha256:{sha256(sha256(commit)).hex()}", "operator": "and"}
        expect(door.search(both) == [entry_id], "by certificate and digest")
    with shown("gitsign attest: intoto 0.0.1 with the certificate, found by e-mail and by the subject"):
        subject = sha256(commit)
        proposed = intoto_v001(statement(subject), key)
        proposed["spec"]["publicKey"] = b64(pem)
        attested, _ = door.logged(proposed)
        expect(attested in door.search({"email": IDENTITY}), "by e-mail")
        expect(attested in door.search({"hash": subject.hex()}), "by subject")
        data = door.get(f"{ENTRIES}/{attested}").json()[attested]["attestation"]["data"]
        expect(unb64(data) == statement(subject), "another attestation")


def tlogistry(door):
    key, image = Key(), sha256(unique(b"an image"))
    payload = statement(image)
    with shown("tlogistry: intoto 0.0.1; the answer's map has what ETag says"):
        proposed = intoto_v001(payload, key)
        answer = door.create(proposed)
        expect(answer.status_code == 201, answer.text)
        entry = answer.json()[answer.headers["ETag"]]
        expect(unb64(entry["body"]) == expected_body(proposed), "another body")
    with shown("tlogistry: by the image's digest, then what was attested of it"):
        for query in [image.hex(), f"sha256:{image.hex()}"]:
            ids = door.search({"hash": query})
            expect(ids == [answer.headers["ETag"]], f"{ids}")
        for entry_id in ids:
            entry = door.get(f"{ENTRIES}/{entry_id}").json()[entry_id]
            attested = json.loads(unb64(entry["attestation"]["data"]))
            expect(attested["subject"][0]["digest"]["sha256"] == image.hex(), f"{attested}")


def monitor(door):
    with shown("rekor-monitor: heads, consistency, then ten entries at a time, each proven"):
        info = door.info()
        head, size = bytes.fromhex(info["rootHash"]), info["treeSize"]
        door.check_head(info["signedTreeHead"], info["treeID"], size, head)
        proof = door.get(f"/api/v1/log/proof?firstSize={max(1, size // 2)}&lastSize={size}&treeID={info['treeID']}")
        expect(proof.status_code == 200, proof.text)
        for start in range(0, size, 10):
            wanted = list(range(start, min(start + 10, size)))
            answer = door.post(f"{ENTRIES}/retrieve", {"logIndexes": wanted})
            got = [door.check_entry(compact(one))[1]["logIndex"] for one in answer.json()]
            expect(got == wanted, f"{got} is not {wanted}")


if __name__ == "__main__":
    here = Door(sys.argv[1])
    gitsign(here, sys.argv[1])
    tlogistry(here)
    monitor(here)
    end()
