"""SIGKILL: under load, during start and recovery, during a graceful stop, and while the deduplication index is rebuilt;
and a second process on the directory."""

import os
import random
import shutil
import subprocess
import threading
import time

from record import Record


def under_load(tally, record, rounds):
    """The same directory again and again, killed at a random moment while ten clients write and one reads."""
    server = record.start().ready()
    sizes = []

    def round_():
        nonlocal server
        before, over = len(record.index), threading.Event()
        threads = record.load(server, clients=10, until=over)
        threads.append(_watch(record, server))
        _wait_for(lambda: len(record.index) > before)
        # The moment is random, nothing is waited for.
        time.sleep(random.uniform(0.0, 0.7))
        server.kill()
        over.set()
        for thread in threads:
            thread.join()
        server.check_calm()
        tally.fault(True)
        sizes.append(len(record.index) - before)
        server = record.start().ready()
        record.judge(server)

    for number in range(rounds):
        if not tally.case(f"killed under load, round {number}", round_, [record]):
            break
    tally.case("everything acknowledged is at its index", lambda: record.judge(server, thorough=True), [record])
    server.stop()
    return f"; {len(record.index)} entries acknowledged, {len(record.heads)} checkpoints seen"


def during_start(tally, record, rounds):
    """A log with an unsettled journal, killed while it starts; then a new log, killed while it is made."""

    def one():
        server = record.start().ready()
        record.write(server, entries=20)
        server.kill()
        began = time.monotonic()
        server = record.start()
        time.sleep(random.uniform(0.0, one.takes))
        server.kill()
        tally.fault(True)
        server.check_calm()
        began = time.monotonic()
        server = record.start().ready()
        one.takes = time.monotonic() - began
        record.judge(server)
        server.kill()

    one.takes = 0.1
    for number in range(rounds):
        tally.case(f"killed during start {number}", one, [record])

    def first():
        fresh = Record(record.binary, f"{record.data}-first", record.entries, record.options)
        server = fresh.start()
        time.sleep(random.uniform(0.0, first.takes))
        server.kill()
        tally.fault(True)
        server.check_calm()
        began = time.monotonic()
        server = fresh.start().ready()
        first.takes = time.monotonic() - began
        fresh.write(server, entries=3)
        assert len(fresh.index) > 8, "the log that was made takes no entries"
        fresh.judge(server)
        server.stop()
        shutil.rmtree(fresh.data)

    first.takes = 0.2
    for number in range(rounds):
        if not tally.case(f"killed during first start {number}", first):
            shutil.rmtree(f"{record.data}-first", ignore_errors=True)


def during_stop(tally, record, rounds):
    """SIGTERM under load, then SIGKILL at a random moment, or none at all."""

    def one(killed):
        server = record.start().ready()
        over = threading.Event()
        before = len(record.index)
        threads = record.load(server, until=over)
        _wait_for(lambda: len(record.index) > before + 20)
        server.signal(15)
        if killed:
            time.sleep(random.uniform(0.0, 0.08))
            server.kill()
            tally.fault(True)
        else:
            code = server.wait()
            assert code == 0, f"a graceful stop ended with {code}: {server.said()[-600:]}"
        over.set()
        for thread in threads:
            thread.join()
        server.check_calm()
        server = record.start().ready()
        record.judge(server)
        server.kill()

    for number in range(rounds):
        tally.case(f"killed during stop {number}", lambda: one(True), [record])
    tally.case("stopped under load", lambda: one(False), [record])


def during_rebuild(tally, record, rounds):
    """The deduplication index is deleted, and the log killed while it grows back."""

    def one():
        shutil.rmtree(os.path.join(record.data, "index"))
        server = record.start()
        _wait_for(lambda: os.path.exists(os.path.join(record.data, "index")) or server.process.poll() is not None)
        time.sleep(random.uniform(0.0, one.takes))
        server.kill()
        tally.fault(True)
        began = time.monotonic()
        server = record.start().ready()
        one.takes = time.monotonic() - began
        record.judge(server)
        server.kill()

    one.takes = 0.3
    for number in range(rounds):
        tally.case(f"killed while the index is rebuilt {number}", one, [record])


def second_process(tally, record):
    """A second process is refused, and the first does not notice."""

    def one():
        server = record.start().ready()
        for command in (["serve", "--http", "127.0.0.1:0"], ["freeze"]):
            command = [record.binary, *command, "--data", record.data]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            assert done.returncode not in (0, 101), f"{command[1]} ended with {done.returncode}"
            assert "is in use by another process" in done.stderr, done.stderr
        record.write(server, entries=5)
        record.judge(server)
        server.kill()

    tally.case("a second process is refused", one, [record])


def _watch(record, server):
    """A stranger who keeps every checkpoint that is published."""

    def watch():
        connection = server.connect()
        try:
            while True:
                connection.request("GET", "/checkpoint")
                record.saw(connection.getresponse().read().decode())
        except Exception as error:
            if not server.ended_by_us:
                record.wrong.append(f"the checkpoint cannot be read: {error}")
        finally:
            connection.close()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def _wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"did not happen in {seconds} s"
        time.sleep(0.001)
