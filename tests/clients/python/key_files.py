"""Key files both ways: what `bulla key` writes is opened by PyNaCl, hashlib's scrypt and pyca/cryptography, and what those write is
opened by `bulla key`. Leaves pairs in FOLDER/keys for other clients.

    key_files.py BULLA_BINARY FOLDER
"""

import base64
import hashlib
import json
import os
import pathlib
import pty
import subprocess
import sys

import nacl.secret
import nacl.utils
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from tap import end, expect, shown

binary, folder = sys.argv[1], pathlib.Path(sys.argv[2], "keys")
folder.mkdir()
PASSWORD = "correct horse"
KINDS = ["ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519", "rsa-2048", "rsa-3072", "rsa-4096"]
LABEL = "ENCRYPTED SIGSTORE PRIVATE KEY"
PKCS8 = (serialization.Encoding.DER, serialization.PrivateFormat.PKCS8)


def bulla(*arguments, **more):
    environment = {name: value for name, value in os.environ.items() if "PASSWORD" not in name} | more
    command = [binary, "key", *map(str, arguments)]
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    expect(done.returncode == 0, done.stderr)
    return done.stdout


def public_pem(key):
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def open_sigstore(text):
    lines = text.strip().split("\n")
    expect(lines[0] == f"-----BEGIN {LABEL}-----" and lines[-1] == f"-----END {LABEL}-----", lines[0])
    sealed = json.loads(base64.b64decode("".join(lines[1:-1])))
    cost = sealed["kdf"]["params"]
    expect(list(sealed) == ["kdf", "cipher", "ciphertext"] and cost == {"N": 65536, "r": 8, "p": 1}, sealed)
    salt = base64.b64decode(sealed["kdf"]["salt"])
    expect(sealed["kdf"]["name"] == "scrypt" and len(salt) == 32, "another derivation")
    key = hashlib.scrypt(PASSWORD.encode(), salt=salt, n=cost["N"], r=cost["r"], p=cost["p"], dklen=32, maxmem=1 << 28)
    expect(sealed["cipher"]["name"] == "nacl/secretbox", "another cipher")
    nonce = base64.b64decode(sealed["cipher"]["nonce"])
    der = nacl.secret.SecretBox(key).decrypt(base64.b64decode(sealed["ciphertext"]), nonce)
    return serialization.load_der_private_key(der, None)


def seal_sigstore(key, n):
    salt, nonce = nacl.utils.random(32), nacl.utils.random(24)
    derived = hashlib.scrypt(PASSWORD.encode(), salt=salt, n=n, r=8, p=1, dklen=32, maxmem=1 << 28)
    der = key.private_bytes(*PKCS8, serialization.NoEncryption())
    text = lambda raw: base64.b64encode(raw).decode()
    sealed = {
        "kdf": {"name": "scrypt", "params": {"N": n, "r": 8, "p": 1}, "salt": text(salt)},
        "cipher": {"name": "nacl/secretbox", "nonce": text(nonce)},
        "ciphertext": text(nacl.secret.SecretBox(derived).encrypt(der, nonce).ciphertext),
    }
    body = text(json.dumps(sealed).encode())
    return f"-----BEGIN {LABEL}-----\n{body}\n-----END {LABEL}-----\n"


def signs(key):
    """Whether the two halves belong together."""
    message = b"a message"
    if isinstance(key, rsa.RSAPrivateKey):
        key.public_key().verify(key.sign(message, padding.PKCS1v15(), hashes.SHA256()), message, padding.PKCS1v15(), hashes.SHA256())
    elif isinstance(key, ed25519.Ed25519PrivateKey):
        key.public_key().verify(key.sign(message), message)
    else:
        key.public_key().verify(key.sign(message, ec.ECDSA(hashes.SHA256())), message, ec.ECDSA(hashes.SHA256()))


for kind in KINDS:
    with shown(f"PyNaCl and cryptography open what bulla key generate wrote: {kind}"):
        bulla("generate", "--kind", kind, "--output-key-prefix", folder / kind, COSIGN_PASSWORD=PASSWORD)
        key = open_sigstore((folder / f"{kind}.key").read_text())
        expect(public_pem(key) == (folder / f"{kind}.pub").read_text(), "another public key")
        signs(key)
    with shown(f"cryptography opens the same as encrypted PKCS#8: {kind}"):
        bulla("import", folder / f"{kind}.key", "--format", "pkcs8", "--output-key-prefix", folder / f"{kind}-pkcs8",
              BULLA_SOURCE_KEY_PASSWORD=PASSWORD, BULLA_KEY_PASSWORD="another")
        key = serialization.load_pem_private_key((folder / f"{kind}-pkcs8.key").read_bytes(), b"another")
        expect(public_pem(key) == (folder / f"{kind}.pub").read_text(), "another public key")

made = {
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "P-521": ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
    "RSA 3072": rsa.generate_private_key(65537, 3072),
}
for name, key in made.items():
    forms = {"PKCS#8": serialization.PrivateFormat.PKCS8}
    if name != "Ed25519":
        forms["traditional"] = serialization.PrivateFormat.TraditionalOpenSSL
    for form, private_format in forms.items():
        with shown(f"bulla key import opens what cryptography wrote: {name}, {form}"):
            path = folder / "by-cryptography.pem"
            path.write_bytes(key.private_bytes(serialization.Encoding.PEM, private_format, serialization.NoEncryption()))
            path.chmod(0o600)
            bulla("import", path, "--force", "--output-key-prefix", folder / "imported", COSIGN_PASSWORD=PASSWORD)
            expect(public_pem(open_sigstore((folder / "imported.key").read_text())) == public_pem(key), "another key")
    with shown(f"bulla key public opens what cryptography encrypted, what PyNaCl sealed, and public keys: {name}"):
        encrypted = serialization.BestAvailableEncryption(PASSWORD.encode())
        path = folder / "by-python.key"
        path.touch(0o600)
        for text in [
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encrypted).decode(),
            seal_sigstore(key, 32768), seal_sigstore(key, 131072), public_pem(key),
        ]:
            path.write_text(text)
            expect(bulla("public", path, COSIGN_PASSWORD=PASSWORD) == public_pem(key), "another public key")

with shown("a password is typed twice at a terminal, and is not shown"):
    child, terminal = pty.fork()
    if child == 0:
        for name in ["COSIGN_PASSWORD", "BULLA_KEY_PASSWORD"]:
            os.environ.pop(name, None)
        os.execv(binary, [binary, "key", "generate", "--output-key-prefix", str(folder / "typed")])
    seen = b""
    try:
        for prompt in [b"New password of", b"The same again: "]:
            while prompt not in seen or not seen.endswith(b": "):
                seen += os.read(terminal, 1000)
            os.write(terminal, PASSWORD.encode() + b"\n")
        while data := os.read(terminal, 1000):
            seen += data
    except OSError:
        pass  # Linux says so at the end.
    expect(os.waitpid(child, 0)[1] == 0, seen)
    expect(PASSWORD.encode() not in seen, "the password was shown")
    open_sigstore((folder / "typed.key").read_text())

end()
