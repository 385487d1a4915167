#!/usr/bin/python3
"""The disk runs full and gets space again, over and over: nothing is acknowledged
that is not stored, queries go on meanwhile, and it heals within a second.

Full is a limit of file sizes (RLIMIT_FSIZE) at different lengths, which needs nothing;
and in full, as root, a tmpfs of 48 MiB with a file that takes all there is. Meanwhile log and
parts roll, parts are sealed, spans come late and for two days, a trace is over the cap,
retention takes yesterday's files, and every few cycles the daemon starts anew without its index.
"""
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time

import fault
import life
from fault import Exporter, fields, one, uuid_text

OPTIONS = ("--segment-size", "64K", "--part-size", "16K", "--quiet", "5ms", "--hold", "50ms",
           "--trace-spans", "16", "--seal-after", "1ms", "--retention-age", "1ms",
           "--http", "127.0.0.1:0")
START_EVERY, START_EVERY_SHORT = 8, 2  # cycles
HEAL_S = 1.0
CYCLES, CYCLES_SHORT = 50, 4
TMPFS_BYTES = 48 << 20


class FileLimit:
    """No file of the daemon's may grow beyond some bytes."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.cycle = 0

    def fill(self):
        self.cycle += 1
        self.set(self.cycle * 331 % 5000)

    def free(self):
        self.set(resource.RLIM_INFINITY)

    def set(self, size):
        resource.prlimit(self.daemon.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


class Ballast:
    """A file that takes all the space of the file system."""

    def __init__(self, daemon):
        self.path = os.path.join(daemon.store, "..", "ballast")

    def fill(self):
        with open(self.path, "wb", buffering=0) as file:
            size = 1 << 20
            while size > 0:
                try:
                    file.write(b"\0" * size)
                except OSError:
                    size //= 2

    def free(self):
        os.unlink(self.path)


class Load:
    """Sends, and knows what was acknowledged."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.client = os.urandom(16)
        self.exporter = Exporter(daemon.socket, self.client)
        self.batches = []  # what is in each: {(trace, span)}, as texts
        self.whole = []    # (batch, trace of 3 spans in it)
        self.old = set()   # traces of yesterday, which retention may take

    def send(self, traces, **more):
        base = int.from_bytes(os.urandom(6), "little") << 8
        more.setdefault("now_ns", self.daemon.clock.now())
        data, ids = life.make_batch(base, traces, **more)
        self.batches.append({(uuid_text(trace), life.span_text(span)) for trace, span in ids})
        self.exporter.send_batch(data, len(self.batches))

    def send_new(self):
        traces = life.new_traces(2, 3)
        self.send(traces)
        self.whole.append((len(self.batches), traces[0][0]))

    def send_all(self):
        """New traces, late spans of old ones, a trace over the cap, two of yesterday."""
        late = [(trace, 3, 2, None) for _, trace in self.whole[-3:-1]]
        self.send_new()
        self.send(late + [(os.urandom(16), 0, 120, None)])
        traces = life.new_traces(2, 3)
        self.old |= {uuid_text(trace[0]) for trace in traces}
        self.send(traces, now_ns=self.daemon.clock.now() - life.YESTERDAY_NS)

    def wait(self):
        self.exporter.wait(len(self.batches))

    def start_again(self):
        """The daemon anew, without its index. All that was sent is acknowledged."""
        self.exporter.close()
        shutil.rmtree(os.path.join(self.daemon.store, ".waft", "index"))
        self.daemon.start(*OPTIONS)
        self.exporter = Exporter(self.daemon.socket, self.client, len(self.batches))
        assert self.exporter.durable == len(self.batches), self.exporter.durable

    def acknowledged(self):
        """Spans that must be there."""
        return {key for batch in self.batches[:self.exporter.durable] for key in batch
                if key[0] not in self.old}


def listed(daemon):
    status, message, answer = daemon.query("ListTraces", fault.wire.number(2, 1000))
    assert status == 0, message
    return {uuid_text(one(fields(trace), 1)) for trace in fields(answer).get(1, [])}


def cycle(daemon, load, disk):
    """Fills, sends, asks, frees; seconds until all was acknowledged."""
    load.send_new()
    load.send_new()
    load.wait()
    disk.fill()
    load.send_all()
    fault.until(lambda: daemon.http("/healthz")[0] != 200, "the daemon says so")
    daemon.process.send_signal(signal.SIGHUP)  # retention looks again
    there = {trace for trace, _ in load.acknowledged()}
    assert there <= listed(daemon), "an acknowledged trace can't be seen"
    trace = [trace for batch, trace in load.whole if batch <= load.exporter.durable][-1]
    status, _, answer = daemon.query("GetTrace", fault.wire.text(1, uuid_text(trace)))
    assert status == 0 and len(fields(answer)[1]) == 3, status
    begin = time.monotonic()
    disk.free()
    load.wait()
    return time.monotonic() - begin


def check_whole(daemon):
    """That the store went through all that changes a file. That it sealed is known already,
    and retention may have taken what it sealed."""
    log, names = daemon.log(), os.listdir(daemon.store)
    assert any(re.search(r"\.000[2-9]\.", name) for name in names), "no part rolled"
    assert re.search(r"removed \d+ old files", log), "no retention"
    assert re.search(r"indexed \d+ of \d+ files anew", log), "no new index"


def cycles(count, every, make_disk, store=None):
    """(slowest healing, spans stored); all checks made."""
    with life.NoonDaemon() as daemon:
        daemon.store = store or daemon.store
        daemon.start(*OPTIONS)
        load, disk, slowest = Load(daemon), make_disk(daemon), 0
        for number in range(1, count + 1):
            slowest = max(slowest, cycle(daemon, load, disk))
            if number % every == 0:
                if number // every % 2:
                    daemon.kill()
                else:
                    assert daemon.stop() == 0, daemon.log()
                load.start_again()
        life.wait_sealed(daemon)
        wanted = load.acknowledged()
        assert daemon.stop() == 0, daemon.log()
        check_whole(daemon)
        found = fault.spans_in(daemon.store)
        assert wanted <= set(found), f"{len(wanted - set(found))} spans are lost"
        assert {key for key in found if key[0] not in load.old} == wanted, "spans of nobody"
        assert set(found.values()) == {1}, "a span is doubled"
        return slowest, len(wanted)


def on_tmpfs(count):
    """The same on a tmpfs that is really full; None where that can't be had."""
    with tempfile.TemporaryDirectory() as directory:
        command = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "waft-fault", directory]
        if os.geteuid() != 0 or subprocess.run(command, check=False).returncode != 0:
            return None
        try:
            return cycles(count, START_EVERY, Ballast, os.path.join(directory, "store"))
        finally:
            subprocess.run(["umount", "-l", directory], check=True)


def run(short):
    count = CYCLES_SHORT if short else CYCLES
    slowest, spans = cycles(count, START_EVERY_SHORT if short else START_EVERY, FileLimit)
    text = f"{count} times no file could grow"
    full = None if short else on_tmpfs(count)
    if full is not None:
        slowest, spans = max(slowest, full[0]), spans + full[1]
        text += f", {count} times a tmpfs was full"
    elif not short:
        text += " (a full tmpfs not run: it needs root and mount)"
    return (f"{text}; {spans} spans, 0 lost, 0 doubled; healed in {slowest:.2f} s at most",
            slowest < HEAL_S)


fault.main(run)
