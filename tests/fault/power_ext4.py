#!/usr/bin/python3
"""Power loss, on a real file system: a life (life.py) on ext4 on a loop device, whose
file system is shut down without flushing as the N-th call that changes a file begins,
for every N; mounted again, recovered, looked at. Needs root and a loop device.
"""
import os
import subprocess
import tempfile

import fault
import life

INJECT = os.path.join(fault.BIN, "fault_inject")
CUTS = 150        # spread over the life's points
CUTS_SHORT = 16
MEMORY = "/dev/shm"  # what is below the loop device is to cost no time
IMAGE_BYTES = 96 << 20


class Disk:
    """A file system that can be cut off and mounted again."""

    def __init__(self, directory):
        self.image = os.path.join(directory, "image")
        self.mount = os.path.join(directory, "mount")
        os.mkdir(self.mount)
        with open(self.image, "wb") as file:
            file.truncate(IMAGE_BYTES)
        self.must("mkfs.ext4", "-q", "-F", self.image)
        self.attach()

    @staticmethod
    def must(*command):
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode != 0:
            raise fault.NotRun(f"{command[0]}: {done.stderr.decode().strip()}")

    def attach(self):
        self.must("mount", "-o", "loop", self.image, self.mount)

    def detach(self):
        subprocess.run(["umount", self.mount], check=True)

    def again(self):
        self.detach()
        self.attach()


def cut(disk, point):
    """(status of the life, points it had, lost, doubled)."""
    one = life.Life(os.path.join(disk.mount, "store"))
    one.watched = not point
    try:
        report = os.path.join(one.daemon.directory, "report")
        subprocess.run(["sync", "-f", disk.mount], check=True)
        options = ("--cut-at", str(point)) if point else ("--list",)
        status = one.run(INJECT, "--under", one.daemon.store, "--report", report, *options, "--")
        if status in (77, 125):
            raise fault.NotRun(one.daemon.log().strip())
        with open(report, encoding="utf-8") as file:
            calls = file.read().splitlines()
        points = int(calls[-1])
        if not point:
            life.assert_whole(one, calls)
        disk.again()
        listed = one.heal()
        try:
            return status, points, *one.check(listed)
        except AssertionError as error:
            raise AssertionError(f"cut {point}: {error}\n{one.daemon.log()}") from error
    finally:
        one.close()


def run(short):
    if os.geteuid() != 0:
        raise fault.NotRun("mounting needs root")
    if not os.path.exists(INJECT):
        raise fault.NotRun("inject knows only x86-64")
    wanted = CUTS_SHORT if short else CUTS
    cuts, lost, doubled = 0, 0, 0
    in_memory = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="waft-fault-", dir=in_memory) as directory:
        disk = Disk(directory)
        try:
            points = cut(disk, 0)[1]
            for number in range(wanted):
                point = 1 + number * points // wanted
                status, _, now_lost, now_doubled = cut(disk, point)
                assert status in (0, 137), f"cut {point} ended with {status}"
                if now_lost or now_doubled:
                    print(f"cut {point}: {now_lost} lost, {now_doubled} doubled", flush=True)
                cuts += status == 137
                lost += now_lost
                doubled += now_doubled
        finally:
            disk.detach()
    return (f"{cuts} cuts of ext4, {lost} lost, {doubled} doubled",
            cuts >= wanted * 2 // 3 and not lost and not doubled)


fault.main(run)
