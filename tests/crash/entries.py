"""Valid hashedrekord 0.0.2 requests by number, and the trees that are made of leaves."""

import base64
import hashlib
import json
import secrets

import p256

LARGE_EXTENSION = 34_000
"""Bytes of padding in the certificate of a large entry: its body is about 47 KB, so 16 MiB of journal turn quickly."""


class Entries:
    """Entry number n is always the same bytes within one run, small or large as it was first asked for."""

    def __init__(self):
        self.key, self.seed = p256.Key(), secrets.token_bytes(16)
        padding = p256.extension("2b0601040183bf300163", bytes(LARGE_EXTENSION))
        certificate = self.key.certificate(padding)
        self.verifiers = {
            False: {"publicKey": {"rawBytes": base64.b64encode(self.key.spki).decode()}},
            True: {"x509Certificate": {"rawBytes": base64.b64encode(certificate).decode()}},
        }

    def make(self, number, large=False):
        """The request, and the leaf hash (RFC 6962) of the canonical body that the log must make of it."""
        digest = hashlib.sha256(self.seed + number.to_bytes(8, "big")).digest()
        digest64 = base64.b64encode(digest).decode()
        verifier = {"keyDetails": "PKIX_ECDSA_P256_SHA_256", **self.verifiers[large]}
        signature = {"content": base64.b64encode(self.key.sign(digest)).decode(), "verifier": verifier}
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
