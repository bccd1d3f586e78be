"""A trust repository that python-tuf made, followed by `bulla trust`: from its first root over another that other keys sign, and
not believed when it goes back, has ended or was changed.

    trust_foreign.py BULLA
"""

import functools
import hashlib
import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
from datetime import datetime, timedelta, timezone

from securesystemslib.signer import CryptoSigner
from tap import end, expect, shown
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

BULLA = sys.argv[1]
BUNDLES = pathlib.Path(__file__).parents[3] / "crates/claims/tests/bundles"
WHO = ["--certificate-identity", "alice@example.org", "--certificate-oidc-issuer", "http://127.0.0.1:8765"]


def later(days):
    return (datetime.now(timezone.utc) + timedelta(days=days)).replace(microsecond=0)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Repository:
    """Files of a repository with consistent snapshots, written as python-tuf writes them."""

    def __init__(self, folder):
        self.folder, self.version, self.roots = folder, 0, []
        (folder / "targets").mkdir()
        self.online = CryptoSigner.generate_ecdsa()

    def root(self, signers, by=()):
        root = Root(version=len(self.roots) + 1, expires=later(365), consistent_snapshot=True)
        for signer in signers:
            root.add_key(signer.public_key, "root")
        root.roles["root"].threshold = len(signers)
        for role in ["timestamp", "snapshot", "targets"]:
            root.add_key(self.online.public_key, role)
        signed = Metadata(root)
        for signer in [*signers, *by]:
            signed.sign(signer, append=True)
        self.roots.append(signed)
        signed.to_file(str(self.folder / f"{root.version}.root.json"))

    def publish(self, trusted_root, expires=later(1)):
        self.version += 1
        targets = Targets(version=self.version, expires=later(30))
        targets.targets["trusted_root.json"] = TargetFile.from_data("trusted_root.json", trusted_root)
        digest = hashlib.sha256(trusted_root).hexdigest()
        (self.folder / "targets" / f"{digest}.trusted_root.json").write_bytes(trusted_root)
        snapshot = Snapshot(version=self.version, expires=later(7), meta={"targets.json": MetaFile(self.version)})
        timestamp = Timestamp(version=self.version, expires=expires, snapshot_meta=MetaFile(self.version))
        for name, signed in [(f"{self.version}.targets", targets), (f"{self.version}.snapshot", snapshot), ("timestamp", timestamp)]:
            metadata = Metadata(signed)
            metadata.sign(self.online)
            metadata.to_file(str(self.folder / f"{name}.json"))


def main(folder):
    files, home = folder / "files", folder / "home"
    files.mkdir()
    handler = functools.partial(Quiet, directory=str(files))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"

    def bulla(*words):
        environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
        return subprocess.run([BULLA, *words], capture_output=True, text=True, timeout=60, env=environment)

    def refresh(code, said=""):
        done = bulla("trust", "refresh", "--output", "json")
        expect(done.returncode == code and said in done.stderr, f"{done.returncode}: {done.stderr}")
        return json.loads(done.stdout)["instances"][0]

    def verify(*words):
        return bulla("verify", str(BUNDLES / "art.txt"), "--bundle", str(BUNDLES / "py-v2.json"), *WHO, *words)

    repository = Repository(files)
    first = [CryptoSigner.generate_ed25519(), CryptoSigner.generate_ecdsa()]
    repository.root(first)
    trusted_root = (BUNDLES / "trusted_root.json").read_bytes()
    repository.publish(trusted_root)

    with shown("a repository of python-tuf is believed by its root"):
        done = bulla("trust", "add", url, "--root", str(files / "1.root.json"))
        expect(done.returncode == 0, done.stderr)
        expect(verify().returncode == 0 and verify("--offline").returncode == 0, verify().stderr)

    with shown("a root that other keys sign is followed, and a new key of every day with it"):
        second = [CryptoSigner.generate_rsa()]
        repository.online = CryptoSigner.generate_ed25519()
        repository.root(second, by=first)
        repository.publish(trusted_root)
        said = refresh(0)
        expect((said["root"], said["targets"]) == (2, 2), said)
        expect(verify("--offline").returncode == 0, verify("--offline").stderr)

    newest = (files / "timestamp.json").read_bytes()
    with shown("a root that only new keys sign is not followed"):
        repository.root([CryptoSigner.generate_ed25519()])
        refresh(1, "what it says is not believed")
        (files / "3.root.json").unlink()

    with shown("a list that was changed is not believed"):
        changed = json.loads(newest)
        changed["signed"]["version"] = 9
        (files / "timestamp.json").write_text(json.dumps(changed))
        refresh(1, "what it says is not believed")

    with shown("a target that was changed is not believed"):
        target = next((files / "targets").iterdir())
        (files / "timestamp.json").write_bytes(newest)
        target.write_bytes(trusted_root[:-2] + b" }")
        refresh(1, "what it says is not believed")
        target.write_bytes(trusted_root)
        refresh(0)

    with shown("a list that has ended counts for nothing, and when it ended is said"):
        ended = later(-1)
        repository.publish(trusted_root, expires=ended)
        refresh(3, f"its timestamp has expired at {ended:%Y-%m-%dT%H:%M:%SZ}")

    with shown("what was not believed did no harm to what was known"):
        expect(verify("--offline").returncode == 0, verify("--offline").stderr)
    server.shutdown()


with tempfile.TemporaryDirectory() as folder:
    main(pathlib.Path(folder))
end()
