"""A full disk for real: file systems of their own, filled to the last byte under a running log whose standard error is
on the same disk; then some space is freed and the log must go on without a restart."""

import os
import shutil
import subprocess
import time

from known import Batch, Known
from record import Record
from server import NotStarted

SIZE = 96 << 20
"""The journal takes 2 × 16 MiB of it, in advance."""
RESERVE = 4 << 20


def disk(tally, binary, folder, entries):
    kinds = {"tmpfs": _mount_tmpfs, "ext4": _mount_ext4}
    for kind, mount in kinds.items():
        place = f"{folder}/{kind}"
        os.mkdir(place)
        problem = mount(place, f"{folder}/{kind}.image")
        if problem:
            tally.case(f"full {kind}", lambda: _not_tried(kind, problem))
            continue
        try:
            record = Record(binary, f"{place}/log", entries, ["--disk-reserve", str(RESERVE)])
            record.options += ["--checkpoint-history-interval", "20ms"]
            tally.case(f"full {kind} under load", lambda: _under_load(tally, record, place))
            tally.case(f"start on a full {kind}", lambda: _start(tally, record, place))
            fresh = Record(binary, f"{place}/fresh", entries, ["--disk-reserve", str(RESERVE)])
            tally.case(f"first start on a full {kind}", lambda: _first_start(tally, fresh, place))
            shutil.rmtree(fresh.data, ignore_errors=True)
            both = Known(binary, f"{place}/both", ["--disk-reserve", str(RESERVE)])
            tally.case(f"what is kept beside the log on a full {kind}", lambda: _beside(tally, both, place))
        finally:
            for server in _running:
                if server.process.poll() is None:
                    server.kill()
            _running.clear()
            subprocess.run(["umount", place], check=False)


_running = []


def _not_tried(kind, problem):
    raise AssertionError(f"NOT TRIED: {kind} cannot be mounted here (root is needed): {problem}")


def _mount_tmpfs(place, _image):
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", place], capture_output=True, text=True, check=False
    )
    return done.stderr if done.returncode else None


def _mount_ext4(place, image):
    with open(image, "wb") as file:
        file.truncate(SIZE)
    for command in (["mkfs.ext4", "-q", "-m", "0", image], ["mount", "-o", "loop", image, place]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError as missing:
            return str(missing)
        if done.returncode:
            return done.stderr
    return None


def _fill(place):
    """Takes every byte that is left, and keeps doing so while others free some."""
    with open(f"{place}/ballast", "ab", buffering=0) as ballast:
        for size in (1 << 20, 4096, 1):
            block = bytes(size)
            try:
                while True:
                    ballast.write(block)
            except OSError:
                pass


def _begin(record, place):
    server = record.start(log=f"{place}/stderr.log").ready()
    _running.append(server)
    return server


def _under_load(tally, record, place):
    server = _begin(record, place)
    record.write(server, entries=20)
    status, body = server.get("/readyz")
    assert status == 200, f"not ready on a disk with space: {body!r}"
    _fill(place)
    status, body = server.get("/readyz")
    assert status == 503 and b"free on the disk" in body, f"ready on a full disk: {status} {body!r}"
    # The journal has room for a while; what it takes is acknowledged and must stay. 16 MiB of it need settling.
    for _ in range(60):
        record.write(server, entries=10, large=0.9, duplicates=0)
        _fill(place)
        if record.refused:
            break
    tally.fault(record.refused)
    assert record.refused, "entries are taken although nothing can be settled"
    print("  | refused with:", *sorted(record.refusals)[:3])
    status, ready = server.get("/readyz")
    assert status == 503, f"ready on a full disk: {ready!r}"
    server.check_calm()
    record.judge_reads(server)

    os.unlink(f"{place}/ballast")
    deadline = time.monotonic() + 20
    while True:
        refused = record.refused
        record.write(server, entries=2)
        status, ready = server.get("/readyz")
        if refused == record.refused and status == 200:
            break
        assert time.monotonic() < deadline, f"does not go on with space: {ready!r} {server.said()[-400:]}"
    record.judge(server)
    server.check_calm()
    server.kill()
    server = _begin(record, place)
    record.judge(server)
    _fill(place)
    # A stop cannot settle, says so, and loses nothing.
    record.write(server, entries=5)
    code = server.stop()
    assert code in (0, 3), f"stopping on a full disk ended with {code}"
    os.unlink(f"{place}/ballast")
    server = _begin(record, place)
    record.judge(server, thorough=True)
    server.kill()


def _start(tally, record, place):
    """A log with a recovered journal on a disk without a byte: it serves or says why not."""
    _fill(place)
    tally.fault(True)
    try:
        server = _begin(record, place)
        record.judge_reads(server)
        server.kill()
    except NotStarted as ended:
        assert ended.code not in (0, 101), f"ended with {ended.code}: {ended.said[-900:]}"
    os.unlink(f"{place}/ballast")
    server = _begin(record, place)
    server.check_calm()
    record.judge(server)
    server.kill()


def _first_start(tally, record, place):
    _fill(place)
    tally.fault(True)
    command = [record.binary, "serve", "--data", record.data, "--http", "127.0.0.1:0", "--grpc", "off"]
    done = subprocess.run([*command, "--metrics", "off"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode not in (0, 101), f"ended with {done.returncode}: {done.stderr}"
    assert "No space left on device" in done.stderr, f"does not say why: {done.stderr}"
    os.unlink(f"{place}/ballast")
    # Room for the journal of another log.
    shutil.rmtree(f"{place}/log", ignore_errors=True)
    server = _begin(record, place)
    record.write(server, entries=5)
    record.judge(server)
    server.kill()


def _beside(tally, known, place):
    """Batches with idempotency keys, attestations and the search index on a disk without a byte: batches are refused
    before they are carried out, the rest is no reason to refuse, and what was acknowledged stays and is found."""
    server = _begin(known, place)
    known.write(server, clients=3, sent=5)
    _fill(place)
    connection = server.connect()
    batch = Batch("on a full disk", False, [known.new(False) for _ in range(3)], True)
    status = known.post_batch(connection, batch)
    tally.fault(status == 503)
    assert status == 503, f"a batch that cannot be noted was answered {status}"
    attested = [known.doors.make(kind) for kind in ("intoto 0.0.1", "intoto 0.0.2")]
    for made in attested:
        # The journal has room; the attestation has none, which is no reason to refuse.
        assert known.post(connection, made) == 201, f"{made.kind} was refused on a full disk"
        said = known.by_names(connection, known.entries[known.of_made[made]])
        assert "attestation" not in said, "an attestation was kept on a full disk"
    connection.close()
    known.judge(server, at_most=100)
    server.check_calm()
    # A stop can write neither the log nor the index out.
    code = server.stop()
    assert code in (0, 3), f"stopping on a full disk ended with {code}"
    os.unlink(f"{place}/ballast")
    server = _begin(known, place)
    shutil.rmtree(f"{known.data}/search")
    known.unanswered.append(batch)
    assert known.retry(server) == 0, "a batch that was refused is in the log"
    known.judge(server)
    server.check_calm()
    server.kill()
    _fill(place)
    # The index cannot even be begun: searches wait, then say so, and the log serves.
    try:
        server = _begin(known, place)
        known.judge(server, at_most=20)
        server.check_calm()
        server.kill()
    except NotStarted as ended:
        assert ended.code not in (0, 101), f"ended with {ended.code}: {ended.said[-900:]}"
    os.unlink(f"{place}/ballast")
    server = _begin(known, place)
    known.judge(server)
    server.kill()
