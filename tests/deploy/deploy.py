"""What deploy/ gives people: each option is one of the program, and each way to run it serves pulls.

    deploy.py BULLA FOLDER
"""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import ruamel.yaml

import images
import module
from tap import end, expect, shown

BINARY, FOLDER = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "deploy"
IMAGE = "localhost/bulla"


def run(*words, timeout=120, **more):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=timeout, **more)
    return done.returncode, done.stdout, done.stderr


def done(*words, **more):
    code, said, errors = run(*words, **more)
    expect(code == 0, f"{' '.join(str(word) for word in words)}: exited {code}: {said}{errors}")
    return said


def until(what, judge, seconds=60):
    """What a condition came to, once it holds."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if found := judge():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {seconds} s")


def options(command):
    """The long options of a command, as variables of the environment."""
    said = done(BINARY, command, "--help", env={"COLUMNS": "200"})
    names = re.findall(r"^ +(?:-\w, )?--([a-z0-9-]+)", said, re.M)
    return {"BULLA_" + name.upper().replace("-", "_"): name for name in names}


def in_force(command, environment):
    """Each option's value and where it comes from, as the program says it."""
    return done(BINARY, *command, "--print-config", env=environment)


def are_options(command, environment):
    known = options(command[0])
    for name in environment:
        expect(name in known, f"{name} is no option of bulla {command[0]}")
    said = in_force(command, environment)
    for name, value in environment.items():
        line = next((line for line in said.splitlines() if line.startswith(f"{known[name]} =")), None)
        expect(line is not None, f"{known[name]} is not in force: {said}")
        expect(name in line or "environment" in line, f"{line}: not from {name}={value}")


def image_of_the_program():
    base = images.base_of(BINARY, FOLDER / "base")
    done("podman", "build", "--format", "docker", "-t", "localhost/test-base", base)
    context = FOLDER / "context"
    context.mkdir()
    shutil.copy(BINARY, context / "a-release")
    words = ["podman", "build", "--format", "docker", "--network", "none", "-f", DEPLOY / "Dockerfile", "--target", "binary"]
    done(*words, "--build-arg", "BASE=localhost/test-base", "--build-arg", "BINARY=a-release", "-t", IMAGE, context)
    about = json.loads(done("podman", "image", "inspect", IMAGE))[0]
    expect(about["Config"]["User"] == "65532:65532", about["Config"])
    expect("/data" in about["Config"]["Volumes"], about["Config"])
    expect(run(BINARY, "--version")[1] == done("podman", "run", "--rm", IMAGE, "--version"), "another version")
    check = about["Healthcheck"]["Test"] if "Healthcheck" in about else about["Config"]["Healthcheck"]["Test"]
    expect(check[0] == "CMD", f"{check}: needs a shell, which the image has not")
    code, _, errors = run("podman", "run", "--rm", "--entrypoint", check[1], IMAGE, *check[2:])
    expect(code == 1 and "http://127.0.0.1:5050/healthz" in errors, f"{code}: {errors}")


def sources_of_the_image():
    """What the image is built of is all that the build needs, and no more is asked of a registry than one of crates."""
    text = (DEPLOY / "Dockerfile").read_text()
    copied = re.findall(r"^COPY ([^-].*) (?:\./|crates)$", text, re.M)
    folder = FOLDER / "sources"
    folder.mkdir()
    for name in " ".join(copied).split():
        place = DEPLOY.parent / name
        (shutil.copytree if place.is_dir() else shutil.copy)(place, folder / name)
    line = re.search(r"^RUN cargo build (.*)$", text, re.M)[1]
    expect(line == "--locked --profile dist --package bulla", line)
    done("cargo", "metadata", "--locked", "--offline", "--format-version", "1", "--no-deps", cwd=folder)
    expect("[profile.dist]" in (folder / "Cargo.toml").read_text(), "there is no profile dist")
    rust = re.search(r"^ARG RUST=\S+rust:([\d.]+)-", text, re.M)[1]
    wanted = re.search(r'^rust-version = "([\d.]+)"', (folder / "Cargo.toml").read_text(), re.M)[1]
    expect(rust == wanted, f"Rust {rust}, the program needs {wanted}")


def asked(url, accept=images.MANIFEST, **more):
    request = urllib.request.Request(url, headers={"Accept": accept})
    try:
        with urllib.request.urlopen(request, timeout=10, **more) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()
    except (urllib.error.URLError, OSError) as error:
        return 0, {}, str(error).encode()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def is_healthy(container):
    return lambda: run("podman", "healthcheck", "run", container)[0] == 0


