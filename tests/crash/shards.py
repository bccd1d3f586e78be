"""One shard follows another while clients write, is killed and failed on the way, and the directory of several shards is
damaged: no entry is lost, no rotation stays half done, and damage is said and nothing overwritten."""

import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import threading
import time

from faults import EIO, ENOSPC, KILL, Strace
from known import Known

FREQUENTLY = ["--checkpoint-history-interval", "20ms"]


def rotation(tally, binary, folder, rounds):
    known = Known(binary, f"{folder}/shards", FREQUENTLY)
    known = _sound(tally, "rotated under load", known, lambda: _under_load(known))
    known = _sound(tally, "rotated and killed at random moments", known, lambda: _killed(tally, known, rounds))
    for call, what, when, paths in _steps():
        title = f"{call} {what} when={when} at {', '.join(paths)} of a rotation"
        known = _sound(tally, title, known, lambda: _at_a_step(tally, known, call, what, when, paths))
    sound = Known(binary, f"{folder}/shards-sound")
    if tally.case("rotated while stopped", lambda: _stopped(sound)):
        for name, change, code, said in DAMAGE:
            tally.case(f"damage: {name}", lambda: _damaged(tally, sound, change, code, said))
    return f"; {len(_list(known)['shards'])} shards, {len(known.entries)} entries"


def _sound(tally, title, known, work):
    """Works on; after a failure with another log."""
    server = []
    start = known.start

    def started(*options, **more):
        server.append(start(*options, **more))
        return server[-1]

    known.start = started
    passed = tally.case(title, work, [known])
    known.start = start
    for one in server:
        if one.process.poll() is None:
            one.kill()
    return known if passed else Known(known.binary, f"{known.data}-", FREQUENTLY)


def _rotate(known):
    command = [known.binary, "shard", "rotate", "--data", known.data]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _list(known):
    with open(f"{known.data}/shards.json") as file:
        return json.load(file)


def _under_load(known):
    """Eight clients write through both doors while shards follow each other; none of them notices."""
    server = known.start().ready()
    over = threading.Event()
    threads = known.load(server, clients=8, until=over, largest=10, again=0)
    for rotated in range(1, 4):
        before = len(known.entries)
        _wait_for(lambda: len(known.entries) > before + 40 or known.wrong)
        done = _rotate(known)
        out, err = done.communicate(timeout=60)
        assert done.returncode == 0, f"rotate: {done.returncode} {out} {err}"
        assert len(_list(known)["shards"]) == rotated + 1 and "next" not in _list(known)
    before = len(known.entries)
    _wait_for(lambda: len(known.entries) > before + 50 or known.wrong)
    over.set()
    for thread in threads:
        thread.join()
    assert not known.refused, f"{known.refused} requests were refused while shards followed each other"
    _judge(known, server)
    assert server.stop() == 0, server.said()[-600:]
    server = known.start().ready()
    _judge(known, server)
    server.kill()


def _stopped(known):
    """`bulla shard rotate` does it itself when no server runs."""
    for rotated in range(2):
        server = known.start().ready()
        known.write(server, clients=2, sent=3, largest=5, again=0)
        assert server.stop() == 0, server.said()[-600:]
        known.command("shard", "rotate")
        assert len(_list(known)["shards"]) == rotated + 2
    server = known.start().ready()
    known.write(server, clients=2, sent=3, largest=5, again=0)
    _judge(known, server)
    assert server.stop() == 0, server.said()[-600:]


def _judge(known, server, thorough=True):
    server.check_calm()
    known.judge(server, at_most=None if thorough else 40, pages=thorough)
    shards = known.judge_trees(server, thorough)
    assert all(shard["ended"] for shard in shards[:-1]) and not shards[-1]["ended"], f"which one is active: {shards}"
    listed = json.loads(server.get("/api/v1/log")[1])
    ids = [one["treeID"] for one in (listed["inactiveShards"] or [])] + [listed["treeID"]]
    assert ids == [shard["treeID"] for shard in shards], f"the log says {ids}"
    assert "next" not in _list(known), "a rotation is half done"


