"""Replays every exchange that real clients had with an authority (../captured_authorities): certificates, timestamps, discovery,
the exchange of a code for a token. Each is sent as it was sent: method, path, version, headers by name, order and value, and
body byte for byte, but for what has expired. Token, key and proof of possession are made anew and put in the place of the old
ones. The answer must have the status, the media type and the members that the client accepted, and must verify.

    authority_replay.py URL DATA      URL of the stack, and its data directory, where the root is that everything leads to
"""

import base64
import gzip
import hashlib
import http.client
import json
import pathlib
import secrets
import subprocess
import sys
import tempfile
import urllib.parse

import requests
from asn1crypto import tsp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from certificates import IDENTITY, ISSUER, new_key
from keyless import code_from
from tap import end, expect, shown
from v1_replay import shape

CAPTURED = pathlib.Path(__file__).parent.parent / "captured_authorities"
# An identity that is no address, for the one client that showed such a token.
WORKFLOW = "https://ci.example.org/repo/workflow@refs/heads/main"
# What our certificates say beyond those of the capture: the subject of the token (24).
MORE = {"1.3.6.1.4.1.57264.1.24"}
b64 = lambda data: base64.b64encode(data).decode()


class Stack:
    def __init__(self, url, data):
        self.url, self.data = url, pathlib.Path(data)
        self.host = urllib.parse.urlsplit(url).netloc
        # The stub's issuer was at the root of its host, ours is below a path; clients append to the issuer that they were told.
        self.issuer = urllib.parse.urlsplit(ISSUER).path

    def send(self, capture, path, body, token=""):
        """The status, the headers and the body that come back."""
        expect(capture["http_version"] == "HTTP/1.1", f"captured over {capture['http_version']}, which this does not speak")
        connection = http.client.HTTPConnection(self.host, timeout=20)
        connection.putrequest(capture["method"], path, skip_host=True, skip_accept_encoding=True)
        for name, value in capture["headers"]:
            replaced = {"host": self.host, "content-length": str(len(body))}
            connection.putheader(name, replaced.get(name.lower(), value.replace("TOKEN", token)))
        connection.endheaders(body)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer, gzip.decompress(data) if answer.getheader("Content-Encoding") == "gzip" else data

    def token(self, identity):
        asked = {"sub" if "://" in identity else "email": identity}
        return requests.post(f"{ISSUER}/mint", data=asked, timeout=10).json()["token"]


def check_answer(capture, answer, data):
    was = capture["response"]
    expect(answer.status == was["status"], f"HTTP {answer.status}, was {was['status']}: {data!r}")
    kind = lambda text: text.split(";")[0].strip()
    now = answer.getheader("Content-Type")
    expect(kind(now) == kind(was["content-type"]), f"{now}, was {was['content-type']}")


def members(capture, data):
    """The answer, of which every member that the client saw is there, and is of its kind."""
    answer = json.loads(data)
    was, now = shape(capture["response"]["body"]), shape(answer)
    missing = {path: kind for path, kind in was.items() if now.get(path) != kind}
    expect(not missing, f"expected {missing} in {answer}")
    return answer


def in_folder(files):
    folder = tempfile.TemporaryDirectory()
    for name, data in files.items():
        (pathlib.Path(folder.name) / name).write_bytes(data)
    return folder


def openssl(folder, *words):
    done = subprocess.run(["openssl", *words], cwd=folder, capture_output=True, text=True)
    expect(done.returncode == 0, f"openssl {words[0]}: {done.stdout} {done.stderr}")


def fresh_request(old, key):
    """A certificate signing request as the old one, for another key."""
    old = x509.load_pem_x509_csr(base64.b64decode(old))
    builder = x509.CertificateSigningRequestBuilder().subject_name(old.subject)
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    new = builder.sign(key, hashes.SHA256())
    expect(new.subject == old.subject and len(list(new.subject)) == 0, f"subject {new.subject}")
    expect([(e.oid, e.critical, e.value) for e in new.extensions] == [(e.oid, e.critical, e.value) for e in old.extensions], "extensions")
    return b64(new.public_bytes(serialization.Encoding.PEM))


def fresh_key(old, key):
    """The new key as PEM, with the line ends and the last line end of the old."""
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    return pem.replace("\n", "\r\n") if "\r\n" in old else pem


