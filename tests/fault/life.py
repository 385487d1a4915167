"""A life of a store that goes through everything which changes a file: what the rows
kill and inject interfere with.

Life() makes a store with yesterday's part, traces whose log records wait, and no index
(a copy of one would have files that aren't its own: see docs/STORE.md on inodes). Its
run() then starts a daemon there, under a command of the caller's: recovery, an index rebuilt, retention of yesterday's part, rolls of log and
parts, two days, late spans, a trace over the cap, sealing, trims, the drain and the
checkpoint; assert_whole() holds the calls of a life against that. What was sent and acknowledged is kept; heal() brings the store to its end without
interference and check() counts.
"""
import os
import re
import shutil
import signal

import fault
import wire
from fault import Closed, Exporter, fields, one, uuid_text

CAP, LARGE = 64, 150  # spans of a trace that are held, and of one that has more
# Small, so that little makes everything happen.
SIZES = ("--segment-size", "64K", "--log-limit", "512K", "--part-size", "24K", "--trace-spans",
         str(CAP), "--hold", "200ms", "--quiet", "5ms", "--http", "127.0.0.1:0")
# As soon as may be.
CHORES = ("--retention-age", "1ms", "--seal-after", "1ms")
# What must be among a life's calls (`inject --list`), and how often at least.
DAY = r"\d{4}-\d\d-\d\d"
CALLS = {
    "a roll of the log": (2, r"openat /\.waft/log/\d+\.log"),
    "a log segment forgotten": (1, r"unlinkat /\.waft/log/"),
    "a roll of parts": (2, r"renameat2? /\.waft/part\.new"),
    "a commit": (2, r"fdatasync /\.waft/manifest$"),
    "a checkpoint": (2, r"renameat2? /\.waft/manifest\.new"),
    "sealing": (1, r"renameat2? /\.waft/sealed\.new"),
    "retention, or the plain form of a sealed part": (2, rf"unlinkat /{DAY}[^/]*\.jsonl"),
    "an index built anew": (2, r"unlinkat /\.waft/index/.*\.runs$"),
}
YESTERDAY_NS = 86390 * 10**9
TOMORROW_NS = YESTERDAY_NS  # of that day retention takes nothing, however long a life lasts
DATA = b'"' + b"d" * 9000 + b'"'


class Daemon(fault.Daemon):
    """One under another program: `before` are the words in front of its command."""

    def __init__(self):
        super().__init__()
        self.before = []

    def command(self, *options):
        return [*self.before, *super().command(*options)]


class NoonDaemon(Daemon):
    """By its clock the day lasts: retention leaves what is of today when the test begins."""

    def __init__(self):
        super().__init__()
        self.clock = fault.Clock(os.path.join(self.directory, "clock"))
        self.clock.to_noon()

    def start(self, *options):
        return super().start(*options, env=self.clock.environment())


def make_batch(id_base, traces, **more):
    """A batch of (trace id, first position, spans, data) and the spans' ids."""
    spans, ids, sequence = [], [], 1
    for trace_id, first, count, data in traces:
        for i in range(count):
            late = first + i > 0
            body = wire.span(sequence, distance=i, trace_id=trace_id if i == 0 else None,
                             parent=77 if late and i == 0 else 0, end=i)
            spans.append(body + (wire.text(10, data) if data else b""))
            ids.append((trace_id, wire.mix(id_base + sequence)))
            sequence += 1
    return wire.batch(spans, id_base, **more), ids


class Sender:
    """A client, what it sends in what order, and what was acknowledged of it."""

    def __init__(self, clock):
        self.clock = clock
        self.client = os.urandom(16)
        self.batches = []  # (bytes, ids of spans); the sequence is the place, from 1
        self.acknowledged = 0

    def add(self, traces, **more):
        more.setdefault("now_ns", self.clock.now())
        data, ids = make_batch(int.from_bytes(os.urandom(6), "little") << 8, traces, **more)
        self.batches.append((data, ids))
        return len(self.batches)

    def send(self, socket, until):
        """Sends what the other side lacks up to a sequence number; waits for it."""
        exporter = Exporter(socket, self.client, acknowledged=self.acknowledged)
        try:
            assert exporter.durable >= self.acknowledged, "the watermark went back"
            assert one(exporter.welcome, 2) == 0 or self.acknowledged == 0, "forgotten"
            for sequence in range(exporter.durable + 1, until + 1):
                exporter.send_batch(self.batches[sequence - 1][0], sequence)
            exporter.wait(until)
        finally:
            self.acknowledged = max(self.acknowledged, exporter.durable)
            exporter.close()
        assert not exporter.refusals, exporter.refusals


