"""ECDSA P-256 and certificates from the standard library alone, fast enough for thousands of entries.

A key signs everything with one nonce: a signature is then two multiplications and still verifies. That gives the key
away, which is no loss here, and would be everywhere else.
"""

import base64
import hashlib
import secrets
import time

P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
SPKI_HEAD = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")


def _add(a, b):
    if a is None or b is None:
        return a or b
    if a[0] == b[0]:
        if (a[1] + b[1]) % P == 0:
            return None
        slope = (3 * a[0] * a[0] - 3) * pow(2 * a[1], -1, P) % P
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P) % P
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def _times(scalar, point):
    result = None
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point, scalar = _add(point, point), scalar >> 1
    return result


def _der(tag, *parts):
    content = b"".join(parts)
    length = len(content)
    if length < 128:
        return bytes([tag, length]) + content
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size, "big") + content


def _integer(number):
    return _der(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


class Key:
    """A key that signs with one nonce."""

    def __init__(self):
        self.secret, self.nonce = (secrets.randbelow(N - 1) + 1 for _ in range(2))
        self.r = _times(self.nonce, G)[0] % N
        self.inverse = pow(self.nonce, -1, N)
        x, y = _times(self.secret, G)
        self.spki = SPKI_HEAD + x.to_bytes(32, "big") + y.to_bytes(32, "big")

    def sign(self, digest):
        s = self.inverse * (int.from_bytes(digest, "big") + self.r * self.secret) % N
        return _der(0x30, _integer(self.r), _integer(s))

    def certificate(self, *extensions, life=(1577836800, 2524607999)):
        """A self-signed certificate (RFC 5280), valid between these Unix times."""
        algorithm = _der(0x30, bytes.fromhex("06082a8648ce3d040302"))
        common_name = _der(0x30, bytes.fromhex("0603550403"), _der(0x0C, b"crash ring"))
        name = _der(0x30, _der(0x31, common_name))
        validity = _der(0x30, *(_der(0x17, time.strftime("%y%m%d%H%M%SZ", time.gmtime(at)).encode()) for at in life))
        version, serial = _der(0xA0, _integer(2)), _integer(secrets.randbits(64))
        parts = (version, serial, algorithm, name, validity, name, self.spki)
        body = _der(0x30, *parts, _der(0xA3, _der(0x30, *extensions)))
        signature = _der(0x03, b"\x00", self.sign(hashlib.sha256(body).digest()))
        return _der(0x30, body, algorithm, signature)


def extension(oid, content):
    """An extension by the bytes of its OID, in hex."""
    return _der(0x30, _der(0x06, bytes.fromhex(oid)), _der(0x04, content))


def names(emails=(), uris=()):
    """Subject alternative names."""
    emails = [_der(0x81, email.encode()) for email in emails]
    return extension("551d11", _der(0x30, *emails, *(_der(0x86, uri.encode()) for uri in uris)))


def issuer(url):
    """The OIDC issuer as Fulcio writes it (1.3.6.1.4.1.57264.1.8)."""
    return extension("2b0601040183bf300108", _der(0x0C, url.encode()))


def pem(label, der):
    text = base64.b64encode(der).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def of_pem(text):
    return base64.b64decode("".join(line for line in text.splitlines() if not line.startswith("-----")))


def verify(spki, message, signature):
    """Whether it is that key's over the message."""
    public = tuple(int.from_bytes(spki[-64:][half : half + 32], "big") for half in (0, 32))
    first = 4 + signature[3]
    r, s = (int.from_bytes(part, "big") for part in (signature[4:first], signature[first + 2 :]))
    inverse = pow(s, -1, N)
    digest = int.from_bytes(hashlib.sha256(message).digest(), "big")
    point = _add(_times(digest * inverse % N, G), _times(r * inverse % N, public))
    return point is not None and point[0] % N == r