def _killed(tally, known, rounds):
    takes = 0.1
    for _ in range(rounds):
        server = known.start().ready()
        before = len(_list(known)["shards"])
        over, count = threading.Event(), len(known.entries)
        threads = known.load(server, clients=4, until=over, largest=5, again=0)
        _wait_for(lambda: len(known.entries) > count)
        began = time.monotonic()
        command = _rotate(known)
        if random.random() < 0.2:
            command.wait(60)
            takes = time.monotonic() - began
        else:
            time.sleep(random.uniform(0.0, takes * 1.2))
        server.kill()
        over.set()
        for thread in threads:
            thread.join()
        out, err = command.communicate(timeout=60)
        begun = "next" in _list(known)
        tally.fault(begun or command.returncode)
        after = len(_list(known)["shards"])
        assert command.returncode != 0 or after == before + 1, f"it said that it had rotated: {out}"
        server = known.start().ready()
        assert len(_list(known)["shards"]) == before + (begun or after > before), "what was begun is not ended"
        known.find(server)
        _judge(known, server, thorough=False)
        server.kill()
    server = known.start().ready()
    _judge(known, server)
    server.kill()


def _steps():
    """The calls by which a rotation becomes durable: the list before and after, keys, format, journal and freezing."""
    lists = ("shards.json.new",)
    for what in (EIO, ENOSPC, KILL):
        for when in ("1", "2"):
            yield "rename", what, when, lists
        yield "openat", what, random.choice("12"), lists
    yield "rename", EIO, "1+", lists
    yield "mkdir", EIO, "1", ("shards/NEXT",)
    yield "rename", KILL, "1", ("cell/checkpoint.new", "cell/history.new")
    yield "rename", EIO, "1", ("cell/checkpoint.new",)
    yield "rename", KILL, "1", ("head.new",)
    yield "linkat", KILL, "1", ()
    yield "linkat", ENOSPC, "1", ()
    yield "syncfs", KILL, "1", ()
    yield "fdatasync", KILL, "1", ()


def _at_a_step(tally, known, call, what, when, paths):
    server = known.start().ready()
    known.write(server, clients=2, sent=2, largest=5, again=0)
    shards = _list(known)["shards"]
    active = known.data if len(shards) == 1 else f"{known.data}/shards/{shards[-1]['tree']}"
    places = []
    for path in paths:
        if path == "shards/NEXT":
            continue
        places.append(f"{known.data}/{path}" if path.startswith("shards.json") else f"{active}/{path}")
    fault = Strace(server, None, call, what, when, places)
    server.ended_by_us = what == KILL
    command = _rotate(known)
    out, err = command.communicate(timeout=60)
    struck = fault.end()
    tally.fault(struck)
    assert command.returncode not in (101, None)
    if server.process.poll() is None and what != KILL:
        # It goes on, in the old shard or in the new one, and the next rotation ends what this one left.
        assert command.returncode == 0 or "bulla: " in err, f"does not say why: {err}"
        before = known.refused
        known.write(server, clients=2, sent=3, largest=5, again=0)
        assert known.refused == before, f"entries are refused after a failed rotation: {server.said()[-500:]}"
        known.calm()
        if random.random() < 0.5:
            done = _rotate(known)
            out, err = done.communicate(timeout=60)
            assert done.returncode == 0, f"cannot be rotated again: {out} {err}"
            known.write(server, clients=2, sent=2, largest=5, again=0)
            _judge(known, server, thorough=False)
    server.kill()
    server.check_calm()
    server = known.start().ready()
    known.find(server)
    known.write(server, clients=2, sent=1, largest=5, again=0)
    _judge(known, server, thorough=False)
    for place in os.listdir(f"{known.data}/shards") if os.path.exists(f"{known.data}/shards") else ():
        if place not in [shard["tree"] for shard in _list(known)["shards"]]:
            assert not os.path.exists(f"{known.data}/shards/{place}/head"), f"shard {place} is in no list"
    server.kill()


