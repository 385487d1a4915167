#!/usr/bin/python3
"""Frames that no client sends: giant, cut, of an unknown version, garbage, amplifying,
nested 100,000 deep, with descriptors; a region that is written to while it is read. Each gets a clear status in bounded time and
memory, and a sender beside them notices nothing. Then one trace of a million spans beside
many small ones whose roots come late: the large one never makes a small one go to its
file before it is whole.
"""
import array
import fcntl
import mmap
import os
import random
import re
import resource
import select
import socket
import struct
import subprocess
import time

import fault
from fault import Closed, Connection, Daemon, Exporter, fields, one, tree_batch, wire

QUERY = "/waft.v1.Query/"
DEPTH, DEPTH_SHORT = 100000, 20000
GARBAGE, GARBAGE_SHORT = 2000, 30
AMPLIFYING, AMPLIFYING_SHORT = 400, 8
REGIONS, REGIONS_SHORT = 100, 5
BIG_FANOUT, BIG_FANOUT_SHORT = 1000, 200  # its square is the spans of the large trace
BIG_RATE, BIG_RATE_SHORT = 16000, 30000   # spans a second
STEPS, STEPS_SHORT = 400, 8  # in which the small traces come, spread over the large one's time
SMALL = 250  # traces of a step
LATER = 4    # steps after which a trace's root follows
MEMORY_LIMIT = 64 << 20
# Spans without an answer: far less than libwaft's buffer takes, so that every one arrives.
IN_FLIGHT = "20000"
INVALID, RESOURCE_EXHAUSTED = 3, 8
LONGEST_S = 5
FEW = 4 << 20  # what else may have grown: buffers of frames, of the log and its lines
STACK_BYTES = 256 << 10


def closed(connection):
    """The first status before the other side ends the connection; None: none."""
    status = None
    try:
        while True:
            kind, _, payload = connection.receive()
            if kind == wire.VERSION:
                status = status or "version"
            elif kind == wire.STATUS:
                status = status or one(fields(payload), 1)
    except (Closed, ConnectionError):
        return status


def nest(depth, field=6):
    """A message in a message in a message; its lengths are what they should be."""
    tag = wire.varint(field << 3 | 2)
    parts, length = [], 0
    while len(parts) < depth and length < 60000:
        parts.append(tag + wire.varint(length))
        length += len(parts[-1])
    return b"".join(reversed(parts))


# ---- frames ------------------------------------------------------------------


def header(length, version=1, magic=b"WAFT"):
    return magic + struct.pack("<BBHII", version, wire.MESSAGE, 0, 1, length)


def bad_frames(daemon):
    """How many kinds ended their connection with the right status."""
    crc = bytes(4)
    kinds = (
        (header(0xFFFFFFFF) + crc, INVALID),             # negative, as a signed number
        (header(1 << 30) + crc, INVALID),                # giant
        (header(266241) + crc, INVALID),                 # one byte too many
        (wire.frame(wire.PING, 0, b"x", crc=7), INVALID),
        (wire.frame(wire.MESSAGE, 9, b"x"), INVALID),    # a stream that was never opened
        (wire.frame(wire.PING, 0, bytes(65)), INVALID),
        (wire.frame(wire.PING, 0, b"", version=2), "version"),
        (wire.frame(wire.PING, 0, b"", version=255), "version"),
        (os.urandom(64), INVALID),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", INVALID),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(60), INVALID),
    )
    for data, wanted in kinds:
        connection = Connection(daemon.socket)
        connection.send_raw(data)
        status = closed(connection)
        assert status == wanted, (data[:40], status, wanted)
    # Cut anywhere: nothing is answered, nothing stays.
    whole = wire.frame(wire.CALL, 1, wire.text(1, QUERY + "Health"))
    for end in range(1, len(whole)):
        connection = Connection(daemon.socket)
        connection.send_raw(whole[:end])
        connection.close()
    return len(kinds) + len(whole) - 1


def garbage(daemon, count):
    """Right frames with wrong payloads, of every type; each ends in a status or is
    ignored, as the protocol says."""
    chance = random.Random(1)
    for _ in range(count):
        connection = Connection(daemon.socket)
        data = wire.frame(wire.CALL, 1, wire.text(1, QUERY + chance.choice(
            ("ListTraces", "GetTrace", "Stats", "Tail", "Status"))))
        for _ in range(chance.randrange(1, 6)):
            data += wire.frame(chance.randrange(0, 12), chance.randrange(0, 3),
                               chance.randbytes(chance.randrange(0, 200)))
        try:
            connection.send_raw(data)
            connection.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        closed(connection)


