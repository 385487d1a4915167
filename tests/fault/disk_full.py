#!/usr/bin/python3
"""The disk runs full and gets space again, over and over: nothing is acknowledged
that is not stored, queries go on meanwhile, and it heals within a second.

Full is a limit of file sizes (RLIMIT_FSIZE) at different lengths, which needs nothing;
and in full, as root, a tmpfs of 48 MiB with a file that takes all there is.
"""
import os
import resource
import subprocess
import tempfile
import time

import fault
from fault import Daemon, Exporter, fields, one, tree_batch, uuid_text

OPTIONS = ("--segment-size", "64K", "--part-size", "16K", "--quiet", "5ms", "--hold", "50ms",
           "--http", "127.0.0.1:0")
HEAL_S = 1.0
CYCLES, CYCLES_SHORT = 50, 4
TMPFS_BYTES = 48 << 20


class FileLimit:
    """No file of the daemon's may grow beyond some bytes."""

    def __init__(self, daemon):
        self.pid = daemon.process.pid
        self.cycle = 0

    def fill(self):
        self.cycle += 1
        self.set(self.cycle * 331 % 5000)

    def free(self):
        self.set(resource.RLIM_INFINITY)

    def set(self, size):
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


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
        self.exporter = Exporter(daemon.socket)
        self.ids = []
        self.sent = 0

    def send(self, count):
        for _ in range(count):
            data, ids = tree_batch(2, 3)
            self.exporter.send_batch(data)
            self.ids.append(ids)
            self.sent += 1

    def wait(self):
        self.exporter.wait(self.sent)

    def acknowledged(self):
        return {i for ids in self.ids[:self.exporter.durable] for i in ids}


def listed(daemon):
    status, message, answer = daemon.query("ListTraces", fault.wire.number(2, 1000))
    assert status == 0, message
    return {one(fields(trace), 1) for trace in fields(answer).get(1, [])}


def cycle(daemon, load, disk):
    """Fills, sends, asks, frees; seconds until all was acknowledged."""
    load.send(2)
    load.wait()
    disk.fill()
    before = load.exporter.durable
    load.send(3)
    while daemon.http("/healthz")[0] == 200:
        pass
    assert load.acknowledged() <= listed(daemon), "an acknowledged trace can't be seen"
    trace = uuid_text(next(iter(load.ids[before - 1])))
    status, _, answer = daemon.query("GetTrace", fault.wire.text(1, trace))
    assert status == 0 and len(fields(answer)[1]) == 3, status
    begin = time.monotonic()
    disk.free()
    load.wait()
    return time.monotonic() - begin


def cycles(count, make_disk, store=None):
    """(slowest healing, spans stored); all checks made."""
    with Daemon() as daemon:
        daemon.store = store or daemon.store
        daemon.start(*OPTIONS)
        load, disk = Load(daemon), make_disk(daemon)
        slowest = max(cycle(daemon, load, disk) for _ in range(count))
        assert daemon.stop() == 0, daemon.log()
        found = fault.spans_in(daemon.store)
        wanted = {uuid_text(i) for ids in load.ids for i in ids}
        assert {trace for trace, _ in found} == wanted, "spans are lost"
        assert len(found) == len(wanted) * 3 and set(found.values()) == {1}, "lost or doubled"
        return slowest, len(found)


def on_tmpfs(count):
    """The same on a tmpfs that is really full; None where that can't be had."""
    with tempfile.TemporaryDirectory() as directory:
        command = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "waft-fault", directory]
        if os.geteuid() != 0 or subprocess.run(command, check=False).returncode != 0:
            return None
        try:
            return cycles(count, Ballast, os.path.join(directory, "store"))
        finally:
            subprocess.run(["umount", "-l", directory], check=True)


def run(short):
    count = CYCLES_SHORT if short else CYCLES
    slowest, spans = cycles(count, FileLimit)
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
