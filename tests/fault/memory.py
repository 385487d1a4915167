#!/usr/bin/python3
"""The daemon's malloc fails at its n-th call, for each n: at the start it ends with a
message or comes up; at work it goes on, tells peers by a status, and what it has
acknowledged is in files, once.
"""
import mmap
import os
import random
import struct
import subprocess

import fault
from fault import Closed, Connection, Daemon, Exporter, fields, one, tree_batch, uuid_text, wire

QUERY = "/waft.v1.Query/"
STARTS, STARTS_SHORT = 400, 15
WORKS, WORKS_SHORT = 1000, 60
STORMS, STORMS_SHORT = 40, 4


class Failing(Daemon):
    """A daemon whose malloc fails when told to."""

    def __init__(self):
        super().__init__()
        path = os.path.join(self.directory, "control")
        with open(path, "wb") as file:
            file.write(bytes(24))
        self.file = open(path, "r+b")  # pylint: disable=consider-using-with
        self.control = mmap.mmap(self.file.fileno(), 24)
        self.environment = {**os.environ, "WAFT_FAIL_MALLOC": path}

    def command(self, *options):
        return [fault.program("fault_collectord"), *super().command(*options)[1:]]

    def fail(self, countdown, again=0):
        self.control[:16] = struct.pack("<QQ", countdown, again)

    def failed(self):
        return struct.unpack("<Q", self.control[16:])[0]


def start_failing(daemon, number):
    """Starts it with its n-th allocation failing: whether it came up."""
    daemon.fail(number)
    before = daemon.failed()
    with open(daemon.log_path, "wb") as log:
        daemon.process = subprocess.Popen(daemon.command(), stdout=subprocess.PIPE, stderr=log,
                                          env=daemon.environment)
    line = daemon.process.stdout.readline().decode()
    daemon.fail(0)
    if "ready on" in line:
        assert daemon.stop() == 0, daemon.log()
        return True, daemon.failed() > before
    code = daemon.process.wait(wire.DEADLINE_S)
    assert code in (1, 2), (number, code, daemon.log())
    assert "memory" in daemon.log(), (number, daemon.log())
    return False, True


def starts(count):
    """(came up, ended with a message)"""
    up = ended = 0
    with Failing() as daemon:
        # A store with something in it: recovery allocates too.
        daemon.start(env=daemon.environment)
        exporter = Exporter(daemon.socket)
        for _ in range(5):
            exporter.send_batch(tree_batch(3, 3)[0])
        exporter.wait(5)
        daemon.kill()
        number = 1
        while up + ended < count:
            came, failed = start_failing(daemon, number)
            up += came
            ended += not came
            # Past the last allocation of a start it fails no more.
            number = number + 1 if failed else 1 + random.Random(number).randrange(number)
        daemon.start(env=daemon.environment)
        assert daemon.stop() == 0
        spans = fault.spans_in(daemon.store)
        assert len(spans) == 45 and set(spans.values()) == {1}, len(spans)
    return up, ended


class Worker:
    """Does what a client does, and what readers do, as far as it is let."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.client = os.urandom(16)
        self.exporter = None
        self.batches = []  # (bytes, trace ids) by sequence, from 1
        self.durable = 0
        self.refused = set()
        self.told = 0

    def send(self):
        try:
            if self.exporter is None:
                self.exporter = Exporter(self.daemon.socket, self.client, self.durable)
                for number in range(self.exporter.durable + 1, len(self.batches) + 1):
                    self.exporter.send_batch(self.batches[number - 1][0], number)
            self.batches.append(tree_batch(2, 2))
            self.exporter.send_batch(self.batches[-1][0], len(self.batches))
            self.exporter.wait(len(self.batches))
        except (Closed, ConnectionError):
            self.told += self.exporter is not None and self.exporter.status is not None
        ended = self.exporter is None or self.exporter.durable < len(self.batches)
        if self.exporter is not None:
            self.durable = max(self.durable, self.exporter.durable)
            self.refused |= set(self.exporter.refusals)
        if ended:
            self.exporter = None

    def ask(self, method, request=b""):
        reader = None
        try:
            reader = Connection(self.daemon.socket)
            status, why, _ = reader.unary(QUERY + method, request)
            assert status in (0, 5, 8, 14), (method, status, why)
            self.told += status != 0
        except (Closed, ConnectionError):
            pass
        finally:
            if reader is not None:
                reader.close()

    def tail(self):
        reader = None
        try:
            reader = Connection(self.daemon.socket)
            stream = reader.call(QUERY + "Tail")
            reader.send(wire.MESSAGE, stream, b"")
            reader.receive()
        except (Closed, ConnectionError):
            pass
        finally:
            if reader is not None:
                reader.close()

    def turn(self):
        self.send()
        self.ask("ListTraces", wire.text(1, wire.text(6, wire.text(1, "k") + wire.text(2, "v"))))
        if self.batches:
            self.ask("GetTrace", wire.text(1, self.batches[-1][1][0].hex()))
        self.ask("Stats")
        self.ask("Status")
        self.tail()


def works(count, storms):
    """(allocations that failed, answers with a status)"""
    with Failing() as daemon:
        options = ("--quiet", "5ms", "--segment-size", "64K", "--part-size", "16K")
        daemon.start(*options, env=daemon.environment)
        worker = Worker(daemon)
        for _ in range(3):
            worker.turn()
        for number in range(1, count + 1):
            daemon.fail(1 + number // 4 if number % 4 else 1 + number)
            worker.turn()
            assert daemon.process.poll() is None, (number, daemon.process.returncode)
        for number in range(storms):  # every few calls one fails, for a while
            daemon.fail(1, 3 + number % 20)
            worker.turn()
            assert daemon.process.poll() is None, (number, daemon.process.returncode)
        daemon.fail(0)
        # Memory is there again: everything goes as ever.
        worker.exporter = None
        worker.send()
        assert worker.durable == len(worker.batches), (worker.durable, len(worker.batches))
        assert daemon.query("ListTraces")[0] == 0
        assert daemon.stop() == 0, daemon.log()
        spans = fault.spans_in(daemon.store)
        wanted = {uuid_text(i) for n, (_, ids) in enumerate(worker.batches, 1)
                  if n not in worker.refused for i in ids}
        found = {}
        for (trace, _), lines in spans.items():
            assert lines == 1, "a span twice"
            found[trace] = found.get(trace, 0) + 1
        assert not worker.refused, worker.refused
        assert found == {trace: 2 for trace in wanted}, (len(found), len(wanted))
        return daemon.failed(), worker.told, len(spans)


def run(short):
    up, ended = starts(STARTS_SHORT if short else STARTS)
    failed, told, stored = works(*((WORKS_SHORT, STORMS_SHORT) if short else (WORKS, STORMS)))
    return (f"{up + ended} starts, {ended} ended with a message, {up} came up all the same; "
            f"{failed} allocations failed at work, {told} told to the peer, {stored} spans "
            f"stored, 0 lost, 0 doubled")


fault.main(run)
