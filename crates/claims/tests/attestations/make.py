"""Makes the SPDX documents and the statements beside this file: make.py DIR, with spdx-tools 0.8 and in-toto-attestation 0.9."""
import datetime
import hashlib
import json
import sys

from spdx_tools.spdx.model import (Actor, ActorType, Checksum, ChecksumAlgorithm, CreationInfo, Document, Package, Relationship,
    RelationshipType, SpdxNoAssertion, File)
from spdx_tools.spdx.writer.write_anything import write_file
out = sys.argv[1]
info = CreationInfo("SPDX-2.3", "SPDXRef-DOCUMENT", "release 1.2.3", "https://example.org/spdx/release-1.2.3",
    [Actor(ActorType.TOOL, "spdx-tools"), Actor(ActorType.PERSON, "Alice", "alice@example.org")], datetime.datetime(2026, 11, 21, 12))
package = Package("SPDXRef-Package", "release", SpdxNoAssertion(), version="1.2.3", files_analyzed=False,
    checksums=[Checksum(ChecksumAlgorithm.SHA256, hashlib.sha256(b"release 1.2.3\n").hexdigest())])
file = File("./artifact", "SPDXRef-File", [Checksum(ChecksumAlgorithm.SHA1, hashlib.sha1(b"release 1.2.3\n").hexdigest())])
document = Document(info, [package], [file], relationships=[
    Relationship("SPDXRef-DOCUMENT", RelationshipType.DESCRIBES, "SPDXRef-Package"),
    Relationship("SPDXRef-DOCUMENT", RelationshipType.DESCRIBES, "SPDXRef-File")])
write_file(document, out + "/spdx-2.3.json")
info.spdx_version = "SPDX-2.2"
package.license_concluded = package.license_declared = file.license_concluded = SpdxNoAssertion()
package.copyright_text = file.copyright_text = SpdxNoAssertion()
file.license_info_in_file = [SpdxNoAssertion()]
write_file(document, out + "/spdx-2.2.json")

from google.protobuf.json_format import MessageToDict, ParseDict
from in_toto_attestation.predicates.link.v0.link_pb2 import Link
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement
provenance = Provenance()
definition, details = provenance.build_definition, provenance.run_details
definition.build_type = "https://example.org/make@v1"
definition.external_parameters.update({"target": "release"})
source = definition.resolved_dependencies.add(uri="git+https://example.org/release@refs/tags/v1.2.3")
source.digest["gitCommit"] = "6f4cc16bd2b1b1f5a0c7f2d9b6f2bb44a2d1b0c9"
details.builder.id = "https://example.org/builder"
details.metadata.invocation_id = "1"
details.metadata.started_on.FromJsonString("2026-11-21T12:00:00Z")
digest = {"sha256": hashlib.sha256(b"release 1.2.3\n").hexdigest()}
subject = ResourceDescriptor(name="artifact", digest=digest).pb
statement = Statement([subject], "https://slsa.dev/provenance/v1", MessageToDict(provenance))
statement.validate()
with open(out + "/statement-provenance.json", "w") as file:
    json.dump(MessageToDict(statement.pb), file)
link = ParseDict({"name": "build", "command": ["make", "release"], "materials": [{"name": "artifact", "digest": digest}],
    "byproducts": {"return-value": 0}, "environment": {"CC": "cc"}}, Link())
with open(out + "/statement-link.json", "w") as file:
    json.dump(MessageToDict(Statement([subject], "https://in-toto.io/Link/v1", MessageToDict(link)).pb), file)
