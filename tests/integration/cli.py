#!/usr/bin/python3
"""waftctl on the files of a store: output, terminals, pipes, pagers, exit codes.

Environment: WAFT_BIN, WAFT_SOURCE (cmake/WaftTest.cmake).
"""
import datetime
import json
import os
import pty
import re
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

sys.path.append(os.path.join(os.path.dirname(__file__), "../support"))
from lines import Lines  # pylint: disable=wrong-import-position

WAFTCTL = os.path.join(os.environ["WAFT_BIN"], "waftctl")
ORIGINAL = os.path.join(os.environ["WAFT_SOURCE"], "tests/data/original-traces-2026-01-09.jsonl")
ORIGINAL_ID = "a5f4b680-d790-4370-8c95-d37b79bd6322"
DEADLINE_S = 240  # of a trace of 100,000 spans, with sanitizers, on a busy machine

ENVIRONMENT = {k: v for k, v in os.environ.items()
               if k not in ("NO_COLOR", "PAGER", "WAFT_PAGER", "LESS", "WAFT_ENDPOINT", "COLUMNS")}
ENVIRONMENT.update(TZ="UTC", LC_ALL="C.UTF-8", XDG_RUNTIME_DIR="/nonexistent", TERM="xterm")


def waftctl(*arguments, cwd=None, **environment):
    """Runs it into a pipe; returns (exit code, stdout, stderr)."""
    done = subprocess.run([WAFTCTL, *arguments], capture_output=True, text=True, cwd=cwd,
                          env={**ENVIRONMENT, **environment}, timeout=DEADLINE_S, check=False)
    return done.returncode, done.stdout, done.stderr


def on_terminal(*arguments, columns, **environment):
    """Runs it on a terminal of that width; returns (exit code, what was shown)."""
    script = 'stty cols "$1"; shift; exec "$@"'
    pid, fd = pty.fork()
    if pid == 0:
        os.execve("/bin/sh", ["sh", "-c", script, "sh", str(columns), WAFTCTL, *arguments],
                  {**ENVIRONMENT, **environment})
    shown = b""
    while select.select([fd], [], [], DEADLINE_S)[0]:
        try:
            data = os.read(fd, 65536)
        except OSError:
            break
        if not data:
            break
        shown += data
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode().replace("\r\n", "\n")


def plain(text):
    return re.sub("\033\\[[0-9;]*m", "", text)


def record(trace, span, parent=None, start=0.0, duration=1.0, operation="op", **more):
    """A line of a store; start: seconds after 2026-01-09 10:00."""
    moment = datetime.datetime(2026, 1, 9, 10, tzinfo=datetime.timezone.utc) + \
        datetime.timedelta(seconds=start)
    return json.dumps({
        "trace_id": trace, "span_id": span, "parent_span_id": parent,
        "timestamp": moment.strftime("%Y-%m-%dT%H:%M:%S.%f000Z"), "duration_ms": duration,
        "operation": operation, "layer": more.get("layer", "core"),
        "status": more.get("status", "success"),
        "data": {"input": more.get("input"), "output": more.get("output")},
        "metadata": {"service": more.get("service", "svc"), "pid": 1, "host": "h",
                     "kind": "internal", "attributes": more.get("attributes", {})},
        "error": more.get("error")}, ensure_ascii=False, separators=(",", ":"))


def span_id(number):
    return f"{number:08x}-0000-4000-8000-000000000000"


class Store(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="waft-cli-")
        self.addCleanup(shutil.rmtree, self.directory)

    def write(self, *lines, name="2026-01-09.jsonl"):
        with open(os.path.join(self.directory, name), "a", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in lines)

    def run_ok(self, *arguments, **environment):
        code, out, err = waftctl("--store", self.directory, *arguments, **environment)
        self.assertEqual((code, err), (0, ""))
        return out

    def assert_told(self, lines, *arguments):
        """Runs it where so many lines are no records; returns what it wrote."""
        code, out, err = waftctl("--store", self.directory, *arguments)
        self.assertEqual(code, 0)
        # One line: how many, which file, what is wrong, and what to do.
        self.assertRegex(err, f"^waftctl: {lines} lines of the files in {self.directory} are not "
                         r"records and were passed over, the first in \S+\.jsonl, (line|at byte) "
                         r"\d+: [^\n]+; all else was read\. Keep the file: waftctl status looks "
                         r"through the whole store\.\n$")
        return out

    def traces(self, *arguments):
        return [json.loads(line) for line in
                self.run_ok("trace", "list", "--json", *arguments).splitlines()]


