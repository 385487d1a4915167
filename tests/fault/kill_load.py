#!/usr/bin/python3
"""The collector killed again and again while waft-load sends.

Three loads send beside each other: small traces, traces whose spans come so late that
they make several runs, and traces over the cap. The store goes through all that changes a
file: log and parts roll, midnight passes, parts are sealed, retention removes the days
before, and now and then the index is not there. This takes place in generations, each of two
days of its own and with ledgers of its own. At the end of each, and of all, waft-load's
verifier, which shares no code with the store, holds the ledgers against the files: nothing
acknowledged is missing, nothing is there twice, every count adds up. The last time
it does so for the days that retention leaves, and of the others nothing may be left.
"""
import os
import re
import select
import shutil
import subprocess
import time

import fault
import life
from fault import Clock, DAY_NS, Daemon

# The log and parts roll, and parts are sealed at once. A day stays until 30 hours after it.
OPTIONS = ("--log-limit", "16M", "--quiet", "250ms", "--hold", "250ms", "--trace-spans", "64",
           "--drain", "60s", "--seal-after", "1ms", "--retention-age", "30h", "--http",
           "127.0.0.1:0")
NO_INDEX_EVERY = 3  # starts
# Traces start by the host's clock, which is more than a day behind: days are of receipt.
OFFSET_NS = 10 * DAY_NS
HOUR_NS = DAY_NS // 24
REASONS = ("big", "held")


class Form:
    """How long, how often; what each load is told."""

    def __init__(self, short):
        self.generations = 2 if short else 5
        self.seconds = 1.5 if short else 60
        self.every = 0.5 if short else 2
        size, data = "64K" if short else "512K", ("--data", "200" if short else "100")
        self.options = (*OPTIONS, "--segment-size", size, "--part-size", size)
        self.loads = {
            "small": ("--processes", "2", "--threads", "2", "--rate", "100" if short else "1000",
                      *data),
            # A trace takes longer than spans are held.
            "late": ("--threads", "8", "--rate", "20", "--spread", *data),
            "large": ("--threads", "2", "--fanout", "10", "--rate", "200" if short else "300"),
        }


