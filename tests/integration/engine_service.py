"""Starts a real waft-engined for a test and talks to it."""
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse

BIN = os.environ["WAFT_BIN"]
SOURCE = os.environ["WAFT_SOURCE"]

# Where no collector is: what is not about traces must do without one.
NO_COLLECTOR = {"WAFT_ENDPOINT": "unix:/nonexistent/collector.sock", "WAFT_EXIT_TIMEOUT_MS": "1"}


class Service:
    """waft-engined on a free port, its files in a directory of its own."""

    def __init__(self, *options, environment=None, directory=None):
        self._temporary = None if directory else tempfile.TemporaryDirectory(prefix="waft-engine.")
        self.directory = directory or self._temporary.name
        self.errors = open(os.path.join(self.directory, "stderr"), "a+b")
        self.process = subprocess.Popen(
            [os.path.join(BIN, "waft-engined"), "--listen", "127.0.0.1:0", *options],
            cwd=self.directory, stdout=subprocess.PIPE, stderr=self.errors,
            env={**os.environ, **NO_COLLECTOR, **(environment or {})})
        ready = self.process.stdout.readline().decode()
        match = re.fullmatch(r"waft-engined: ready on (http://127\.0\.0\.1:(\d+)) .*\n", ready)
        assert match, f"not ready: {ready!r} {self.stderr()}"
        self.url = match[1]
        self.port = int(match[2])

    def stderr(self):
        self.errors.seek(0)
        return self.errors.read().decode()

    def ask(self, method, path, body=None, headers=None):
        """(status, headers, body) of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            if isinstance(body, str):
                body = body.encode()
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def analyze(self, request, headers=None):
        if not isinstance(request, (str, bytes)):
            request = json.dumps(request)
        return self.ask("POST", "/api/decision/analyze", request, headers)

    def workers(self):
        """Pids of the living worker processes."""
        found = []
        pid = self.process.pid
        with open(f"/proc/{pid}/task/{pid}/children") as children:
            for child in children.read().split():
                try:
                    with open(f"/proc/{child}/stat") as stat:
                        if stat.read().rsplit(")", 1)[1].split()[0] != "Z":
                            found.append(int(child))
                except OSError:
                    pass
        return found

    def stop(self, signal_number=signal.SIGTERM):
        """The exit code, and standard error."""
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        code = self.process.wait(30)
        self.process.stdout.close()
        text = self.stderr()
        self.errors.close()
        if self._temporary:
            self._temporary.cleanup()
        return code, text

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        code, text = self.stop()
        if kind is None:
            assert code == 0, f"waft-engined exited with {code}: {text}"
            assert "Sanitizer" not in text, text


def decide(service, *arguments, stdin=None, environment=None, check=True):
    """Runs waft-decide; the finished process with text streams."""
    done = subprocess.run(
        [os.path.join(BIN, "waft-decide"), "--server", service.url, *arguments],
        input=stdin, capture_output=True, text=True, timeout=60,
        env={**os.environ, **NO_COLLECTOR, **(environment or {})})
    if check:
        assert done.returncode == 0, done.stderr
    return done


def wait_until(condition, what, seconds=20):
    """Looks again until condition holds; for what tells no one when it does."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        os.sched_yield()
    raise AssertionError(f"not within {seconds} s: {what}")


def stop_worker(pid):
    """Stops it, and returns when it is: until then it may still be given a request."""
    def state():
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0]

    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: state() == "T", "the worker is stopped")


def cases(*names):
    for name in names:
        with open(os.path.join(SOURCE, "tests", "data", name), encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)


def same(a, b):
    """Equal, numbers to 1e-9 relative."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return abs(a - b) <= 1e-9 * max(abs(a), abs(b))
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def main(tests):
    """Runs the functions, or those named on the command line; tells each."""
    chosen = [t for t in tests if len(sys.argv) < 2 or t.__name__ in sys.argv[1:]]
    for test in chosen:
        started = time.monotonic()
        test()
        print(f"ok {test.__name__} ({time.monotonic() - started:.2f} s)", flush=True)