class Original(Store):
    """The file of the tracer that came before is listed and shown as it is."""

    def setUp(self):
        super().setUp()
        self.copy = shutil.copy(ORIGINAL, self.directory)
        self.before = self.state()

    def state(self):
        with open(self.copy, "rb") as file:
            return os.stat(self.copy).st_mtime_ns, file.read()

    def tearDown(self):
        self.assertEqual(self.state(), self.before)
        self.assertEqual(os.listdir(self.directory), [os.path.basename(self.copy)])

    def test_list(self):
        self.assertEqual(self.run_ok("trace", "list"),
                         f"✓ [{ORIGINAL_ID}] 09:07:12 | test.decision_analysis (2.72ms)\n")

    def test_list_json(self):
        self.assertEqual(self.traces(), [{
            "trace_id": ORIGINAL_ID, "start": "2026-01-09T09:07:12.933547000Z",
            "duration_ms": 2.718925, "operation": "test.decision_analysis", "layer": "test",
            "status": "success", "services": [], "spans": 9, "errors": 0}])

    def test_show(self):
        tree = """\
Trace:    a5f4b680-d790-4370-8c95-d37b79bd6322
Started:  2026-01-09 09:07:12.933 UTC
Services: -
Spans:    9
Errors:   0

✓ test.decision_analysis (2.72ms) [test]
✓ input_transformer.transform_input (1.74ms) [core]
  ✓ input_transformer.validate_schema (0.01ms) [core]
  ✓ input_transformer.extract_alternatives (0.01ms) [core]
  ✓ input_transformer.extract_criteria (0.02ms) [core]
  ✓ input_transformer.extract_scores (0.03ms) [core]
  ✓ input_transformer.create_matrix (0.01ms) [core]
✓ decision_matrix.calculate_wsm (0.02ms) [core]
✓ decision_matrix.rank_alternatives (0.01ms) [core]
"""
        for name in (ORIGINAL_ID, ORIGINAL_ID.replace("-", ""), "a5f4", "6322", "last", "@1",
                     ORIGINAL_ID.upper()):
            self.assertEqual(self.run_ok("trace", "show", name), tree)

    def test_show_json_is_the_stored_lines_in_tree_order(self):
        lines = self.run_ok("trace", "show", "last", "--json").splitlines()
        stored = self.before[1].decode().splitlines()
        self.assertEqual(sorted(lines), sorted(stored))
        self.assertEqual([json.loads(line)["operation"].split(".")[1] for line in lines], [
            "decision_analysis", "transform_input", "validate_schema", "extract_alternatives",
            "extract_criteria", "extract_scores", "create_matrix", "calculate_wsm",
            "rank_alternatives"])

    def test_local_time(self):
        out = self.run_ok("trace", "list", TZ="Asia/Kolkata")
        self.assertIn("] 14:37:12 | ", out)
        out = self.run_ok("trace", "list", "--utc", TZ="Asia/Kolkata")
        self.assertIn("] 09:07:12 | ", out)
        self.assertIn("14:37:12.933 +05:30", self.run_ok("trace", "show", "last",
                                                         TZ="Asia/Kolkata"))

    def test_as_the_default_store(self):
        with tempfile.TemporaryDirectory() as work:
            shutil.copytree(self.directory, os.path.join(work, "_pyrite/analytics/traces"))
            code, out, _ = waftctl("trace", "list", cwd=work)
            if not os.path.exists("/run/waft/collector.sock"):
                self.assertEqual(code, 0)
                self.assertIn(ORIGINAL_ID, out)

    def test_by_environment(self):
        code, out, _ = waftctl("trace", "list", WAFT_ENDPOINT="file:" + self.directory)
        self.assertEqual(code, 0)
        self.assertIn(ORIGINAL_ID, out)


