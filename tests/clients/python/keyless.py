"""Keyless signing with nothing but what `bulla up --print-client` says: each printed line is run as a shell reads it, and only the
words in capitals are replaced. The trust repository, the browser flow with the code typed in, programs that take one file.

    keyless.py DIR           DIR/lines holds what was printed for sigstore-python, DIR/artifact what is signed
    keyless.py browse URL    the browser that sigstore-python opens
"""

import html
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import requests

from certificates import IDENTITY, ISSUER
from tap import end, expect, shown


class Printed:
    """The lines, in which the words in capitals have these values."""

    def __init__(self, text, folder, values):
        lines = [shlex.split(line) for line in text.splitlines() if line and not line.startswith("#")]
        self.lines, self.folder, self.values, self.used = lines, folder, values, set()

    def command(self, *words):
        """The one line with these words and no others that the other lines have."""
        (line,) = [line for line in self.lines if words == tuple(word for word in line if word in KNOWN)]
        self.used.add(tuple(line))
        program, *rest = [self.values.get(word, word) for word in line]
        left = [word for word in rest if word.isupper() and word.isalpha()]
        expect(not left, f"{left} is for whoever reads the line to replace, and this does not")
        return [sys.executable, "-m", program, *rest]

    def run(self, *words):
        done = subprocess.run(self.command(*words), cwd=self.folder, capture_output=True, text=True, timeout=120)
        expect(done.returncode == 0, f"{' '.join(words)} ended with {done.returncode}: {done.stdout} {done.stderr}")


# What tells the printed lines apart.
KNOWN = {"sigstore", "model_signing", "--instance", "--trust-config", "trust-instance", "sign", "verify", "--oauth-force-oob",
         "--identity-token"}


def approve(url):
    """What a person does in a browser: opens the page, says who they are, and copies the code."""
    browser = requests.Session()
    page = browser.get(url, timeout=10)
    expect(page.status_code == 200, f"the page answers {page.status_code}: {page.text}")
    fields = {}
    for tag in re.findall(r"<input[^>]*>", page.text):
        attributes = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
        if "name" in attributes:
            fields[attributes["name"]] = html.unescape(attributes.get("value", ""))
    expect("email" in fields, f"a form that asks for an e-mail address: {page.text}")
    action = re.search(r'<form[^>]*action="([^"]*)"', page.text)
    target = requests.compat.urljoin(page.url, html.unescape(action.group(1))) if action else page.url
    origin = {"Origin": "/".join(page.url.split("/")[:3])}
    answer = browser.post(target, data=fields | {"email": IDENTITY}, headers=origin, timeout=10)
    expect(answer.status_code == 200, f"approving answers {answer.status_code}: {answer.text}")
    return answer


def code_from(url):
    return re.search(r"<pre>([^<]+)</pre>", approve(url).text).group(1).strip()


def out_of_band(printed, *words):
    """The program says where to go, and waits for the code."""
    process = subprocess.Popen(printed.command(*words), cwd=printed.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    try:
        seen = ""
        for line in process.stderr:
            seen += line
            if found := re.search(r"https?://\S+", line):
                process.stdin.write(code_from(found.group(0)) + "\n")
                process.stdin.flush()
                break
        out, errors = process.communicate(timeout=60)
        expect(process.returncode == 0, f"ended with {process.returncode}: {out} {seen}{errors}")
    finally:
        process.kill()


def main(folder):
    os.environ |= {"XDG_DATA_HOME": str(folder / "xdg"), "XDG_CACHE_HOME": str(folder / "xdg-cache"), "HOME": str(folder),
                   "BROWSER": f"{sys.executable} {__file__} browse %s"}
    work = folder / "keyless-python"
    model, signature = work / "model", work / "model.sig"
    model.mkdir(parents=True, exist_ok=True)
    # Two programs, two words for a signature's place: the bundle lies beside the file.
    artifact, bundle = work / "artifact", work / "artifact.sigstore.json"
    shutil.copy(folder / "artifact", artifact)
    token = requests.post(f"{ISSUER}/mint", data={"email": IDENTITY}, timeout=10).json()["token"]
    values = {"FILE": str(artifact), "WHO": IDENTITY, "TOKEN": token, "MODEL": str(model), "SIGNATURE": str(signature)}
    printed = Printed((folder / "lines").read_text(), work, values)

    def keep(kind):
        """For the verifiers of the other clients, and out of the way of the next."""
        shutil.copy(bundle, folder / "bundles" / f"sigstore-python-keyless.{kind}.blob.json")
        shutil.copy(bundle, folder / "keyless.json")
        (entry,) = json.loads(bundle.read_text())["verificationMaterial"]["tlogEntries"]
        expect((entry["kindVersion"]["kind"], entry["kindVersion"]["version"]) == ("hashedrekord", "0.0.2"), f"{entry['kindVersion']}")
        bundle.unlink()

    instance = ["sigstore", "--instance"]
    with shown("--instance: trust-instance takes the root"):
        printed.run(*instance, "trust-instance")
    with shown("--instance: signs, approved in the browser that it opens, and verifies"):
        printed.run(*instance, "sign")
        printed.run(*instance, "verify")
        keep("browser")
    with shown("--instance --oauth-force-oob: signs, the code from the browser typed in, and verifies"):
        out_of_band(printed, *instance, "sign", "--oauth-force-oob")
        printed.run(*instance, "verify")
        keep("oob")
    with shown("--instance: signs with a token, and verifies"):
        printed.run(*instance, "sign", "--identity-token")
        printed.run(*instance, "verify")
        keep("instance")
    with shown("--instance: with --rekor-version 1 added, signs through the v1 door, and verifies"):
        words = printed.command(*instance, "sign", "--identity-token")
        at = words.index("sign") + 1
        done = subprocess.run([*words[:at], "--rekor-version", "1", *words[at:]], cwd=work, capture_output=True, text=True, timeout=120)
        expect(done.returncode == 0, f"ended with {done.returncode}: {done.stdout} {done.stderr}")
        printed.run(*instance, "verify")
        shutil.move(bundle, folder / "bundles-v1" / "sigstore-python-keyless.instance.json")
    with shown("--trust-config: one file instead of the repository, to sign and to verify"):
        printed.run("sigstore", "--trust-config", "sign", "--identity-token")
        printed.run("sigstore", "--trust-config", "verify")
        keep("trust-config")
    with shown("model_signing signs a folder, verifies it, and refuses a changed one"):
        (model / "weights").write_bytes(b"weights")
        printed.run("model_signing", "sign", "sigstore")
        printed.run("model_signing", "verify", "sigstore")
        (model / "weights").write_bytes(b"other weights")
        refused = subprocess.run(printed.command("model_signing", "verify", "sigstore"), cwd=work, capture_output=True, text=True, timeout=120)
        expect(refused.returncode != 0, "accepts a changed model")
    with shown("no printed line was left out"):
        left = [" ".join(line) for line in printed.lines if tuple(line) not in printed.used]
        expect(not left, f"{left}")


if __name__ == "__main__":
    if sys.argv[1] == "browse":
        approve(sys.argv[2])
    else:
        main(pathlib.Path(sys.argv[1]))
        end()
