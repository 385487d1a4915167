#!/usr/bin/python3
"""Clients killed at random moments: what the collector acknowledged to them is stored,
nothing is there twice or in a wrong place, and the collector goes on.

Each load is four processes of two threads whose ledger survives them; each is killed
at a moment of its own, from before its first span to long after.
"""
import glob
import os
import random
import re
import select
import signal
import subprocess

import fault
from fault import Daemon

SEED = 20260109
KILLS, KILLS_SHORT = 1000, 20
PROCESSES, LOADS_PER_STORE = 4, 25
LATEST_S = 0.4


def children(process):
    """Its processes, once all are there."""
    path = f"/proc/{process.pid}/task/{process.pid}/children"
    while True:
        assert process.poll() is None, process.communicate()
        with open(path, encoding="ascii") as file:
            pids = [int(word) for word in file.read().split()]
        if len(pids) == PROCESSES:
            return pids
        select.select([process.stdout], [], [], 0.001)


def kill_all(process, moments):
    """Kills each at its moment, in seconds from now."""
    before = 0.0
    for moment, pid in sorted(zip(moments, children(process))):
        select.select([process.stdout], [], [], moment - before)
        before = moment
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=fault.wire.DEADLINE_S)


def load(daemon, number, chance):
    ledger = os.path.join(daemon.directory, f"ledger.{number}")
    with subprocess.Popen(
            [fault.program("waft-load"), "--ledger", ledger, "--until-eof", "--endpoint",
             f"unix:{daemon.socket}", "--processes", str(PROCESSES), "--threads", "2", "--rate",
             "2000", "--data", "100", "--duration", "600000"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        kill_all(process, [chance.uniform(0, LATEST_S) for _ in range(PROCESSES)])


def verify(daemon, total):
    for ledger in glob.glob(os.path.join(daemon.directory, "ledger.*")):
        done = subprocess.run([fault.program("waft-load"), "verify", ledger, "--store",
                               daemon.store], capture_output=True, check=False)
        assert done.returncode in (0, 1), done.stderr
        for word, count in re.findall(r"(\w+) (\d+)", done.stdout.decode()):
            total[word] = total.get(word, 0) + int(count)


def run(short):
    chance = random.Random(SEED)
    kills = KILLS_SHORT if short else KILLS
    total = {}
    number = 0
    while number * PROCESSES < kills:
        with Daemon() as daemon:
            daemon.start()
            for _ in range(LOADS_PER_STORE):
                if number * PROCESSES >= kills:
                    break
                load(daemon, number, chance)
                number += 1
            fault.bring_into_files(daemon)
            verify(daemon, total)
    # Nothing of it may be lost or doubled; what was not acknowledged may be missing.
    held = total["stored"] > 0 and not any(
        total[word] for word in ("lost", "doubled", "misplaced", "strange", "mismatched",
                                 "malformed"))
    return (f"{number * PROCESSES} kills, {total['emitted']} spans ended, "
            f"{total['stored']} stored, acknowledged and lost {total['lost']}, doubled "
            f"{total['doubled']}, misplaced {total['misplaced'] + total['strange']}, mismatch "
            f"{total['mismatched']}", held)


if __name__ == "__main__":
    fault.main(run)
