"""Servers that a test has to itself, so that it can stop them, and change what everybody else relies on."""

import os
import signal
import socket
import subprocess
import time

import requests

from tap import expect


class Log:
    """A server on ports of its own, started and stopped as often as a test wants."""

    verb = "serve"

    def __init__(self, binary, options, folder, ports):
        self.binary, self.options, self.data = binary, options, folder / "log"
        self.http, self.grpc, self.metrics = ports
        self.url = f"http://localhost:{self.http}"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("BULLA_")}

    def command(self, *words):
        done = subprocess.run([self.binary, *words], capture_output=True, text=True, env=self.environment)
        expect(done.returncode == 0, f"{words} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def start(self):
        words = [self.verb, "--data", self.data, "--http", f"127.0.0.1:{self.http}", "--grpc", f"127.0.0.1:{self.grpc}",
                 "--metrics", f"127.0.0.1:{self.metrics}", "--origin", "localhost", *self.options]
        self.process = subprocess.Popen([self.binary, *words], env=self.environment, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                if requests.get(f"{self.url}/healthz").ok:
                    return
            except requests.ConnectionError:
                expect(self.process.poll() is None, f"bulla {self.verb} ended with {self.process.poll()}")
                time.sleep(0.02)
        raise AssertionError(f"bulla {self.verb} does not answer")

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(timeout=30)


class Stack(Log):
    """A whole private stack, with an issuer that believes what it is told. Called by other names than `localhost` if the options say so."""

    verb = "up"

    def __init__(self, binary, folder, *options):
        super().__init__(binary, ["--dev", "--write-limit", "0", *options], folder, free_ports(3))


def free_ports(number):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    return [one.getsockname()[1] for one in held]