class Filters(Store):
    def setUp(self):
        super().setUp()
        self.ids = [str(uuid.UUID(int=(i << 120) | (4 << 76) | (8 << 60) | i))
                    for i in range(1, 5)]
        one, two, three, four = self.ids
        self.write(
            record(one, span_id(1), None, 0, 5, "shop.price", layer="api", service="front",
                   attributes={"http.route": "/a", "n": 7}),
            record(one, span_id(2), span_id(1), 0.001, 1, "db.read", layer="persistence",
                   service="back", status="error", error="disk on fire"),
            record(two, span_id(3), None, 60, 250, "shop.order", status="error", error="no stock",
                   input={"item": "Grüße"}),
            record(three, span_id(4), None, 120, None, "shop.wait", status="pending"),
            record(four, span_id(5), None, 86400, 20, "other", output=[1, "needle"]))

    def found(self, *arguments):
        return [self.ids.index(trace["trace_id"]) + 1 for trace in self.traces(*arguments)]

    def test_newest_first(self):
        self.assertEqual(self.found(), [4, 3, 2, 1])
        self.assertEqual(self.found("-n", "2"), [4, 3])
        self.assertEqual(self.found("--limit=1"), [4])

    def test_conditions(self):
        for arguments, expected in (
                (["--service", "back"], [1]), (["--operation", "shop.order"], [2]),
                (["--layer", "api"], [1]), (["--errors"], [2, 1]), (["--status", "error"], [2]),
                (["--status", "pending"], [3]), (["--attr", "http.route=/a"], [1]),
                (["--attr", "n=7"], [1]), (["--attr", "http.route=/a", "--attr", "n=8"], []),
                (["--layer", "api", "--service", "back"], []),
                (["--min-duration", "100ms"], [2]), (["--max-duration", "20", "--status", "success"],
                                                     [4, 1]),
                (["--grep", "needle"], [4]), (["--grep", "on fire"], [1]),
                (["--grep", "Grüße"], [2]), (["--grep", "shop."], [3, 2, 1]),
                (["--since", "2026-01-10"], [4]), (["--until", "2026-01-10"], [3, 2, 1]),
                (["--since", "2026-01-09T10:01:00Z", "--until", "2026-01-09 10:02"], [2]),
                (["--since", "10m"], [])):
            with self.subTest(arguments):
                self.assertEqual(self.found(*arguments), expected)

    def test_nothing_found_is_no_failure(self):
        code, out, err = waftctl("--store", self.directory, "trace", "list", "--layer", "none")
        self.assertEqual((code, out), (0, ""))
        self.assertEqual(err, f"No traces that fulfil the conditions in file:{self.directory}.\n")

    def test_stats(self):
        rows = [json.loads(line) for line in self.run_ok("stats", "--json").splitlines()]
        self.assertEqual([row["operation"] for row in rows],
                         ["shop.order", "other", "shop.price", "db.read", "shop.wait"])
        self.assertEqual((rows[2]["count"], rows[2]["errors"], rows[2]["total_ms"],
                          rows[2]["self_ms"]), (1, 0, 5, 4))
        table = self.run_ok("stats", "--layer", "persistence").splitlines()
        self.assertEqual(table[0].split(), "OPERATION LAYER SERVICE COUNT ERRORS P50 ms P95 "
                                           "ms P99 ms TOTAL ms SELF ms".split())
        self.assertEqual(table[1].split()[:5], ["db.read", "persistence", "back", "1", "1"])
        self.assertEqual(len(table), 2)

    def test_several_stores_are_one(self):
        """What is split over two, and partly in both, is listed and shown as one."""
        trace = str(uuid.uuid4())
        root = record(trace, span_id(1), operation="root", service="front", duration=9.0)
        child = record(trace, span_id(2), span_id(1), start=0.001, operation="child",
                       service="back", status="error", error="broken")
        other = os.path.join(self.directory, "other")
        os.mkdir(other)
        self.write(root, child)
        with open(os.path.join(other, "2026-01-09.jsonl"), "w", encoding="utf-8") as file:
            file.write(child + "\n" + record(trace, span_id(3), span_id(2), start=0.002,
                                             operation="leaf", duration=0.5) + "\n")
        several = ("--store", other)
        listed = self.traces(*several)
        self.assertEqual([(t["trace_id"], t["operation"], t["spans"], t["errors"], t["services"])
                          for t in listed if t["trace_id"] == trace], [(trace, "root", 3, 1, ["back", "front", "svc"])])
        tree = self.run_ok("trace", "show", trace, *several)
        self.assertEqual(re.findall("(?m)^ *[✓✗].*$", tree), [
            "✓ root (9.00ms) [core]", "  ✗ child (1.00ms) [core]", "    ✓ leaf (0.50ms) [core]"])
        stats = [json.loads(line) for line in
                 self.run_ok("stats", "--json", "--operation", "child", *several).splitlines()]
        self.assertEqual([(s["operation"], s["count"]) for s in stats], [("child", 1)])
        code, out, err = waftctl("status", "--store", self.directory, *several)
        self.assertEqual((code, out), (1, ""))
        self.assertIn("a status is of one place", err)

    def test_what_was_given_up_grows_no_older(self):
        """The age of a span whose process is gone is the one that it had then."""
        trace = str(uuid.uuid4())
        line = json.loads(record(trace, span_id(1), operation="gone", status="pending",
                                 duration=None))
        line["metadata"]["events"] = [{"name": "waft.abandoned",
                                       "timestamp": "2026-01-09T10:00:03.200000000Z",
                                       "attributes": {}}]
        self.write(json.dumps(line, separators=(",", ":")))
        self.assertIn("\n• gone (open 3.20s) [core]\n", self.run_ok("trace", "show", trace))
        self.assertIn("| gone (open 3.20s)\n", self.run_ok("trace", "list"))

    def test_ambiguous_id(self):
        other = self.ids[0][:-1] + "f"
        self.write(record(other, span_id(9)))
        code, out, err = waftctl("--store", self.directory, "trace", "show", "01000000")
        self.assertEqual((code, out), (1, ""))
        self.assertEqual(err, f"waftctl: 01000000 could mean:\n  {self.ids[0]}\n  {other}\n")

    def test_unknown_id(self):
        for name in ("ffffffff", str(uuid.uuid4()), "@99", "x\033[2J"):
            code, out, err = waftctl("--store", self.directory, "trace", "show", name)
            self.assertEqual((code, out), (1, ""))
            shown = name.replace("\033", "\\x1b")
            self.assertEqual(err.splitlines()[0], f"No trace found with ID: {shown}")

    def test_open_and_failed(self):
        out = self.run_ok("trace", "show", self.ids[2])
        self.assertRegex(out, r"\n• shop\.wait \(open \d+[dhs.].*\) \[core\]\n")
        out = self.run_ok("trace", "show", self.ids[0])
        self.assertIn("Services: back, front\nSpans:    2\nErrors:   1\n", out)
        self.assertIn("\n✓ shop.price (5.00ms) [api]\n"
                      "  ✗ db.read (1.00ms) [persistence]\n    Error: disk on fire\n", out)

    def test_status_without_a_collector(self):
        status = json.loads(self.run_ok("status", "--json"))
        self.assertEqual(status["health"], "no_collector")
        self.assertEqual(status["store"], self.directory)
        self.assertGreater(status["store_bytes"], 0)
        self.assertRegex(self.run_ok("status"), r"^emitted 0 = stored 0 \+ dropped 0 \+ unknown 0")


