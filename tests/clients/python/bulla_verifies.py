"""`bulla verify` on every bundle that the clients made: each is verified, and none for somebody else, without any network.

    bulla_verifies.py BULLA DIR      DIR holds artifact, trusted_root.json, keys/, bundles/ and bundles-v1/
"""

import base64
import json
import os
import pathlib
import subprocess
import sys

from tap import end, expect, shown


def command(binary, folder, path):
    bundle = json.loads(path.read_text())
    words = [binary, "verify"]
    if envelope := bundle.get("dsseEnvelope"):
        statement = json.loads(base64.b64decode(envelope["payload"]))
        words = [binary, "verify-attestation", "--type", statement["predicateType"]]
    return [*words, str(folder / "artifact"), "--bundle", str(path), "--offline", "--trusted-root", str(folder / "trusted_root.json")]


def signer(folder, path, subject):
    whose, bare, _ = path.name.partition(".bare-key")
    if bare:
        return ["--key", str(folder / "keys" / f"{whose}.bare-key.pub")]
    return ["--certificate-identity", subject, "--certificate-oidc-issuer", os.environ["ISSUER"]]


def ended(words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


if __name__ == "__main__":
    binary, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    paths = sorted([*folder.glob("bundles/*.json"), *folder.glob("bundles-v1/*.json")])
    with shown(f"bulla verify: {len(paths)} bundles to judge"):
        expect(len(paths) >= 20, "fewer than the clients make")
    for path in paths:
        with shown(f"bulla verifies {path.parent.name}/{path.stem}"):
            words = command(binary, folder, path)
            code, said = ended([*words, *signer(folder, path, "alice@example.org")])
            expect(code == 0, said)
            mallory = [*words, "--identity", f"mallory@example.org={os.environ['ISSUER']}"]
            code, said = ended(mallory)
            expect(code == 1, f"for somebody else: {code} {said}")
    end()
