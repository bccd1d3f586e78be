"""sigstore-python against our log, with its own classes and nothing replaced in them: the whole signing flow
(certificate, timestamp, log), its command line, its log client alone, and its verifier over every client's bundles.
The same script runs under the current version (DSSE is logged as a hashedrekord) and the previous line (which posts
`dsseRequestV002`). Version 3 speaks v1 only.

    sigstore_client.py sign   DIR     reads DIR/{trusted_root,signing_config}.json, token, artifact, statement.json
    sigstore_client.py verify DIR     every DIR/bundles/*.json
"""

import json
import pathlib
import subprocess
import sys
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from sigstore import __version__, dsse
from sigstore._internal.rekor import RekorClientError
from sigstore._internal.rekor.client_v2 import RekorV2Client
from sigstore._internal.trust import KeyringPurpose
from sigstore._utils import sha256_digest
from sigstore.errors import VerificationError
from sigstore.models import Bundle, ClientTrustConfig, TrustedRoot
from sigstore.oidc import IdentityToken
from sigstore.sign import SigningContext
from sigstore.verify import Verifier, policy

from certificates import IDENTITY, ISSUER, Issuer
from tap import end, expect, shown

# Up to 4.2 the verifier wants the entry kind `dsse`, which no server has written since rekor-tiles 2.3.0.
WANTS_DSSE_KIND = tuple(map(int, __version__.split(".")[:2])) < (4, 3)
POLICY = policy.Identity(identity=IDENTITY, issuer=ISSUER)


class Folder:
    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.artifact = (self.path / "artifact").read_bytes()
        self.statement = (self.path / "statement.json").read_bytes()
        self.trusted_root = TrustedRoot.from_file(str(self.path / "trusted_root.json"))
        self.verifier = Verifier(trusted_root=self.trusted_root)

    def json(self, name):
        return json.loads((self.path / name).read_text())

    def trust_config(self):
        return {
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": self.json("trusted_root.json"),
            "signingConfig": self.json("signing_config.json"),
        }

    def log_client(self):
        return RekorV2Client(self.json("signing_config.json")["rekorTlogUrls"][0]["url"])

    def write_bundle(self, kind, bundle):
        (self.path / "bundles" / f"sigstore-python-{__version__}.{kind}.json").write_text(bundle.to_json())


def sign(folder):
    context = SigningContext.from_trust_config(ClientTrustConfig.from_json(json.dumps(folder.trust_config())))
    with context.signer(IdentityToken((folder.path / "token").read_text())) as signer:
        with shown("signs a blob and its own verifier accepts the bundle"):
            bundle = signer.sign_artifact(folder.artifact)
            folder.write_bundle("blob", bundle)
            folder.verifier.verify_artifact(folder.artifact, bundle, POLICY)
        with shown("signs an attestation" + ("" if WANTS_DSSE_KIND else " and its own verifier accepts the bundle")):
            bundle = signer.sign_dsse(dsse.Statement(folder.statement))
            folder.write_bundle("dsse", bundle)
            kind = bundle.log_entry._inner.kind_version
            expect((kind.kind, kind.version) == ("hashedrekord", "0.0.2"), f"logged as {kind}")
            bundle.log_entry._verify(folder.trusted_root.rekor_keyring(KeyringPurpose.VERIFY))
            if not WANTS_DSSE_KIND:
                folder.verifier.verify_dsse(bundle, POLICY)


def command_line(folder):
    """`sigstore sign` and `sigstore verify`, as a person types them."""
    config = folder.path / "trust_config.json"
    config.write_text(json.dumps(folder.trust_config()))
    bundle = folder.path / "command-line.json"
    sigstore = [sys.executable, "-m", "sigstore", "--trust-config", str(config)]
    token = (folder.path / "token").read_text()
    run(sigstore + ["sign", "--overwrite", "--identity-token", token, "--bundle", str(bundle), str(folder.path / "artifact")])
    run(sigstore + ["verify", "identity", "--bundle", str(bundle), "--cert-identity", IDENTITY,
                    "--cert-oidc-issuer", ISSUER, str(folder.path / "artifact")])


def run(words):
    done = subprocess.run(words, capture_output=True, text=True)
    expect(done.returncode == 0, f"{words[5]} ended with {done.returncode}: {done.stdout} {done.stderr}")


def proposed(artifact):
    """What the log client proposes for `artifact`, with a fresh key in a self-signed certificate."""
    issuer = Issuer("throw-away signer")
    signature = issuer.key.sign(artifact, ec.ECDSA(hashes.SHA256()))
    return RekorV2Client._build_hashed_rekord_request(sha256_digest(artifact), signature, issuer.certificate)


def log_client_alone(folder):
    request = proposed(b"logged by the python client alone")
    client = folder.log_client()
    entry = client.create_entry(request)
    entry._verify(folder.trusted_root.rekor_keyring(KeyringPurpose.VERIFY))
    response = refusal(lambda: client.create_entry(request))
    expect(response.status_code == 409, f"the same again: HTTP {response.status_code}, expected 409")
    index = str(entry._inner.log_index)
    expect(response.headers.get("X-Log-Index") == index, f"X-Log-Index {response.headers.get('X-Log-Index')}, expected {index}")
    expect(index in response.json()["message"] and response.json()["code"] == 6, response.text)


def refusal(request):
    """The HTTP response that made the client raise."""
    try:
        request()
    except RekorClientError as error:
        return error.__context__.response
    raise AssertionError("expected a refusal, got an entry")


def one_entry_from_many(folder, clients=16):
    """The same proposal from many clients at once: one entry, everyone told its index."""
    request, start = proposed(b"logged by many at once"), threading.Barrier(clients)
    indexes, refusals = [], []

    def propose():
        client = folder.log_client()
        start.wait()
        try:
            indexes.append(str(client.create_entry(request)._inner.log_index))
        except RekorClientError as error:
            refusals.append(error.__context__.response)

    threads = [threading.Thread(target=propose) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect(len(indexes) == 1 and len(refusals) == clients - 1, f"{len(indexes)} entries, {len(refusals)} refusals")
    told = {(response.status_code, response.headers.get("X-Log-Index")) for response in refusals}
    expect(told == {(409, indexes[0])}, f"entry at {indexes[0]}, the others were told {told}")


def verify(folder):
    for path in sorted((folder.path / "bundles").glob("*.json")):
        bundle = Bundle.from_json(path.read_text())
        attestation = path.stem.endswith(".dsse")
        if attestation and WANTS_DSSE_KIND:
            with shown(f"refuses {path.stem}, wanting kind dsse, as from any server since rekor-tiles 2.3"):
                try:
                    folder.verifier.verify_dsse(bundle, POLICY)
                    raise AssertionError("accepted: this exception to the matrix is out of date")
                except VerificationError as error:
                    expect("Expected entry type dsse" in str(error), str(error))
            continue
        with shown(f"verifies {path.stem}"):
            if attestation:
                _, payload = folder.verifier.verify_dsse(bundle, POLICY)
                expect(json.loads(payload) == json.loads(folder.statement), "another statement came back")
            else:
                folder.verifier.verify_artifact(folder.artifact, bundle, POLICY)


if __name__ == "__main__":
    verb, where = sys.argv[1], Folder(sys.argv[2])
    if verb == "sign":
        sign(where)
        with shown("command line: sign, then verify identity"):
            command_line(where)
        with shown("log client alone, with a bare certificate: entry verified, the same again is 409 with its index"):
            log_client_alone(where)
        with shown("16 clients propose the same entry at once: one 201, fifteen 409 with its index"):
            one_entry_from_many(where)
    else:
        verify(where)
    end()