class Shapes(Store):
    def test_orphans_roots_and_order(self):
        trace = str(uuid.uuid4())
        self.write(record(trace, span_id(4), span_id(3), 0.4, 1, "under orphan"),
                   record(trace, span_id(3), span_id(99), 0.3, 1, "orphan"),
                   record(trace, span_id(2), span_id(1), 0.2, 1, "child"),
                   record(trace, span_id(1), None, 0.1, 900, "root"),
                   record(trace, span_id(5), None, 0.5, 1, "second root"))
        self.assertEqual(self.run_ok("trace", "show", "last").split("\n\n")[1], f"""\
✓ root (900.00ms) [core]
  ✓ child (1.00ms) [core]
✓ second root (1.00ms) [core]
? parent {span_id(99)} not received
  ✓ orphan (1.00ms) [core]
    ✓ under orphan (1.00ms) [core]
""")

    def test_no_trace_drives_the_terminal(self):
        evil = "a\033]0;owned\007\033[2J\u009b31m\u202eb\u2028c\rd\ne"
        self.write(record(str(uuid.uuid4()), span_id(1), None, 0, 1, evil, layer=evil, status="error",
                          service=evil, error=evil, input=evil, attributes={evil: evil}))
        for arguments in (["trace", "list"], ["trace", "show", "last", "--data=full"], ["stats"]):
            for shown in (self.run_ok(*arguments),
                          on_terminal("--store", self.directory, "--no-pager", *arguments,
                                         columns=200)[1]):
                for character in plain(shown):
                    self.assertTrue(character == "\n" or ord(character) >= 32, repr(shown))
                    self.assertNotIn(character, "\u007f\u009b\u202e\u2028")

    def test_a_large_trace_is_shown_quickly(self):
        trace = str(uuid.uuid4())
        self.write(record(trace, span_id(1), None, 0, 1000, "root"),
                   *(record(trace, span_id(i), span_id(i // 2 if i % 3 else 1), i / 1e5, 1,
                            f"op{i % 50}") for i in range(2, 100001)))
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        out = self.run_ok("trace", "show", "last")
        self.assertEqual(out.count("\n"), 100000 + 6)
        # About 1 s; ten times that with sanitizers.
        self.assertLess(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before, 30)

    def test_a_deep_trace_is_shown(self):
        trace = str(uuid.uuid4())
        self.write(*(record(trace, span_id(i), span_id(i - 1) if i > 1 else None, i / 1e5)
                     for i in range(1, 20001)))
        out = self.run_ok("trace", "show", "last")
        self.assertIn("\n" + "  " * 200 + "✓ op", out)
        self.assertIn("[level 20000] ✓ op", out)

    def test_torn_and_foreign_lines(self):
        trace = str(uuid.uuid4())
        self.write(record(trace, span_id(1)), "not json", "", '{"trace_id":"x"}', "[1,2]")
        with open(os.path.join(self.directory, "2026-01-09.jsonl"), "a", encoding="utf-8") as file:
            file.write(record(trace, span_id(2), span_id(1))[:-20])
        self.assertEqual(json.loads(self.assert_told(3, "trace", "list", "--json"))["spans"], 1)


class NotRecords(Store):
    """Lines that are no records are passed over, and that is said."""

    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.directory, "2026-01-09.jsonl")
        with open(ORIGINAL, encoding="utf-8") as file, \
                open(self.path, "w", encoding="utf-8") as copy:
            copy.write('garbage\n{"half":' + file.read())

    def test_a_warning_after_the_output(self):
        for arguments in (["trace", "list"], ["trace", "list", "--json"], ["trace", "show", "last"],
                          ["trace", "show", ORIGINAL_ID, "--json"], ["stats"], ["stats", "--json"]):
            self.assertNotEqual(self.assert_told(2, *arguments), "")

    def test_where_nothing_else_is_found(self):
        with open(self.path, "w", encoding="utf-8") as file:
            file.write("garbage\n")
        code, out, err = waftctl("--store", self.directory, "trace", "list")
        self.assertEqual((code, out), (0, ""))
        self.assertEqual(err, f"No traces in file:{self.directory}.\n"
                         f"waftctl: 1 line of the files in {self.directory} is not a record and "
                         "was passed over, in 2026-01-09.jsonl, line 1: not JSON; all else was "
                         "read. Keep the file: waftctl status looks through the whole store.\n")

    def test_status(self):
        said = r"lines that are not records and were passed over: 2, the first in " \
               r"2026-01-09\.jsonl, line 1: \S.*"
        self.assertRegex(self.run_ok("status"), rf"\n +{said}\n")
        reasons = json.loads(self.run_ok("status", "--json"))["reasons"]
        self.assertEqual([bool(re.fullmatch(said, reason)) for reason in reasons].count(True), 1)


