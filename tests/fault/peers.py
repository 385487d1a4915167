#!/usr/bin/python3
"""Readers that are slow or stuck, frames that trickle in, peers that went away half-way,
10,000 connections, 64 descriptors: ingest goes on, everything is below its cap, and who
is turned away is told.
"""
import os
import resource
import select
import socket
import time

import fault
from fault import Connection, Daemon, Exporter, tree_batch, wire

QUERY = "/waft.v1.Query/"
PROBES, PROBES_SHORT = 500, 40
CONNECTIONS, CONNECTIONS_SHORT = 10000, 1200
TRICKLES, TRICKLES_SHORT = 500, 40
MEMORY_LIMIT, MAX_CONNECTIONS = 128 << 20, 1024
RESOURCE_EXHAUSTED = 8
LONGEST_S = 5  # what an acknowledgement may take on a busy machine


class Probe:
    """A sender beside it all: how long each acknowledgement takes."""

    def __init__(self, daemon):
        self.exporter = Exporter(daemon.socket)
        self.sent = 0

    def p99(self, count):
        """In seconds, of so many batches one after another."""
        times = []
        for _ in range(count):
            data = tree_batch(1, 2)[0]
            begin = time.monotonic()
            self.exporter.send_batch(data)
            self.sent += 1
            self.exporter.wait(self.sent)
            times.append(time.monotonic() - begin)
        return sorted(times)[int(len(times) * 0.99)]

    def check(self, daemon):
        """All that was acknowledged is in files, once."""
        assert daemon.stop() == 0
        spans = fault.spans_in(daemon.store)
        assert len(spans) == 2 * self.sent and set(spans.values()) == {1}, len(spans)


def connect(daemon):
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    one.connect(daemon.socket)  # waits while the backlog is full
    one.settimeout(wire.DEADLINE_S)
    return one


# ---- readers that don't read -------------------------------------------------


def stuck_readers(daemon):
    """Tails with all the credit there is, and queries, whose answers nobody reads."""
    readers = []
    for _ in range(24):
        reader = Connection(daemon.socket)
        stream = reader.call(QUERY + "Tail", wire.number(3, (1 << 63) - 1))
        reader.send(wire.MESSAGE, stream, b"")
        readers.append(reader)
    for _ in range(8):
        reader = Connection(daemon.socket)
        reader.socket.setblocking(False)
        try:
            for _ in range(1000):
                reader.stream += 1
                reader.send_raw(wire.frame(wire.CALL, reader.stream,
                                           wire.text(1, QUERY + "ListTraces"))
                                + wire.frame(wire.MESSAGE, reader.stream, wire.number(2, 1000))
                                + wire.frame(wire.END, reader.stream))
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            pass
        readers.append(reader)
    return readers


def told_tails(readers):
    """How many tails beyond the limit were told so."""
    told = 0
    for reader in readers[:24]:
        kind, _, payload = reader.receive()
        told += kind == wire.STATUS and wire.one(wire.fields(payload), 1) == RESOURCE_EXHAUSTED
    return told


# ---- frames that don't come ----------------------------------------------------


class Trickle:
    """Peers that send a large frame byte by byte."""

    def __init__(self, daemon, count):
        self.peers = [connect(daemon) for _ in range(count)]
        self.frame = wire.frame(wire.CALL, 1, bytes(200000), crc=0)
        self.at = 0

    def step(self):
        """A byte of each; drops those that were ended."""
        self.at += 1
        for peer in list(self.peers):
            try:
                peer.send(self.frame[self.at - 1:self.at])
            except OSError:
                self.peers.remove(peer)


def half_open(daemon, count):
    """Peers that stop inside a frame, of which a large part has come."""
    whole = wire.frame(wire.CALL, 1, bytes(250000), crc=0)
    peers = []
    for _ in range(count):
        peer = connect(daemon)
        peer.setblocking(False)
        try:
            peer.send(whole[:240000])
        except OSError:
            pass
        peers.append(peer)
    return peers


# ---- connections ---------------------------------------------------------------


