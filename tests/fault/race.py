#!/usr/bin/python3
"""Two daemons race for one store: one gets it, the other ends before it writes.

In odd rounds two start at once on a store that nobody has. In every round another comes to
the one that has it, and must leave every file under it as it was, times included.
"""
import os
import select
import subprocess
import tempfile

import fault
from fault import Exporter, tree_batch

ROUNDS, ROUNDS_SHORT = 500, 10
REFUSED = "another waft-collectord writes to the store"


def start(directory, number):
    socket = os.path.join(directory, f"s{number}")
    return socket, subprocess.Popen(
        [fault.PROGRAM, "--store", os.path.join(directory, "store"), "--socket", socket],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def snapshot(directory):
    """Every file and directory with what a write would change."""
    found = {}
    for root, directories, names in os.walk(directory):
        for name in directories + names:
            path = os.path.join(root, name)
            stat = os.stat(path)
            found[path] = (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    return found


def first_ready(racers):
    """The racer that says `ready`; the other has ended or will."""
    waiting = {process.stdout: (socket, process) for socket, process in racers}
    winner = None
    while winner is None and waiting:
        told = select.select(list(waiting), [], [], fault.wire.DEADLINE_S)[0]
        assert told, "nobody says anything"
        for stream in told:
            if b"ready on" in stream.readline():
                winner = waiting[stream]
            del waiting[stream]
    assert winner is not None, "nobody got the store"
    return winner


def check_refused(process):
    _, log = process.communicate(timeout=fault.wire.DEADLINE_S)
    assert process.returncode == 1, (process.returncode, log)
    assert REFUSED in log.decode(), log


def round_of_two(directory):
    racers = [start(directory, 1), start(directory, 2)]
    socket, winner = first_ready(racers)
    check_refused(next(process for _, process in racers if process is not winner))
    return socket, winner


def round_of_one(directory):
    return first_ready([start(directory, 1)])


def refuse_another(directory):
    """One more daemon on a store that has its own: refused before it writes."""
    store = os.path.join(directory, "store")
    before = snapshot(store)
    check_refused(start(directory, 3)[1])
    assert snapshot(store) == before, "the second wrote"
    assert not os.path.exists(os.path.join(directory, "s3"))


def run(short):
    refused = 0
    stored = 0
    with tempfile.TemporaryDirectory() as directory:
        for number in range(ROUNDS_SHORT if short else ROUNDS):
            socket, winner = (round_of_two if number % 2 else round_of_one)(directory)
            refuse_another(directory)
            refused += 1 + number % 2
            exporter = Exporter(socket)
            exporter.send_batch(tree_batch(1, 2)[0])
            exporter.wait(1)
            stored += 2
            exporter.close()
            winner.terminate()
            _, log = winner.communicate(timeout=fault.wire.DEADLINE_S)
            assert winner.returncode == 0, log
        spans = fault.spans_in(os.path.join(directory, "store"))
        assert len(spans) == stored and set(spans.values()) == {1}, (len(spans), stored)
    return f"{number + 1} rounds, {refused} refused, {stored} spans stored once"


fault.main(run)
