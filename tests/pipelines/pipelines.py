"""Steps of pipelines as their runners run them: installed only with the right digest, signed, verified, and stopped where
something is not verified, or could not be known.

    pipelines.py BULLA
"""

import hashlib
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request

import ruamel.yaml

import runner
from tap import end, expect, shown

BINARY = pathlib.Path(sys.argv[1])
FILE = f"bulla-linux-{platform.machine()}"
ALICE = "alice@example.org"


def release(folder, sums):
    """A release in a directory, laid out as both hosts do it."""
    for place in (folder / "v1.2.3", folder / "v1.2.3/downloads"):
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(BINARY, place / FILE)
        (place / "SHA256SUMS").write_text(sums)
    return f"file://{folder}"


def image(folder):
    """An image layout with one image, which nobody has signed."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(text, media_type):
        digest = hashlib.sha256(text.encode()).hexdigest()
        (blobs / digest).write_text(text)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(text)}

    config = blob('{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}', "application/vnd.oci.image.config.v1+json")
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = blob(json.dumps({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": []}), kind)
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return f"oci:{folder}"


class Stack:
    def __init__(self, folder):
        words = [BINARY, "up", "--dev", "--http", "127.0.0.1:0", "--grpc", "off", "--metrics", "off", "--data", folder / "data"]
        env = {**os.environ, "BULLA_DISK_RESERVE": "0"}
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env)
        self.url = None
        for line in self.process.stdout:
            if found := re.match(r"  HTTP +(\S+)", line):
                # As the stack names itself.
                self.url = found[1].replace("127.0.0.1", "localhost")
            # The greeting's last line is the command that checks the log.
            if line.startswith("bulla fsck "):
                break
        expect(self.url, "the stack did not start")

    def token(self):
        form = urllib.parse.urlencode({"email": ALICE}).encode()
        with urllib.request.urlopen(f"{self.url}/oidc/mint", form) as answer:
            return json.load(answer)["token"]


def schema(name, document, folder):
    path = folder / "document.yml"
    ruamel.yaml.YAML(typ="safe").dump(document, path)
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{name}", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    expect(done.returncode == 0, done.stdout + done.stderr)


def schemas(folder):
    with shown("check-jsonschema: action.yml is an action of GitHub"):
        schema("github-actions", runner.YAML.load(runner.ROOT / "action.yml"), folder)
    for command in ("sign", "attest", "verify", "verify-attestation", "report"):
        with shown(f"check-jsonschema: the job of templates/bulla.yml is one of GitLab CI, {command}"):
            jobs, spec = runner.component({"command": command, "targets": "a b", "version": "1.2.3"})
            schema("gitlab-ci", {"stages": ["test"], **jobs}, folder)
            schema("gitlab-ci", {"spec": {"inputs": spec}}, folder)
    text = (runner.ROOT / "docs/guide-pipelines.md").read_text()
    for kind, name in (("github", "github-workflows"), ("gitlab", "gitlab-ci")):
        blocks = re.findall(rf"^```yaml {kind}\n(.*?)^```$", text, re.M | re.S)
        with shown(f"check-jsonschema: the examples for {kind} in docs/guide-pipelines.md"):
            expect(blocks, "there is none")
            for block in blocks:
                schema(name, runner.YAML.load(block), folder)


def installing(folder, releases, digest):
    """What is not the released program is never run."""
    install = {"command": "install", "version": "1.2.3", "releases": releases}
    with shown("install: the program is on the path of the steps that follow"):
        done = runner.action(install, folder)
        expect(done.code == 0 and re.search(r"^bulla \d", done.said, re.M), done.said)
        expect(os.access(pathlib.Path(done.path.strip()) / "bulla", os.X_OK), done.path)
    with shown("install: the version is that of the action, if none is said"):
        done = runner.action({"command": "install"}, folder)
        place = "https://github.invalid/owner/bulla/releases/download/v9.9.9"
        expect(done.code == 2 and f"{place}/{FILE} cannot be fetched" in done.said, done.said)
    with shown("install: the digest that is asked for is that of the program"):
        expect(runner.action({**install, "sha256": digest}, folder).code == 0, "refused")
    other = digest[:-1] + ("0" if digest[-1] != "0" else "1")
    wrong = [
        ("another digest than the one asked for", {**install, "sha256": other}, "was expected: it is not run"),
        ("another digest than in SHA256SUMS", {**install, "releases": release(folder / "tampered", f"{other}  {FILE}\n")}, "it is not run"),
        ("no line in SHA256SUMS", {**install, "releases": release(folder / "unlisted", f"{digest}  other\n")}, f"has no line for {FILE}"),
        ("no such release", {**install, "version": "4.5.6"}, "cannot be fetched"),
        ("a branch for a version", {**install, "version": "main"}, "one such as 1.2.3 was expected"),
        ("a path for a version", {**install, "version": "../../1.2.3"}, "one such as 1.2.3 was expected"),
    ]
    for what, inputs, said in wrong:
        with shown(f"install refuses: {what}"):
            done = runner.action({**inputs, "command": "sign", "targets": "x"}, folder)
            expect(done.code == 2 and said in done.said and done.path == "", done.said)
    gitlab = {"command": "verify", "targets": "x", "version": "v1.2.3", "releases": releases}
    with shown("the GitLab job takes a digest in capitals"):
        done = runner.job({**gitlab, "command": "report", "targets": "none", "sha256": digest.upper()}, folder)
        expect("it is not run" not in done.said, done.said)
    for what, inputs in (("asked for", {**gitlab, "sha256": other}), ("in SHA256SUMS", {**gitlab, "releases": f"file://{folder}/tampered"})):
        with shown(f"the GitLab job refuses: another digest than {what}"):
            done = runner.job(inputs, folder)
            expect(done.code == 2 and "it is not run" in done.said, done.said)


def github(folder, releases, stack, unsigned):
    base = {"version": "1.2.3", "releases": releases}
    root = str(folder / "data/clients/trusted_root.json")
    who = {"trusted-root": root, "certificate-identity": ALICE, "certificate-oidc-issuer": f"{stack.url}/oidc"}
    env = {"XDG_STATE_HOME": str(folder / "state")}
    signer = {**env, "SIGSTORE_ID_TOKEN": stack.token()}
    (folder / "file one").write_text("signed")
    (folder / "other").write_text("not signed")
    signed = image(folder / "signed")
    with shown("GitHub, sign: files and images, a name with a space is one"):
        done = runner.action({**base, "command": "sign", "targets": f"file one\n\n  {signed}\n", "url": stack.url}, folder, signer)
        expect(done.code == 0 and done.summary.count("✅ yes") == 2, done.said + done.summary)
        expect("signed" in pathlib.Path(done.outputs["result"]).read_text(), "the output has no result")
    with shown("GitHub, verify: what is signed passes"):
        done = runner.action({**base, **who, "command": "verify", "targets": f"file one\n{signed}"}, folder, env)
        expect(done.code == 0 and done.summary.count("✅ yes") == 2, done.said + done.summary)
    with shown("GitHub, verify: what is not signed stops the job, and the summary is one screen of reason"):
        done = runner.action({**base, **who, "command": "verify", "targets": f"{signed}\n{unsigned}"}, folder, env)
        expect(done.code == 1, done.said)
        expect("| ✅ yes | `" in done.summary and f"| ❌ no | `{unsigned}` |" in done.summary, done.summary)
        expect("````text" in done.summary and len(done.summary.splitlines()) <= 60, done.summary)
        expect("::error title=bulla verify::" in done.said, done.said)
    with shown("GitHub, verify: signed by somebody else stops the job"):
        mallory = {**who, "certificate-identity": "mallory@example.org"}
        done = runner.action({**base, **mallory, "command": "verify", "targets": "file one"}, folder, env)
        expect(done.code == 1 and "❌ no" in done.summary, done.said + done.summary)
    with shown("GitHub, verify: what cannot be known stops the job"):
        nobody = f"127.0.0.1:9/team/app@sha256:{'0' * 64}"
        done = runner.action({**base, **who, "command": "verify", "targets": f"{signed}\n{nobody}"}, folder, env)
        expect(done.code == 3 and "❔ not known" in done.summary, done.said + done.summary)
    with shown("GitHub, verify: the worst of several decides, and its reason is the error"):
        done = runner.action({**base, **who, "command": "verify", "targets": f"{nobody}\n{unsigned}"}, folder, env)
        error = next((line for line in done.said.splitlines() if line.startswith("::error")), "")
        expect(done.code == 1 and unsigned in error, f"{done.code}: {error}")
        done = runner.action({**base, **who, "command": "verify", "targets": f"{unsigned}\n{nobody}"}, folder, env)
        expect(done.code == 1, done.said)
    shadow = folder / "registry.example" / "app"
    shadow.parent.mkdir(exist_ok=True)
    shadow.write_text("signed")
    refused = [
        ("an image's name that is a file too", {**who, "command": "verify", "targets": "registry.example/app"}),
        ("nothing to verify", {**who, "command": "verify", "targets": "\n \n"}),
        ("nobody who must have signed", {"trusted-root": root, "command": "verify", "targets": signed}),
        ("an option for a target", {**who, "command": "verify", "targets": "--help"}),
        ("another command", {**who, "command": "serve", "targets": signed}),
    ]
    for what, inputs in refused:
        with shown(f"GitHub refuses: {what}"):
            done = runner.action({**base, **inputs}, folder, env)
            expect(done.code == 2, f"{done.code}: {done.said}")
    with shown("GitHub: what others write is never a script"):
        for word in ("$(touch pwned)", "`touch pwned`", "; touch pwned", '"; touch pwned; "', "a\n````\n<script>"):
            done = runner.action({**base, **who, "command": "verify", "targets": word, "version": "1.2.3"}, folder, env)
            expect(done.code != 0 and not (folder / "pwned").exists(), word)
            expect(done.summary.count("````") == 2, done.summary)
    with shown("GitHub, report: one page of what is there, and a job that stops at what is not signed"):
        report = {**base, **who, "command": "report", "targets": f"{signed}\n{unsigned}", "out": "report.html\nreport.json"}
        done = runner.action(report, folder, env)
        expect(done.code == 0 and (folder / "report.html").is_file() and (folder / "report.json").is_file(), done.said)
        done = runner.action({**report, "arguments": "--fail-on\nunsigned"}, folder, env)
        expect(done.code == 1 and "❌ no" in done.summary, done.said + done.summary)


def gitlab(folder, releases, stack, unsigned):
    base = {"version": "1.2.3", "releases": releases}
    root = str(folder / "data/clients/trusted_root.json")
    who = {"trusted-root": root, "certificate-identity": ALICE, "certificate-oidc-issuer": f"{stack.url}/oidc"}
    env = {"XDG_STATE_HOME": str(folder / "state-2"), "SIGSTORE_ID_TOKEN": stack.token()}
    signed = image(folder / "signed-2")
    with shown("GitLab, sign: with the token of the job"):
        done = runner.job({**base, "command": "sign", "targets": signed, "url": stack.url}, folder, env)
        expect(done.code == 0, done.said)
    with shown("GitLab, verify: what is signed passes, what is not stops the job, what cannot be known too"):
        nobody = f"127.0.0.1:9/app@sha256:{'0' * 64}"
        for targets, code in ((signed, 0), (f"{signed} {unsigned}", 1), (f"{nobody} {unsigned}", 1), ("registry.example/app", 2), (f"127.0.0.1:9/app@sha256:{'0' * 64}", 3), (" ", 2), ("--help", 2)):
            done = runner.job({**base, **who, "command": "verify", "targets": targets}, folder, env)
            expect(done.code == code, f"{targets}: {done.code}: {done.said}")
    with shown("GitLab, verify: targets may be lines"):
        done = runner.job({**base, **who, "command": "verify", "targets": f"{signed}\n{signed}\n"}, folder, env)
        expect(done.code == 0 and done.said.count("verified    ") == 2, done.said)
    with shown("GitLab: what others write is never a script"):
        for word in ("$(touch${IFS}pwned2)", "`touch pwned2`", "; touch pwned2", "a\nscript: [touch pwned2]"):
            done = runner.job({**base, **who, "command": "verify", "targets": word}, folder, env)
            expect(done.code != 0 and not (folder / "pwned2").exists(), word)
    with shown("GitLab, report: the file that the job keeps"):
        done = runner.job({**base, **who, "command": "report", "targets": f"{signed} {unsigned}", "out": "kept.html kept.json"}, folder, env)
        expect(done.code == 0 and all((folder / "bulla-out" / name).is_file() for name in ("kept.html", "kept.json")), done.said)
    with shown("GitLab, attest and verify-attestation: as on GitHub"):
        (folder / "scan.json").write_text('{"high": 0}')
        kind = "--type https://example.org/scan"
        done = runner.job({**base, "command": "attest", "targets": signed, "url": stack.url, "arguments": f"{kind} --predicate scan.json"}, folder, env)
        expect(done.code == 0, done.said)
        done = runner.job({**base, **who, "command": "verify-attestation", "targets": signed, "arguments": kind}, folder, env)
        expect(done.code == 0, done.said)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        digest = hashlib.sha256(BINARY.read_bytes()).hexdigest()
        releases = release(folder / "releases", f"{digest}  {FILE}\n")
        schemas(folder)
        installing(folder, releases, digest)
        stack = Stack(folder)
        try:
            unsigned = image(folder / "unsigned")
            github(folder, releases, stack, unsigned)
            gitlab(folder, releases, stack, unsigned)
        finally:
            stack.process.terminate()
            stack.process.wait()
    end()
