"""Valid hashedrekord 0.0.2 requests by number, fast and from the standard library alone.

One ECDSA P-256 key signs everything with one nonce: a signature is then two multiplications and still verifies. That
gives the key away, which is no loss here, and would be everywhere else.
"""

import base64
import hashlib
import json
import secrets

P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
LARGE_EXTENSION = 34_000
"""Bytes of padding in the certificate of a large entry: its body is about 47 KB, so 16 MiB of journal turn quickly."""


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


class Entries:
    """Entry number n is always the same bytes within one run, small or large as it was first asked for."""

    def __init__(self):
        self.secret, self.nonce = (secrets.randbelow(N - 1) + 1 for _ in range(2))
        self.seed = secrets.token_bytes(16)
        self.r = _times(self.nonce, G)[0] % N
        self.inverse = pow(self.nonce, -1, N)
        x, y = _times(self.secret, G)
        head = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
        self.spki = head + b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")
        self.verifiers = {
            False: {"publicKey": {"rawBytes": base64.b64encode(self.spki).decode()}},
            True: {"x509Certificate": {"rawBytes": base64.b64encode(self._certificate()).decode()}},
        }

    def sign(self, digest):
        s = self.inverse * (int.from_bytes(digest, "big") + self.r * self.secret) % N
        return _der(0x30, _integer(self.r), _integer(s))

    def _certificate(self):
        """A self-signed certificate (RFC 5280) with one long extension."""
        algorithm = _der(0x30, bytes.fromhex("06082a8648ce3d040302"))
        common_name = _der(0x30, bytes.fromhex("0603550403"), _der(0x0C, b"crash ring"))
        name = _der(0x30, _der(0x31, common_name))
        validity = _der(0x30, _der(0x17, b"200101000000Z"), _der(0x17, b"491231235959Z"))
        padding = _der(0x30, bytes.fromhex("060a2b0601040183bf300163"), _der(0x04, bytes(LARGE_EXTENSION)))
        extensions = _der(0xA3, _der(0x30, padding))
        version = _der(0xA0, _integer(2))
        body = _der(0x30, version, _integer(1), algorithm, name, validity, name, self.spki, extensions)
        signature = _der(0x03, b"\x00", self.sign(hashlib.sha256(body).digest()))
        return _der(0x30, body, algorithm, signature)

    def make(self, number, large=False):
        """The request, and the leaf hash (RFC 6962) of the canonical body that the log must make of it."""
        digest = hashlib.sha256(self.seed + number.to_bytes(8, "big")).digest()
        digest64 = base64.b64encode(digest).decode()
        verifier = {"keyDetails": "PKIX_ECDSA_P256_SHA_256", **self.verifiers[large]}
        signature = {"content": base64.b64encode(self.sign(digest)).decode(), "verifier": verifier}
        request = {"hashedRekordRequestV002": {"digest": digest64, "signature": signature}}
        data = {"algorithm": "SHA2_256", "digest": digest64}
        spec = {"hashedRekordV002": {"data": data, "signature": signature}}
        body = {"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": spec}
        canonical = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
        return json.dumps(request).encode(), leaf_hash(canonical)


def leaf_hash(body):
    return hashlib.sha256(b"\x00" + body).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def roots(leaves, sizes):
    """The root hash at each of the given sizes (RFC 6962 §2.1), by the compact range."""
    wanted, found, stack = set(sizes), {}, []
    for size in range(len(leaves) + 1):
        if size:
            stack.append((1, leaves[size - 1]))
            while len(stack) > 1 and stack[-1][0] == stack[-2][0]:
                (width, right), (_, left) = stack.pop(), stack.pop()
                stack.append((2 * width, node_hash(left, right)))
        if size in wanted:
            found[size] = hashlib.sha256(b"").digest()
            if stack:
                root = stack[-1][1]
                for _, left in reversed(stack[:-1]):
                    root = node_hash(left, root)
                found[size] = root
    return found
