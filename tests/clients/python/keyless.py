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


def printed(text, *words, **replaced):
    """The words of the printed line that has these, as a person would use it: those in capitals are replaced."""
    lines = [shlex.split(line) for line in text.splitlines() if line and not line.startswith("#")]
    line = next(line for line in lines if set(words) <= set(line))
    return [replaced.get(word, word) for word in line]


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
    return re.search(r"<pre>([^<]+)</pre>", answer.text).group(1).strip()


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
    text, artifact = (folder / "lines").read_text(), str(folder / "artifact")
    bundle = str(folder / "keyless.json")
    sign = printed(text, "--instance", "sign", FILE=artifact)
    verify = printed(text, "--instance", "verify", FILE=artifact, WHO=IDENTITY)
    run(printed(text, "trust-instance"))
    with shown("--instance: signs, the code from the browser typed in, and verifies"):
        out_of_band(after(sign, "sign", "--oauth-force-oob", "--overwrite", "--bundle", bundle))
        run(after(verify, "identity", "--bundle", bundle))
    token = requests.post(f"{ISSUER}/mint", data={"email": IDENTITY}, timeout=10).json()["token"]
    ambient = ["--identity-token", token, "--overwrite", "--bundle", bundle]
    with shown("--instance: an ambient token, and both versions of the log"):
        for version in ["1", "2"]:
            run(after(sign, "sign", "--rekor-version", version, *ambient))
            run(after(verify, "identity", "--bundle", bundle))
    with shown("--trust-config: one file instead of the repository"):
        run(after(printed(text, "--trust-config", "sign", FILE=artifact), "sign", *ambient))
        run(after(verify, "identity", "--bundle", bundle))
    with shown("model_signing signs a folder, verifies it, and refuses a changed one"):
        model, signature = folder / "model", str(folder / "model.sig")
        model.mkdir(exist_ok=True)
        (model / "weights").write_bytes(b"weights")
        words = printed(text, "model_signing", MODEL=str(model))
        run(after(words, "sigstore", "--identity_token", token, "--signature", signature))
        config = words[words.index("--trust_config") + 1]
        verify = ["model_signing", "verify", "sigstore", "--trust_config", config, "--signature", signature,
                  "--identity", IDENTITY, "--identity_provider", ISSUER, str(model)]
        run(verify)
        (model / "weights").write_bytes(b"other weights")
        refused = subprocess.run([sys.executable, "-m", *verify], capture_output=True, text=True, timeout=120)
        expect(refused.returncode != 0, "accepts a changed model")


def after(words, word, *more):
    """The words with more behind one of them."""
    at = words.index(word) + 1
    return [*words[:at], *more, *words[at:]]


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
    end()