def new_traces(count, spans=4, data=None):
    return [(os.urandom(16), 0, spans, data) for _ in range(count)]


def assert_whole(one, calls):
    """That a life with these calls, lines of inject, which was watched, went through all that
    a life is to go through."""
    log = one.daemon.log()
    for what, (least, pattern) in CALLS.items():
        count = sum(re.match(pattern, call) is not None for call in calls)
        assert count >= least, f"a life had {count} of {least} times: {what}"
    days = {found.group(0) for call in calls
            if (found := re.search(rf"(?<=pwritev /){DAY}(?=[.\d]*\.jsonl$)", call))}
    assert len(days) >= 2, f"a life wrote to the files of {sorted(days)} alone"
    assert re.search(r"removed \d+ old files", log), "a life without retention"
    assert re.search(r"indexed \d+ of \d+ files anew", log), "a life without a new index"
    assert one.big_runs >= 1, "a life without a run of a trace over the cap"
    assert_runs(one)


def assert_runs(one):
    """That what came late went to files later than the rest of its trace, and what is over
    the cap in more than one run."""
    before, after, end = one.written_by_phase
    for trace in one.waiting + one.written:
        first, late = (sum(key[0] == uuid_text(trace[0]) for key in keys)
                       for keys in (before, after))
        assert 0 < first < late, f"a trace had {first} spans in files, and {late} when 2 came late"
    spans = sum(key[0] == uuid_text(one.large) for key in end)
    assert spans == LARGE > one.big_runs * CAP - CAP, f"{spans} spans of the trace over the cap"


def wait_written(daemon):
    """Until no durable span waits to be in a file."""
    fault.until(lambda: daemon.metric("spans_waiting") + daemon.metric("store_queue_spans") == 0,
                "what is durable is in files")


def wait_sealed(daemon):
    """Until a part was sealed. Retention may have taken it since."""
    def sealed():
        daemon.metric("parts_sealed_total")
        return "sealed a file" in daemon.log() or any(
            name.endswith(".zst") for name in os.listdir(daemon.store))

    fault.until(sealed, "a part is sealed")


