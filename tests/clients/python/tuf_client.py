"""A trust repository, read by python-tuf: found, followed over its roots, and not believed when it is stale or tampered with.

    tuf_client.py URL ROOT [FOLDER]     URL of the repository (where timestamp.json is), and a root.json that is trusted to
                                        begin with; FOLDER keeps what the client knows, for the next time
"""

import json
import pathlib
import sys
import tempfile
import urllib.error
import urllib.request
from datetime import timedelta

from tap import end, expect, shown
from tuf.api.exceptions import DownloadHTTPError, ExpiredMetadataError, RepositoryError
from tuf.ngclient import FetcherInterface, Updater


class Fetcher(FetcherInterface):
    """Fetches, and changes what is fetched by the end of its name."""

    def __init__(self, change=None):
        super().__init__()
        self.change, self.fetched = change or {}, []

    def _fetch(self, url):
        self.fetched.append(url)
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                data = answer.read()
        except urllib.error.HTTPError as error:
            raise DownloadHTTPError(str(error), error.code) from error
        for name, change in self.change.items():
            if url.endswith(name):
                data = change(data)
        return iter([data])


def updater(folder, fetcher, root):
    url = sys.argv[1].rstrip("/")
    return Updater(str(folder), f"{url}/", str(folder), f"{url}/targets/", fetcher=fetcher, bootstrap=root)


def refused(root, expected, change=None, at=None):
    with tempfile.TemporaryDirectory() as folder:
        client = updater(folder, Fetcher(change), root)
        if at:
            client._trusted_set.reference_time = at
        try:
            client.refresh()
            for name in client._trusted_set.targets.targets:
                client.download_target(client.get_targetinfo(name))
        except expected:
            return
    raise AssertionError(f"was believed, {expected} was expected")


def flipped(data):
    return data[:-2] + bytes([data[-2] ^ 1]) + data[-1:]


root = pathlib.Path(sys.argv[2]).read_bytes()
with tempfile.TemporaryDirectory() as new:
    folder = sys.argv[3] if len(sys.argv) > 3 else new
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    fetcher = Fetcher()
    with shown("the newest root is followed to from the one that is trusted, and every role is signed"):
        client = updater(folder, fetcher, root)
        client.refresh()
        trusted = client._trusted_set
        newest = json.load(urllib.request.urlopen(f"{sys.argv[1].rstrip('/')}/root.json"))["signed"]["version"]
        expect(trusted.root.version == newest, f"root is {trusted.root.version}, {newest} was expected")
        expect(trusted.root.consistent_snapshot, "snapshots are not consistent")
    with shown("every target is found by its digest, and is JSON"):
        names = sorted(trusted.targets.targets)
        expect("trusted_root.json" in names, names)
        for name in names:
            path = client.download_target(client.get_targetinfo(name))
            json.loads(pathlib.Path(path).read_bytes())
    with shown("a second look fetches the timestamp and nothing that is known"):
        again = Fetcher()
        updater(folder, again, root).refresh()
        fetched = [url.rsplit("/", 1)[1] for url in again.fetched]
        expect([name for name in fetched if not name.endswith("root.json")] == ["timestamp.json"], fetched)
with shown("a stale timestamp is not believed"):
    later = trusted.timestamp.expires + timedelta(seconds=1)
    refused(root, ExpiredMetadataError, at=later)
with shown("a target that was tampered with is not believed"):
    refused(root, RepositoryError, {"trusted_root.json": flipped})
for role in ["timestamp.json", "snapshot.json", "targets.json"]:
    with shown(f"{role} that was tampered with is not believed"):
        refused(root, RepositoryError, {role: lambda data: data.replace(b'"1.0.0"', b'"1.0.1"')})
end()
