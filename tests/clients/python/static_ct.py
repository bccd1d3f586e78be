"""Two teams' readers of static CT logs (../ct) over ours: over the log in which the certificates of all clients are, and over one
with more than one tile.

    static_ct.py all    READER DIR URL DATA     the certificates in DIR/bundles and DIR/bundles-v1; the log below URL
    static_ct.py tiles  READER BULLA            a stack of its own, called http://localhost: one of the readers knows no ports
"""

import base64
import concurrent.futures
import json
import pathlib
import signal
import subprocess
import sys
import tempfile

import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from certificates import IDENTITY, new_key
from served import Stack
from tap import end, expect, shown

# More than a tile of 256, so that there are a full one, a partial one, and one of the next level.
MANY = 270


def read(reader, *words):
    """The reader says itself what it has shown."""
    sys.stdout.flush()
    done = subprocess.run([reader, *words], timeout=120)
    expect(done.returncode == 0, f"the reader ended with {done.returncode}")


def pem(der):
    text = base64.b64encode(der).decode()
    lines = "\n".join(text[at:at + 64] for at in range(0, len(text), 64))
    return f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n"


def certificate_of(bundle):
    """None if it was signed with a bare key."""
    material = bundle["verificationMaterial"]
    held = material.get("certificate") or material.get("x509CertificateChain", {"certificates": [None]})["certificates"][0]
    return held and base64.b64decode(held["rawBytes"])


def of_all_clients(reader, folder, url, data):
    issuers = (data / "ca/chain.pem").read_text()
    with tempfile.TemporaryDirectory() as chains:
        for path in sorted([*folder.glob("bundles/*.json"), *folder.glob("bundles-v1/*.json")]):
            if leaf := certificate_of(json.loads(path.read_text())):
                (pathlib.Path(chains) / f"{path.stem}.pem").write_text(pem(leaf) + issuers)
        read(reader, f"{url}/ct", data / "ct/ct.pub", chains)


def certified(url):
    """A certificate with its issuers, as sigstore-rust asks for one."""
    key = new_key()
    spki = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    proof = base64.b64encode(key.sign(IDENTITY.encode(), ec.ECDSA(hashes.SHA256()))).decode()
    token = requests.post(f"{url}/oidc/mint", data={"email": IDENTITY}, timeout=20).json()["token"]
    asked = {"credentials": {"oidcIdentityToken": token},
             "publicKeyRequest": {"publicKey": {"content": spki.decode()}, "proofOfPossession": proof}}
    answer = requests.post(f"{url}/api/v2/signingCert", json=asked, timeout=20)
    expect(answer.status_code == 200, answer.text)
    return "".join(answer.json()["signedCertificateEmbeddedSct"]["chain"]["certificates"])


def over_tiles(reader, binary):
    with tempfile.TemporaryDirectory() as scratch:
        stack, chains = Stack(binary, pathlib.Path(scratch), "--url", "http://localhost"), pathlib.Path(scratch) / "chains"
        chains.mkdir()
        stack.start()
        try:
            with shown(f"{MANY} certificates are given out, 8 at a time"):
                with concurrent.futures.ThreadPoolExecutor(8) as pool:
                    for number, chain in enumerate(pool.map(lambda _: certified(stack.url), range(MANY))):
                        (chains / f"{number:03}.pem").write_text(chain)
            read(reader, f"{stack.url}/ct", stack.data / "ct/ct.pub", chains, "http://localhost/ct")
        finally:
            stack.stop(signal.SIGTERM)


if __name__ == "__main__":
    what, program = sys.argv[1:3]
    if what == "all":
        of_all_clients(program, pathlib.Path(sys.argv[3]), sys.argv[4], pathlib.Path(sys.argv[5]))
    else:
        over_tiles(program, sys.argv[3])
    end()