class Terminals(Store):
    def setUp(self):
        super().setUp()
        self.ids = sorted(str(uuid.uuid4()) for _ in range(3))
        self.write(
            record(self.ids[0], span_id(1), None, 0, 12.5, "waft-decide.analyze", layer="cli",
                   service="waft-decide"),
            record(self.ids[1], span_id(2), None, 1, 1234.5,
                   "a.very.long.operation.name.that.can.not.fit.into.eighty.columns.at.all",
                   status="error", error="it broke", service="数据服务"),
            record(self.ids[2], span_id(3), None, 2, 1, "数据转换.规范化", service="other"))

    def lines(self, *arguments, columns, **environment):
        code, shown = on_terminal("--store", self.directory, *arguments, columns=columns,
                                     **environment)
        self.assertEqual(code, 0)
        return shown.splitlines()

    def test_80_columns(self):
        lines = [plain(line) for line in
                 self.lines("trace", "list", "--no-pager", columns=80)]
        self.assertEqual(lines[0], "2026-01-09")
        for line in lines:
            self.assertLessEqual(len(line) + sum(ord(c) > 0x2e80 for c in line), 80)
        self.assertIn("…", lines[2])
        self.assertIn("(1234.50ms)", lines[2])
        # What is in the brackets can be pasted.
        short = re.search(r"\[([0-9a-f-]+)\]", lines[1]).group(1)
        self.assertLess(len(short), 36)
        self.assertIn("数据转换.规范化", self.run_ok("trace", "show", short))

    def test_wide_columns_are_aligned(self):
        lines = [plain(line) for line in self.lines("trace", "list", "--no-pager", columns=170)][1:]
        for line, services in zip(lines, ("other", "数据服务", "waft-decide")):
            self.assertIn(services, line)
            self.assertRegex(line, r"1 span +\d errors?$")
        def column(line):
            before = line[:line.index("1 span")]
            return len(before) + sum(ord(c) > 0x2e80 for c in before)
        self.assertEqual(len({column(line) for line in lines}), 1)

    def test_statistics_fit(self):
        for columns in (80, 100, 200):
            for line in self.lines("stats", "--no-pager", columns=columns):
                line = plain(line)
                self.assertLessEqual(len(line) + sum(ord(c) > 0x2e80 for c in line), columns)
        self.assertNotIn("SERVICE", self.lines("stats", "--no-pager", columns=80)[0])
        self.assertIn("SERVICE", self.lines("stats", "--no-pager", columns=200)[0])

    def test_colours(self):
        def coloured(*arguments, **environment):
            return "\033[" in "".join(self.lines(*arguments, "trace", "list", "--no-pager",
                                                 columns=80, **environment))
        self.assertTrue(coloured())
        self.assertTrue(coloured(NO_COLOR=""))
        self.assertFalse(coloured(NO_COLOR="1"))
        self.assertFalse(coloured(TERM="dumb"))
        self.assertFalse(coloured("--color=never"))
        self.assertTrue(coloured("--color=always", NO_COLOR="1"))
        self.assertNotIn("\033", self.run_ok("trace", "list"))
        self.assertIn("\033[31m", self.run_ok("trace", "list", "--color"))

    def test_pager(self):
        mark = os.path.join(self.directory, "paged")
        pager = f"tee {mark}"
        shown = self.lines("trace", "list", columns=80, PAGER=pager)
        with open(mark, encoding="utf-8") as file:
            self.assertEqual(file.read().splitlines(), shown)
        os.unlink(mark)
        self.lines("trace", "list", "--no-pager", columns=80, PAGER=pager)
        self.lines("trace", "list", "--json", columns=80, PAGER=pager)
        self.run_ok("trace", "list", PAGER=pager)
        self.assertFalse(os.path.exists(mark))
        # One that isn't there doesn't swallow the text; one that stops early is no failure.
        self.assertEqual(len(self.lines("trace", "list", columns=80, PAGER="/no/such/pager -x")), 4)
        self.assertEqual(len(self.lines("trace", "list", columns=80, PAGER="head -n 1")), 1)

    def test_waterfall(self):
        for columns in (40, 80, 200):
            for line in self.lines("trace", "show", "last", "--waterfall", "--no-pager",
                                   columns=columns)[6:]:
                line = plain(line)
                self.assertLessEqual(len(line) + sum(0x2e80 < ord(c) < 0xf000 for c in line),
                                     columns)
        self.assertIn("█", self.run_ok("trace", "show", "last", "--waterfall"))


