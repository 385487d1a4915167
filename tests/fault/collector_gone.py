#!/usr/bin/python3
"""The collector is absent at the start, killed and restarted, and stopped: drops are
exact, by reason, and what a span costs the host's thread stays what it was.

The same load runs three times: with a collector that stays, with one that comes and
goes, and with none at all. The times of the short form are those of half a second, of a
machine that runs other tests beside it: it prints them, and only a call that waited for a
collector fails it.
"""
import os
import re
import select
import signal
import subprocess

import fault
from fault import Daemon

RATE = "20000"
EVERY_S, TIMES, STOPPED_S, ALONE_MS = 2, 300, 60, 20000
EVERY_SHORT_S, TIMES_SHORT, STOPPED_SHORT_S, ALONE_SHORT_MS = 0.3, 3, 0.5, 500
WAITED_NS = 1000000
TIMED = re.compile(r"p50 (\d+) ns p99 (\d+) ns p99.9 (\d+) ns")


class Load:
    def __init__(self, daemon, name, *options):
        self.ledger = os.path.join(daemon.directory, name)
        self.process = subprocess.Popen(
            [fault.program("waft-load"), "--ledger", self.ledger, "--times", "--until-eof",
             "--endpoint", f"unix:{daemon.socket}", "--threads", "2", "--rate", RATE, "--data", "400",
             *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def passes(self, seconds):
        """Lets time pass while it runs; it must not end by itself."""
        assert not select.select([self.process.stdout], [], [], seconds)[0], "the load ended"

    def end(self):
        """(p50, p99, p99.9) in ns."""
        output, errors = self.process.communicate(timeout=fault.wire.DEADLINE_S)
        return [int(n) for n in TIMED.search(output.decode()).groups()], errors.decode()

    def verify(self, store):
        """(counts, what was dropped by reason and what is unknown)."""
        done = subprocess.run([fault.program("waft-load"), "verify", self.ledger, "--store", store,
                               "--each"], capture_output=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        summary, each = done.stdout.decode().splitlines()
        counts, reasons = ({word: int(number) for word, number in re.findall(r"(\w+) (\d+)", text)}
                           for text in (summary, each.split("dropped", 1)[1]))
        # What may be stored or not is what nobody answered.
        missing = counts["emitted"] - counts["stored"]
        unknown = reasons.get("unknown", 0)
        dropped = sum(reasons.values()) - unknown
        assert dropped <= missing <= dropped + unknown, (counts, reasons)
        return counts, reasons


def alone(short):
    """A collector that stays, with the same load: the times to compare with."""
    with Daemon() as daemon:
        daemon.start()
        load = Load(daemon, "ledger", "--duration", str(ALONE_SHORT_MS if short else ALONE_MS))
        times, _ = load.end()
        assert daemon.stop() == 0
        counts, _ = load.verify(daemon.store)
        assert counts["stored"] > 0, counts
        return times


def absent(short):
    """No collector ever: all is dropped or was never sent, and the load ends in time."""
    with Daemon() as daemon:
        os.mkdir(daemon.store)
        load = Load(daemon, "ledger", "--shutdown", "100",
                    "--duration", str(ALONE_SHORT_MS if short else ALONE_MS))
        times, said = load.end()
        counts, _ = load.verify(daemon.store)
        assert counts["stored"] == 0 and counts["emitted"] > 0, counts
        # Once to complain of the collector, once of the shutdown: not once a span.
        assert said.count("\n") <= 4, said
        return times


def comes_and_goes(short):
    with Daemon() as daemon:
        load = Load(daemon, "ledger", "--duration", "3600000")
        every = EVERY_SHORT_S if short else EVERY_S
        load.passes(every)  # absent at the start
        for turn in range(TIMES_SHORT if short else TIMES):
            daemon.start()
            load.passes(every)
            daemon.kill() if turn % 2 else daemon.stop()
        daemon.start()
        daemon.process.send_signal(signal.SIGSTOP)
        load.passes(STOPPED_SHORT_S if short else STOPPED_S)
        daemon.process.send_signal(signal.SIGCONT)
        load.process.stdin.close()
        load.process.stdin = None
        times, said = load.end()
        # 1: the buffer was full for a while, and waft_shutdown says so.
        assert load.process.returncode in (0, 1) and said.count("\n") <= 4, said
        assert daemon.stop() == 0
        counts, reasons = load.verify(daemon.store)
        assert counts["stored"] > 0, counts
        return times, counts, reasons


def expect_unaffected(name, times, base, short):
    """A call that waits for a collector takes milliseconds."""
    if short:
        assert times[0] < WAITED_NS, (name, times, base)
        return
    assert times[0] <= 2 * base[0], (name, times, base)
    assert times[1] <= max(3 * base[1], base[1] + 50000), (name, times, base)


def run(short):
    base = alone(short)
    without = absent(short)
    times, counts, reasons = comes_and_goes(short)
    expect_unaffected("without", without, base, short)
    expect_unaffected("restarted", times, base, short)
    unknown = reasons.pop("unknown", 0)
    dropped = ", ".join(f"{number} {reason}" for reason, number in reasons.items()) or "0"
    return (f"host p50 and p99 {base[0]} and {base[1]} ns with a collector, {without[0]} and "
            f"{without[1]} ns without, {times[0]} and {times[1]} ns while it was restarted "
            f"{TIMES_SHORT if short else TIMES} times and stopped for "
            f"{STOPPED_SHORT_S if short else STOPPED_S} s; {counts['emitted']} spans, dropped and "
            f"counted: {dropped}; {unknown} unknown, {counts['lost']} lost, "
            f"{counts['doubled']} doubled")


fault.main(run)
