#!/usr/bin/python3
"""Each system call of a life (life.py) that changes or opens a file fails once: EIO, ENOSPC,
EINTR, half of a write, and for those that open, EMFILE. A call has the faults that it can
have: only writes are short, only what opens lacks a descriptor.

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
WRITES = ("write", "pwrite64", "writev", "pwritev", "pwritev2")
OPENS = ("open", "openat", "open-only")
LIVES_TO_COUNT = 2
SHORT_POINTS = 10
WORKERS = 4  # a life mostly waits: for time to pass, for the disk


def injected(point, how):
    """(was it made, did the daemon refuse to start, lost, doubled)."""
    one = life.Life()
    one.watched = not how
    try:
        report = os.path.join(one.daemon.directory, "report")
        options = ("--opens", "--fail-at", str(point), "--with", how) if how else (
            "--opens", "--list")
        status = one.run(INJECT, "--under", one.daemon.store, "--report", report, *options, "--")
        if status == 77:
            raise fault.NotRun("ptrace is refused: " + one.daemon.log().strip())
        with open(report, encoding="utf-8") as file:
            points = file.read().splitlines()
        refused = "ready on" not in one.daemon.ready_line
        assert status == 0 or (status == 1 and refused), f"ended with {status}: {one.daemon.log()}"
        if not how:
            life.assert_whole(one, points)
            return points
        listed = one.heal()
        return int(points[-1]) >= point, refused, *one.check(listed)
    except (AssertionError, fault.Closed) as error:
        raise AssertionError(f"{how} at {point}: {error!r}\n{one.daemon.log()}") from error
    finally:
        one.close()


def may_be(call, how):
    """Whether a call, a line of inject's report, can end so."""
    name = call.split()[0]
    if how == "short":
        return name in WRITES
    if how == "EMFILE":
        return name in OPENS
    if how == "EINTR" and name == "open-only":
        return False
    if how == "ENOSPC":
        return not name.startswith("unlink")
    return True


def run(short):
    if not os.path.exists(INJECT):
        raise fault.NotRun("inject knows only x86-64")
    made = {how: 0 for how in HOWS}
    refused, lost, doubled = 0, 0, 0
    # Lives differ by a few calls: what one has at a place another may have next to it.
    calls = max((injected(0, None)[:-1] for _ in range(LIVES_TO_COUNT)), key=len)
    wanted = [(how, point) for how in HOWS for point, call in enumerate(calls, 1)
              if may_be(call, how)]
    if short:
        # What acknowledgements rest on, and some of all the rest.
        wanted = ([(how, point) for how, point in wanted
                   if how == "EIO" and "/.waft/log/" in calls[point - 1]] +
                  wanted[::len(wanted) // SHORT_POINTS])
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        jobs = [(how, pool.submit(injected, point, how)) for how, point in wanted]
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
