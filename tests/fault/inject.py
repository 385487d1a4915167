#!/usr/bin/python3
"""Each system call of a life (life.py) that changes a file fails once: EIO, ENOSPC,
EINTR, half a write, and for those that open, EMFILE.

The collector must not acknowledge what it did not store, go on by itself, and answer
queries; it may end only before it was ready, with the reason. (What a failed sync loses
is the part of unit.store_crash, whose disk forgets what was not synced.)
"""
import concurrent.futures
import os

import fault
import life

INJECT = os.path.join(fault.BIN, "fault_inject")
HOWS = ("EIO", "ENOSPC", "EINTR", "short", "EMFILE")
LIVES_TO_COUNT = 2


def injected(point, how):
    """(was it made, did the daemon refuse to start, lost, doubled)."""
    one = life.Life()
    try:
        report = os.path.join(one.daemon.directory, "report")
        options = ("--fail-at", str(point), "--with", how) if how else ("--list",)
        status = one.run(INJECT, "--under", one.daemon.store, "--report", report, *options, "--")
        if status == 77:
            raise fault.NotRun("ptrace is refused: " + one.daemon.log().strip())
        with open(report, encoding="utf-8") as file:
            points = file.read().splitlines()
        refused = "ready on" not in one.daemon.ready_line
        assert status == 0 or (status == 1 and refused), f"ended with {status}: {one.daemon.log()}"
        if not how:
            return points
        listed = one.heal()
        return int(points[-1]) >= point, refused, *one.check(listed)
    except (AssertionError, fault.Closed) as error:
        raise AssertionError(f"{how} at {point}: {error!r}\n{one.daemon.log()}") from error
    finally:
        one.close()


def run(_):
    if not os.path.exists(INJECT):
        raise fault.NotRun("inject knows only x86-64")
    made = {how: 0 for how in HOWS}
    refused, lost, doubled = 0, 0, 0
    points = max(len(injected(0, None)) - 1 for _ in range(LIVES_TO_COUNT))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [(how, pool.submit(injected, point, how))
                for how in HOWS for point in range(1, points + 1)]
        for how, job in jobs:
            was, was_refused, now_lost, now_doubled = job.result()
            made[how] += was
            refused += was_refused
            lost += now_lost
            doubled += now_doubled
    counts = ", ".join(f"{count} {how}" for how, count in made.items())
    return (f"{sum(made.values())} injections ({counts}), {refused} refused starts, {lost} lost, "
            f"{doubled} doubled", not lost and not doubled)


fault.main(run)
