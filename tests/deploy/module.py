"""The Terraform module, read: what it names is declared, and what it makes has the attributes that its provider knows."""

import ast
import importlib.util
import json
import pathlib
import re
import shutil
import subprocess

import hcl2

from tap import expect, shown

PROVIDER = pathlib.Path(importlib.util.find_spec("cdktf_cdktf_provider_docker").submodule_search_locations[0])
META = {"lifecycle", "depends_on", "count", "for_each", "provider", "provisioner"}


class Refused(Exception):
    """Terraform takes these values for wrong."""


def plain(value):
    """What was read, without quotes around names and without what the reader adds."""
    if isinstance(value, dict):
        return {plain(key): plain(inner) for key, inner in value.items() if not str(key).startswith("__")}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1]
    return value


def read(folder):
    """All files of a folder as one document: kind of block -> list of blocks."""
    whole = {}
    for path in sorted(folder.glob("*.tf")):
        with open(path) as file:
            for kind, blocks in plain(hcl2.load(file)).items():
                whole.setdefault(kind, []).extend(blocks)
    return whole


def named(blocks):
    return {name: body for block in blocks for name, body in block.items()}


def schema(resource):
    """class -> (required, all) of the provider's classes for a resource, which are made of its schema."""
    tree = ast.parse((PROVIDER / resource.removeprefix("docker_") / "__init__.py").read_text())
    classes = {}
    for node in tree.body:
        for made in getattr(node, "body", []):
            if isinstance(node, ast.ClassDef) and isinstance(made, ast.FunctionDef) and made.name == "__init__":
                arguments = zip(made.args.kwonlyargs, made.args.kw_defaults)
                pairs = [(argument.arg, default is None) for argument, default in arguments]
                classes[node.name] = ({name for name, needed in pairs if needed}, {name for name, _ in pairs})
    return classes


def fits(what, body, classes, name):
    required, known = classes[name]
    dynamic = named(body.get("dynamic", []))
    given = (set(body) | set(dynamic)) - {"dynamic"} - META
    expect(given <= known, f"{what} has no {sorted(given - known)}")
    # The kind of a block is taken for its first argument.
    required = required - {"scope", "id_", "id"}
    expect(required <= given, f"{what} needs {sorted(required - given)}")
    blocks = {key: value for key, value in body.items() if isinstance(value, list) and value and isinstance(value[0], dict) and key != "dynamic"}
    inner = [(key, each) for key, value in blocks.items() for each in value]
    inner += [(key, each) for key, value in dynamic.items() for each in value["content"]]
    for key, each in inner:
        if key not in META:
            fits(f"{what}.{key}", each, classes, name.removesuffix("Config") + "".join(part.title() for part in key.split("_")))


def check(folder, scratch, options):
    whole, example = read(folder), read(folder / "example")
    variables, outputs = named(whole["variable"]), named(whole["output"])
    text = "\n".join(path.read_text() for path in sorted(folder.glob("*.tf")))
    local = {name for block in whole["locals"] for name in block}
    resources = {(kind, name): body for block in whole["resource"] for kind, made in block.items() for name, body in made.items()}
    with shown("terraform: each variable that is used is declared, and each that is declared is used, and told of"):
        used = set(re.findall(r"\bvar\.(\w+)", text))
        without = re.sub(r'variable "\w+" \{\n.*?\n\}\n', "", text, flags=re.S)
        expect(used == set(variables), used ^ set(variables))
        expect(set(re.findall(r"\bvar\.(\w+)", without)) == set(variables), "one is used by its own validation alone")
        expect(set(re.findall(r"\blocal\.(\w+)", text)) == local, local)
        for name, body in {**variables, **outputs}.items():
            expect(len(body.get("description", "")) > 3, f"{name} is not described")
        for kind, name in re.findall(r"\b(docker_\w+)\.(\w+)\.", text):
            expect((kind, name) in resources, f"{kind}.{name} is not there")
    with shown("terraform: each resource has what the schema of its provider knows and needs"):
        for (kind, name), body in resources.items():
            of = kind.removeprefix("docker_").title()
            fits(f"{kind}.{name}", body, schema(kind), f"{of}Config")
    with shown("terraform: each option that the module sets is one of bulla proxy"):
        names = set(re.findall(r"^ +(BULLA_\w+) +=", text, re.M))
        expect(len(names) > 10 and names <= set(options), names - set(options))
        words = set(re.findall(r'"--([a-z-]+)=', text))
        expect(words and words <= set(options.values()), words)
    with shown("terraform: the example gives what the module needs, and reads what it has"):
        given = named(example["module"])["proxy"]
        expect(given.pop("source") == "../", "another module is used")
        expect(set(given) <= set(variables), set(given) - set(variables))
        needed = {name for name, body in variables.items() if "default" not in body}
        expect(needed <= set(given), needed - set(given))
        said = (folder / "example/main.tf").read_text()
        expect(set(re.findall(r"module\.proxy\.(\w+)", said)) <= set(outputs), "no such output")
        expect(set(re.findall(r"\bvar\.(\w+)", said)) == set(named(example["variable"])), "no such variable")
        for path in re.findall(r'file\("\$\{path\.module\}/([^"$]+)"\)', said):
            expect((folder / "example" / path).is_file(), f"{path} is not there")
    with shown("terraform: README.md lists every variable and every output"):
        page = (folder / "README.md").read_text()
        rows = dict(re.findall(r"^\| `(\w+)` \|(?:.* \|)? ([^|]+) \|$", page, re.M))
        expect(set(rows) == set(variables) | set(outputs), set(rows) ^ (set(variables) | set(outputs)))
        for name, body in {**variables, **outputs}.items():
            expect(rows[name] == body["description"].replace('\\"', '"'), f"{name}: {rows[name]}")


def evaluated(folder, scratch, variables):
    """What the module says to the program, by Terraform's own evaluation of all but its resources."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    for name in ("variables.tf", "options.tf"):
        shutil.copy(folder / name, scratch)
    outputs = "".join(f'output "{name}" {{\n  value = local.{name}\n}}\n' for name in ("environment", "command", "files"))
    (scratch / "said.tf").write_text(outputs)
    (scratch / "given.auto.tfvars.json").write_text(json.dumps(variables))
    def terraform(*words):
        return subprocess.run(["terraform", *words], cwd=scratch, capture_output=True, text=True, timeout=60)
    for words in (["init", "-input=false"], ["apply", "-auto-approve", "-input=false", "-no-color"]):
        done = terraform(*words)
        if done.returncode != 0:
            raise Refused(done.stdout + done.stderr)
    return {name: output["value"] for name, output in json.loads(terraform("output", "-json").stdout).items()}
