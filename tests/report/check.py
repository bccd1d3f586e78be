"""Reports as others read them: the page by html5lib, as strictly as it can, the table by Python's csv, the JSON by its json.
Prints TAP lines. Usage: check.py DIRECTORY"""

import csv
import json
import sys
from pathlib import Path

import html5lib

folder = Path(sys.argv[1])
failed = False


def shown(what, holds, detail=""):
    global failed
    failed |= not holds
    print(f"{'ok' if holds else 'not ok'} - {what}" + (f": {detail}" if detail and not holds else ""))


report = json.loads((folder / "r.json").read_text(encoding="utf-8"))
names = [image["image_ref"] for image in report["images"]]
shown("the JSON is one object with every image", len(names) == report["totals"]["images"] == 7, names)

page = (folder / "r.html").read_text(encoding="utf-8")
parser = html5lib.HTMLParser(strict=False, namespaceHTMLElements=False)
tree = parser.parse(page)
problems = [f"{place}: {code} {data}" for place, code, data in parser.errors]
shown("the page is HTML without an error", not problems, problems[:5])
elements = {str(element.tag) for element in tree.iter()}
outside = elements & {"script", "img", "link", "iframe", "object", "embed", "form", "a", "base", "audio", "video"}
shown("nothing in the page leads out of it", not outside, outside)
active = [f"{element.tag} {name}" for element in tree.iter() for name in element.attrib
          if str(name).startswith("on") or str(name) in ("href", "src", "action", "{http://www.w3.org/1999/xlink}href")]
shown("nothing in the page does anything", not active, active)
text = "".join(tree.itertext())
shown_as = ["".join("\ufffd" if ord(c) < 32 else c for c in name) for name in names]
missing = [name for name in shown_as if name not in text]
shown("every image is on the page, by its very name", not missing, missing)
svg = [element for element in tree.iter() if str(element.tag).endswith("svg")]
shown("there are two charts, and each says what it is", len(svg) == 2 and all(chart.attrib.get("aria-label") for chart in svg))
print_rules = [style for style in tree.iter("style") if "@media print" in (style.text or "") and "prefers-color-scheme:dark" in style.text]
shown("it is made for paper, and for light and dark", len(print_rules) == 1)

with open(folder / "r.csv", encoding="utf-8", newline="") as file:
    table = list(csv.DictReader(file, strict=True))
shown("the table has a row for each image", [row["image_ref"].lstrip("'") for row in table] == [name.lstrip("'") for name in shown_as], table)
shown("every row has every column", all(None not in row and None not in row.values() for row in table))
cells = [cell for row in table for cell in row.values() if cell[:1] in "=+-@\t\r" and cell]
shown("no cell is a formula", not cells, cells)
counts = [(row["status"], image["status"]) for row, image in zip(table, report["images"])]
shown("the table and the JSON say the same", all(one == other for one, other in counts), counts)

sarif = json.loads((folder / "r.sarif").read_text(encoding="utf-8"))
rules = [rule["id"] for rule in sarif["runs"][0]["tool"]["driver"]["rules"]]
results = sarif["runs"][0]["results"]
shown("each finding is of a rule that is described", results and all(rules[result["ruleIndex"]] == result["ruleId"] for result in results))
unverified = {image["image_ref"] for image in report["images"] if image["status"] != "verified"}
found = " ".join(result["message"]["text"] for result in results)
shown("every image that is not verified is a finding", all(name in found for name in unverified), unverified)
sys.exit(failed)
