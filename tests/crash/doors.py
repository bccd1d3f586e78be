"""Random valid entries for both doors, and everything that each of them must be found by."""

import base64
import hashlib
import json
import random
import secrets
import time

import p256

STATEMENT = "application/vnd.in-toto+json"
ISSUERS = ("https://accounts.example.org", "https://token.example.org/Actions")
KINDS = ("hashedrekord", "dsse", "intoto 0.0.1", "intoto 0.0.2", "rekord", "v2 hashedrekord", "v2 dsse")


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def base(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


class Signer:
    """A key, alone or in a certificate that lives for ten minutes."""

    def __init__(self, key, person=None):
        self.key, self.der, self.life = key, None, None
        self.found = set()
        if person is None:
            self.pem = p256.pem("PUBLIC KEY", key.spki)
        else:
            email, uri, issuer = f"Person{person}@Example.org", f"https://example.org/Repo/{person}", ISSUERS[person % 2]
            now = int(time.time())
            self.life = (now - 5, now + 595)
            # One name or both, as Fulcio and others write them.
            emails, uris = ([email], [uri]) if person % 3 == 0 else ([email], []) if person % 3 == 1 else ([], [uri])
            self.der = key.certificate(p256.names(emails, uris), p256.issuer(issuer), life=self.life)
            self.pem = p256.pem("CERTIFICATE", self.der)
            self.found |= {("email", email) for email in emails} | {("subject", uri) for uri in uris}
            self.found |= {("issuer", issuer)}
        self.found |= {("key", sha256(self.pem.encode())), ("key", sha256(key.spki)), ("publicKey", self.pem)}

    def verifier(self):
        """As v2 takes it."""
        form = {"x509Certificate": {"rawBytes": base(self.der)}} if self.der else None
        return {"keyDetails": "PKIX_ECDSA_P256_SHA_256", **(form or {"publicKey": {"rawBytes": base(self.key.spki)}})}


class Made:
    """A proposed entry: through which door, its JSON, and what finds it."""

    def __init__(self, kind, request, signers, own, found=()):
        """`own` is the digest that no other entry has."""
        self.own = f"sha256:{own}"
        self.v2, self.kind = kind.startswith("v2 "), kind
        self.request = json.dumps(request)
        # A v2 DSSE envelope is logged as a hashedrekord over what was signed.
        name = "hashedrekord" if self.v2 else kind.split()[0]
        self.found = {("kind", name), ("hash", self.own), *found} | {key for signer in signers for key in signer.found}
        lives = [signer.life for signer in signers if signer.life]
        self.life = (max(life[0] for life in lives), min(life[1] for life in lives)) if lives else None

    @property
    def path(self):
        return f"/api/{'v2' if self.v2 else 'v1'}/log/entries"


class Doors:
    """Makes entries. Keys, people and some digests come again and again, so that searches have many answers."""

    def __init__(self):
        self.keys = [p256.Key() for _ in range(2)]
        self.bare = [Signer(key) for key in self.keys]
        self.common = [secrets.token_bytes(32).hex() for _ in range(20)]

    def signer(self):
        if random.random() < 0.4:
            return random.choice(self.bare)
        return Signer(random.choice(self.keys), random.randrange(9))

    def make(self, kind=None):
        kind = kind or random.choice(KINDS)
        return getattr(self, "_" + kind.replace(" ", "_").replace(".", ""))(kind)

    def _hashedrekord(self, kind):
        signer, digest = self.signer(), secrets.token_bytes(32)
        hash_ = {"algorithm": "sha256", "value": digest.hex()}
        signature = {"content": base(signer.key.sign(digest)), "publicKey": {"content": base(signer.pem)}}
        request = _proposed(kind, "0.0.1", {"data": {"hash": hash_}, "signature": signature})
        return Made(kind, request, [signer], digest.hex())

    def _rekord(self, kind):
        signer, artifact = self.signer(), secrets.token_bytes(random.randrange(1, 400))
        content = base(signer.key.sign(hashlib.sha256(artifact).digest()))
        signature = {"format": "x509", "content": content, "publicKey": {"content": base(signer.pem)}}
        request = _proposed(kind, "0.0.1", {"data": {"content": base(artifact)}, "signature": signature})
        return Made(kind, request, [signer], sha256(artifact))

    def _dsse(self, kind):
        payload, found = self._statement()
        signers = [self.signer()]
        others = [signer for signer in self.bare if signer.key is not signers[0].key]
        signers += random.sample(others, random.randrange(2))
        envelope = _envelope(payload, signers)
        content = {"envelope": envelope, "verifiers": [base(signer.pem) for signer in signers]}
        found |= {("hash", f"sha256:{sha256(envelope.encode())}")}
        request = _proposed(kind, "0.0.1", {"proposedContent": content})
        return Made(kind, request, signers, sha256(payload), found)

    def _intoto_001(self, kind):
        payload, found = self._statement()
        signer = self.signer()
        envelope = _envelope(payload, [signer])
        spec = {"content": {"envelope": envelope}, "publicKey": base(signer.pem)}
        found |= {("hash", f"sha256:{sha256(envelope.encode())}")}
        return Made(kind, _proposed("intoto", "0.0.1", spec), [signer], sha256(payload), found)

    def _intoto_002(self, kind):
        payload, found = self._statement()
        signer = self.signer()
        text = _envelope(payload, [signer])
        envelope = json.loads(text)
        signatures = [{"sig": base(one["sig"]), "publicKey": base(signer.pem)} for one in envelope["signatures"]]
        envelope |= {"payload": base(envelope["payload"]), "signatures": signatures}
        hash_ = {"algorithm": "sha256", "value": sha256(text.encode())}
        request = _proposed("intoto", "0.0.2", {"content": {"envelope": envelope, "hash": hash_}})
        return Made(kind, request, [signer], sha256(payload), found)

    def _v2_hashedrekord(self, kind):
        signer, digest = self.signer(), secrets.token_bytes(32)
        signature = {"content": base(signer.key.sign(digest)), "verifier": signer.verifier()}
        request = {"hashedRekordRequestV002": {"digest": base(digest), "signature": signature}}
        return Made(kind, request, [signer], digest.hex())

    def _v2_dsse(self, kind):
        payload, found = self._statement()
        signer = self.signer()
        envelope = json.loads(_envelope(payload, [signer]))
        request = {"dsseRequestV002": {"envelope": envelope, "verifiers": [signer.verifier()]}}
        return Made(kind, request, [signer], sha256(_signed(payload)), found)

    def _statement(self):
        """An in-toto statement of several subjects, with the materials of one version of SLSA, and its digests."""
        found = set()

        def resource():
            value = random.choice(self.common) if random.random() < 0.3 else secrets.token_hex(32)
            digests = {"sha256": value}
            if random.random() < 0.3:
                digests |= {"sha512": secrets.token_hex(64)}
            if random.random() < 0.3:
                digests |= {"sha1": secrets.token_hex(20)}
            found.update(("hash", f"{name}:{digest}") for name, digest in digests.items())
            return {"name": secrets.token_hex(4), "digest": digests}

        subjects = [resource() for _ in range(random.randrange(2, 5))]
        materials = [resource() for _ in range(random.randrange(1, 4))]
        predicate = {"materials": materials}
        if random.random() < 0.5:
            predicate = {"buildDefinition": {"resolvedDependencies": materials}}
        statement = {"_type": "https://in-toto.io/Statement/v1", "subject": subjects, "predicate": predicate}
        return json.dumps(statement).encode(), found


def _proposed(kind, version, spec):
    return {"apiVersion": version, "kind": kind, "spec": spec}


def _signed(payload):
    """What a DSSE signature is over."""
    return b"DSSEv1 %d %s %d %s" % (len(STATEMENT), STATEMENT.encode(), len(payload), payload)


def _envelope(payload, signers):
    digest = hashlib.sha256(_signed(payload)).digest()
    signatures = [{"sig": base(signer.key.sign(digest))} for signer in signers]
    return json.dumps({"payload": base(payload), "payloadType": STATEMENT, "signatures": signatures})