def pulls(base, image, digest, **more):
    """A first pull, and a second."""
    url = f"{base}/v2/{image}/manifests/1"
    status, headers, body = asked(url, **more)
    expect((status, headers.get("Tlog-First-Seen")) == (200, "true"), (status, body))
    expect(headers["Docker-Content-Digest"] == digest, headers["Docker-Content-Digest"])
    status, headers, _ = asked(url, **more)
    expect(status == 200 and headers.get("Tlog-First-Seen") is None and headers.get("Tlog-Logindex"), (status, headers))


def compose(registry):
    text = ruamel.yaml.YAML(typ="safe").load((DEPLOY / "compose.yaml").read_text())
    with shown("check-jsonschema: compose.yaml is a compose file"):
        done(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml")
    for name in ("log", "proxy"):
        with shown(f"compose.yaml: each option of {name} is one that is in force"):
            service = text["services"][name]
            given = {key: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) for key, value in service["environment"].items()}
            are_options(service["command"], given)
    with shown("tags.toml says what would be without it"):
        said = (DEPLOY / "tags.toml").read_text()
        source = (DEPLOY.parent / "crates/claims/src/tag/name.rs").read_text()
        names = re.search(r"DEFAULT: \[[^]]*\] = \[([^]]*)\]", source)[1]
        expect(f"moving = [{names}]" in said, names)
    place = FOLDER / "compose"
    shutil.copytree(DEPLOY, place)
    (place / "tls").mkdir()
    done("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", place / "tls/tls.key", "-out", place / "tls/tls.crt")
    nginx = images.nginx(FOLDER / "nginx")
    done("podman", "build", "--format", "docker", "-t", "localhost/test-nginx", nginx)
    # A registry beside the containers, which is reached where their network ends here.
    more = {"services": {"proxy": {"environment": {"BULLA_REGISTRY": f"172.31.250.1:{registry.port}", "BULLA_ALLOW_HTTP_REGISTRY": "true"}}}}
    with open(place / "compose.test.yaml", "w") as file:
        ruamel.yaml.YAML(typ="safe").dump(more, file)
    log, proxy, tls = free_port(), free_port(), free_port()
    environment = {**os.environ, "BULLA_IMAGE": IMAGE, "NGINX_IMAGE": "localhost/test-nginx", "LOG_ADDRESS": f"127.0.0.1:{log}",
                   "PROXY_ADDRESS": f"127.0.0.1:{proxy}", "TLS_ADDRESS": f"127.0.0.1:{tls}"}
    words = ["podman-compose", "-f", "compose.yaml", "-f", "compose.test.yaml", "--profile", "tls"]

    def up():
        # Debian's podman knows nothing of `service_healthy`: each is waited for here.
        for name in ("log", "proxy", "tls"):
            done(*words, "up", "--detach", "--no-build", "--no-recreate", "--no-deps", name, cwd=place, env=environment)
            if name != "tls":
                until(f"{name} is healthy", is_healthy(f"bulla_{name}_1"))

    image = f"172.31.250.1:{registry.port}/org/app"
    try:
        with shown("podman-compose: log, proxy and TLS come up, healthy"):
            up()
        with shown("compose: an image is pulled through TLS and the proxy, and recorded in the log"):
            trusted = images.trusting(place / "tls/tls.crt")
            until("nginx answers", lambda: asked(f"https://localhost:{tls}/healthz", context=trusted)[0] == 200)
            pulls(f"https://localhost:{tls}", image, registry.push("org/app", "1", "one"), context=trusted)
            _, _, said = asked(f"http://127.0.0.1:{log}/api/v1/log", "application/json")
            expect(json.loads(said)["treeSize"] == 1, said)
        with shown("compose: a tag that moved is refused, approved by nobody"):
            registry.push("org/app", "1", "two")
            status, _, said = asked(f"http://127.0.0.1:{proxy}/v2/{image}/manifests/1")
            expect(json.loads(said)["errors"][0]["code"] == "TAG_INVALID", (status, said))
        with shown("compose: what was recorded outlives the containers"):
            done(*words, "down", cwd=place, env=environment)
            up()
            status, _, said = asked(f"http://127.0.0.1:{proxy}/v2/{image}/manifests/1")
            expect(json.loads(said)["errors"][0]["code"] == "TAG_INVALID", (status, said))
    finally:
        _, said, errors = run(*words, "logs", cwd=place, env=environment)
        (FOLDER / "compose.log").write_text(said + errors)
        run(*words, "down", "--volumes", cwd=place, env=environment)


