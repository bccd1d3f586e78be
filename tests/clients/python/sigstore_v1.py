"""sigstore-python against the v1 door, with its own classes and its command line: signing with a promise, with and without
a timestamp; detached signatures, verified online; the log client alone.

    sigstore_v1.py sign   DIR URL     reads DIR/{trusted_root,signing_config_v1,signing_config_v1_notsa}.json, token, artifact,
                                      statement.json; writes DIR/bundles-v1
    sigstore_v1.py verify DIR URL     every DIR/bundles-v1/*.json
"""

import json
import pathlib
import sys

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from sigstore import __version__, dsse
from sigstore._internal.rekor.client import RekorClient
from sigstore._internal.trust import KeyringPurpose
from sigstore._utils import sha256_digest
from sigstore.errors import VerificationError
from sigstore.models import Bundle, ClientTrustConfig, InvalidBundle
from sigstore.oidc import IdentityToken
from sigstore.sign import SigningContext

from certificates import IDENTITY, ISSUER, Issuer
from sigstore_client import POLICY, Folder, refusal, run
from tap import end, expect, shown


def configuration(folder, name):
    return {
        "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
        "trustedRoot": folder.json("trusted_root.json"),
        "signingConfig": folder.json(name),
    }


def keep(folder, kind, bundle):
    (folder.path / "bundles-v1" / f"sigstore-python-{__version__}.{kind}.json").write_text(bundle.to_json())


def sign(folder, name, label):
    """A blob and an attestation; each has a promise, and times from a timestamp authority if there is one."""
    config = ClientTrustConfig.from_json(json.dumps(configuration(folder, name)))
    with SigningContext.from_trust_config(config).signer(IdentityToken((folder.path / "token").read_text())) as signer:
        with shown(f"signs a blob with a promise{label}, and its own verifier accepts the bundle"):
            bundle = signer.sign_artifact(folder.artifact)
            keep(folder, f"blob{label.replace(' ', '-').replace(',', '')}", bundle)
            check(folder, bundle, ("hashedrekord", "0.0.1"), label)
            folder.verifier.verify_artifact(folder.artifact, bundle, POLICY)
        with shown(f"signs an attestation with a promise{label}, and its own verifier accepts the bundle"):
            bundle = signer.sign_dsse(dsse.Statement(folder.statement))
            keep(folder, f"attestation{label.replace(' ', '-').replace(',', '')}.dsse", bundle)
            check(folder, bundle, ("dsse", "0.0.1"), label)
            folder.verifier.verify_dsse(bundle, POLICY)


def check(folder, bundle, kind, label):
    entry = bundle.log_entry._inner
    expect((entry.kind_version.kind, entry.kind_version.version) == kind, f"logged as {entry.kind_version}")
    expect(entry.inclusion_promise is not None and entry.inclusion_promise.signed_entry_timestamp, "no promise")
    stamps = bundle.verification_material.timestamp_verification_data
    expect(bool(stamps and stamps.rfc3161_timestamps) == (not label), f"timestamps: {stamps}")
    bundle.log_entry._verify(folder.trusted_root.rekor_keyring(KeyringPurpose.VERIFY))


def detached(folder):
    """Signature and certificate in files of their own; to verify them, the entry is looked for in the log."""
    config = folder.path / "trust_config_v1.json"
    config.write_text(json.dumps(configuration(folder, "signing_config_v1_notsa.json")))
    artifact, signature, certificate = (folder.path / name for name in ["detached", "detached.sig", "detached.crt"])
    artifact.write_bytes(b"signed apart")
    sigstore = [sys.executable, "-m", "sigstore", "--trust-config", str(config)]
    token = (folder.path / "token").read_text()
    run(sigstore + ["sign", "--overwrite", "--identity-token", token, "--signature", str(signature), "--certificate", str(certificate),
                    "--bundle", str(folder.path / "detached.bundle"), str(artifact)])
    verify = sigstore + ["verify", "identity", "--signature", str(signature), "--certificate", str(certificate),
                         "--cert-identity", IDENTITY, "--cert-oidc-issuer", ISSUER]
    run(verify + [str(artifact)])
    artifact.write_bytes(b"something else")
    try:
        run(verify + [str(artifact)])
    except AssertionError:
        return
    raise AssertionError("accepts the signature for another artifact")


def client_alone(folder, url):
    keyring = folder.trusted_root.rekor_keyring(KeyringPurpose.VERIFY)
    issuer = Issuer("throw-away signer")
    signed = lambda artifact: issuer.key.sign(artifact, ec.ECDSA(hashes.SHA256()))
    # A base with a slash at its end gives paths with two.
    for base in [url, url + "/"]:
        client = RekorClient(base)
        artifact = b"logged by the python client of v1 alone, under " + base.encode()
        request = client._build_hashed_rekord_request(sha256_digest(artifact), signed(artifact), issuer.certificate)
        entry = client.create_entry(request)
        entry._verify(keyring)
        index = entry._inner.log_index
        client.log.entries.get(log_index=index)._verify(keyring)
        response = refusal(lambda: client.create_entry(request))
        expect(response.status_code == 409, f"the same again: HTTP {response.status_code}")
        found = client.log.entries.get(uuid=response.headers["Location"].split("/")[-1])
        expect(found._inner.log_index == index, f"409 leads to {found._inner.log_index}, not {index}")
        info = client.log.get()
        expect(info.tree_size > 0 and str(info.tree_size) in info.signed_tree_head, f"{info}")
    wrong = client._build_hashed_rekord_request(sha256_digest(b"another"), signed(b"this"), issuer.certificate)
    response = refusal(lambda: client.create_entry(wrong))
    expect(response.status_code == 400, f"a signature over another artifact: HTTP {response.status_code}")


def verify(folder):
    for path in sorted((folder.path / "bundles-v1").glob("*.json")):
        if ".bare-key" in path.stem:
            with shown(f"refuses {path.stem}: it knows no bundles without a certificate, from any log"):
                try:
                    Bundle.from_json(path.read_text())
                except InvalidBundle as error:
                    expect("cert" in str(error), str(error))
                    continue
                raise AssertionError("accepted: this exception to the matrix is out of date")
            continue
        bundle = Bundle.from_json(path.read_text())
        kind = bundle.log_entry._inner.kind_version.kind
        attestation = path.stem.endswith(".dsse")
        if kind == "intoto":
            with shown(f"refuses {path.stem}: it knows no entries of kind intoto, from any server"):
                try:
                    folder.verifier.verify_dsse(bundle, POLICY)
                except VerificationError:
                    continue
                raise AssertionError("accepted: this exception to the matrix is out of date")
        with shown(f"verifies {path.stem}"):
            if attestation:
                folder.verifier.verify_dsse(bundle, POLICY)
            else:
                folder.verifier.verify_artifact(folder.artifact, bundle, POLICY)


if __name__ == "__main__":
    verb, where, log = sys.argv[1], Folder(sys.argv[2]), sys.argv[3]
    if verb == "sign":
        sign(where, "signing_config_v1.json", "")
        sign(where, "signing_config_v1_notsa.json", ", without timestamps")
        with shown("command line: detached signature and certificate, verified by asking the log"):
            detached(where)
        with shown("log client alone: create, get by index and by UUID, 409 with the place, 400, log info, any base URL"):
            client_alone(where, log)
    else:
        verify(where)
    end()
