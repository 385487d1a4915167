#!/usr/bin/python3
"""Clients killed at random moments: what the collector acknowledged to them is stored, and
all else that they had finished, once they had said hello; nothing is there twice or in a
wrong place, no thread's spans have a hole, and the collector goes on.

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
import time

import fault
from fault import Daemon, fields, one

SEED = 20260109
KILLS, KILLS_SHORT = 1000, 20
PROCESSES, LOADS_PER_STORE = 4, 25
LATEST_S = 0.4
STUCK_S = 60


def children(process):
    """Its processes, once all are there."""
    path = f"/proc/{process.pid}/task/{process.pid}/children"

    def all_pids():
        select.select([process.stdout], [], [], 0.001)
        with open(path, encoding="ascii") as file:
            pids = [int(word) for word in file.read().split()]
        return pids if len(pids) == PROCESSES else None

    return fault.until(all_pids, "all processes of the load", process)


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


def said_hello(daemon):
    """The processes whose hello the collector has had, once it has salvaged all of them:
    as fast as its store writes, which has to go on."""
    seen, deadline = None, 0
    while (held := daemon.metric("regions_held")) > 0:
        now = (held, daemon.metric("spans_written_total"))
        if now != seen:
            seen, deadline = now, time.monotonic() + STUCK_S
        assert time.monotonic() < deadline, daemon.log()
    code, message, answer = daemon.query("Status")
    assert code == 0, message
    return {one(fields(client), 3) for client in fields(answer).get(1, [])}


def verify(daemon, known, total):
    for ledger in glob.glob(os.path.join(daemon.directory, "ledger.*")):
        done = subprocess.run([fault.program("waft-load"), "verify", ledger, "--store",
                               daemon.store, "--each"], capture_output=True, check=False)
        assert done.returncode in (0, 1), done.stderr
        summary, *rows = done.stdout.decode().splitlines()
        for word, count in re.findall(r"(\w+) (\d+)", summary):
            total[word] = total.get(word, 0) + int(count)
        for pid, end, missing in re.findall(r"process (\d+) (\w+) .* missing (\d+)",
                                            "\n".join(rows)):
            assert end == "killed", rows
            kind = "missing" if int(pid) in known else "strangers"
            total[kind] = total.get(kind, 0) + int(missing)
            total["known"] = total.get("known", 0) + (int(pid) in known)


def run(short):
    chance = random.Random(SEED)
    kills = KILLS_SHORT if short else KILLS
    total = {}
    number = 0
    while number * PROCESSES < kills:
        with Daemon() as daemon:
            daemon.start("--http", "127.0.0.1:0")
            for _ in range(LOADS_PER_STORE):
                if number * PROCESSES >= kills:
                    break
                load(daemon, number, chance)
                number += 1
            known = said_hello(daemon)
            fault.bring_into_files(daemon)
            verify(daemon, known, total)
    # Nothing of it may be lost or doubled, and of those that the collector knew nothing is
    # missing; what processes ended before their hello is.
    held = total["stored"] > 0 and total["known"] > 0 and not any(
        total[word] for word in ("lost", "holes", "missing", "doubled", "misplaced", "strange",
                                 "mismatched", "malformed"))
    return (f"{number * PROCESSES} kills, {total['known']} after the hello, {total['emitted']} "
            f"spans ended, {total['stored']} stored, {total['strangers']} ended before a hello; "
            f"acknowledged and lost {total['lost']}, missing {total['missing']}, holes "
            f"{total['holes']}, doubled {total['doubled']}, misplaced "
            f"{total['misplaced'] + total['strange']}, mismatch {total['mismatched']}", held)


if __name__ == "__main__":
    fault.main(run)