def many(count):
    """Opens so many connections that say nothing, and probes now and then: (the longest
    p99, how many were turned away with a status, descriptors and memory of the daemon)."""
    with Daemon() as daemon:
        daemon.start("--http", "127.0.0.1:0", "--idle", "10min",
                     "--max-connections", str(MAX_CONNECTIONS), "--client-connections", "0")
        probe, sockets, slowest, told = Probe(daemon), [], 0, 0
        for number in range(count):
            sockets.append(connect(daemon))
            if number % (count // 5) == count // 5 - 1:
                slowest = max(slowest, probe.p99(20))
        waiting = select.poll()
        for one in sockets:
            waiting.register(one, select.POLLIN)
        by_number = {one.fileno(): one for one in sockets}
        for number, _ in waiting.poll(0):
            kind, stream, payload = Connection(by_number[number]).receive()
            told += (kind == wire.STATUS and stream == 0
                     and wire.one(wire.fields(payload), 1) == RESOURCE_EXHAUSTED)
        assert told == daemon.metric("connections_refused_total") > 0, told
        fds, rss = fault.descriptors(daemon.process), memory(daemon)
        for one in sockets:
            one.close()
        probe.check(daemon)
    assert fds <= MAX_CONNECTIONS + 100, fds
    return slowest, told, fds, rss


def memory(daemon):
    """The largest that it was, in bytes, which is below its cap."""
    rss = fault.largest_rss(daemon.process)
    # Sanitizers keep what was freed, and a shadow of it all.
    assert rss < MEMORY_LIMIT or fault.sanitized(daemon.process), rss
    return rss


def few_descriptors():
    """With 64 descriptors and 200 peers more: (p99, the peers that were turned away)."""
    limit = 64
    with Daemon() as daemon:
        daemon.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
        probe = Probe(daemon)
        peers = [connect(daemon) for _ in range(200)]
        p99 = probe.p99(200)
        assert fault.descriptors(daemon.process) <= limit
        told = 0
        for peer in peers:
            peer.setblocking(False)
            try:
                told += peer.recv(6)[5:] == bytes([wire.STATUS])
            except BlockingIOError:
                pass
            peer.close()
        assert told > 200 - limit, f"{told} of 200 were told"
        # Room again, once the daemon has seen to all that went: everybody is served, queries
        # too. Each round trip of the probe is a turn of its loop at least.
        status = daemon.query("ListTraces")[0]
        for _ in range(200):
            if status != RESOURCE_EXHAUSTED:
                break
            probe.p99(1)
            status = daemon.query("ListTraces")[0]
        assert status == 0, status
        again = Exporter(daemon.socket)
        again.send_batch(tree_batch(1, 2)[0])
        again.wait(1)
        probe.sent += 1
        probe.check(daemon)
    return p99, told


def limits():
    need = CONNECTIONS + 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < need:
        raise fault.NotRun(f"{need} descriptors are needed, the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, need), hard))


def readers_and_frames(short):
    """p99 alone, beside readers and beside frames; and the daemon's memory."""
    probes = PROBES_SHORT if short else PROBES
    with Daemon() as daemon:
        daemon.start("--idle", "1s")
        probe = Probe(daemon)
        alone = probe.p99(probes)
        readers = stuck_readers(daemon)
        told = told_tails(readers)
        assert told == 24 - 16, f"{told} tails beyond the limit were told"
        by_reader = probe.p99(probes)
        trickle = Trickle(daemon, TRICKLES_SHORT if short else TRICKLES)
        halves = half_open(daemon, 200)
        by_frame, begin = 0, time.monotonic()
        while trickle.peers:  # each is ended for its silence or its slowness
            assert time.monotonic() < begin + wire.DEADLINE_S, "slow frames go on"
            trickle.step()
            by_frame = max(by_frame, probe.p99(5))
        for peer in halves + [reader.socket for reader in readers]:
            peer.close()
        rss = memory(daemon)
        probe.check(daemon)
    return alone, by_reader, by_frame, rss


def run(short):
    limits()
    alone, by_reader, by_frame, rss = readers_and_frames(short)
    connections = CONNECTIONS_SHORT if short else CONNECTIONS
    by_number, turned, fds, rss_many = many(connections)
    few, few_told = few_descriptors()
    assert max(by_reader, by_frame, by_number, few) < LONGEST_S
    return (f"RSS {max(rss, rss_many) >> 20} MiB of {MEMORY_LIMIT >> 20}, {fds} fds; ingest p99 "
            f"{alone * 1000:.1f} ms alone, {by_reader * 1000:.1f} ms beside stuck readers, "
            f"{by_frame * 1000:.1f} ms beside slow frames, {by_number * 1000:.1f} ms beside "
            f"{connections} connections ({turned} turned away and told), {few * 1000:.1f} ms with "
            f"64 descriptors ({few_told} of 200 turned away and told)")


fault.main(run)
