#!/usr/bin/python3
"""An agent killed at every system call that changes a file of its store: while it forwards
(`forward`), and while its gateway is away and its log is over its limit (`shed`): the oldest
that was never sent is given up, by count.

inject kills it as the N-th such call begins, for every N of a life; then it starts again, left
alone, takes what was not acknowledged, forwards it or gives up more, until the gateway comes.
There, each client's ledger must add up: what was emitted is stored once, or counted as dropped.
"""
import concurrent.futures
import os
import shutil
import sys

import fault
import life
from fault import Closed, Exporter, fields, one, until, uuid_text

INJECT = os.path.join(fault.BIN, "fault_inject")
SHEDS = "shed" in sys.argv[1:]
BATCHES, TRACES, SPANS = 24, 300 if SHEDS else 60, 4
SHORT_POINTS = 6
SIZES = ("--forward-max-bytes", "256K" if SHEDS else "1G", "--segment-size", "64K",
         "--http", "127.0.0.1:0")


class Agent:
    def __init__(self):
        self.gateway, self.agent = fault.Daemon(), life.Daemon()
        self.options = ("--forward", f"unix:{self.gateway.socket}", *SIZES)
        made = [fault.tree_batch(TRACES, SPANS) for _ in range(BATCHES)]
        self.batches = [data for data, _ in made]
        self.traces = {uuid_text(one_id) for _, ids in made for one_id in ids}
        self.client, self.acknowledged = os.urandom(16), 0

    def send(self):
        """All that the agent lacks, as far as it has room; until it is acknowledged."""
        exporter = Exporter(self.agent.socket, self.client, acknowledged=self.acknowledged)
        sent = 0
        try:
            assert exporter.durable >= self.acknowledged, "the watermark went back"
            for sequence in range(exporter.durable + 1, BATCHES + 1):
                while exporter.credit <= sent and exporter.status is None:
                    exporter.take()
                data = self.batches[sequence - 1]
                exporter.send_batch(data, sequence, emitted=sequence * TRACES * SPANS)
                sent += len(data) + 32
                exporter.wait(sequence)
        finally:
            self.acknowledged = max(self.acknowledged, exporter.durable)
            exporter.close()

    def wait_done(self):
        """Until it has given up what it has to, or has forwarded all."""
        if SHEDS:
            until(lambda: self.agent.metric("log_bytes") <= 256 << 10, "the log is small enough")
        else:
            until(lambda: self.agent.metric("forward_idle") == 1, "all is answered")

    def dropped(self):
        return self.agent.metric('forward_dropped_spans_total{reason="forward_full"}')

    def run(self, *options):
        """The agent's life under inject with these options: (its calls, how it ended)."""
        report = os.path.join(self.agent.directory, "report")
        self.agent.before = [INJECT, "--under", self.agent.store, "--report", report, "--list",
                             *options, "--"]
        if not SHEDS:
            self.gateway.start()
        try:
            self.agent.start(*self.options)
            self.send()
            self.wait_done()
            status = self.agent.stop()
        except (Closed, OSError, AssertionError, ValueError):
            status = self.agent.process.wait(fault.wire.DEADLINE_S)
        with open(report, encoding="utf-8") as file:
            return file.read().splitlines(), status

    def settle(self):
        """Left alone: all that is left goes on. (spans dropped, lost, doubled)"""
        self.agent.before = []
        self.agent.start(*self.options)
        self.send()
        self.wait_done()
        if SHEDS:
            self.gateway.start()
        until(lambda: self.agent.metric("forward_idle") == 1, "all is answered")
        dropped = self.dropped()
        status, message, answer = self.gateway.query("Status")
        assert status == 0, message
        client = fields(one(fields(answer), 1))
        assert one(client, 1) == self.client
        counted = sum(one(fields(entry), 2) for entry in client.get(7, []))
        emitted, durable = one(client, 5), one(client, 6)
        assert emitted == BATCHES * TRACES * SPANS, emitted
        assert counted == dropped and emitted == durable + counted and one(client, 8) == 0, (
            emitted, durable, counted, dropped)
        assert self.agent.stop() == 0, self.agent.log()
        fault.bring_into_files(self.gateway)
        found = fault.spans_in(self.gateway.store)
        assert {trace for trace, _ in found} <= self.traces
        return dropped, durable - len(found), sum(lines > 1 for lines in found.values())

    def close(self):
        for daemon in (self.agent, self.gateway):
            if daemon.process is not None and daemon.process.poll() is None:
                daemon.process.kill()
                daemon.process.wait()
            shutil.rmtree(daemon.directory)


def injected(*options):
    """(calls, how it ended, spans dropped, lost, doubled)"""
    one_life = Agent()
    try:
        calls, status = one_life.run(*options)
        if status == 77:
            raise fault.NotRun("ptrace is refused: " + one_life.agent.log().strip())
        try:
            return (calls, status, *one_life.settle())
        except AssertionError as error:
            raise AssertionError(f"{options}: {error}\n{one_life.agent.log()}") from error
    finally:
        one_life.close()


def run(short):
    if not os.path.exists(INJECT):
        raise fault.NotRun("inject knows only x86-64")
    calls, status, dropped, lost, doubled = injected()
    assert status == 0 and not lost and not doubled, (status, lost, doubled)
    assert (dropped > 0) == SHEDS, dropped
    points = int(calls[-1])
    step = max(1, points // SHORT_POINTS) if short else 1
    killed = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [(n, pool.submit(injected, "--kill-at", str(n))) for n in range(1, points + 1, step)]
        for number, job in jobs:
            _, status, dropped, now_lost, now_doubled = job.result()
            assert status in (0, 1, 137), f"point {number} ended with {status}"
            assert (dropped > 0) == SHEDS, f"point {number}: {dropped} spans were given up"
            killed += status == 137
            lost += now_lost
            doubled += now_doubled
    return (f"{points} points, {killed} killed there, {lost} lost, {doubled} doubled, each ledger "
            "exact", not lost and not doubled)


fault.main(run)
