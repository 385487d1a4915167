"""Starts and ends waft-collectord in a scratch directory, for tests."""
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from wire import Connection, DEADLINE_S, Exporter, tree_batch, uuid_text

PROGRAM = os.path.join(os.environ["WAFT_BIN"], "waft-collectord")
# For every daemon of a run, as in WAFT_COLLECTORD_OPTIONS="--shards 2".
OPTIONS = os.environ.get("WAFT_COLLECTORD_OPTIONS", "").split()


def until(done, what, *processes):
    """Looks until something is so, and returns it. Fails when a process that is to bring it
    about has ended, and when it takes too long: a test that waits for ever says nothing."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        ended = [process.returncode for process in processes if process.poll() is not None]
        value = done()
        if value:
            return value
        assert not ended, f"ended with {ended[0]}, before {what}"
        assert time.monotonic() < deadline, f"not in time: {what}"
        os.sched_yield()


class Daemon:
    """One scratch directory; the daemon in it can be started several times."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="waft-test-")
        self.socket = os.path.join(self.directory, "s")
        self.store = os.path.join(self.directory, "store")
        self.process = None
        self.ready_line = ""
        self.log_path = os.path.join(self.directory, "log")

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if kind is not None:
            print(f"--- log of the daemon\n{self.log()}")
        shutil.rmtree(self.directory)

    def command(self, *options):
        return [PROGRAM, "--socket", self.socket, "--store", self.store, *OPTIONS, *options]

    def start(self, *options, **more):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(*options), stdout=subprocess.PIPE,
                                            stderr=log, **more)
        self.ready_line = self.process.stdout.readline().decode()
        assert "ready on" in self.ready_line, f"not ready: {self.ready_line!r} {self.log()}"
        return self

    def run_to_end(self, *options):
        """Starts one that is expected to end by itself: (exit code, output)."""
        done = subprocess.run(self.command(*options), capture_output=True, timeout=DEADLINE_S,
                              check=False)
        return done.returncode, (done.stdout + done.stderr).decode()

    def kill(self):
        self.process.kill()
        self.process.wait(DEADLINE_S)

    def stop(self):
        """Ends it as a service manager does; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)

    def log(self):
        if not os.path.exists(self.log_path):
            return ""
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def wait_log(self, wanted):
        """Until the log has a text. Asks the daemon something in between, so that
        the loop has come round."""
        def said():
            if wanted in self.log():
                return True
            self.query("Health")
            return False

        try:
            until(said, f"{wanted!r} in the log", self.process)
        except (AssertionError, OSError) as error:
            raise AssertionError(f"{error}: {self.log()}") from error

    def query(self, method, request=b"", header=b""):
        connection = Connection(self.socket)
        try:
            return connection.unary("/waft.v1.Query/" + method, request, header)
        finally:
            connection.close()

    def http(self, path):
        port = re.search(r"http port (\d+)", self.ready_line).group(1)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}",
                                        timeout=DEADLINE_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name):
        for line in self.http("/metrics")[1].splitlines():
            if line.startswith(f"waft_collector_{name} "):
                return int(line.split()[1])
        raise AssertionError(f"no metric {name}")

    def records(self):
        found = []
        for path in sorted(glob.glob(os.path.join(self.store, "*.jsonl"))):
            with open(path, encoding="utf-8") as file:
                found += [json.loads(line) for line in file]
        return found


def exported(daemon, batches=3, traces=5, spans_each=4):
    """Sends batches and waits for them: (exporter, trace ids)."""
    exporter, ids = Exporter(daemon.socket), []
    for _ in range(batches):
        data, new = tree_batch(traces, spans_each)
        exporter.send_batch(data)
        ids += new
    exporter.wait(batches)
    return exporter, ids


def check_records(records, ids, spans_each=4):
    """Each trace once, whole, its spans together and parents first."""
    texts = [uuid_text(i) for i in ids]
    assert len(records) == len(ids) * spans_each, f"{len(records)} records"
    assert len({(r["trace_id"], r["span_id"]) for r in records}) == len(records), "doubles"
    assert {r["trace_id"] for r in records} == set(texts)
    seen, before = set(), None
    for record in records:
        parent = record["parent_span_id"]
        assert parent is None or (record["trace_id"], parent) in seen, "a child before its parent"
        assert record["trace_id"] == before or parent is None
        seen.add((record["trace_id"], record["span_id"]))
        before = record["trace_id"]
