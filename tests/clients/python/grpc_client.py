"""The gRPC door through stock grpcio, with no generated code of ours: the schema is discovered by reflection, as
grpcurl does it.

    grpc_client.py HOST:PORT URL       URL is the HTTP base of the same log
"""

import base64
import hashlib
import sys

import grpc
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from certificates import IDENTITY, ISSUER, new_key, spki
import tap
from tap import end, expect, shown

SERVICE = "dev.sigstore.rekor.v2.Rekor"
CERTIFIER = "dev.sigstore.fulcio.v2.CA"


class Discovered:
    """A service as its server describes it; its methods take and give messages in their JSON form."""

    def __init__(self, channel, service):
        self.channel, self.service = channel, service
        pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        self.methods = pool.FindServiceByName(service).methods_by_name

    def call(self, method, request):
        described = self.methods[method]
        ask, answer = (message_factory.GetMessageClass(t) for t in (described.input_type, described.output_type))
        rpc = self.channel.unary_unary(f"/{self.service}/{method}", ask.SerializeToString, answer.FromString)
        reply, call = rpc.with_call(json_format.ParseDict(request, ask()), timeout=20)
        return json_format.MessageToDict(reply, always_print_fields_with_no_presence=True), call


def proposed(artifact):
    key = new_key()
    b64 = lambda data: base64.b64encode(data).decode()
    return {"hashedRekordRequestV002": {
        "digest": b64(hashlib.sha256(artifact).digest()),
        "signature": {"content": b64(key.sign(artifact, ec.ECDSA(hashes.SHA256()))), "verifier": {
            "publicKey": {"rawBytes": b64(spki(key.public_key()))}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"}}}}


def refusal(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("expected a refusal, got an answer")


def without_empty(item):
    return {name: value for name, value in item.items() if value != ""}


def certificate_request(key, prover):
    token = requests.post(f"{ISSUER}/mint", data={"email": IDENTITY}).json()["token"]
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    proof = prover.sign(IDENTITY.encode(), ec.ECDSA(hashes.SHA256()))
    return {
        "credentials": {"oidcIdentityToken": token},
        "publicKeyRequest": {
            "publicKey": {"algorithm": "ECDSA", "content": pem.decode()},
            "proofOfPossession": base64.b64encode(proof).decode(),
        },
    }


if __name__ == "__main__":
    address, url = sys.argv[1:]
    channel = grpc.insecure_channel(address)

    with shown("health: SERVING for the server and for the service"):
        for service in ["", SERVICE]:
            health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
            expect(health.status == health_pb2.HealthCheckResponse.SERVING, f"{service or 'server'}: {health}")

    with shown("reflection lists the log and the certificate authority"):
        services = set(ProtoReflectionDescriptorDatabase(channel).get_services())
        expect({SERVICE, CERTIFIER} <= services, f"services are {sorted(services)}")

    if tap.failed:
        end()
    request = proposed(b"logged over gRPC")
    with shown("CreateEntry answers with the entry that HTTP then serves"):
        rekor = Discovered(channel, SERVICE)
        entry, _ = rekor.call("CreateEntry", request)
        over_http = requests.get(f"{url}/api/v2/log/entries/{entry['logIndex']}").json()
        for member in ["logIndex", "logId", "kindVersion", "canonicalizedBody"]:
            expect(entry[member] == over_http[member], f"{member}: {entry[member]} over gRPC, {over_http[member]} over HTTP")

    with shown("the same again is ALREADY_EXISTS with x-log-index"):
        error = refusal(lambda: rekor.call("CreateEntry", request))
        metadata = dict(list(error.initial_metadata() or []) + list(error.trailing_metadata() or []))
        expect(error.code() == grpc.StatusCode.ALREADY_EXISTS, str(error))
        expect(metadata.get("x-log-index") == entry["logIndex"], f"metadata is {metadata}")

    with shown("a wrong signature is INVALID_ARGUMENT, naming the field"):
        wrong = proposed(b"one thing")
        wrong["hashedRekordRequestV002"]["digest"] = base64.b64encode(hashlib.sha256(b"another").digest()).decode()
        error = refusal(lambda: rekor.call("CreateEntry", wrong))
        expect(error.code() == grpc.StatusCode.INVALID_ARGUMENT, str(error))
        expect("signature" in error.details(), error.details())

    reads = [("GetCheckpoint", {}, "checkpoint"), ("GetTile", {"L": 0, "N": "000.p/1"}, "tile/0/000.p/1"),
             ("GetEntryBundle", {"N": "000.p/1"}, "tile/entries/000.p/1")]
    for method, ask, path in reads:
        with shown(f"{method} gives the bytes of {path}"):
            body, _ = rekor.call(method, ask)
            over_http = requests.get(f"{url}/api/v2/{path}")
            expect(base64.b64decode(body["data"]) == over_http.content, f"{body} over gRPC, {over_http.content!r} over HTTP")
            expect(body["contentType"] == over_http.headers["Content-Type"], f"{body['contentType']} over gRPC")

    authority = Discovered(channel, CERTIFIER)
    with shown("GetTrustBundle and GetConfiguration say what HTTP says"):
        for method, path, member in [("GetTrustBundle", "trustBundle", "chains"), ("GetConfiguration", "configuration", "issuers")]:
            over_grpc = [without_empty(item) for item in authority.call(method, {})[0][member]]
            over_http = requests.get(f"{url}/api/v2/{path}").json()[member]
            expect(over_grpc == over_http, f"{over_grpc} over gRPC, {over_http} over HTTP")

    with shown("CreateSigningCertificate certifies a key"):
        key = new_key()
        reply, _ = authority.call("CreateSigningCertificate", certificate_request(key, key))
        leaf = x509.load_pem_x509_certificate(reply["signedCertificateEmbeddedSct"]["chain"]["certificates"][0].encode())
        expect(spki(leaf.public_key()) == spki(key.public_key()), "the certificate is of another key")

    with shown("a proof by another key is INVALID_ARGUMENT, naming the field"):
        error = refusal(lambda: authority.call("CreateSigningCertificate", certificate_request(new_key(), new_key())))
        expect(error.code() == grpc.StatusCode.INVALID_ARGUMENT, str(error))
        expect("proof_of_possession" in error.details(), error.details())
    end()