class Test:
    def __init__(self, daemon, form):
        self.daemon, self.form = daemon, form
        self.clock = Clock(os.path.join(daemon.directory, "clock"))
        self.kills, self.starts, self.runs = 0, [], dict.fromkeys(REASONS, 0)
        self.segments = set()
        self.kept = []  # (ledgers, lines of each day) of the generations
        self.total = {}

    def start(self):
        if len(self.starts) % NO_INDEX_EVERY == 1:
            shutil.rmtree(os.path.join(self.daemon.store, ".waft", "index"))
        begin = time.monotonic()
        self.daemon.start(*self.form.options, env=self.clock.environment())
        self.starts.append(time.monotonic() - begin)

    def kill(self):
        for reason in REASONS:
            self.runs[reason] += self.daemon.metric(f'runs_total{{reason="{reason}"}}')
        self.daemon.kill()
        self.kills += 1
        self.segments.update(os.listdir(os.path.join(self.daemon.store, ".waft", "log")))

    def load(self, number):
        """The processes of the loads, and their ledgers."""
        loads = []
        for name, options in self.form.loads.items():
            ledger = os.path.join(self.daemon.directory, f"{name}.{number}")
            loads.append((ledger, subprocess.Popen(
                [fault.program("waft-load"), "--ledger", ledger, "--endpoint",
                 "unix:" + self.daemon.socket, "--duration", "3600000", "--until-eof",
                 "--shutdown", "60000", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL)))
        return loads

    def verify(self, ledger):
        done = subprocess.run([fault.program("waft-load"), "verify", ledger, "--store",
                               self.daemon.store], stdout=subprocess.PIPE, check=False)
        words = done.stdout.decode().strip()
        counts = {word: int(count) for word, count in re.findall(r"(\w+) (\d+)", words)}
        assert done.returncode == 0 and counts["stored"] > 0, (ledger, words)
        return counts

    def kill_for(self, seconds, loads):
        """Kills and starts the daemon; the last one has stored something when this ends."""
        end = time.monotonic() + seconds - self.form.every / 2
        while time.monotonic() < end:
            ended = select.select([process.stdout for _, process in loads], [], [],
                                  self.form.every)[0]
            assert not ended, "a load ended by itself"
            self.kill()
            self.start()
        fault.until(lambda: self.daemon.metric("spans_durable_total") > 0, "it stores something",
                    *(process for _, process in loads))

    def generation(self, number):
        self.clock.to_midnight(HOUR_NS, OFFSET_NS + 2 * number * DAY_NS)
        days = {self.clock.now() // DAY_NS + day for day in (0, 1)}
        self.start()
        loads = self.load(number)
        self.kill_for(self.form.seconds / 2, loads)
        self.clock.set(self.clock.offset + HOUR_NS)  # midnight
        self.kill_for(self.form.seconds / 2, loads)
        for _, process in loads:
            process.stdin.close()
        for _, process in loads:
            process.wait(120)  # not 0 when it had to drop spans, which its ledger then says
        fault.bring_into_files(self.daemon)
        for ledger, _ in loads:
            for word, count in self.verify(ledger).items():
                self.total[word] = self.total.get(word, 0) + count
        lines = {day: lines_of(self.daemon.store, day) for day in days}
        assert all(lines.values()), f"a generation without a change of the day: {lines}"
        self.kept.append(([ledger for ledger, _ in loads], lines))

    def check_retention(self):
        """Of all days what retention leaves, and no more; how many it removed."""
        today, removed = self.clock.now() // DAY_NS, 0
        for ledgers, lines in self.kept:
            for day, count in lines.items():
                gone = self.clock.now() - (day + 1) * DAY_NS > 30 * DAY_NS // 24
                there = lines_of(self.daemon.store, day)
                assert there == (0 if gone else count), (today - day, there, count)
                removed += gone
            if min(lines) >= today - 1:
                for ledger in ledgers:
                    self.verify(ledger)
        assert removed >= len(self.kept) - 1, removed
        return removed

    def check_whole(self):
        """That the store went through all that it is to go through."""
        log, names = self.daemon.log(), os.listdir(self.daemon.store)
        assert len(self.segments) > self.kills, "the log didn't roll"
        assert any(re.search(r"\.000[2-9]\.", name) for name in names), "parts didn't roll"
        assert any(name.endswith(".zst") for name in names), "nothing was sealed"
        assert "everything is in files" in log, "no checkpoint"
        assert re.search(r"removed \d+ old files", log), "no retention"
        assert re.search(r"indexed \d+ of \d+ files anew", log), "no new index"
        assert all(self.runs.values()), f"no late spans or none over the cap: {self.runs}"


def lines_of(store, day):
    """How many lines the files of a day have."""
    date, lines = time.strftime("%Y-%m-%d", time.gmtime(day * 86400)), 0
    for name in os.listdir(store):
        if name.startswith(date):
            program = "zstdcat" if name.endswith(".zst") else "cat"
            lines += subprocess.run([program, os.path.join(store, name)], check=True,
                                    stdout=subprocess.PIPE).stdout.count(b"\n")
    return lines


def run(short):
    form = Form(short)
    with Daemon() as daemon:
        test = Test(daemon, form)
        for number in range(form.generations):
            test.generation(number)
        test.start()
        life.wait_sealed(daemon)
        fault.bring_into_files(daemon)
        removed = test.check_retention()
        test.check_whole()
        sealed = sum(name.endswith(".zst") for name in os.listdir(daemon.store))
        starts, total = sorted(test.starts), test.total
        return (f"{test.kills} kills, {2 * form.generations} days of which retention removed "
                f"{removed}, {sealed} sealed parts at the end, {test.runs['big']} runs over the "
                f"cap, {test.runs['held']} of traces that went on; {total['emitted']} spans "
                f"emitted, {total['stored']} stored, {total['lost']} lost, {total['doubled']} "
                f"doubled; ready again after {starts[len(starts) // 2] * 1000:.0f} ms (median), "
                f"{starts[-1] * 1000:.0f} ms (most)")


fault.main(run)
