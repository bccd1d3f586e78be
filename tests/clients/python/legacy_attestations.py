"""Attestations under the tag of an image, as cosign kept them before bundles (`sha256-….att`), judged with PyCA alone: no other
client that is published reads them. Each layer must be an envelope about the image, its signature must be the certificate's
or the key's, and the entry in its annotation must be promised by the log.

    legacy_attestations.py DIR TYPE COUNT      DIR/image names the image, DIR/manifest is its manifest
"""

import base64
import hashlib
import json
import pathlib
import sys
import urllib.request

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tap import end, expect, shown

SHA256 = ec.ECDSA(hashes.SHA256())


def get(url, accept="*/*"):
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept})) as answer:
        return answer.read()


def judge(blob, annotations, digest, keys, wanted):
    envelope = json.loads(blob)
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"]
    expect(kind == "application/vnd.in-toto+json", kind)
    signed = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
    (one,) = envelope["signatures"]
    signature = base64.b64decode(one["sig"])
    statement = json.loads(payload)
    expect(statement["predicateType"] == wanted == annotations["predicateType"], statement["predicateType"])
    expect(statement["subject"][0]["digest"]["sha256"] == digest, "about another image")
    expect(annotations["dev.cosignproject.cosign/signature"] == "", "the signature is in the envelope")
    promised = json.loads(annotations["dev.sigstore.cosign/bundle"])
    said = promised["Payload"]
    spec = json.loads(base64.b64decode(said["body"]))["spec"]
    entry = spec["signatures"][0]
    expect(entry["signature"] == one["sig"], "the entry is of another signature")
    expect(spec["payloadHash"]["value"] == hashlib.sha256(payload).hexdigest(), "the entry is of another payload")
    pem = base64.b64decode(entry["verifier"])
    if certificate := annotations.get("dev.sigstore.cosign/certificate"):
        expect(pem.strip() == certificate.encode().strip(), "the entry has another certificate")
        key, who = x509.load_pem_x509_certificate(pem).public_key(), "identity"
    else:
        key, who = serialization.load_pem_public_key(pem), "key"
    key.verify(signature, signed, SHA256)
    log = keys[said["logID"]]
    text = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
    log.verify(base64.b64decode(promised["SignedEntryTimestamp"]), text, SHA256)
    return who


if __name__ == "__main__":
    folder, wanted, count = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    host, _, rest = (folder / "image").read_text().strip().partition("/")
    repository = rest.rpartition(":")[0]
    base = f"http://{host}/v2/{repository}"
    digest = hashlib.sha256((folder / "manifest").read_bytes()).hexdigest()
    root = json.loads((folder / "trusted_root.json").read_text())
    ders = [base64.b64decode(log["publicKey"]["rawBytes"]) for log in root["tlogs"]]
    keys = {hashlib.sha256(der).hexdigest(): serialization.load_der_public_key(der) for der in ders}
    judged = []
    with shown(f"PyCA: every attestation under sha256-….att is about the image, signed and promised"):
        manifest = json.loads(get(f"{base}/manifests/sha256-{digest}.att", "application/vnd.oci.image.manifest.v1+json"))
        for layer in manifest["layers"]:
            expect(layer["mediaType"] == "application/vnd.dsse.envelope.v1+json", layer["mediaType"])
            judged.append(judge(get(f"{base}/blobs/{layer['digest']}"), layer["annotations"], digest, keys, wanted))
    with shown(f"PyCA: there are {count}, by identity and by key, the older ones kept"):
        expect(len(judged) == count and set(judged) == {"identity", "key"}, str(judged))
    end()
