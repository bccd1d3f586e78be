"""Images made of what this machine has, and the servers that are around them."""

import hashlib
import http.client
import json
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import time

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def libraries(program, into):
    """Copies what a program is linked with, where it looks for it."""
    for path in re.findall(r"(/\S+) \(0x", subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout):
        place = into / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place, follow_symlinks=True)


def base_of(program, folder):
    """A context whose image has the libraries of a program, and the authorities that this machine believes."""
    root = folder / "root"
    libraries(program, root)
    certificates = root / "etc/ssl/certs"
    certificates.mkdir(parents=True)
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", certificates)
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY root /\n")
    return folder


def nginx(folder):
    """A context whose image is like the public one of nginx, as far as compose.yaml needs it."""
    root = folder / "root"
    program = shutil.which("nginx")
    libraries(program, root)
    for name in ("usr/sbin", "var/log/nginx", "var/lib/nginx", "run", "etc/nginx", "tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(program, root / "usr/sbin/nginx")
    (root / "etc/passwd").write_text("root:x:0:0::/:\nwww-data:x:33:33::/:\nnobody:x:65534:65534::/:\n")
    (root / "etc/group").write_text("root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n")
    (folder / "Dockerfile").write_text('FROM scratch\nCOPY root /\nCMD ["/usr/sbin/nginx", "-g", "daemon off;"]\n')
    return folder


def trusting(certificate):
    return ssl.create_default_context(cafile=str(certificate))


def wait(process, port, path, what):
    for _ in range(600):
        assert process.poll() is None, f"{what} ended"
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"{what} does not answer")


class Registry:
    """Debian's docker-registry."""

    def __init__(self, folder, port):
        folder.mkdir()
        self.port = port
        settings = folder / "registry.yml"
        storage = {"filesystem": {"rootdirectory": str(folder / "storage")}}
        settings.write_text(json.dumps({"version": "0.1", "log": {"level": "error", "accesslog": {"disabled": True}}, "storage": storage,
                                        "http": {"addr": f":{port}"}}))
        environment = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
        self.process = subprocess.Popen(["docker-registry", "serve", settings], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        wait(self.process, port, "/v2/", "docker-registry")

    def ask(self, method, path, body, kind):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, body, {"Content-Type": kind})
        answer = connection.getresponse()
        said = answer.read()
        assert answer.status < 300, (method, path, answer.status, said)
        return answer

    def push(self, repository, tag, author):
        """An image with nothing in it, and its digest."""
        config = json.dumps({"architecture": "amd64", "os": "linux", "author": author, "rootfs": {"type": "layers", "diff_ids": []}}).encode()
        digest = "sha256:" + hashlib.sha256(config).hexdigest()
        to = self.ask("POST", f"/v2/{repository}/blobs/uploads/", b"", "text/plain").getheader("Location")
        self.ask("PUT", f"{to}&digest={digest}", config, "application/octet-stream")
        about = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": len(config)}
        manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": about, "layers": []}).encode()
        self.ask("PUT", f"/v2/{repository}/manifests/{tag}", manifest, MANIFEST)
        return "sha256:" + hashlib.sha256(manifest).hexdigest()

    def stop(self):
        self.process.kill()
        self.process.wait()


class Log:
    """A `bulla serve`."""

    def __init__(self, binary, folder, port):
        self.url = f"http://127.0.0.1:{port}"
        words = [binary, "serve", "--data", folder, "--http", f"127.0.0.1:{port}", "--grpc", "off", "--metrics", "off"]
        environment = {**os.environ, "BULLA_DISK_RESERVE": "0"}
        self.process = subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        wait(self.process, port, "/readyz", "the log")

    def stop(self):
        self.process.terminate()
        self.process.wait()