# ---- a region that changes while it is read -----------------------------------------


def region_of_load(daemon):
    """The memory of a traced process, with finished and open spans, and its client's id."""
    with subprocess.Popen(
            [fault.program("waft-load"), "--ledger", os.path.join(daemon.directory, "region"),
             "--endpoint", f"unix:{daemon.socket}", "--until-eof", "--threads", "4", "--depth",
             "6", "--rate", "400", "--spread", "--data", "100", "--duration", "600000"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        fault.until(lambda: daemon.metric("regions_held") >= 1
                    and daemon.metric("spans_durable_total") >= 400, "a region in use", process)
        path = f"/proc/{process.pid}/task/{process.pid}/children"
        with open(path, encoding="ascii") as file:
            child = file.read().split()[0]
        memory = next(f"/proc/{child}/fd/{name}" for name in os.listdir(f"/proc/{child}/fd")
                      if "waft-region" in os.readlink(f"/proc/{child}/fd/{name}"))
        with open(memory, "rb") as file:
            region = file.read()
        clients = [one(fields(client), 1)
                   for client in fields(daemon.query("Status")[2]).get(1, [])]
        process.communicate(b"")
    return region, next(client for client in clients if client in region)


def scribble(descriptor, places):
    """Writes there, and what was there again, without end, in a process that dies with this one: (process, pipe)."""
    mine, other = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(mine)
        chance, memory = random.Random(other), mmap.mmap(descriptor, 0)
        waits = select.poll()
        waits.register(other, 0)  # until the other end is closed
        while not waits.poll(0):
            before = []
            for at in (chance.choice(places) + 8 * chance.randrange(8) for _ in range(4)):
                before.append((at, memory[at:at + 8]))
                memory[at:at + 8] = struct.pack("<Q", chance.choice(
                    (0, chance.randrange(1 << 16), chance.getrandbits(64))))
            for at, word in reversed(before):  # mostly it makes sense
                memory[at:at + 8] = word
        os._exit(0)
    os.close(other)
    return child, mine


def scribbled(daemon, count):
    """Regions that are written to while they are read: how many were salvaged."""
    region, owner = region_of_load(daemon)
    # What was used, but for what says whose and of which layout it is.
    places = [at for at in range(256, len(region), 64) if any(region[at:at + 64])]
    salvaged = daemon.metric("clients_salvaged_total")
    for _ in range(count):
        exporter = Exporter(daemon.socket, hello=False)
        descriptor = os.memfd_create("region", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
        os.write(descriptor, region.replace(owner, exporter.client))
        fcntl.fcntl(descriptor, 1033, 2 | 4)  # F_ADD_SEALS: shrink, grow
        child, pipe = scribble(descriptor, places)
        body = (wire.text(1, exporter.client) + wire.number(2, 1) + wire.text(4, "test")
                + wire.number(8, 1))
        socket.send_fds(exporter.socket, [wire.frame(wire.MESSAGE, exporter.on,
                                                     wire.text(3, body))], [descriptor])
        while exporter.welcome is None:
            exporter.take()
        assert daemon.metric("regions_held") == 1
        for _ in range(3):
            status, message, _ = daemon.query("OpenSpans")
            assert status == 0, message
        exporter.socket.shutdown(socket.SHUT_RDWR)  # the child has it too
        exporter.close()
        fault.until(lambda: daemon.metric("regions_held") == 0, "the region is read")
        os.close(pipe)
        os.waitpid(child, 0)
        os.close(descriptor)
    salvaged = daemon.metric("clients_salvaged_total") - salvaged
    assert salvaged > count / 2, salvaged
    return salvaged


# ---- what is nested, or takes more than it brought --------------------------------


def deep(daemon, depth):
    """Nested requests, and batches with nested snapshots and fields: what was refused."""
    groups = b"\x7b" * depth + b"\x7c" * depth  # a byte begins one, a byte ends it
    for method in ("ListTraces", "Stats"):
        for request in (nest(depth, 1), nest(depth, 6), nest(depth, 15), groups[:65000]):
            status = Connection(daemon.socket).unary(QUERY + method, request)[0]
            assert status in (0, INVALID), (method, request[:9], status)  # 0: unknown, skipped
    exporter = Exporter(daemon.socket)
    json = b"[" * depth + b"]" * depth
    body = wire.span(1, trace_id=os.urandom(16)) + wire.text(10, json[:60000])
    exporter.send_batch(wire.batch([body], 256))
    exporter.send_batch(nest(depth, 4))  # sections in sections
    exporter.send_batch(groups)
    exporter.send_batch(wire.batch([wire.span(1, trace_id=os.urandom(16))
                                    + wire.text(15, nest(depth, 1))], 512))
    exporter.wait(4)
    return set(exporter.refusals)


def amplify(daemon, batches):
    """Batches that say much in few bytes. Sent without a look at the credit, for which a
    call may be ended."""
    exporter = Exporter(daemon.socket)
    for data in batches:
        try:
            exporter.send_batch(data)
            exporter.wait(exporter.sequence)
        except Closed:
            assert exporter.status[0] == RESOURCE_EXHAUSTED, exporter.status
            exporter = Exporter(daemon.socket)


def many_shapes(count):
    """Batches whose tables are as large as they can be for what they weigh."""
    shapes = wire.batch([], 256) + b"".join(text_shape(number) for number in range(1, 9000))
    keys = wire.batch([], 256) + wire.text(3, wire.number(1, 2) + wire.text(4, b"") * 64) * 1500
    return [shapes, keys] * (count // 2)


def many_spans(count):
    """Batches of spans of twenty bytes, each of which is a line of 400."""
    return [wire.batch([wire.span(n) for n in range(1, 8000)], 512)] * count


def text_shape(number):
    return wire.text(3, wire.number(1, number))


def descriptors(daemon):
    """Descriptors passed with every frame are closed, not kept."""
    before = fault.descriptors(daemon.process)
    for number in range(20):
        connection = Connection(daemon.socket)
        fds = array.array("i", [0] * 200)
        connection.socket.sendmsg(
            [wire.frame(wire.PING, 0, b"x")],
            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        assert connection.receive()[0] == wire.PONG
        # Not those that came; but the connections before may still be closing, and
        # the store opens files of its own.
        assert fault.descriptors(daemon.process) <= before + number + 10
        connection.close()


def small_stacks():
    """A nested message that took a call for each level would end the process: none of its
    threads has more than this."""
    resource.setrlimit(resource.RLIMIT_STACK, (STACK_BYTES, STACK_BYTES))


def hostile(short):
    """(kinds, regions that were salvaged, s, ratio of memory to wire)"""
    with Daemon() as daemon:
        daemon.start("--max-connections", "200", "--quiet", "20ms", "--drain", "1min",
                     "--salvage-after", "10ms", "--http", "127.0.0.1:0",
                     preexec_fn=small_stacks)
        exporter = Exporter(daemon.socket)
        exporter.send_batch(tree_batch(3, 3)[0])
        exporter.wait(1)
        longest, kinds = 0, 0

        def step(function, *arguments):
            nonlocal longest
            result = function(daemon, *arguments)
            # A sender beside it goes on.
            begin = time.monotonic()
            exporter.send_batch(tree_batch(1, 1)[0])
            exporter.wait(exporter.sequence)
            longest = max(longest, time.monotonic() - begin)
            return result

        kinds = step(bad_frames)
        step(descriptors)
        step(garbage, GARBAGE_SHORT if short else GARBAGE)
        regions = step(scribbled, REGIONS_SHORT if short else REGIONS)
        refused = step(deep, DEPTH_SHORT if short else DEPTH)
        assert 3 in refused and 1 not in refused, refused
        count = AMPLIFYING_SHORT if short else AMPLIFYING
        before = fault.largest_rss(daemon.process)
        batches = many_shapes(count)
        step(amplify, batches)
        # One is read at a time, and its tables serve the next.
        grown = fault.largest_rss(daemon.process) - before - FEW
        ratio = max(grown, 0) / max(map(len, batches))
        assert ratio <= 4 or fault.sanitized(daemon.process), ratio
        step(amplify, many_spans(count // 4))
        rss = fault.largest_rss(daemon.process)
        assert rss < 1280 << 20 or fault.sanitized(daemon.process), rss
        assert longest < LONGEST_S, longest
        assert daemon.stop() == 0
        fault.spans_in(daemon.store)
    return kinds, regions, longest, ratio


# ---- one large trace ------------------------------------------------------------------


class Small:
    """Small traces, a step at a time: two spans of each, and their roots some steps later."""

    def __init__(self, daemon):
        self.exporter = Exporter(daemon.socket)
        self.open = []  # trace ids, a list for each step
        self.spans, self.sent = 0, 0

    def send(self, ids, count, parent):
        bodies = [wire.span(1 + n, distance=n % count, trace_id=trace if n % count == 0 else None,
                            parent=parent, end=n)
                  for n, trace in enumerate(trace for trace in ids for _ in range(count))]
        data = wire.batch(bodies, int.from_bytes(os.urandom(6), "little") << 8)
        while self.exporter.credit <= self.sent:
            self.exporter.take()
        self.exporter.send_batch(data)
        self.exporter.wait(self.exporter.sequence)
        self.sent += len(data) + 32
        self.spans += len(bodies)

    def step(self, traces):
        self.open.append([os.urandom(16) for _ in range(traces)])
        if traces > 0:
            self.send(self.open[-1], 2, 77)
        if len(self.open) > LATER and self.open[-1 - LATER]:
            self.send(self.open[-1 - LATER], 1, 0)


def big(daemon, fanout, rate):
    """One trace by waft-load: its ledger and the process."""
    ledger = os.path.join(daemon.directory, "big")
    return ledger, subprocess.Popen(
        [fault.program("waft-load"), "--ledger", ledger, "--endpoint", f"unix:{daemon.socket}",
         "--traces", "1", "--fanout", str(fanout), "--rate", str(rate), "--spread",
         "--in-flight", IN_FLIGHT, "--shutdown", "60000"], stderr=subprocess.PIPE)


def verify(ledger, store):
    """How many spans of the load arrived, which are all."""
    done = subprocess.run([fault.program("waft-load"), "verify", ledger, "--store", store],
                          capture_output=True, check=False)
    counts = {k: int(n) for k, n in re.findall(r"(\w+) (\d+)", done.stdout.decode())}
    assert done.returncode == 0 and counts["stored"] == counts["emitted"], (counts, done.stderr)
    return counts["stored"]


def runs_of(store):
    """How many stretches of lines each trace has, over all files."""
    runs, before = {}, None
    for name in sorted(os.listdir(store)):
        if name.endswith(".jsonl"):
            with open(os.path.join(store, name), "rb") as file:
                for line in file:
                    if line[13:49] != before:
                        before = line[13:49]
                        runs[before] = runs.get(before, 0) + 1
    return runs


def large_trace(short):
    """(spans of the large trace, small traces, s, RSS)"""
    fanout, rate, steps = ((BIG_FANOUT_SHORT, BIG_RATE_SHORT, STEPS_SHORT) if short
                           else (BIG_FANOUT, BIG_RATE, STEPS))
    wanted = fanout * fanout + fanout + 1
    with Daemon() as daemon:
        # With so little time for a drain 15,000 spans that wait are more than enough.
        daemon.start("--memory-limit", str(MEMORY_LIMIT), "--drain", "100ms", "--hold", "10min")
        begin = time.monotonic()
        small = Small(daemon)
        ledger, process = big(daemon, fanout, rate)
        for number in range(1, steps + LATER + 1):
            small.step(SMALL if number <= steps else 0)
            due = begin + number * wanted / rate / steps
            select.select([process.stderr], [], [], max(0, due - time.monotonic()))
        _, said = process.communicate(timeout=1200)
        assert process.returncode == 0, said
        took = time.monotonic() - begin
        rss, sanitized = fault.largest_rss(daemon.process), fault.sanitized(daemon.process)
        fault.bring_into_files(daemon)
        stored = verify(ledger, daemon.store)
        lines = fault.spans_in(daemon.store)
        runs = sorted(runs_of(daemon.store).values())
    assert stored == wanted, stored
    assert len(lines) == wanted + small.spans and set(lines.values()) == {1}, len(lines)
    assert len(runs) == 1 + steps * SMALL, len(runs)
    assert runs[-1] > 1, "the large trace was held whole"
    pieces = sum(count > 1 for count in runs[:-1])
    assert pieces == 0, f"{pieces} of {len(runs) - 1} small traces in pieces"
    assert rss < MEMORY_LIMIT or sanitized, rss
    return stored, len(runs) - 1, took, rss


def run(short):
    kinds, regions, longest, ratio = hostile(short)
    big_spans, traces, took, rss = large_trace(short)
    return (f"{kinds} kinds of frames, {regions} regions written to while they were read, a sender waits {longest:.2f} s at most, memory {max(ratio, 0):.2f} x wire; "
            f"a trace of {big_spans} spans beside {traces} small ones in {took:.1f} s: none of "
            f"these in pieces, RSS {rss >> 20} MiB")


fault.main(run)
