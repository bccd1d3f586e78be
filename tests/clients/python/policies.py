"""Policies in Rego and CEL: `bulla verify-attestation --policy` says of a real attestation what rego-cpp (regopy) and celpy say of the
same statement; and its JUnit XML is read by junitparser.

    policies.py BULLA DIR      DIR holds artifact, trusted_root.json, scan.json (a bundle) and scan.pub
"""

import base64
import json
import pathlib
import subprocess
import sys

import celpy
import junitparser
import regopy
from tap import end, expect, shown

REGO = {
    "the type": "allow if input.predicateType == \"https://example.org/scan\"",
    "another type": "allow if input.predicateType == \"https://example.org/scan/v2\"",
    "the subject": "allow if input.subject[0].digest.sha256 != \"\"",
    "nothing there": "allow if input.predicate.nothing.there",
    "not there": "allow if not input.predicate.nothing",
    "numbers": "allow if input.predicate.score < 7.5",
    "number in a range": "allow if input.predicate.count in numbers.range(5, 1)",
    "every": "allow if { every f in input.predicate.found { f.severity in {\"low\", \"medium\"} } }",
    "some": "allow if { some f in input.predicate.found\n f.severity == \"high\" }",
    "counted": "allow if count([f | some f in input.predicate.found; f.severity == \"low\"]) == 2",
    "joined": "allow if concat(\",\", [f.id | some f in input.predicate.found]) == \"CVE-1,CVE-2,CVE-3\"",
    "replaced": "allow if replace(input.predicate.scanner, \"i\", \"oo\") == \"troovy\"",
    "replaced by patterns": "allow if strings.replace_n({\"tr\": \"g\", \"ivy\": \"rype\"}, input.predicate.scanner) == \"grype\"",
    "shifted": "allow if bits.lsh(input.predicate.count, 3) == 24",
    "text": "allow if { startswith(input.predicate.scanner, \"tri\"); upper(input.predicate.scanner) == \"TRIVY\" }",
    "sets": "allow if {f.severity | some f in input.predicate.found} == {\"high\", \"low\"}",
    "functions": "allow if is_fine(input.predicate.score)\nis_fine(x) if x < 9",
    "else": "allow := false if { input.predicate.score > 5 } else := true",
    "false by default": "default allow := false\nallow if input.predicate.score > 100",
    "true by default": "default allow := true\nallow := false if input.predicate.score > 100",
    "objects": "allow if object.get(input.predicate, \"other\", \"none\") == \"none\"",
}

CEL = {
    "the type": "predicateType == 'https://example.org/scan'",
    "the subject": "subject.size() == 1 && subject[0].digest.sha256.size() == 64",
    "numbers": "predicate.score < 7.5",
    "integers": "predicate.count + 1 == 4",
    "all": "predicate.found.all(f, f.severity in ['low', 'medium'])",
    "exists": "predicate.found.exists(f, f.severity == 'high')",
    "exactly one": "predicate.found.exists_one(f, f.severity == 'high')",
    "filtered": "size(predicate.found.filter(f, f.severity == 'low')) == 2",
    "mapped": "predicate.found.map(f, f.id) == ['CVE-1', 'CVE-2', 'CVE-3']",
    "nested": "predicate.found.all(f, predicate.found.exists(g, g.id == f.id))",
    "there": "has(predicate.scanner) && !has(predicate.nothing)",
    "text": "predicate.scanner.startsWith('tri') && predicate.scanner.contains('iv')",
    "patterns": "predicate.scanner.matches('^t.*y$')",
    "joined": "predicate.scanner + '!' == 'trivy!'",
    "times": "timestamp(predicate.at) < timestamp('2027-01-01T00:00:00Z')",
    "durations": "timestamp(predicate.at) + duration('1h') > timestamp('2026-11-20T00:30:00Z')",
    "one half fails": "predicate.nothing == 1 || predicate.count == 3",
    "if": "predicate.count > 2 ? predicate.score > 7.0 : false",
    "false": "predicate.count == 4",
}


def rego_says(text, statement):
    rego = regopy.Interpreter()
    rego.add_module("policy.rego", text)
    rego.set_input(statement)
    said = str(rego.query("allowed := data.signature.allow"))
    return said != "undefined" and json.loads(said)["bindings"]["allowed"] is True


def cel_says(text, statement):
    environment = celpy.Environment()
    program = environment.program(environment.compile(text))
    known = {name: celpy.json_to_cel(statement[name]) for name in ("predicate", "predicateType", "subject")}
    try:
        return bool(program.evaluate(known))
    except celpy.CELEvalError:
        return False


def bulla_says(binary, folder, policy, *more):
    words = [binary, "verify-attestation", str(folder / "artifact"), "--bundle", str(folder / "scan.json"), "--offline"]
    words += ["--type", "https://example.org/scan", "--key", str(folder / "scan.pub")]
    words += ["--trusted-root", str(folder / "trusted_root.json"), "--policy", str(policy), *more]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    expect(done.returncode in (0, 1), f"{done.returncode} {done.stderr}")
    return done


if __name__ == "__main__":
    binary, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    bundle = json.loads((folder / "scan.json").read_text())
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    said = {True: 0, False: 0}
    for ending, cases, oracle in (("rego", REGO, rego_says), ("cel", CEL, cel_says)):
        for name, text in cases.items():
            if ending == "rego":
                text = f"package signature\nimport rego.v1\n{text}\n"
            policy = folder / f"policy.{ending}"
            policy.write_text(text)
            with shown(f"{ending}: {name}: both say the same"):
                expected = oracle(text, statement)
                done = bulla_says(binary, folder, policy)
                expect((done.returncode == 0) == expected, f"{expected} was expected: {done.stdout}{done.stderr}")
                said[expected] += 1
    with shown("both answers occur"):
        expect(said[True] > 10 and said[False] > 5, str(said))
    with shown("junitparser: what is denied is one failure of a check `policy`"):
        policy.write_text("predicate.count == 4")
        xml = bulla_says(binary, folder, policy, "--output", "junit").stdout
        suite = next(iter(junitparser.JUnitXml.fromstring(xml.encode())))
        failed = [case.name for case in suite if case.result and isinstance(case.result[0], junitparser.Failure)]
        expect(failed == ["verdict", "policy"] and suite.failures == 2 and suite.errors == 0, xml)
        expect(suite.tests == len(list(suite)), xml)
    end()
