#!/usr/bin/python3
"""The collector's clock set back, forward and around midnight, while it runs and
between its lives.

A trace's day is that of its first run's earliest root, the day of receipt where that
start is more than a day away; later runs go to the same day. This computes it anew for
every trace that is sent, and looks in which file each line stands. Timers must not
notice: what is due is written in its time, whatever the clock does.
"""
import os
import subprocess
import time

import fault
import wire
from fault import Clock, Daemon, Exporter, uuid_text

OPTIONS = ("--quiet", "20ms", "--hold", "300ms", "--part-size", "8K", "--http", "127.0.0.1:0")
DAY_NS = fault.DAY_NS
HOUR_NS = DAY_NS // 24
DUE_S = 3.0  # hold, and room for a busy machine
# From a batch's clock to the start of its first span; see wire.batch and wire.span.
START_NS = -1000000 - 1000


def lines_of(path):
    """The lines of a file of the store, sealed or not."""
    if path.endswith(".zst"):
        return subprocess.run(["zstdcat", path], check=True, capture_output=True).stdout.splitlines()
    with open(path, "rb") as file:
        return file.read().splitlines()


class Test:
    def __init__(self, daemon, clock):
        self.daemon = daemon
        self.clock = clock
        self.days = {}  # trace id: the days that its rule allows
        self.spans = {}
        self.slowest = 0.0

    def start(self):
        self.daemon.start(*OPTIONS, env=self.clock.environment())

    def send(self, start_ns, trace=None, spans=3):
        """A run of a trace that starts then, by its client's clock."""
        trace_id = trace or os.urandom(16)
        body = [wire.span(1 + i, distance=i, trace_id=trace_id if i == 0 else None, end=i,
                          parent=77 if trace and i == 0 else 0) for i in range(spans)]
        data = wire.batch(body, int.from_bytes(os.urandom(6), "little") << 8,
                          now_ns=start_ns - START_NS)
        exporter = Exporter(self.daemon.socket)
        before = self.clock.now()
        exporter.send_batch(data)
        exporter.wait(1)
        received = (before, self.clock.now())
        exporter.close()
        if trace is None:
            self.days[trace_id] = {self.day(start_ns, at) for at in received}
        self.spans[trace_id] = self.spans.get(trace_id, 0) + spans
        return trace_id

    @staticmethod
    def day(start_ns, received_ns):
        return (received_ns if abs(start_ns - received_ns) > DAY_NS else start_ns) // DAY_NS

    def wait_written(self):
        begin = time.monotonic()
        while self.daemon.metric("spans_waiting") + self.daemon.metric("store_queue_spans") > 0:
            assert time.monotonic() - begin < 10 * DUE_S, "what is due is not written"
        self.slowest = max(self.slowest, time.monotonic() - begin)

    def round(self):
        """Traces of all sorts by the clock as it is now."""
        now = self.clock.now()
        traces = [self.send(time.time_ns()), self.send(now)]
        for hours in (-47, -25, -23, -1, 1, 23, 25):
            traces.append(self.send(now + hours * HOUR_NS))
        self.wait_written()
        return traces

    def late(self, traces):
        """Further runs, of another day, go where the first is."""
        for trace in traces:
            self.send(self.clock.now(), trace)
        self.wait_written()

    def around_midnight(self, before_ns):
        """Roots just before midnight, children after it, and the other way about."""
        self.clock.to_midnight(before_ns)
        midnight = (self.clock.now() // DAY_NS + 1) * DAY_NS
        for start in (midnight - 2, midnight - 1, midnight, midnight + 1):
            trace = self.send(start)
            self.send(midnight + 500, trace)
            self.send(midnight - 500, trace)
        while self.clock.now() < midnight:
            self.send(self.clock.now())
        self.send(self.clock.now())
        self.wait_written()

    def check(self):
        found = {}
        for name in os.listdir(self.daemon.store):
            if not name.endswith((".jsonl", ".jsonl.zst")):
                continue
            day = int(time.mktime(time.strptime(name[:10] + " UTC", "%Y-%m-%d %Z"))
                      - time.timezone) // 86400
            for line in lines_of(os.path.join(self.daemon.store, name)):
                found.setdefault(line[13:49].decode(), []).append(day)
        lines = 0
        for trace, days in self.days.items():
            stands = found.pop(uuid_text(trace), [])
            assert len(stands) == self.spans[trace], f"{len(stands)} lines of {self.spans[trace]}"
            assert len(set(stands)) == 1, f"a trace stands in files of {set(stands)}"
            assert set(stands) <= days, f"a trace of {days} stands in a file of {stands[0]}"
            lines += len(stands)
        assert not found, "lines that nobody sent"
        return lines


def run(short):
    with Daemon() as daemon:
        clock = Clock(os.path.join(daemon.directory, "clock"))
        test = Test(daemon, clock)
        test.start()
        first = test.round()
        offsets = [-2 * DAY_NS, 3 * DAY_NS] if short else [
            -2 * DAY_NS, 3 * DAY_NS, -DAY_NS, DAY_NS, -400 * DAY_NS, 0, HOUR_NS, -HOUR_NS]
        for number, offset in enumerate(offsets):
            clock.set(offset)
            traces = test.round()
            test.late(first + traces)
            if number % 2:
                assert daemon.stop() == 0, daemon.log()
                test.start()
                test.late(first[:3])
        for before_ms in (300,) if short else (900, 500, 200, 50, 20):
            test.around_midnight(before_ms * 10**6)
        clock.set(0)
        test.late(first)
        assert daemon.stop() == 0, daemon.log()
        lines = test.check()
        return (f"{len(test.days)} traces, {lines} lines, each in the file of its rule; all "
                f"written within {test.slowest:.2f} s", test.slowest < DUE_S)


fault.main(run)
