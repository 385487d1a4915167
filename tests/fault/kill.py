#!/usr/bin/python3
"""The collector killed at every system call that changes a file of its store.

inject kills it as the N-th such call begins, for every N that a whole life
(life.py) has; the next start is killed at another of its calls; then a daemon without
interference takes the store over. What was acknowledged must be stored, nothing twice, and a list must say the same.
"""
import concurrent.futures
import os

import fault
import life

LIVES_TO_COUNT = 3
WORKERS = 4           # a life mostly waits: for time to pass, for the disk
LEAST_KILLED = 0.9    # of the points that each life that was left alone had
SHORT_POINTS = 24     # of them, spread
RECOVERY_POINTS = 40  # a start has about as many
INJECT = os.path.join(fault.BIN, "fault_inject")


def injected(*options, again=()):
    """A life under inject, and the start after it under inject with `again`: (points it
    had, how it ended, how the start ended, lost, doubled)."""
    one = life.Life()
    one.watched = not options
    try:
        report = os.path.join(one.daemon.directory, "report")
        status = one.run(INJECT, "--under", one.daemon.store, "--report", report, "--list",
                         *options, "--")
        if status == 77:
            raise fault.NotRun("ptrace is refused: " + one.daemon.log().strip())
        with open(report, encoding="utf-8") as file:
            calls = file.read().splitlines()
        points = int(calls[-1])
        if status == 0 and not options:
            life.assert_whole(one, calls)
        again = one.killed_start(INJECT, "--under", one.daemon.store, "--report", report + "2",
                                 *again, "--") if again else 0
        listed = one.heal()
        try:
            return points, status, again, *one.check(listed)
        except AssertionError as error:
            raise AssertionError(f"{options}: {error}\n{one.daemon.log()}") from error
    finally:
        one.close()


def run(short):
    short = SHORT_POINTS if short else None
    if not os.path.exists(INJECT):
        raise fault.NotRun("inject knows only x86-64")
    lost, doubled, killed, twice = 0, 0, 0, 0
    clean = [injected() for _ in range(LIVES_TO_COUNT)]
    assert all(status == 0 for _, status, *_ in clean), clean
    points = max(number for number, *_ in clean)
    print(f"a life has {points} points", flush=True)
    step = 1 if short is None else points // short
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        jobs = [(n, pool.submit(injected, "--kill-at", str(n),
                                again=("--kill-at", str(1 + n * 7 % RECOVERY_POINTS))))
                for n in range(1, points + 1, step)]
        for number, job in jobs:
            _, status, again, now_lost, now_doubled = job.result()
            assert status in (0, 137), f"point {number} ended with {status}"
            if now_lost or now_doubled:
                print(f"point {number}: {now_lost} lost, {now_doubled} doubled", flush=True)
            killed += status == 137
            twice += again == 137
            lost += now_lost
            doubled += now_doubled
    sure = sum(number <= min(number for number, *_ in clean) for number, _ in jobs)
    assert killed >= LEAST_KILLED * sure, f"only {killed} of {sure} were killed"
    return (f"{points} points, {killed} killed there, {twice} of them again "
            f"while they recovered, {lost} lost, {doubled} doubled",
            not lost and not doubled)


fault.main(run)