def terraform(registry):
    module.check(DEPLOY / "terraform", FOLDER, options("proxy"))
    if not shutil.which("terraform"):
        return False
    with shown("terraform fmt: the module is written as others are"):
        done("terraform", "fmt", "-check", "-recursive", "-diff", DEPLOY / "terraform")
    log = images.Log(BINARY, FOLDER / "log", free_port())
    try:
        root = done(BINARY, "trust", "root", "--data", FOLDER / "log")
        approver = FOLDER / "approver"
        done(BINARY, "key", "generate", "--output-key-prefix", approver, env={"BULLA_KEY_PASSWORD": ""})
        key = (FOLDER / "approver.pub").read_text()
        host = f"127.0.0.1:{registry.port}"
        base = {"rekor_url": log.url, "registries": [host], "new_tags_per_address": 0}
        given = {
            "a log of ours": {**base, "approver_keys": [key]},
            "any log, by its trusted root": {**base, "trusted_root": root, "tag_policy": 'moving = ["edge"]\n', "only_named": True,
                                            "recorder_keys": [key], "approver_identities": ["a@example.org=https://i.example.org"]},
        }
        for what, variables in given.items():
            with shown(f"terraform: what the module says to the program serves pulls, {what}"):
                said = module.evaluated(DEPLOY / "terraform", FOLDER / "plan", variables)
                are_options(said["command"], said["environment"])
                name = "1" if "any" in what else "2"
                serves(said, registry, host, f"org/tf{name}")
        refused = {
            "a port": {"port": 70000}, "a limit": {"new_tags_per_address": -1}, "a URL": {"rekor_url": "rekor.example.org"},
            "what to do": {"unknown": "ignore"}, "a root": {"trusted_root": "none"}, "a key": {"approver_keys": ["none"]},
            "nobody": {"only_named": True, "registries": []}, "a name": {"name": "-"}, "memory": {"memory": 1},
            "an identity": {"approver_identities": ["alice"]}, "as whom": {"upstream_as": "ourselves"}, "another key": {"recorder_keys": [""]},
        }
        for what, variables in refused.items():
            with shown(f"terraform refuses a wrong value: {what}"):
                try:
                    module.evaluated(DEPLOY / "terraform", FOLDER / "plan", {**base, **variables})
                except module.Refused as error:
                    expect("Invalid value for variable" in str(error), str(error))
                else:
                    raise AssertionError("it is taken")
    finally:
        log.stop()
    return True


def serves(said, registry, host, repository):
    """A container as the module describes it, on the network of this machine."""
    port = free_port()
    environment = {**said["environment"], "BULLA_LISTEN": f"127.0.0.1:{port}", "BULLA_METRICS": "127.0.0.1:0"}
    words = ["podman", "run", "--detach", "--network", "host", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    for number, (path, text) in enumerate(said["files"].items()):
        file = FOLDER / "plan" / f"file-{number}"
        file.write_text(text)
        words += ["--volume", f"{file}:{path}:ro"]
    for name, value in environment.items():
        words += ["--env", f"{name}={value}"]
    container = done(*words, IMAGE, *said["command"]).strip()
    try:
        until("the proxy answers", lambda: asked(f"http://127.0.0.1:{port}/healthz")[0] == 200)
        pulls(f"http://127.0.0.1:{port}", f"{host}/{repository}", registry.push(repository, "1", repository))
    except AssertionError as error:
        raise AssertionError(f"{error}: {run('podman', 'logs', container)}") from error
    finally:
        done("podman", "rm", "--force", container)


with shown("podman: an image from a binary runs it as nobody, with a check that needs no shell"):
    image_of_the_program()
with shown("the Dockerfile: what it copies is what a build needs"):
    sources_of_the_image()
registry = images.Registry(FOLDER / "registry", free_port())
try:
    compose(registry)
    has_terraform = terraform(registry)
finally:
    registry.stop()
print("NOT SHOWN: the stage of the Dockerfile that builds the program, and its two public images: neither can be fetched here")
print("NOT SHOWN: terraform apply: the provider cannot be fetched here; resources were compared with its schema")
print("NOT SHOWN: Docker's own engine and compose: podman and podman-compose ran these files")
if not has_terraform:
    print("NOT SHOWN: terraform is not installed: formatting, validations, and what the module says to the program")
end()
