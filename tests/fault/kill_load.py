#!/usr/bin/python3
"""The collector killed again and again while waft-load sends.

waft-load keeps its own ledger; at the end its verifier, which shares no code with
the store, holds that against the files: nothing acknowledged is missing, nothing is
there twice, every count adds up.
"""
import os
import re
import subprocess
import time

import fault
from fault import Daemon

# The log and parts roll, and parts are sealed at once.
SIZES = ("--segment-size", "1M", "--log-limit", "16M", "--part-size", "1M", "--quiet", "50ms",
         "--drain", "60s", "--seal-after", "1ms")


class Form:
    """How long, how often; processes, threads, spans a second of each."""

    def __init__(self, short):
        self.seconds = 3 if short else 300
        self.every = 0.5 if short else 2
        self.load = ("--processes", "2", "--threads", "2", "--data", "400" if short else "100",
                     "--rate", "500" if short else "2000")


def ended(process, seconds):
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def run(short):
    form = Form(short)
    kills, slowest, starts = 0, 0.0, []
    with Daemon() as daemon:
        ledger = os.path.join(daemon.directory, "ledger")
        daemon.start(*SIZES)
        with subprocess.Popen(
                [fault.program("waft-load"), "--ledger", ledger, "--endpoint",
                 "unix:" + daemon.socket, "--duration", str(form.seconds * 1000), "--shutdown",
                 "60000", *form.load]) as load:
            # The last seconds are left to it, to bring everything over.
            end = time.monotonic() + form.seconds - form.every
            while time.monotonic() < end:
                assert not ended(load, form.every), "the load ended early"
                daemon.kill()
                kills += 1
                begin = time.monotonic()
                daemon.start(*SIZES)
                starts.append(time.monotonic() - begin)
                slowest = max(slowest, starts[-1])
            # Not 0 when it had to drop spans, which its ledger then says.
            load.wait(120)
        assert daemon.stop() == 0, daemon.log()
        sealed = sum(name.endswith(".zst") for name in os.listdir(daemon.store))
        done = subprocess.run([fault.program("waft-load"), "verify", ledger, "--store",
                               daemon.store], stdout=subprocess.PIPE, check=False)
        words = done.stdout.decode().strip()
        counts = dict(re.findall(r"(\w+) (\d+)", words))
        starts.sort()
        text = (f"{kills} kills, {sealed} sealed parts, {counts['emitted']} spans emitted, {counts['stored']} stored, "
                f"{counts['lost']} lost, {counts['doubled']} doubled; ready again after "
                f"{starts[len(starts) // 2] * 1000:.0f} ms (median), {slowest * 1000:.0f} ms (most)")
        if done.returncode != 0:
            print(words)
        return text, done.returncode == 0 and int(counts["stored"]) > 0


fault.main(run)
