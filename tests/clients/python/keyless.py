"""Keyless signing with nothing but what `bulla up --print-client` says: the trust repository, the browser flow with the code
typed in, and programs that take one configuration file.

    keyless.py DIR       DIR/lines holds what was printed for sigstore-python, DIR/artifact what is signed
"""

import html
import os
import pathlib
import re
import shlex
import subprocess
import sys

import requests

from certificates import IDENTITY, ISSUER
from tap import end, expect, shown


class Lines:
    """The printed lines, as a person would use them: words in capitals are replaced."""

    def __init__(self, text):
        self.lines = [line for line in text.splitlines() if line and not line.startswith("#")]

    def words(self, start, **replaced):
        line = next(line for line in self.lines if line.startswith(start) and all(f" {name}" in line for name in replaced))
        return [replaced.get(word, word) for word in shlex.split(line)]


def run(words, **options):
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, timeout=120, **options)
    expect(done.returncode == 0, f"{' '.join(words)} ended with {done.returncode}: {done.stdout} {done.stderr}")
    return done


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
    target = requests.compat.urljoin(url, html.unescape(action.group(1))) if action else url
    answer = browser.post(target, data=fields | {"email": IDENTITY}, headers={"Origin": "/".join(url.split("/")[:3])}, timeout=10)
    expect(answer.status_code == 200, f"approving answers {answer.status_code}: {answer.text}")
    return re.search(r"<code[^>]*>([^<]+)</code>", answer.text).group(1).strip()


def out_of_band(words):
    """`sigstore sign --oauth-force-oob`: it prints where to go and waits for the code."""
    process = subprocess.Popen([sys.executable, "-m", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        seen = ""
        for line in process.stderr:
            seen += line
            if found := re.search(r"https?://\S+", line):
                process.stdin.write(approve(found.group(0)) + "\n")
                process.stdin.flush()
                break
        out, errors = process.communicate(timeout=60)
        expect(process.returncode == 0, f"ended with {process.returncode}: {out} {seen}{errors}")
    finally:
        process.kill()


def main(folder):
    os.environ |= {"XDG_DATA_HOME": str(folder / "xdg"), "XDG_CACHE_HOME": str(folder / "xdg-cache"), "HOME": str(folder)}
    lines = Lines((folder / "lines").read_text())
    artifact = str(folder / "artifact")
    bundle = ["--overwrite", "--bundle", str(folder / "keyless.json")]
    verify = lines.words("sigstore --instance", WHO=IDENTITY, FILE=artifact)
    at = verify.index("identity") + 1
    verify[at:at] = ["--bundle", str(folder / "keyless.json")]
    with shown("trust-instance takes the repository's root"):
        run(next(shlex.split(line) for line in lines.lines if "trust-instance" in line))
    sign = [word for word in lines.words("sigstore --instance", FILE=artifact) if word != "identity"]
    sign = next(shlex.split(line) for line in lines.lines if "--instance" in line and " sign " in line)
    sign = [artifact if word == "FILE" else word for word in sign]
    at = sign.index("sign") + 1
    with shown("--instance: signs, the code from the browser typed in, and verifies"):
        out_of_band(sign[:at] + ["--oauth-force-oob", *bundle] + sign[at:])
        run(verify)
    with shown("--instance: an ambient token, and both versions of the log"):
        token = requests.post(f"{ISSUER}/mint", data={"email": IDENTITY}, timeout=10).json()["token"]
        for version in ["1", "2"]:
            run(sign[:at] + ["--rekor-version", version, "--identity-token", token, *bundle] + sign[at:])
            run(verify)
    with shown("--trust-config: one file instead of the repository"):
        words = next(shlex.split(line) for line in lines.lines if "--trust-config" in line)
        words = [artifact if word == "FILE" else word for word in words]
        at = words.index("sign") + 1
        run(words[:at] + ["--identity-token", token, *bundle] + words[at:])
        run(verify)
    with shown("model_signing signs and verifies a folder"):
        model = folder / "model"
        model.mkdir(exist_ok=True)
        (model / "weights").write_bytes(b"weights")
        words = next(shlex.split(line) for line in lines.lines if line.startswith("model_signing"))
        words = [str(model) if word == "MODEL" else word for word in words]
        signature = str(folder / "model.sig")
        at = words.index("sigstore") + 1
        config = words[words.index("--trust_config") + 1]
        run(words[:at] + ["--identity_token", token, "--signature", signature] + words[at:])
        run(["model_signing", "verify", "sigstore", "--trust_config", config, "--signature", signature,
             "--identity", IDENTITY, "--identity_provider", ISSUER, str(model)])
        (model / "weights").write_bytes(b"other weights")
        try:
            run(["model_signing", "verify", "sigstore", "--trust_config", config, "--signature", signature,
                 "--identity", IDENTITY, "--identity_provider", ISSUER, str(model)])
        except AssertionError:
            return
        raise AssertionError("accepts a changed model")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
    end()