# ---- damage -----------------------------------------------------------------------------------------------------------


def _remove(path):
    def change(data):
        os.unlink(f"{data}/{path}")

    return change


def _write(text):
    def change(data):
        with open(f"{data}/shards.json", "w") as file:
            file.write(text)

    return change


def _edit(edit):
    def change(data):
        with open(f"{data}/shards.json") as file:
            listed = json.load(file)
        edit(listed)
        _write(json.dumps(listed))(data)

    return change


def _move_shard(data):
    shard = _edited(data)["shards"][1]
    shutil.move(f"{data}/shards/{shard['tree']}", f"{data}.moved")


def _edited(data):
    with open(f"{data}/shards.json") as file:
        return json.load(file)


def _remove_later_key(data):
    os.unlink(f"{data}/shards/{_edited(data)['shards'][1]['tree']}/v1.key")


def _twice(listed):
    listed["shards"][1]["tree"] = listed["shards"][0]["tree"]


def _unended(listed):
    del listed["shards"][0]["ended"]


def _other_order(listed):
    listed["shards"].reverse()


DAMAGE = [
    ("shards.json is missing", _remove("shards.json"), 1, r"shards\.json is missing: restore it from a copy"),
    ("shards.json is empty", _write(""), 1, r"shards\.json: EOF .*: restore it from a copy"),
    ("shards.json is garbled", _write("\0" * 300), 1, r"shards\.json: .*: restore it from a copy"),
    ("shards.json has an unknown member", _edit(lambda it: it.update(colour="red")), 1, r"unknown field `colour`"),
    ("shards.json lists no shard", _edit(lambda it: it.update(shards=[])), 1, r"lists no shard"),
    ("shards.json lists a shard twice", _edit(_twice), 1, r"shards\.json: .*twice"),
    ("shards.json lists an ended shard as active", _edit(_unended), 1, r"shards\.json: .*ended"),
    ("shards.json is in another order", _edit(_other_order), 1, r"shards\.json: .*"),
    ("v1.key is missing", _remove("v1.key"), 2, r"v1\.key is missing: put the key of the v1 door back"),
    ("v1.key of a later shard is missing", _remove_later_key, 2, r"v1\.key is missing: put the key"),
    ("a shard's directory is missing", _move_shard, 1, r"shards/\d+ .*missing.*restore it from a copy"),
]


def _state(data):
    """Every file and what is in it; the lock says nothing."""
    found = {}
    for place, folders, files in os.walk(data):
        for name in folders:
            found[os.path.join(place, name)] = None
        for name in files:
            path = os.path.join(place, name)
            if name not in ("lock", "control.sock"):
                with open(path, "rb") as file:
                    found[path] = hashlib.sha256(file.read()).digest()
    return found


def _damaged(tally, known, change, code, said):
    copy = Known(known.binary, f"{known.data}-damaged")
    shutil.rmtree(copy.data, ignore_errors=True)
    shutil.rmtree(f"{copy.data}.moved", ignore_errors=True)
    ignored = shutil.ignore_patterns("control.sock")
    shutil.copytree(known.data, copy.data, ignore=ignored)
    change(copy.data)
    before = _state(copy.data)
    tally.fault(True)
    try:
        for command in (["serve", "--http", "127.0.0.1:0", "--grpc", "off", "--metrics", "off"], ["shard", "rotate"], ["reindex"]):
            done = copy.command(*command, code=code)
            assert re.search(said, done), f"{command[0]} says: {done}"
            changed = {path for path, what in _state(copy.data).items() if before.get(path, 0) != what}
            assert not changed and before.keys() <= _state(copy.data).keys(), f"{command[0]} changed {changed}"
    finally:
        shutil.rmtree(copy.data)
        shutil.rmtree(f"{copy.data}.moved", ignore_errors=True)


def _wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"did not happen in {seconds} s"
        time.sleep(0.001)
