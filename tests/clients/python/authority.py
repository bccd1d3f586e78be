"""A throw-away signing authority on loopback, so that a client's whole signing flow can run: a certificate
authority that embeds an SCT (Fulcio's signingCert endpoint), and a timestamp authority (RFC 3161, by `openssl ts`).

It believes whatever the identity token says: who may sign is not what is tested here, the log is.

    authority.py DIR    writes ca.pem, ct.pub, tsa.pem, token, then url (when it answers) into DIR; ends with SIGTERM
"""

import base64
import datetime
import hashlib
import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

IDENTITY = "alice@example.org"
ISSUER = "https://issuer.example.org"
SCT_LIST = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
FULCIO_ISSUER = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
FULCIO_ISSUER_V2 = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")

TSA_CONFIG = """
[tsa]
default_tsa = this
[this]
serial = serial
signer_digest = sha256
default_policy = 1.3.6.1.4.1.57264.2
digests = sha256, sha384, sha512
ess_cert_id_alg = sha256
"""


def now():
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def name(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def der_tlv(tag, content):
    """One short DER value: enough for the strings in the extensions below."""
    length = len(content)
    assert length < 256
    return bytes([tag] + [0x81] * (length > 127) + [length]) + content


class Issuer:
    """A certificate with its key, and what it takes to sign another."""

    def __init__(self, common_name, parent=None, path_length=None, timestamping=False):
        self.name, self.key = name(common_name), new_key()
        parent = parent or self
        usage, is_ca = (["digital_signature"], False) if timestamping else (["key_cert_sign", "crl_sign"], True)
        builder = parent.builder(self.name, self.key.public_key(), datetime.timedelta(days=3650), usage)
        builder = builder.add_extension(x509.BasicConstraints(is_ca, path_length if is_ca else None), critical=True)
        if timestamping:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        self.certificate = builder.sign(parent.key, hashes.SHA256())

    def builder(self, subject, public_key, lifetime, usage):
        flags = dict.fromkeys(
            ["digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"], False)
        return (
            x509.CertificateBuilder()
            .subject_name(subject).issuer_name(self.name).public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now() - datetime.timedelta(minutes=1)).not_valid_after(now() + lifetime)
            .add_extension(x509.KeyUsage(**(flags | dict.fromkeys(usage, True))), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )

    def pem(self):
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()


def big(number, width):
    return number.to_bytes(width, "big")


def spki(public_key):
    return public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


class Authority:
    def __init__(self, folder):
        self.folder = folder
        self.root = Issuer("throw-away root")
        self.ca = Issuer("throw-away issuer", self.root, path_length=0)
        self.tsa_root = Issuer("throw-away timestamp root")
        self.tsa = Issuer("throw-away timestamps", self.tsa_root, timestamping=True)
        self.ct = new_key()
        (folder / "ca.pem").write_text(self.ca.pem() + self.root.pem())
        (folder / "tsa.pem").write_text(self.tsa.pem() + self.tsa_root.pem())
        (folder / "tsa-leaf.pem").write_text(self.tsa.pem())
        (folder / "tsa.key").write_bytes(self.tsa.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        (folder / "ct.pub").write_bytes(self.ct.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
        (folder / "token").write_text(token())

    def certify(self, public_key):
        """A Fulcio-shaped leaf: empty subject, identity in the SAN, issuer extensions, one embedded SCT."""
        leaf = (
            self.ca.builder(x509.Name([]), public_key, datetime.timedelta(minutes=10), ["digital_signature"])
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(IDENTITY)]), critical=True)
            .add_extension(x509.UnrecognizedExtension(FULCIO_ISSUER, ISSUER.encode()), critical=False)
            .add_extension(x509.UnrecognizedExtension(FULCIO_ISSUER_V2, der_tlv(0x0C, ISSUER.encode())), critical=False)
        )
        before = leaf.sign(self.ca.key, hashes.SHA256())
        scts = x509.UnrecognizedExtension(SCT_LIST, der_tlv(0x04, self.scts(before.tbs_certificate_bytes)))
        return leaf.add_extension(scts, critical=False).sign(self.ca.key, hashes.SHA256())

    def scts(self, tbs):
        """RFC 6962 §3.2 and §3.3: the list with one SCT over the certificate as it is without that list."""
        head = struct.pack(">Q", int(time.time()) * 1000)
        issuer_key_hash = hashlib.sha256(spki(self.ca.key.public_key())).digest()
        signed = b"\0\0" + head + b"\0\1" + issuer_key_hash + big(len(tbs), 3) + tbs + b"\0\0"
        signature = self.ct.sign(signed, ec.ECDSA(hashes.SHA256()))
        log_id = hashlib.sha256(spki(self.ct.public_key())).digest()
        sct = b"\0" + log_id + head + b"\0\0" + b"\4\3" + big(len(signature), 2) + signature
        sct = big(len(sct), 2) + sct
        return big(len(sct), 2) + sct

    def signing_cert(self, request):
        if "certificateSigningRequest" in request:
            pem = base64.b64decode(request["certificateSigningRequest"])
            public_key = x509.load_pem_x509_csr(pem).public_key()
        else:
            pem = request["publicKeyRequest"]["publicKey"]["content"].encode()
            public_key = serialization.load_pem_public_key(pem)
        leaf = self.certify(public_key).public_bytes(serialization.Encoding.PEM).decode()
        chain = {"certificates": [leaf, self.ca.pem(), self.root.pem()]}
        return {"signedCertificateEmbeddedSct": {"chain": chain}}

    def timestamp(self, content_type, body):
        with tempfile.TemporaryDirectory() as scratch:
            scratch = pathlib.Path(scratch)
            (scratch / "tsa.cnf").write_text(TSA_CONFIG)
            (scratch / "serial").write_text(f"{time.time_ns():016X}\n")
            openssl = lambda *words: subprocess.run(["openssl", "ts", *map(str, words)], cwd=scratch, check=True,
                                                    capture_output=True)
            if content_type.startswith("application/json"):
                request = json.loads(body)
                digest = base64.b64decode(request["artifactHash"]).hex()
                wish = ["-cert"] if request.get("certificates") else []
                openssl("-query", "-digest", digest, f"-{request['hashAlgorithm']}", "-no_nonce", *wish, "-out", "query")
            else:
                (scratch / "query").write_bytes(body)
            openssl("-reply", "-config", "tsa.cnf", "-queryfile", "query", "-out", "reply",
                    "-signer", self.folder / "tsa-leaf.pem", "-inkey", self.folder / "tsa.key")
            return (scratch / "reply").read_bytes()


def token():
    """An OIDC token as an issuer would shape it, with nobody's signature."""
    at = int(time.time())
    claims = {"iss": ISSUER, "aud": "sigstore", "sub": IDENTITY, "email": IDENTITY, "email_verified": True,
              "iat": at - 5, "nbf": at - 5, "exp": at + 3600}
    part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
    return f"{part({'alg': 'RS256', 'typ': 'JWT'})}.{part(claims)}.{part('unsigned')}"


def serve(folder):
    authority = Authority(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/api/v2/signingCert":
                self.answer(200, "application/json", json.dumps(authority.signing_cert(json.loads(body))).encode())
            elif self.path == "/api/v1/timestamp":
                reply = authority.timestamp(self.headers["Content-Type"], body)
                self.answer(201, "application/timestamp-reply", reply)
            else:
                self.answer(404, "text/plain", b"not here\n")

        def answer(self, status, content_type, body):
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    (folder / "url").write_text(f"http://127.0.0.1:{server.server_port}")
    server.serve_forever()


if __name__ == "__main__":
    serve(pathlib.Path(sys.argv[1]).resolve())
