"""The tag proxy: killed under pulls, given a full disk and one that fails, and left without its log. What a client was told of a
tag stays: no tag is recorded a second time, and none is served elsewhere than where it was recorded."""

import concurrent.futures
import hashlib
import http.client
import http.server
import json
import os
import random
import shutil
import subprocess
import threading
import time

from full import _fill
from server import PATIENCE, NotStarted, Server

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Registry(http.server.ThreadingHTTPServer):
    """Every tag is there, and points where it says."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Answers)
        self.host = f"localhost:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        """Whoever asked was killed."""

    @staticmethod
    def manifest(tag):
        empty = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": "sha256:" + hashlib.sha256(b"{}").hexdigest(), "size": 2}
        text = {"schemaVersion": 2, "mediaType": MANIFEST, "config": empty, "layers": [], "annotations": {"tag": tag}}
        return json.dumps(text).encode()


class _Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    by_digest = {}

    def do_GET(self):
        name = self.path.split("?")[0].rsplit("/", 1)[-1]
        body = self.by_digest.get(name) or Registry.manifest(name)
        digest = "sha256:" + hashlib.sha256(body).hexdigest()
        self.by_digest[digest] = body
        self.send_response(200)
        for header in (("Content-Type", MANIFEST), ("Content-Length", str(len(body))), ("Docker-Content-Digest", digest)):
            self.send_header(*header)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


class Proxy(Server):
    """`bulla proxy` on a free port, before one registry."""

    last_words = b"docker pull"

    def __init__(self, binary, data, log_url, registry, wrapper=()):
        command = [*wrapper, binary, "proxy", "--data", data, "--listen", "127.0.0.1:0", "--upstream", registry.host]
        command += ["--metrics", "off", "--url", log_url, "--new-tags-per-address", "0", "--manifest-cache", "0"]
        self._start(command, data, bool(wrapper))

    def pull(self, tag):
        """Status, digest, index of the record, whether it was the first pull; nothing if there was no answer."""
        connection = self.connect()
        try:
            connection.request("GET", f"/v2/app/manifests/{tag}")
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                return answer.status, body, None, False
            digest = "sha256:" + hashlib.sha256(body).hexdigest()
            index = answer.getheader("Tlog-Logindex")
            return 200, digest, index and int(index), answer.getheader("Tlog-First-Seen") == "true"
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()


class Told:
    """What clients were told of tags, and whether it stays."""

    def __init__(self):
        self.records, self.lock = {}, threading.Lock()

    def note(self, tag, answer):
        if answer is None or answer[0] != 200:
            return
        _, digest, index, is_first = answer
        assert digest == "sha256:" + hashlib.sha256(Registry.manifest(tag)).hexdigest(), f"{tag}: other content"
        with self.lock:
            before = self.records.setdefault(tag, index)
        assert before == index, f"{tag} was recorded at {before}, and at {index}"

    def judge(self, proxy):
        for tag in list(self.records):
            answer = proxy.pull(tag)
            assert answer and answer[0] == 200, f"{tag} was served, and is not: {answer}"
            assert not answer[3], f"{tag} was recorded again"
            self.note(tag, answer)


def _pull(proxy, told, tags):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda tag: (tag, proxy.pull(tag)), tags))
    for tag, answer in answers:
        told.note(tag, answer)
    return [answer for _, answer in answers]


def ring(tally, binary, folder, rounds):
    registry = Registry()
    log = Server(binary, f"{folder}/tags-log").ready()
    try:
        tally.case("SIGKILL under pulls", lambda: _kills(tally, binary, folder, registry, log, rounds))
        tally.case("a full disk", lambda: _full(tally, binary, folder, registry, log))
        tally.case("EIO and ENOSPC at each write of the records", lambda: _faults(tally, binary, folder, registry, log))
        tally.case("without the log", lambda: _without_log(tally, binary, folder, registry))
    finally:
        log.kill()
        registry.shutdown()


def _kills(tally, binary, folder, registry, log, rounds):
    told, data = Told(), f"{folder}/tags-kills"
    for number in range(rounds):
        proxy = Proxy(binary, data, log.url, registry).ready()
        told.judge(proxy)
        late = threading.Timer(random.uniform(0.005, 0.25), proxy.kill)
        late.start()
        answers = _pull(proxy, told, [f"k{number}-{n}" for n in range(30)] * 2)
        late.join()
        tally.fault(None in answers)
        proxy.check_calm()
    proxy = Proxy(binary, data, log.url, registry).ready()
    told.judge(proxy)
    # What was on its way when the proxy was killed is recorded once, too.
    for number in range(rounds):
        _pull(proxy, told, [f"k{number}-{n}" for n in range(30)])
    assert len(told.records) == 30 * rounds, len(told.records)
    assert len(set(told.records.values())) == len(told.records), "two tags have one record"
    size = json.loads(log.get("/api/v1/log")[1])["treeSize"]
    assert size == len(told.records), f"{size} records of {len(told.records)} tags"
    proxy.kill()


def _full(tally, binary, folder, registry, log):
    place = f"{folder}/tags-tmpfs"
    os.mkdir(place)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"NOT TRIED: tmpfs cannot be mounted here (root is needed): {done.stderr}"
    try:
        told, data = Told(), f"{place}/data"
        proxy = Proxy(binary, data, log.url, registry).ready()
        _pull(proxy, told, [f"before{n}" for n in range(10)])
        _fill(place)
        # There may be room in the file itself for some.
        answers = _pull(proxy, told, [f"full{n}" for n in range(300)])
        wrong = [answer for answer in answers if not answer or answer[0] != 200]
        assert not wrong, f"a full disk keeps from pulling: {wrong[0]}"
        tally.fault(True)
        told.judge(proxy)
        proxy.kill()
        os.unlink(f"{place}/ballast")
        proxy = Proxy(binary, data, log.url, registry).ready()
        told.judge(proxy)
        proxy.check_calm()
        proxy.kill()
    finally:
        subprocess.run(["umount", place], check=False)


def _faults(tally, binary, folder, registry, log):
    """The first write that fails, then the second, and so on: what is served is what is recorded, and the file is used again."""
    for call in ("pwrite64", "fdatasync,fsync"):
        for error in ("EIO", "ENOSPC"):
            for when in (1, 4):
                told, data = Told(), f"{folder}/tags-fault"
                shutil.rmtree(data, ignore_errors=True)
                # Made without faults: what fails is what comes later.
                Proxy(binary, data, log.url, registry).ready().kill()
                mark = f"{call}{error}{when}".replace(",", "")
                wrapper = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={call}:error={error}:when={when + 6}")
                proxy = Proxy(binary, data, log.url, registry, wrapper)
                try:
                    proxy.ready()
                except NotStarted:
                    # The fault came while the file was opened, and it said so.
                    assert "records.redb" in proxy.said() or "proxy" in proxy.said(), proxy.said()
                    tally.fault(True)
                    continue
                answers = [proxy.pull(f"{mark}-{n}") for n in range(12)]
                for n, answer in enumerate(answers):
                    assert answer and answer[0] == 200, f"{mark}: pull {n}: {answer}"
                    told.note(f"{mark}-{n}", answer)
                tally.fault("cannot be kept" in proxy.said())
                told.judge(proxy)
                proxy.check_calm()
                proxy.kill()
                again = Proxy(binary, data, log.url, registry).ready()
                told.judge(again)
                again.kill()


def _without_log(tally, binary, folder, registry):
    told, data = Told(), f"{folder}/tags-alone"
    log = Server(binary, f"{folder}/tags-log2").ready()
    port = log.address.rsplit(":", 1)[-1]
    proxy = Proxy(binary, data, log.url, registry).ready()
    _pull(proxy, told, [f"known{n}" for n in range(5)])
    log.kill()
    tally.fault(True)
    told.judge(proxy)
    status, body, _, _ = proxy.pull("unknown")
    assert status == 503 and b"cannot be recorded" in body, f"{status} {body!r}"
    # It comes back where it was.
    log = Server(binary, f"{folder}/tags-log2", http=f"127.0.0.1:{port}").ready()
    deadline = time.monotonic() + PATIENCE
    while proxy.pull("unknown")[0] != 200:
        assert time.monotonic() < deadline, "the proxy does not find the log again"
    _pull(proxy, told, ["unknown"])
    told.judge(proxy)
    proxy.kill()
    log.kill()
