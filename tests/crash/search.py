"""Nothing is ever missing from a search: random entries through both doors while the server is killed, then every key of
every acknowledged entry finds it; and again after the indexes are deleted, rebuilt and garbled."""

import hashlib
import http.client
import os
import random
import shutil
import threading
import time

from faults import Strace
from known import Batch, Known


def completeness(tally, binary, folder, rounds):
    known = Known(binary, f"{folder}/search")
    server = known.start().ready()
    found, promises = 0, {}

    def round_():
        nonlocal server, found
        before, over = set(known.entries), threading.Event()
        threads = known.load(server, until=over)
        _wait_for(lambda: len(known.entries) > len(before))
        time.sleep(random.uniform(0.0, 0.5))
        server.kill()
        over.set()
        for thread in threads:
            thread.join()
        server.check_calm()
        tally.fault(True)
        server = known.start().ready()
        found += known.retry(server)
        new = sorted(set(known.entries) - before)
        promises.update((leaf, known.promise(server, leaf)) for leaf in random.sample(new, 1))
        for leaf in random.sample(sorted(promises), min(2, len(promises))):
            assert known.promise(server, leaf) == promises[leaf], f"{leaf} has another time after a crash"
        known.judge(server, at_most=150, pages=False)

    for number in range(rounds):
        if not tally.case(f"killed while entries come through both doors, round {number}", round_):
            return
    total = len(known.entries)

    def all_found():
        nonlocal server
        server = known.start().ready() if server.process.poll() is not None else server
        known.judge(server)
        server.check_calm()

    if not tally.case("every key of every acknowledged entry finds it", all_found):
        return

    def torn_answer():
        nonlocal server, found
        server.kill()
        _killed_before_the_answer(tally, known)
        server = known.start().ready()
        in_log = known.retry(server)
        assert in_log == 1, "the batch was not in the log"
        found += in_log

    tally.case("killed between a commit and the answer that is kept", torn_answer)

    def after(change, name):
        def work():
            nonlocal server
            if server.process.poll() is None:
                assert server.stop() == 0, server.said()[-600:]
            change()
            server = known.start().ready()
            known.judge(server, at_most=400, pages=False)
            connection = server.connect()
            for leaf in random.sample(sorted(known.entries), 5):
                status = known.post(connection, known.entries[leaf].made)
                assert status == 409, f"a known entry was answered {status}"
            connection.close()
            # The storage engine's panics on garbled files are caught, and are damage.
            garbled = "garbled" in name
            if garbled:
                tally.fault("damaged" in server.said())
            else:
                server.check_calm()

        tally.case(name, work)

    # An index has files once a span of 4,096 leaves is full.
    tally.case("filled", lambda: _fill(known, server, 4300 - len(known.entries)))
    search, index = f"{known.data}/search", f"{known.data}/index"
    after(lambda: shutil.rmtree(search), "the search index is deleted")
    after(lambda: _reindexed(known), "the search index is rebuilt by bulla reindex")
    for number in range(3):
        after(lambda: _garble(search), f"files of the search index are garbled {number}")
    for number in range(3):
        after(lambda: _garble(index), f"files of the deduplication index are garbled {number}")
    server.kill()
    return f"; {total} entries under kills, {found} batches found in the log by their own retry"


def _killed_before_the_answer(tally, known):
    """SIGKILL at the rename that puts the answer of a batch in place of its note."""
    server = known.start().ready()
    batch = Batch(f"{random.getrandbits(128):x}", False, [known.new(False) for _ in range(5)], True)
    known.unanswered.append(batch)
    name = hashlib.sha256(f"v1\n{batch.key}".encode()).hexdigest()
    # Files are numbered as a process puts them there: the first is the note, the second the answer.
    answer = f"{known.data}/idempotency/{name[:2]}/.{server.pid}.1"
    fault = Strace(server, None, "rename", "signal=SIGKILL", "1", [answer])
    server.ended_by_us = True
    connection = server.connect()
    try:
        status = known.post_batch(connection, batch)
        raise AssertionError(f"it was not killed and answered {status}")
    except (OSError, http.client.HTTPException):
        pass
    finally:
        connection.close()
        tally.fault(fault.end())
        server.kill()


def _fill(known, server, entries):
    connection = server.connect()
    while entries > 0:
        batch = Batch(f"{random.getrandbits(128):x}", True, [known.doors.make("v2 hashedrekord") for _ in range(100)], True)
        assert known.post_batch(connection, batch) == 201
        entries -= 100
    connection.close()
    known.calm()


def _reindexed(known):
    said = known.command("reindex")
    assert f"{len(known.entries)} entries indexed" in said, said


def _garble(folder):
    """Half of the files: bytes changed, cut short, or emptied."""
    files = sorted(os.path.join(place, name) for place, _, names in os.walk(folder) for name in names)
    assert files, f"{folder} has no files"
    for path in random.sample(files, (len(files) + 1) // 2):
        with open(path, "r+b") as file:
            size = os.fstat(file.fileno()).st_size
            how = random.choice(("change", "change", "cut", "empty"))
            if how == "change":
                for _ in range(8):
                    file.seek(random.randrange(size or 1))
                    file.write(random.randbytes(16))
            else:
                file.truncate(size // 2 if how == "cut" else 0)


def _wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"did not happen in {seconds} s"
        time.sleep(0.001)
