"""Writes a layout with an image of one file for this machine: image.py DIRECTORY VERSION."""

import gzip
import hashlib
import io
import json
import pathlib
import platform
import sys
import tarfile

directory, version = pathlib.Path(sys.argv[1]), sys.argv[2]
blobs = directory / "blobs" / "sha256"
blobs.mkdir(parents=True)


def blob(media_type, data):
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def of(value):
    return json.dumps(value, separators=(",", ":")).encode()


archive = io.BytesIO()
with tarfile.open(fileobj=archive, mode="w") as tar:
    entry = tarfile.TarInfo("version")
    entry.size = len(version)
    tar.addfile(entry, io.BytesIO(version.encode()))
architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
config = {
    "architecture": architecture,
    "os": "linux",
    "config": {"Labels": {"version": version}},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(archive.getvalue()).hexdigest()]},
}
image = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": blob("application/vnd.oci.image.config.v1+json", of(config)),
    "layers": [blob("application/vnd.oci.image.layer.v1.tar+gzip", gzip.compress(archive.getvalue(), mtime=0))],
}
described = blob(image["mediaType"], of(image))
described["annotations"] = {"org.opencontainers.image.ref.name": "image"}
(directory / "index.json").write_bytes(of({"schemaVersion": 2, "manifests": [described]}))
(directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
print(described["digest"])
