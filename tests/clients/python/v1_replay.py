"""Replays every v1 exchange of real clients (../captured_v1), byte for byte, and holds the answer against the one that the
client accepted at the time: status, headers, members and their forms, the body. What must differ (IDs, times, proofs,
promise) is verified with the keys of this log.

    v1_replay.py URL
"""

import json
import pathlib
import re
import sys

from tap import end, expect, shown
from v1 import Door, compact, expected_body, sha256, unb64

CAPTURED = pathlib.Path(__file__).parent.parent / "captured_v1"


def shape(value, where=""):
    """Where there is what: types by path, lists by their members' types."""
    if isinstance(value, dict):
        # The one member named by an entry's ID is named differently each time.
        named = lambda name: "ID" if re.fullmatch("[0-9a-f]{80}", name) else name
        return {path: kind for name, member in value.items() for path, kind in shape(member, f"{where}.{named(name)}").items()}
    if isinstance(value, list):
        members = {path: kind for member in value for path, kind in shape(member, where + "[]").items()}
        return members | {where: "list"}
    if isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value):
        return {where: "64 digits"}
    if isinstance(value, str) and " - " in value and "\n\n— " in value:
        return {where: "checkpoint"}
    return {where: type(value).__name__}


def without_paths(shape):
    """Paths are longer in a larger tree, and empty in a tree of one."""
    return {path: kind for path, kind in shape.items() if not path.endswith(".hashes[]")}


def replay(door, capture):
    sent, before = capture["request"].encode(), capture["response"]
    headers = {name: value for name, value in capture["headers"] if name.lower() not in ("host", "content-length", "connection")}
    answer = door.post(capture["path"], sent, headers=headers)
    expect(answer.status_code == before["status"], f"HTTP {answer.status_code}, was {before['status']}: {answer.text}")
    expect(answer.headers["Content-Type"] == before["content-type"], answer.headers["Content-Type"])
    was, now = before["body"], answer.json()
    expect(without_paths(shape(now)) == without_paths(shape(was)), f"shape {shape(now)}, was {shape(was)}")
    created = isinstance(was, dict)
    (old_id, old), = (was if created else was[0]).items()
    (new_id, new), = (now if created else now[0]).items()
    expect(new["body"] == old["body"], f"body {unb64(new['body'])}, was {unb64(old['body'])}")
    expect(new_id[16:] == old_id[16:] == sha256(b"\0" + unb64(old["body"])).hex(), f"ID {new_id}, was {old_id}")
    door.check_entry(answer.text if created else compact(now[0]), unb64(old["body"]))
    if created:
        expect(expected_body(json.loads(sent)) == unb64(old["body"]), "our own rules for bodies give another")
        expect(answer.headers["ETag"] == new_id, answer.headers["ETag"])
        expect(answer.headers["Location"] == f"/api/v1/log/entries/{new_id}", answer.headers["Location"])


if __name__ == "__main__":
    here = Door(sys.argv[1])
    captures = sorted(CAPTURED.glob("*.json"))
    expect(captures, "nothing was captured")
    # What a client looked for, it had logged before.
    for path in sorted(captures, key=lambda path: "retrieve" in json.loads(path.read_text())["path"]):
        with shown(f"{path.stem} is answered as it was, verified with this log's keys"):
            replay(here, json.loads(path.read_text()))
    end()
