"""Gives each blob bundle a sibling whose proof is of the tree as it is now. A new entry is always the last leaf, so the
proof in an answer only ever joins to the left; verifiers meet both sides in these.

    later_proofs.py DIR URL
"""

import json
import pathlib
import sys

import requests

from tap import end, expect, shown

if __name__ == "__main__":
    folder, url = pathlib.Path(sys.argv[1]) / "bundles", sys.argv[2]
    for path in sorted(folder.glob("*.blob.json")):
        with shown(f"the log proves {path.stem} again"):
            bundle = json.loads(path.read_text())
            (entry,) = bundle["verificationMaterial"]["tlogEntries"]
            found = requests.get(f"{url}/api/v2/log/entries/{entry.get('logIndex', 0)}").json()
            expect(found["canonicalizedBody"] == entry["canonicalizedBody"], "another entry is at that index now")
            entry["inclusionProof"] = found["inclusionProof"]
            path.with_name(path.name.replace(".blob.", ".later-proof.blob.")).write_text(json.dumps(bundle))
    end()
