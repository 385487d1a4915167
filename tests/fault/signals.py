#!/usr/bin/python3
"""SIGTERM under load, again and again: each drain ends within 5 s, with everything in
files and nothing lost or doubled. Then SIGHUP with good and bad files: the daemon keeps
what was good, says what was bad, and nobody is disturbed.
"""
import hashlib
import os
import re
import signal
import subprocess
import time

import fault
from fault import Daemon, Exporter, tree_batch

TERMS, TERMS_SHORT = 100, 2
HUPS, HUPS_SHORT = 500, 16
DRAIN_S, DRAIN_SHORT_S = 5, 60  # with sanitizers, beside other tests, it takes longer
ENOUGH_SPANS = 2000


def load_on(daemon, rate):
    ledger = os.path.join(daemon.directory, "ledger")
    return ledger, subprocess.Popen(
        [fault.program("waft-load"), "--ledger", ledger, "--until-eof", "--processes", "2",
         "--threads", "2", "--rate", rate, "--data", "200", "--duration", "3600000",
         "--endpoint", f"unix:{daemon.socket}"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def verify(ledger, store):
    done = subprocess.run([fault.program("waft-load"), "verify", ledger, "--store", store],
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {k: int(n) for k, n in re.findall(r"(\w+) (\d+)", done.stdout.decode())}


def terms(rounds, bound_s):
    """(longest drain in s, what the ledger says)."""
    longest = 0
    with Daemon() as daemon:
        ledger, load = load_on(daemon, "10000" if bound_s == DRAIN_S else "1000")
        for _ in range(rounds):
            # Traces that are held: the drain has something to bring into files.
            daemon.start("--http", "127.0.0.1:0", "--quiet", "1min", "--hold", "1min",
                         "--drain", f"{bound_s}s")
            fault.until(lambda: daemon.metric("spans_durable_total") >= ENOUGH_SPANS,
                        "enough spans", load)
            begin = time.monotonic()
            assert daemon.stop() == 0
            longest = max(longest, time.monotonic() - begin)
            log = daemon.log()
            assert log.count("everything is in files") == log.count("recovered:"), log
        assert log.count(" 0 spans waiting") == rounds - 1, "a drain left spans in the log"
        daemon.start("--drain", f"{bound_s}s")
        load.communicate(timeout=fault.wire.DEADLINE_S)
        assert daemon.stop() == 0
        counts = verify(ledger, daemon.store)
    assert longest < bound_s + 1, longest
    return longest, counts


class Settings:
    """Files of a daemon as they are changed: which fault each has, and what it says."""

    def __init__(self, daemon):
        self.config = os.path.join(daemon.directory, "conf")
        self.rules = os.path.join(daemon.directory, "rules")
        self.good(0)

    def write(self, path, text):
        # As an editor does: a reader sees the old file or the new one.
        with open(path + "~", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(path + "~", path)

    def good(self, turn):
        token = hashlib.sha256(str(turn).encode()).hexdigest()
        self.write(self.rules, f"uid {os.getuid()} send query\ntoken t:{token} send\n")
        self.write(self.config, f"access = {self.rules}\nquiet = {10 + turn}ms\n"
                                f"max-tails = {1 + turn % 9}\n")

    def change(self, turn):
        """Whether it is good."""
        self.good(turn)
        bad = (None,
               lambda: self.write(self.config, "quiet = sometimes\n"),
               lambda: self.write(self.config, "nonsense = 1\n"),
               lambda: self.write(self.rules, "uid root shout\n"),
               lambda: os.remove(self.config),
               lambda: self.write(self.config, "x" * 100000),
               lambda: os.remove(self.rules),
               lambda: self.write(self.rules, "\0\xff\n" * 50))[turn % 8]
        if bad is not None:
            bad()
        return bad is None


def hups(rounds):
    """(refused, longest in s)."""
    refused, longest = 0, 0
    with Daemon() as daemon:
        settings = Settings(daemon)
        daemon.start("--config", settings.config, "--http", "127.0.0.1:0")
        exporter, sent = Exporter(daemon.socket), 0
        for turn in range(1, rounds + 1):
            good = settings.change(turn)
            begin = time.monotonic()
            daemon.process.send_signal(signal.SIGHUP)
            fault.until(lambda t=turn: daemon.metric("reloads_total") >= t, "it reads them")
            longest = max(longest, time.monotonic() - begin)
            refused += not good
            assert daemon.metric("reloads_failed_total") == refused, (turn, daemon.log())
            if good:
                exporter.wait_status()  # the rules are others: it has to come back
                exporter = Exporter(daemon.socket, exporter.client, sent)
            exporter.send_batch(tree_batch(1, 2)[0])
            sent += 1
            exporter.wait(sent)
        assert daemon.stop() == 0
        spans = fault.spans_in(daemon.store)
        assert len(spans) == 2 * sent and set(spans.values()) == {1}
    return refused, longest


def run(short):
    drain, counts = terms(*((TERMS_SHORT, DRAIN_SHORT_S) if short else (TERMS, DRAIN_S)))
    turns = HUPS_SHORT if short else HUPS
    refused, reload = hups(turns)
    return (f"{TERMS_SHORT if short else TERMS} SIGTERM, longest drain {drain:.2f} s, "
            f"{counts['stored']} spans stored, {counts['lost']} lost, {counts['doubled']} doubled; "
            f"{turns} SIGHUP, {refused} bad files refused, longest {reload * 1000:.0f} ms")


fault.main(run)
