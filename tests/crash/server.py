"""The real program: started, asked over HTTP, stopped or killed, and what it said on standard error."""

import http.client
import os
import re
import signal
import subprocess
import tempfile
import threading
import time

PATIENCE = 60
"""Seconds after which something that must happen is a failure."""


class NotStarted(Exception):
    """It ended before it listened."""

    def __init__(self, code, said):
        super().__init__(f"ended with {code}: {said[-800:]}")
        self.code, self.said = code, said


class Server:
    """`bulla serve` on a free port."""

    started = []

    last_words = b"bulla fsck "
    """In the last line of the greeting: the command that checks the log."""

    def __init__(self, binary, data, *options, wrapper=(), log=None, http="127.0.0.1:0"):
        command = [*wrapper, binary, "serve", "--data", data, "--http", http, "--grpc", "off", "--write-limit", "0"]
        self._start([*command, "--metrics", "off", *options], data, bool(wrapper), log)

    def _start(self, command, data, wrapped, log=None):
        self.log_path = log or tempfile.mktemp(prefix="serve-", suffix=".log", dir=os.path.dirname(data))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("BULLA_")}
        environment["BULLA_DISK_RESERVE"] = "0"
        with open(self.log_path, "ab", buffering=0) as log_file:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log_file, env=environment
            )
        Server.started.append(self)
        self.wrapped, self.ended_by_us = wrapped, False

    def ready(self):
        """Waits for the greeting."""
        late = threading.Timer(PATIENCE, self.kill)
        late.start()
        try:
            greeting = b""
            while self.last_words not in greeting:
                line = self.process.stdout.readline()
                if not line:
                    raise NotStarted(self.process.wait(), self.said())
                greeting += line
        finally:
            late.cancel()
        self.address = re.search(rb"HTTP +http://(\S+)", greeting).group(1).decode()
        return self

    @property
    def url(self):
        return f"http://{self.address}"

    @property
    def pid(self):
        if not self.wrapped:
            return self.process.pid
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as children:
            return int(children.read().split()[0])

    def thread(self, name):
        """The id of its thread of this name; a thread names itself a moment after it was made."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for thread in os.listdir(f"/proc/{self.pid}/task"):
                with open(f"/proc/{self.pid}/task/{thread}/comm") as comm:
                    if comm.read().strip() == name:
                        return thread
        raise AssertionError(f"it has no thread {name}")

    def connect(self):
        return http.client.HTTPConnection(self.address, timeout=PATIENCE)

    def get(self, path):
        """Status and body, on a connection of its own."""
        connection = self.connect()
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def signal(self, number):
        self.ended_by_us = True
        try:
            os.kill(self.pid, number)
        except (ProcessLookupError, IndexError, FileNotFoundError):
            pass

    def kill(self):
        """SIGKILL, and waits until it is gone."""
        self.signal(signal.SIGKILL)
        self.wait()

    def stop(self):
        """SIGTERM; returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self):
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"did not end within {PATIENCE} s: {self.said()[-800:]}") from None
        self.process.stdout.close()
        return code

    def said(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()

    def check_calm(self):
        """It never panicked, whatever happened."""
        said = self.said()
        at = said.find("panicked at")
        assert at < 0, f"panicked: {said[max(0, at - 200):at + 400]}"
