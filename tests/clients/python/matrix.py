"""Which client verifies which bundle: gathered from what the verifiers said, and held against what is known to be so.

    matrix.py DIR EXPECTED WRITTEN      DIR holds bundles, and what the steps printed; the table goes to DIR/matrix.txt and WRITTEN
"""

import json
import pathlib
import re
import shutil
import sys

from tap import end, expect, shown

# Column, and the steps that fill it.
COLUMNS = {"py": "sigstore-python-4.5", "py-4.2": "sigstore-python-4.2", "js-5": "sigstore-js-5", "js-4": "sigstore-js-4", "rust": "sigstore-rust"}
SAID = re.compile(r"(ok|not ok) - (verifies|refuses) ([\w.-]+)")
# A verifier that was expected to refuse and accepted says so as a failure.
CELL = {("ok", "verifies"): "OK", ("not ok", "verifies"): "FAIL", ("ok", "refuses"): "FAIL", ("not ok", "refuses"): "OK"}


def kind_and_form(bundle):
    entry = bundle["verificationMaterial"]["tlogEntries"][0]["kindVersion"]
    form = re.search(r"bundle(?:\+json;version=|\.v)([\d.]+\d)", bundle["mediaType"]).group(1)
    return f"{entry['kind']}/{entry['version']}", form


def gathered(folder):
    """The rows: names of bundles with their kind, the form of the bundle, and a cell for each column."""
    rows = {}
    for bundles, prefix in [("bundles", "verify"), ("bundles-v1", "v1-verify")]:
        cells = {}
        for column, client in COLUMNS.items():
            (log,) = folder.glob(f"{prefix}-{client}*.log")
            for line in log.read_text().splitlines():
                if said := SAID.match(line):
                    cells.setdefault(said[3].rstrip("."), {})[column] = CELL[said[1], said[2]]
        for path in sorted((folder / bundles).glob("*.json")):
            row = [*kind_and_form(json.loads(path.read_text())), *(cells.get(path.stem, {}).get(column, "none") for column in COLUMNS)]
            rows[f"{prefix.removesuffix('verify').rstrip('-') or 'v2'}/{path.stem}"] = row
    return rows


def written(rows):
    table = [["bundle", "kind", "form", *COLUMNS], *([name, *row] for name, row in rows.items())]
    widths = [max(len(row[place]) for row in table) for place in range(len(table[0]))]
    return "".join(" ".join(f"{cell:<{width}}" for cell, width in zip(row, widths)).rstrip() + "\n" for row in table)


def read(text):
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return {name: row for name, *row in lines[1:]}


if __name__ == "__main__":
    here, committed, elsewhere = map(pathlib.Path, sys.argv[1:])
    found = gathered(here)
    (here / "matrix.txt").write_text(written(found))
    shutil.copy(here / "matrix.txt", elsewhere)
    known = read(committed.read_text())
    for name in sorted(known | found):
        with shown(f"{name}: {' '.join(known.get(name, ['is not known']))}"):
            expect(name in found, f"no such bundle was made; if that is meant, take it out of {committed.name}")
            expect(name in known, f"found {' '.join(found[name])}; put it into {committed.name}")
            expect(found[name] == known[name], f"found {' '.join(found[name])}")
    end()
