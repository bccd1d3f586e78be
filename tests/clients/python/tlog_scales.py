"""Another team's reader (tlog-scales) over our tiles: its command line proves and checks leaves by both prefixes.

    tlog_scales.py URL
"""

import hashlib
import pathlib
import subprocess
import sys

import requests

from tap import end, expect, shown

COMMAND = pathlib.Path(sys.executable).parent / "tlog-tiles"


def run(*words):
    done = subprocess.run([COMMAND, *words], capture_output=True)
    expect(done.returncode == 0, f"{words[0]} ended with {done.returncode}: {done.stderr.decode()}")
    return done.stdout


if __name__ == "__main__":
    url = sys.argv[1]
    size = int(requests.get(f"{url}/checkpoint").text.split("\n")[1])
    for prefix in ["", "/api/v2"]:
        base = url + prefix
        with shown(f"gen-proof {prefix or '/'} names the index and ends with our checkpoint"):
            proof = run("gen-proof", base, "2").decode()
            expect(proof.startswith("c2sp.org/tlog-proof@v1\nindex 2\n"), proof)
            text = requests.get(f"{base}/checkpoint").text.split("\n\n")[0]
            expect(f"\n\n{text}\n\n" in proof, f"{proof!r} does not end with {text!r}")

    with shown(f"get-leaf --check accepts all {size} leaves, and they hash to tile 0/000"):
        leaves = [run("get-leaf", "-c", url, "--", str(index)) for index in range(size)]
        hashes = b"".join(hashlib.sha256(b"\0" + leaf).digest() for leaf in leaves[:256])
        width = "" if size >= 256 else f".p/{size}"
        expect(requests.get(f"{url}/tile/0/000{width}").content == hashes, "tile 0/000 differs")
    with shown("get-leaf --check /api/v2 -1 is the last leaf"):
        expect(run("get-leaf", "-c", f"{url}/api/v2", "--", "-1") == leaves[-1], "another leaf")
    end()