class Life:
    def __init__(self, store=None):
        """store: where to have it, besides in the daemon's own directory."""
        self.daemon = NoonDaemon()
        self.daemon.store = store or self.daemon.store
        self.waiting = new_traces(3)  # in the log when the life begins
        self.written = new_traces(3)  # in a file
        self.old = new_traces(20)     # of yesterday: retention takes them
        self.watched = False
        self.written_by_phase = []    # spans in files behind each phase, when it is watched
        self.big_runs = 0             # runs that were written because of the cap
        self.before = Sender(self.daemon.clock)
        self.prepare()
        self.sender = Sender(self.daemon.clock)
        for _ in range(4):  # the log rolls
            self.sender.add(new_traces(2, 3, DATA))
        self.phases = [4]
        late = [(trace[0], 4, 2, None) for trace in self.waiting + self.written]
        self.sender.add(late + [(os.urandom(16), 4, 2, None)])
        self.sender.add(new_traces(4), now_ns=self.daemon.clock.now() + TOMORROW_NS)
        self.phases.append(6)
        self.large = os.urandom(16)  # over --trace-spans
        self.sender.add([(self.large, 0, LARGE, None)])
        self.sender.add(new_traces(2, 3, DATA))
        self.phases.append(8)

    def prepare(self):
        daemon = self.daemon
        daemon.start(*SIZES)
        self.before.add(self.old, now_ns=daemon.clock.now() - YESTERDAY_NS)
        self.before.add(self.written)
        self.before.send(daemon.socket, 2)
        assert daemon.stop() == 0, daemon.log()
        daemon.start(*SIZES, "--hold", "60s", "--quiet", "60s")
        self.before.add(self.waiting)
        self.before.send(daemon.socket, 3)
        daemon.kill()
        shutil.rmtree(os.path.join(daemon.store, ".waft", "index"))

    def close(self):
        if self.daemon.process is not None and self.daemon.process.poll() is None:
            self.daemon.process.kill()
            self.daemon.process.wait()
        shutil.rmtree(self.daemon.store, ignore_errors=True)
        shutil.rmtree(self.daemon.directory)

    def run(self, *before):
        """The life under a command; its exit status. However it ends, `sender`
        knows what was acknowledged."""
        daemon = self.daemon
        daemon.before = before
        try:
            daemon.start(*SIZES, *CHORES)
            for until in self.phases:
                self.sender.send(daemon.socket, until)
                wait_written(daemon)
                if self.watched:
                    self.watch()
            wait_sealed(daemon)
            return daemon.stop()
        except (Closed, OSError, AssertionError, ValueError):
            if daemon.process.poll() is None and not self.ends():
                raise
            return daemon.process.wait(fault.wire.DEADLINE_S)

    def watch(self):
        while True:
            try:
                self.written_by_phase.append(set(fault.spans_in(self.daemon.store)))
                break
            except FileNotFoundError:
                pass  # sealed or removed just now
        self.big_runs = self.daemon.metric('runs_total{reason="big"}')

    def killed_start(self, *before):
        """A start under a command that may end it; how it ended."""
        self.daemon.before = before
        try:
            self.daemon.start(*SIZES)
        except AssertionError:
            return self.daemon.process.wait(fault.wire.DEADLINE_S)
        self.daemon.process.send_signal(signal.SIGUSR1)
        self.daemon.process.wait(fault.wire.DEADLINE_S)
        return 0

    def ends(self):
        """True when the daemon is ending: it was killed in the middle of a call."""
        try:
            self.daemon.process.wait(5)
        except fault.subprocess.TimeoutExpired:
            return False
        return True

    def heal(self):
        """Another daemon, left alone: takes the rest, answers, ends."""
        daemon = self.daemon
        daemon.before = []
        said = len(daemon.log())
        daemon.start(*SIZES)
        self.sender.send(daemon.socket, len(self.sender.batches))
        listed = self.listed()
        assert daemon.stop() == 0, daemon.log()
        assert "can't" not in daemon.log()[said:], daemon.log()
        return listed

    def listed(self):
        status, message, answer = self.daemon.query("ListTraces", wire.number(2, 1000))
        assert status == 0, message
        return {one(fields(trace), 1) for trace in fields(answer).get(1, [])}

    def check(self, listed):
        """(spans lost, spans doubled): of what the life sent and what it began with."""
        found = fault.spans_in(self.daemon.store)
        expected = {}
        for sender in (self.before, self.sender):
            for _, ids in sender.batches:
                expected.update({(uuid_text(t), span_text(s)): t for t, s in ids})
        old = {trace[0] for trace in self.old}
        strange = set(found) - set(expected)
        assert not strange, f"spans that nobody sent: {list(strange)[:3]}"
        lost = [key for key, trace in expected.items() if trace not in old and key not in found]
        doubled = [key for key, lines in found.items() if lines > 1]
        traces = {expected[key] for key in expected if key in found}
        assert listed == traces, (f"listed and stored differ: {len(listed - traces)} only listed, "
                                  f"{len(traces - listed)} only stored")
        return len(lost), len(doubled)


def span_text(span_id):
    """A span's 8 bytes in order of the wire as a UUIDv8 (DESIGN: the record)."""
    hexed = (span_id & (1 << 64) - 1).to_bytes(8, "little").hex()
    return f"{hexed[:8]}-{hexed[8:12]}-8{hexed[12:15]}-800{hexed[15]}-000000000000"