class Pipes(Store):
    def test_a_reader_that_stops_is_no_failure(self):
        trace = str(uuid.uuid4())
        self.write(*(record(trace, span_id(i), None, i / 1e5) for i in range(1, 20000)))
        for command in ("trace show last", "trace show last --json"):
            done = subprocess.run(
                ["bash", "-o", "pipefail", "-c",
                 f'"$0" --store "$1" {command} | head -n 1', WAFTCTL, self.directory],
                capture_output=True, text=True, env=ENVIRONMENT, timeout=DEADLINE_S, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(done.stdout.count("\n"), 1)

    def test_a_full_disk_is_one(self):
        self.write(record(str(uuid.uuid4()), span_id(1)))
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([WAFTCTL, "--store", self.directory, "trace", "list"],
                                  stdout=full, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
                                  timeout=DEADLINE_S, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("No space left on device", done.stderr)


class Tail(Store):
    def setUp(self):
        super().setUp()
        self.write(record(str(uuid.uuid4()), span_id(1), operation="old"))

    def start(self, *arguments):
        process = subprocess.Popen(
            [WAFTCTL, "--store", self.directory, "trace", "tail", *arguments],
            stdout=subprocess.PIPE, env=ENVIRONMENT)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process, Lines(process.stdout)

    def append_until_seen(self, lines, **more):
        """What is written before the first look is old, so more is written until
        something is told."""
        deadline = time.monotonic() + DEADLINE_S
        number = 100
        while time.monotonic() < deadline:
            self.write(record(str(uuid.uuid4()), span_id(number), operation=f"new{number}", **more))
            number += 1
            if lines.ready(0.2):
                return lines.next()
        self.fail("nothing was told")

    def test_new_spans_are_told(self):
        process, lines = self.start("-n", "2")
        line = self.append_until_seen(lines, status="error", error="boom", service="svc")
        self.assertRegex(line, r"^✗ \[[0-9a-f-]{36}\] 10:00:00\.000 \| new\d+ \(1\.00ms\) "
                               r"\[core\] svc\n$")
        self.assertEqual(lines.next(), "  Error: boom\n")
        self.write(record(str(uuid.uuid4()), span_id(2), operation="second"))
        self.assertEqual(process.wait(DEADLINE_S), 0)

    def test_a_line_is_told_when_it_is_whole(self):
        _, lines = self.start("--json")
        self.append_until_seen(lines)
        line = record(str(uuid.uuid4()), span_id(5), operation="torn")
        path = os.path.join(self.directory, "2026-01-09.jsonl")
        other = os.path.join(self.directory, "2026-01-10.jsonl")
        number = 1000
        for part in (line[:50], line[50:], "\n"):
            with open(path, "a", encoding="utf-8") as file:
                file.write(part)
            # What another file gets is told in a later look than one that began before it:
            # the second time, the part was there for all of a look.
            for _ in range(2 if part != "\n" else 0):
                with open(other, "a", encoding="utf-8") as file:
                    file.write(record(str(uuid.uuid4()), span_id(number), operation="other") + "\n")
                number += 1
                told = lines.next()
                while json.loads(told)["operation"] != "other":
                    self.assertNotEqual(json.loads(told)["operation"], "torn")
                    told = lines.next()
        told = ""
        while "torn" not in told:
            told = lines.next()
        self.assertEqual(told, line + "\n")

    def test_conditions(self):
        _, lines = self.start("--layer", "api", "--json")
        told = self.append_until_seen(lines, layer="api")
        self.write(record(str(uuid.uuid4()), span_id(7), operation="wrong", layer="core"))
        self.write(record(str(uuid.uuid4()), span_id(8), operation="right", layer="api"))
        while json.loads(told)["operation"] != "right":
            self.assertNotEqual(json.loads(told)["operation"], "wrong")
            told = lines.next()


class CommandLines(unittest.TestCase):
    def test_wrong_ones(self):
        for arguments, words in (
                ([], "what to do?"), (["trcae"], 'did you mean "trace"?'),
                (["trace", "list", "-n", "x"], "--limit takes a number"),
                (["trace", "show"], "trace show needs TRACE-ID"),
                (["trace", "list", "--bogus"], 'no option "--bogus"'),
                (["help", "bogus"], 'no command "bogus"')):
            with self.subTest(arguments):
                code, out, err = waftctl(*arguments)
                self.assertEqual((code, out), (2, ""))
                self.assertIn(words, err)
                self.assertIn("Try: waftctl help", err)

    def test_nothing_to_read(self):
        code, out, err = waftctl("--store", "/no/such/directory", "trace", "list")
        self.assertEqual((code, out), (1, ""))
        self.assertEqual(err, "waftctl: file:/no/such/directory: No such file or directory\n"
                              "Name a directory that holds traces.\n")
        code, _, err = waftctl("--endpoint", "unix:/no/such.sock", "trace", "list")
        self.assertEqual(code, 1)
        self.assertIn("unix:/no/such.sock: No such file or directory", err)
        self.assertIn("Is waft-collectord running?", err)
        code, _, err = waftctl("--endpoint", "nonsense", "trace", "list")
        self.assertEqual(code, 2)
        self.assertIn('"nonsense" is not unix:PATH, tls://HOST:PORT or file:DIR', err)
        with tempfile.TemporaryDirectory() as empty:
            code, _, err = waftctl("trace", "list", cwd=empty)
            if not os.path.exists("/run/waft/collector.sock") and \
                    not os.path.exists("/var/lib/waft/traces"):
                self.assertEqual(code, 1)
                self.assertIn("file:_pyrite/analytics/traces: No such file", err)
                self.assertIn("waft-collectord", err)

    def test_help_and_version(self):
        code, out, _ = waftctl("--help")
        self.assertEqual(code, 0)
        self.assertIn("trace show TRACE-ID|last|@N", out)
        self.assertEqual(waftctl("help", "trace", "show")[1], waftctl("trace", "show", "-h")[1])
        code, out, _ = waftctl("version")
        self.assertRegex(out, r"^waftctl \d+\.\d+\.\d+ \(protocol 1\)\n$")
        self.assertEqual(waftctl("--version")[1], out)
        self.assertEqual(json.loads(waftctl("version", "--json")[1])["name"], "waftctl")
        commands = [json.loads(line)["command"] for line in
                    waftctl("help", "--json")[1].splitlines()]
        self.assertIn("trace tail", commands)

    def test_waft_is_the_same_program(self):
        done = subprocess.run([os.path.join(os.environ["WAFT_BIN"], "waft"), "version"],
                              capture_output=True, text=True, timeout=DEADLINE_S, check=True)
        self.assertEqual(done.stdout, waftctl("version")[1])


if __name__ == "__main__":
    unittest.main()
