#!/usr/bin/python3
"""waftctl and the viewer library against a running collector, and against the same store
without one.

Environment: WAFT_BIN (cmake/WaftTest.cmake).
"""
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.append(os.path.join(os.path.dirname(__file__), "../support"))
from lines import Lines  # pylint: disable=wrong-import-position

BIN = os.environ["WAFT_BIN"]
DEADLINE_S = 60
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("WAFT_ENDPOINT", "NO_COLOR")}
ENVIRONMENT.update(TZ="UTC", LC_ALL="C.UTF-8", XDG_RUNTIME_DIR="/nonexistent")


def run(name, *arguments, **environment):
    """Runs a program; returns (exit code, stdout, stderr)."""
    done = subprocess.run([os.path.join(BIN, name), *arguments], capture_output=True, text=True,
                          env={**ENVIRONMENT, **environment}, timeout=DEADLINE_S, check=False)
    return done.returncode, done.stdout, done.stderr


class Live(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="waft-live-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.store = os.path.join(self.directory, "store")
        self.endpoint = f"unix:{self.directory}/c.sock"

    def start(self):
        daemon = subprocess.Popen(
            [os.path.join(BIN, "waft-collectord"), "--socket", f"{self.directory}/c.sock",
             "--store", self.store],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=ENVIRONMENT)
        self.addCleanup(self.stop, daemon)
        said = b""
        while b"ready" not in said:
            self.assertTrue(select.select([daemon.stdout], [], [], DEADLINE_S)[0], said)
            data = os.read(daemon.stdout.fileno(), 4096)
            self.assertTrue(data, said)
            said += data
        return daemon

    def stop(self, daemon):
        if daemon.poll() is None:
            daemon.send_signal(signal.SIGTERM)
            daemon.communicate(timeout=DEADLINE_S)
        daemon.stdout.close()

    def waftctl(self, *arguments):
        code, out, err = run("waftctl", "--endpoint", self.endpoint, *arguments)
        self.assertEqual((code, err), (0, ""))
        return out

    def example(self, endpoint):
        code, out, err = run("example_first_trace", WAFT_ENDPOINT=endpoint)
        self.assertEqual((code, err), (0, ""))
        return out

    def expect_example(self, out):
        """Priced, listed, and shown as a tree."""
        self.assertRegex(out, re.compile(
            r"\Athat is 7\.50\n\n"
            r"(✓ \[[0-9a-f-]{36}\] \d\d:\d\d:\d\d \| shop\.order \(\d+\.\d\dms\)\n)+\n"
            r"✓ shop\.order \(\d+\.\d\dms\) \[core\]\n"
            r"  ✓ shop\.price \(\d+\.\d\dms\) \[core\]\n\Z"))

    def test_example_with_a_collector(self):
        self.start()
        self.expect_example(self.example(self.endpoint))
        self.expect_example(self.example(self.endpoint))
        self.assertEqual(len(self.waftctl("trace", "list").splitlines()), 2)

    def test_example_with_a_directory(self):
        os.mkdir(self.store)
        self.expect_example(self.example("file:" + self.store))
        code, out, _ = run("waftctl", "--store", self.store, "status")
        self.assertEqual(code, 0)
        self.assertIn("emitted 2 = stored 2 + dropped 0 + unknown 0 + in flight 0\n", out)

    def test_the_same_with_and_without_the_collector(self):
        daemon = self.start()
        for _ in range(5):
            self.example(self.endpoint)
        ids = [json.loads(line)["trace_id"] for line in
               self.waftctl("trace", "list", "--json").splitlines()]
        self.assertEqual(len(ids), 5)
        questions = [["trace", "list", "--json"], ["trace", "list"], ["trace", "list", "-n", "2"],
                     ["trace", "list", "--json", "--attr", "items=3", "--operation", "shop.price"],
                     ["trace", "list", "--json", "--grep", "items"], ["stats", "--json"]]
        questions += [["trace", "show", name, *more] for name in (ids[0], ids[1][:8], "@3")
                      for more in ([], ["--json"], ["--data=full"])]
        asked = [self.waftctl(*question) for question in questions]
        for question, answer in zip(questions, asked):
            self.assertTrue(answer, question)
            self.assertEqual(run("waftctl", "--store", self.store, *question), (0, answer, ""))
        self.stop(daemon)
        for question, answer in zip(questions, asked):
            self.assertEqual(run("waftctl", "--store", self.store, *question), (0, answer, ""))

    def test_status(self):
        self.start()
        self.example(self.endpoint)
        status = json.loads(self.waftctl("status", "--json"))
        self.assertEqual((status["emitted"], status["stored"], status["dropped"],
                          status["unknown"], status["in_flight"]), (2, 2, 0, 0, 0))
        self.assertEqual(status["health"], "serving")
        out = self.waftctl("status")
        self.assertTrue(out.startswith(
            "emitted 2 = stored 2 + dropped 0 + unknown 0 + in flight 0\n"), out)
        without = json.loads(run("waftctl", "--store", self.store, "status", "--json")[1])
        self.assertEqual([without[key] for key in ("emitted", "stored", "dropped")], [2, 2, 0])

    def test_damage_is_told_of(self):
        """One line: which file, and what to do; with the collector and without."""
        daemon = self.start()
        self.example(self.endpoint)
        self.stop(daemon)
        name = next(name for name in os.listdir(self.store) if name.endswith(".jsonl"))
        with open(os.path.join(self.store, name), "r+b") as file:
            file.write(b"X")
        self.start()
        deadline = time.monotonic() + DEADLINE_S
        while json.loads(self.waftctl("status", "--json"))["health"] == "serving":
            self.assertLess(time.monotonic(), deadline)
        for question in (["trace", "list"], ["stats"]):
            code, _, err = run("waftctl", "--endpoint", self.endpoint, *question)
            self.assertEqual((code, err), (
                0, "waftctl: the collector says: committed bytes of a file are damaged: "
                f"{name}; spans may be missing here. waftctl status says more.\n"))
            code, _, err = run("waftctl", "--store", self.store, *question)
            self.assertEqual((code, len(err.splitlines())), (0, 1), err)
            self.assertIn(name, err)

    @unittest.skipUnless(os.getuid() == 0, "needs another user")
    def test_who_may_not_read_is_told_what_to_do(self):
        self.start()
        self.example(self.endpoint)
        os.chmod(self.directory, 0o711)
        os.chmod(f"{self.directory}/c.sock", 0o666)
        program = shutil.copy(os.path.join(BIN, "waftctl"), self.directory)
        for where, what in ((["--endpoint", self.endpoint], "the collector at"),
                            (["--store", self.store], "Permission denied")):
            done = subprocess.run([program, *where, "trace", "list"], capture_output=True,
                                  text=True, user=65534, group=65534, extra_groups=[],
                                  env=ENVIRONMENT, timeout=DEADLINE_S, check=False)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertTrue(done.stderr.startswith("waftctl: "), done.stderr)
            self.assertIn(what, done.stderr)
            self.assertIn("usermod -aG waft", done.stderr)

    def test_unknown_and_ambiguous_ids(self):
        self.start()
        self.example(self.endpoint)
        for name in ("00000000-0000-4000-8000-000000000000", "nope", "@7"):
            code, out, err = run("waftctl", "--endpoint", self.endpoint, "trace", "show", name)
            self.assertEqual((code, out), (1, ""))
            self.assertEqual(err.splitlines()[0], f"No trace found with ID: {name}")

    def tail_until_told(self, *where):
        """Starts a tail and traces until it tells a span; returns what it told of the
        example's next run, which is all new."""
        tail = subprocess.Popen([os.path.join(BIN, "waftctl"), *where, "trace", "tail", "--json"],
                                stdout=subprocess.PIPE, env=ENVIRONMENT)
        lines = Lines(tail.stdout)
        self.addCleanup(tail.stdout.close)
        self.addCleanup(tail.wait)
        self.addCleanup(tail.kill)
        deadline = time.monotonic() + DEADLINE_S
        while not lines.ready(0):
            self.assertLess(time.monotonic(), deadline)
            self.example(self.endpoint)
        self.example(self.endpoint)
        last = json.loads(self.waftctl("trace", "list", "-n", "1", "--json"))["trace_id"]
        told = []
        while [record["trace_id"] for record in told].count(last) < 2:
            told.append(json.loads(lines.next()))
        return tail, lines, told

    def expect_told_once(self, told):
        spans = [record["span_id"] for record in told]
        self.assertEqual(len(spans), len(set(spans)))
        self.assertEqual([record["operation"] for record in told[-2:]], ["shop.price", "shop.order"])

    def test_tail_of_a_collector(self):
        daemon = self.start()
        tail, _, told = self.tail_until_told("--endpoint", self.endpoint)
        self.expect_told_once(told)
        self.stop(daemon)
        self.assertEqual(tail.wait(DEADLINE_S), 1)

    def test_tail_of_files_tells_a_span_once(self):
        """Spans go from the log to a file while they are followed."""
        daemon = self.start()
        _, lines, told = self.tail_until_told("--store", self.store)
        self.stop(daemon)
        # All is in files now. Another run in another way marks the end.
        self.assertEqual(run("example_first_trace", WAFT_ENDPOINT="file:" + self.store)[0], 0)
        mark = json.loads(run("waftctl", "--store", self.store, "trace", "list", "-n", "1",
                              "--json")[1])["trace_id"]
        while told[-1]["trace_id"] != mark or told[-2]["trace_id"] != mark:
            told.append(json.loads(lines.next()))
        self.expect_told_once(told)


if __name__ == "__main__":
    unittest.main()
