"""What the runners of GitHub and GitLab do with what is in action.yml and templates/bulla.yml, as far as it is used there.

An expression `${{ … }}` of a GitHub action is the name of a value; in a shell there may be none. `$[[ inputs.… ]]` of a GitLab
component is filled in once the YAML was read, so that no value can be more than a text.
"""

import os
import pathlib
import re
import subprocess
import tempfile

import ruamel.yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
YAML = ruamel.yaml.YAML(typ="safe")


class Ended:
    """What a job left behind."""

    def __init__(self, code, said, summary, outputs, path):
        self.code, self.said, self.summary, self.outputs, self.path = code, said, summary, outputs, path


def environment(more):
    return {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "LANG": "C.UTF-8", **more}


def bash(script, env, folder):
    """`shell: bash` of GitHub, and the shell executor of GitLab: both stop at the first failure."""
    with tempfile.NamedTemporaryFile("w", suffix=".sh", dir=folder) as file:
        file.write(script)
        file.flush()
        words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", file.name]
        done = subprocess.run(words, env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    return done.returncode, done.stdout


def action(inputs, folder, env=()):
    """Runs every step of action.yml; stops after one that fails."""
    document = YAML.load(ROOT / "action.yml")
    unknown = set(inputs) - set(document["inputs"])
    assert not unknown, f"no such input: {unknown}"
    values = {"github.action_ref": "v9.9.9", "github.action_repository": "owner/bulla"}
    expand = lambda text: re.sub(r"\$\{\{ *([\w.-]+) *\}\}", lambda found: values[found[1]], str(text))
    for name, said in document["inputs"].items():
        assert said.get("description"), name
        if said.get("required") and name not in inputs:
            raise AssertionError(f"{name} is required")
        # `github.action_ref` is not what it seems to be anywhere but in `env`.
        assert "${{" not in said.get("default", ""), name
        values[f"inputs.{name}"] = inputs.get(name, said.get("default", ""))
    files = {name: pathlib.Path(tempfile.mkstemp(dir=folder)[1]) for name in ("PATH", "OUTPUT", "STEP_SUMMARY")}
    base = environment({"GITHUB_ACTIONS": "true", "GITHUB_ACTION_PATH": str(ROOT), "GITHUB_SERVER_URL": "https://github.invalid", "RUNNER_TEMP": str(folder), **dict(env)})
    base |= {f"GITHUB_{name}": str(path) for name, path in files.items()}
    code, said = 0, ""
    for step in document["runs"]["steps"]:
        condition = step.get("if")
        if condition:
            name, _, other = condition.partition(" != ")
            if values[name] == other.strip("'"):
                continue
        assert "${{" not in step["run"], "an expression in a shell is what others may write there"
        assert step["shell"] == "bash"
        added = [line for line in files["PATH"].read_text().splitlines() if line]
        own = base | {name: expand(value) for name, value in step.get("env", {}).items()}
        own["PATH"] = ":".join([*added, own["PATH"]])
        code, words = bash(step["run"], own, folder)
        said += words
        if code:
            break
    outputs = dict(line.split("=", 1) for line in files["OUTPUT"].read_text().splitlines())
    return Ended(code, said, files["STEP_SUMMARY"].read_text(), outputs, files["PATH"].read_text())


def component(inputs):
    """The jobs of templates/bulla.yml with these inputs, and what the inputs may be."""
    header, _, body = (ROOT / "templates/bulla.yml").read_text().partition("\n---\n")
    spec = YAML.load(header)["spec"]["inputs"]
    assert not set(inputs) - set(spec), inputs
    for name, said in spec.items():
        if name not in inputs and (said is None or "default" not in said):
            raise AssertionError(f"{name} is required")
        assert "options" not in said or inputs[name] in said["options"], f"{name} is {inputs[name]}"
    given = {name: inputs.get(name, (said or {}).get("default", "")) for name, said in spec.items()}

    def filled(node):
        if isinstance(node, dict):
            return {filled(name): filled(value) for name, value in node.items()}
        if isinstance(node, list):
            return [filled(value) for value in node]
        if isinstance(node, str):
            return re.sub(r"\$\[\[ *inputs\.([\w-]+) *\]\]", lambda found: str(given[found[1]]), node)
        return node

    return filled(YAML.load(body)), spec


def job(inputs, folder, env=()):
    """Runs the one job of the component."""
    ((_, said),) = component(inputs)[0].items()
    own = environment({"CI": "true", "GITLAB_CI": "true", "TMPDIR": str(folder), **dict(env)})
    own |= {name: str(value) for name, value in said["variables"].items()}
    script = "\n".join([*said["before_script"], *said["script"]])
    code, words = bash(script, own, folder)
    return Ended(code, words, "", {}, "")