def certificate(stack, capture, identity):
    key, token, text = new_key(), stack.token(identity), capture["request"]
    request = json.loads(text)
    as_json = lambda value: json.dumps(value)[1:-1]
    replaced = {"TOKEN": token}
    if "certificateSigningRequest" in request:
        old = request["certificateSigningRequest"]
        replaced[old] = fresh_request(old, key)
    else:
        old = request["publicKeyRequest"]
        content = old["publicKey"]["content"]
        replaced[as_json(content)] = as_json(fresh_key(content, key))
        replaced[old["proofOfPossession"]] = b64(key.sign(identity.encode(), ec.ECDSA(hashes.SHA256())))
    for was, now in replaced.items():
        expect(was == "TOKEN" or text.count(was) == 1, f"{was} is not in the request once")
        text = text.replace(was, now)
    answer, data = stack.send(capture, capture["path"], text.encode(), token)
    check_answer(capture, answer, data)
    chain = members(capture, data)["signedCertificateEmbeddedSct"]["chain"]["certificates"]
    was = capture["response"]["body"]["signedCertificateEmbeddedSct"]["chain"]["certificates"]
    expect(len(chain) == len(was), f"{len(chain)} certificates, were {len(was)}")
    leaf, old = (x509.load_pem_x509_certificate(one[0].encode()) for one in (chain, was))
    expect(leaf.public_key() == key.public_key(), "the certificate has another key")
    expect(not list(leaf.subject), f"subject {leaf.subject}")
    critical = lambda one: {(e.oid.dotted_string, e.critical) for e in one.extensions if e.oid.dotted_string not in MORE}
    expect(critical(leaf) == critical(old), f"extensions {critical(leaf)}, were {critical(old)}")
    (name,) = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    expect(name.value == identity, f"for {name.value}, {identity} was expected")
    kind = type(next(iter(old.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)))
    expect(type(name) is kind, f"a name of kind {type(name)}, was {kind}")
    scts = lambda one: len(list(one.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value))
    expect(scts(leaf) == scts(old) == 1, f"{scts(leaf)} SCTs")
    lifetime = lambda one: one.not_valid_after_utc - one.not_valid_before_utc
    expect(lifetime(leaf) == lifetime(old), f"valid for {lifetime(leaf)}, was {lifetime(old)}")
    with in_folder({"leaf.pem": chain[0].encode(), "between.pem": "".join(chain[1:-1]).encode()}) as folder:
        root = str((stack.data / "root.pem").resolve())
        openssl(folder, "verify", "-x509_strict", "-CAfile", root, "-untrusted", "between.pem", "leaf.pem")


def token_info(reply):
    """What a reply grants, and the certificates that came with it."""
    reply = tsp.TimeStampResp.load(reply)
    expect(reply["status"]["status"].native in ("granted", "granted_with_mods"), f"{reply['status'].native}")
    signed = reply["time_stamp_token"]["content"]
    return signed["encap_content_info"]["content"].parsed, len(signed["certificates"] or [])


def timestamp(stack, capture):
    """Requests for timestamps do not expire: this one goes as it is."""
    body = base64.b64decode(capture["request_base64"]) if "request_base64" in capture else capture["request"].encode()
    answer, data = stack.send(capture, capture["path"], body)
    check_answer(capture, answer, data)
    (now, sent), (was, with_it) = token_info(data), token_info(base64.b64decode(capture["response"]["body"]["base64"]))
    for member in ["version", "policy", "message_imprint", "nonce"]:
        expect(now[member].native == was[member].native, f"{member} is {now[member].native}, was {was[member].native}")
    expect(bool(sent) == bool(with_it), f"{sent} certificates, were {with_it}")
    chain = requests.get(f"{stack.url}/api/v1/timestamp/certchain", timeout=10).content
    with in_folder({"ask": body, "reply": data, "chain.pem": chain}) as folder:
        json_asked = dict(capture["headers"]).get("Content-Type") == "application/json"
        digest = now["message_imprint"]["hashed_message"].native.hex()
        asked = ["-digest", digest] if json_asked else ["-queryfile", "ask"]
        root = str((stack.data / "root.pem").resolve())
        openssl(folder, "ts", "-verify", *asked, "-in", "reply", "-CAfile", root, "-untrusted", "chain.pem")


def discovery(stack, capture):
    answer, data = stack.send(capture, stack.issuer + capture["path"], b"")
    check_answer(capture, answer, data)
    document = members(capture, data)
    expect(document["issuer"] == ISSUER, f"issuer {document['issuer']}")
    return document


def code_for_token(stack, capture):
    """The same form, with a code that was given for a challenge of this moment."""
    form = dict(urllib.parse.parse_qsl(capture["request"]))
    verifier = secrets.token_urlsafe(32)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    document = requests.get(f"{ISSUER}/.well-known/openid-configuration", timeout=10).json()
    asked = {"response_type": "code", "client_id": "sigstore", "client_secret": "", "scope": "openid email", "redirect_uri": form["redirect_uri"],
             "code_challenge": challenge, "code_challenge_method": "S256", "state": "state", "nonce": "nonce"}
    code = code_from(f"{document['authorization_endpoint']}?{urllib.parse.urlencode(asked)}")
    body = capture["request"].replace(f"code={form['code']}", f"code={code}").replace(form["code_verifier"], verifier)
    expect(document["token_endpoint"] == ISSUER + capture["path"], f"token endpoint {document['token_endpoint']}")
    answer, data = stack.send(capture, stack.issuer + capture["path"], body.encode())
    check_answer(capture, answer, data)
    given = members(capture, data)
    claims = json.loads(base64.urlsafe_b64decode(given["id_token"].split(".")[1] + "=="))
    expect((claims["iss"], claims["aud"], claims["email"], claims["email_verified"]) == (ISSUER, "sigstore", IDENTITY, True), f"{claims}")
    expect(given["access_token"] == given["id_token"] and given["token_type"].lower() == "bearer", "other tokens")


def replay(stack, name, capture):
    kind = name.rsplit(".", 1)[1]
    if kind == "certificate":
        certificate(stack, capture, WORKFLOW if "uri-identity" in name else IDENTITY)
    else:
        {"timestamp": timestamp, "discovery": discovery, "token": code_for_token}[kind](stack, capture)


if __name__ == "__main__":
    here = Stack(*sys.argv[1:])
    captures = sorted(CAPTURED.glob("*.json"))
    expect(captures, "nothing was captured")
    for path in captures:
        with shown(f"{path.stem} is answered as it was, with a fresh key and token"):
            replay(here, path.stem, json.loads(path.read_text()))
    end()
