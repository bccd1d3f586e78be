"""Faults at system calls, by strace: each call of a commit, of a settling and of a start fails with EIO or ENOSPC, once
or for ever, or is where the process is killed.

A call that strace fails is not made: its effect is lost. An effect that is kept and reported as failed comes from
failing the call after it, which reports for both: fdatasync for what pwrite64 wrote, fsync of the directory for a
rename. A process killed at a call has made all calls before it and none after.
"""

import os
import queue
import random
import re
import shutil
import subprocess
import threading
import time

from record import Record
from server import NotStarted, PATIENCE

EIO, ENOSPC, KILL = "error=EIO", "error=ENOSPC", "signal=SIGKILL"
LANES = 2
SCALE = int(os.environ.get("BULLA_CRASH_ROUNDS", "30")) / 30


class Strace:
    """strace on one thread of a running server, or on all of them, each of which counts for itself."""

    def __init__(self, server, thread, call, what=None, when="1", paths=()):
        self.log, self.kills = f"{server.log_path}.strace", what == KILL
        command = ["strace", "-o", self.log, *_injected(call, what, when, paths)]
        command += ["-p", server.thread(thread)] if thread else ["-f", "-p", str(server.pid)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        assert "attached" in line, f"strace does not attach (it needs ptrace): {line}"

    def wait_until_struck(self, seconds=PATIENCE):
        deadline = time.monotonic() + seconds
        while not struck(self.log) and time.monotonic() < deadline and self.process.poll() is None:
            time.sleep(0.01)

    def end(self):
        """Lets go of the threads; returns whether the fault struck."""
        # It ends with what it killed, and must not be told to while it sees to that.
        if self.process.poll() is None and not (self.kills and struck(self.log)):
            self.process.send_signal(2)
        self.process.wait(PATIENCE)
        self.process.stderr.close()
        return struck(self.log)


def struck(log):
    with open(log, errors="replace") as text:
        text = text.read()
    return "(INJECTED)" in text or "SIGKILL" in text


def _injected(call, what, when, paths):
    options = ["-e", f"trace={call}"]
    if what:
        options += ["-e", f"inject={call}:{what}:when={when}"]
    for path in paths:
        options += ["-P", path]
    return options


def _lanes(tally, binary, folder, entries, name, cases, options=()):
    """Works the cases off, each lane on a log of its own that lives through all of them."""
    todo = queue.Queue()
    for case in cases:
        todo.put(case)

    def lane(number):
        record, generation = None, 0
        while True:
            try:
                title, work = todo.get_nowait()
            except queue.Empty:
                break
            if record is None:
                record = Record(binary, f"{folder}/{name}-{number}-{generation}", entries, options)
                generation += 1
            servers = []
            start = record.start

            def started(*more, **how):
                servers.append(start(*more, **how))
                return servers[-1]

            record.start = started
            passed = tally.case(f"{name}: {title}", lambda: work(record), [record])
            record.start = start
            for server in servers:
                if server.process.poll() is None:
                    server.kill()
            if not passed:
                record = None

    threads = [threading.Thread(target=lane, args=[number]) for number in range(LANES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# ---- a commit ---------------------------------------------------------------------------------------------------------


def commit(tally, binary, folder, entries):
    """The writer's calls: pwrite64 and fdatasync of each batch, and what it does when the journal's files change
    places; and beside it the keeper's, of a cell that is swapped."""
    cases = []
    for call in ("pwrite64", "fdatasync"):
        for what in (EIO, ENOSPC):
            for when in ("1", "2", "3", "1..2", "1+2", "1+"):
                cases.append((f"{call} {what} when={when}", _commit(tally, call, what, when)))
        for when in ("1", "2", "5"):
            cases.append((f"{call} {KILL} when={when}", _commit(tally, call, KILL, when)))
    for call in ("openat", "pread64", "pwrite64", "fdatasync"):
        for what, when in ((EIO, "1"), (ENOSPC, "1+"), (KILL, "1")):
            cases.append((f"{call} {what} when={when} at a turn of the journal", _turn(tally, call, what, when)))
    for call in ("openat", "read", "write", "fsync", "rename"):
        for what, when in ((EIO, "1"), (ENOSPC, "2"), (EIO, "1+"), (KILL, "1")):
            title = f"{call} {what} when={when} in the checkpoint history"
            cases.append((title, _commit(tally, call, what, when, "keeper")))
    cases.append(("fdatasync error=EIO when=1..3 at a turn of the journal", _turn(tally, "fdatasync", EIO, "1..3")))
    _lanes(tally, binary, folder, entries, "commit", cases * max(1, round(SCALE)), FREQUENTLY)


def _commit(tally, call, what, when, thread="writer"):
    def work(record):
        server = record.start().ready()
        fault = Strace(server, thread, call, what, when)
        server.ended_by_us = what == KILL
        record.write(server, entries=4)
        if thread != "writer":
            fault.wait_until_struck()
        hit = fault.end()
        tally.fault(hit)
        _aftermath(record, server, what, killed=len(when) == 1)

    return work


def _turn(tally, call, what, when):
    """The fault is in the file that the journal turns to; entries of 47 KB make it turn."""

    def work(record):
        server = record.start().ready()
        journal = [os.path.join(record.data, "journal", name) for name in "01"]
        record.write(server, entries=1)
        other = min(journal, key=lambda path: os.stat(path).st_mtime_ns)
        fault = Strace(server, "writer", call, what, when, [other])
        server.ended_by_us = what == KILL
        # One entry a client at a time: what follows the fault is small, and fits the file that was nearly full.
        for _ in range(100):
            record.write(server, entries=1, large=1, duplicates=0)
            if struck(fault.log) or server.process.poll() is not None:
                break
        tally.fault(fault.end())
        if what != KILL:
            # Nothing large, and nothing that was in doubt, before the kill.
            record.write(server, entries=3, large=0)
            server.kill()
        _aftermath(record, server, what, killed=True)

    return work


def _aftermath(record, server, what, killed):
    """Nothing panicked; a living server goes on by itself, and another one finds everything again."""
    if what == KILL and server.process.poll() is None:
        server.kill()
    elif server.process.poll() is None:
        _recovers(record, server)
        record.judge(server)
        if killed:
            server.kill()
        else:
            code = server.stop()
            assert code == 0, f"stopping after the fault ended with {code}: {server.said()[-600:]}"
    server.check_calm()
    server = record.start().ready()
    record.judge(server)
    server.kill()


def _recovers(record, server, seconds=15):
    """Without the fault entries are taken again, and it says that it is ready, without a restart."""
    deadline = time.monotonic() + seconds
    while True:
        refused = record.refused
        record.write(server, entries=2)
        status, body = server.get("/readyz")
        if record.refused == refused and status == 200:
            return
        assert time.monotonic() < deadline, f"does not recover in {seconds} s: {status} {body[:400]!r}"


# ---- a settling -------------------------------------------------------------------------------------------------------


def settle(tally, binary, folder, entries):
    """The keeper's calls: the index, tiles, syncfs, the head, the checkpoint, and old partials removed; while the log
    stops, and while it runs."""
    calls = {}
    _lanes(
        tally, binary, folder, entries, "settle-calls", [("counted", lambda record: _count(record, calls))], HOURLY
    )
    if not calls:
        return
    cases = []
    for call, count in calls.items():
        for what in (EIO, ENOSPC, KILL):
            for when in _spread(count, round(2 * SCALE)):
                cases.append((f"{call} {what} when={when}", _settle(tally, call, what, str(when))))
        cases.append((f"{call} {EIO} when=1+", _settle(tally, call, EIO, "1+")))
    for call, count in calls.items():
        when = random.randint(1, count)
        what = random.choice((EIO, ENOSPC))
        cases.append((f"{call} {what} when={when} while it runs", _running(tally, call, what, str(when))))
    # Only the second settling of a process removes old partials.
    for what in (EIO, ENOSPC, KILL):
        cases.append((f"unlink {what} when=1 while it runs", _running(tally, "unlink", what, "1")))
    _lanes(tally, binary, folder, entries, "settle", cases, HOURLY)
    return "; calls of one settling: " + ", ".join(f"{count} {call}" for call, count in calls.items())


FREQUENTLY = ["--checkpoint-history-interval", "20ms"]
HOURLY = ["--checkpoint-history-interval", "1h"]
SETTLING = ("openat", "read", "write", "lseek", "pread64", "fsync", "fdatasync", "syncfs", "rename", "renameat", "mkdir")
SETTLING += ("unlink", "ftruncate", "statx", "close")
NEVER_FAILED = ("close", "lseek", "statx")
"""Traced and not failed: an error of close is ignored everywhere, and the others cannot fail on an open file."""


def _spread(count, at_most):
    """1 to count, or `at_most` of these."""
    at_most = max(1, at_most)
    if count <= at_most:
        return range(1, count + 1)
    return sorted({1 + i * (count - 1) // (at_most - 1 or 1) for i in range(at_most)})


def _count(record, calls):
    for _ in range(3):
        server = record.start().ready()
        record.write(server, entries=4)
        trace = Strace(server, "keeper", ",".join(SETTLING))
        assert server.stop() == 0
        trace.end()
    with open(trace.log) as log:
        for call in re.findall(r"^(?:\d+ +)?(\w+)\(", log.read(), re.M):
            if call not in NEVER_FAILED:
                calls[call] = calls.get(call, 0) + 1


def _settle(tally, call, what, when):
    def work(record):
        server = record.start().ready()
        record.write(server, entries=4, large=0)
        record.write(server, entries=1, large=1)
        fault = Strace(server, "keeper", call, what, when)
        code = server.stop()
        hit = fault.end()
        tally.fault(hit)
        server.check_calm()
        if code not in (0, -9):
            assert "the log did not settle" in server.said(), f"ended with {code}: {server.said()[-600:]}"
        # The next settling is of another size, and what the failed one left must not be in its way.
        server = record.start().ready()
        record.judge(server)
        record.write(server, entries=1)
        assert server.stop() == 0, f"a sound stop fails: {server.said()[-600:]}"
        server = record.start().ready()
        record.judge(server)
        server.kill()

    return work


def _running(tally, call, what, when):
    """More than 8 MiB of journal make the keeper settle while entries come in."""

    def work(record):
        server = record.start().ready()
        fault = Strace(server, "keeper", call, what, when)
        server.ended_by_us = what == KILL
        for _ in range(10):
            record.write(server, entries=8, large=1, duplicates=0)
            if struck(fault.log) or server.process.poll() is not None:
                break
        tally.fault(fault.end())
        if what != KILL:
            record.write(server, entries=4)
        _aftermath(record, server, what, killed=True)

    return work


# ---- a start ----------------------------------------------------------------------------------------------------------


def opening(tally, binary, folder, entries):
    """All threads' calls on files of the directory: of a start that recovers, and of the very first."""
    cases = []
    for first in (False, True):
        calls = {}
        counting = [("counted", lambda record: _count_opening(record, calls, first))]
        _lanes(tally, binary, folder, entries, f"opening-calls-{first}", counting)
        for call, count in calls.items():
            for what in (EIO, ENOSPC, KILL):
                for when in _spread(count, round(3 * SCALE)):
                    title = f"{call} {what} when={when} at {'the first' if first else 'a'} start"
                    cases.append((title, _opening(tally, call, what, str(when), first)))
    _lanes(tally, binary, folder, entries, "opening", cases)


OPENING = ("openat", "read", "pread64", "write", "pwrite64", "fsync", "fdatasync", "rename", "renameat", "mkdir", "linkat")
OPENING += ("unlink", "flock", "ftruncate", "getdents64")


def _paths(data):
    """The files that a start may touch."""
    names = ["", "format", "lock", "head", "log.key", "log.pub", "log.vkey", "log.url", "journal", "journal/0"]
    names += ["journal/1", "cell", "cell/checkpoint", "cell/history", "index"]
    found = {os.path.join(data, name).rstrip("/") for name in names}
    for folder, folders, files in os.walk(os.path.join(data, "index")):
        found |= {os.path.join(folder, name) for name in (*folders, *files)}
    for index in range(12):
        found |= {os.path.join(data, "index", name) for name in (f"v{index}", "current", "tables", f"tables/{index}")}
    for folder, _, files in os.walk(os.path.join(data, "tile")):
        found |= {os.path.join(folder, name) for name in files if folder.endswith(".p")}
    return sorted(found | {f"{path}.new" for path in found if "/index" not in path and "/tile" not in path})


def _wrapper(log, call, what, when, data):
    return ["strace", "-f", "--seccomp-bpf", "-qq", "-o", log, *_injected(call, what, when, _paths(data)), "--"]


def _unsettled(record):
    """A log whose next start has something to recover."""
    server = record.start().ready()
    record.write(server, entries=4)
    server.kill()


def _count_opening(record, calls, first):
    if not first:
        _unsettled(record)
    log = f"{record.data}.calls"
    server = record.start(wrapper=_wrapper(log, ",".join(OPENING), None, "", record.data)).ready()
    server.kill()
    most = {}
    with open(log) as text:
        for thread, call in re.findall(r"^(\d+) +(\w+)\(", text.read(), re.M):
            most[thread, call] = most.get((thread, call), 0) + 1
    for (_, call), count in most.items():
        calls[call] = max(count, calls.get(call, 0))


def _opening(tally, call, what, when, first):
    def work(record):
        if first:
            record = Record(record.binary, f"{record.data}-first", record.entries, record.options)
            shutil.rmtree(record.data, ignore_errors=True)
        else:
            _unsettled(record)
        log = f"{record.data}.strace"
        server = record.start(wrapper=_wrapper(log, call, what, when, record.data))
        try:
            server.ready()
            server.ended_by_us = what == KILL
            record.write(server, entries=1)
            server.kill()
        except NotStarted as ended:
            assert ended.code not in (0, 101), f"ended with {ended.code}: {ended.said[-600:]}"
            assert what == KILL or "bulla: " in ended.said, f"does not say why it ended: {ended.said[-600:]}"
        finally:
            if server.process.poll() is None:
                server.kill()
        tally.fault(struck(log))
        server.check_calm()
        server = record.start().ready()
        record.write(server, entries=1)
        record.judge(server)
        server.kill()

    return work
