"""Counts what was tried: cases passed and failed, faults tried and struck."""

import shutil
import threading
import time
import traceback


class Tally:
    def __init__(self, keep):
        self.keep, self.lock = keep, threading.Lock()
        self.passed = self.failed = self.tried = self.struck = 0

    def case(self, name, work, records=()):
        """Runs one case; returns whether it passed. A failed one leaves a copy of its directories."""
        try:
            work()
        except Exception as error:
            with self.lock:
                self.failed += 1
                print(f"  not ok - {name}: {str(error)[:1500]}", flush=True)
                if not isinstance(error, AssertionError):
                    traceback.print_exc()
                for record in records:
                    kept = f"{self.keep}/failed-{self.failed}"
                    shutil.copytree(record.data, kept, dirs_exist_ok=True, ignore=shutil.ignore_patterns("control.sock"))
                    print(f"  | directory kept: {kept}", flush=True)
            return False
        with self.lock:
            self.passed += 1
        return True

    def fault(self, struck):
        with self.lock:
            self.tried, self.struck = self.tried + 1, self.struck + bool(struck)

    def part(self, name, work):
        """One part of the ring, with a line of its own."""
        before, started = (self.passed, self.failed, self.tried, self.struck), time.monotonic()
        print(f"== {name}", flush=True)
        note = work() or ""
        after = (self.passed, self.failed, self.tried, self.struck)
        passed, failed, tried, struck = (new - old for new, old in zip(after, before))
        took = time.monotonic() - started
        counted = f"{tried} faults tried, {struck} struck, " if tried else ""
        print(f"  {counted}{passed} cases passed, {failed} failed, {took:.0f} s{note}", flush=True)
