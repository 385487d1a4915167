"""What the rows of tests/fault/ share: arguments, figures, daemons.

A row is a script that calls fault.main(run), where run(short) returns the text of
its figure, or that and whether the promise held, raises NotRun(why), or fails by any
other exception.
"""
import mmap
import os
import struct
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.environ["WAFT_SOURCE"], "tests", "integration", "collector"))
# pylint: disable=wrong-import-position,unused-import
import wire  # noqa: E402,F401
from daemon import Daemon, PROGRAM, until  # noqa: E402,F401
from wire import Closed, Connection, Exporter, fields, one, tree_batch, uuid_text  # noqa: E402,F401

BIN = os.environ["WAFT_BIN"]
BUILD = os.environ["WAFT_BUILD"]
EXIT_NOT_RUN = 77
DAY_NS = 86400 * 10**9
SHIM = os.path.join(BUILD, "lib", "fault_clock_shim.so")


class NotRun(Exception):
    """Why a fault can't be made here."""


def main(run):
    """Runs a row as scripts/fault and ctest want it."""
    try:
        figure = run("--short" in sys.argv[1:])
    except NotRun as reason:
        print(f"not run: {reason}", flush=True)
        sys.exit(EXIT_NOT_RUN)
    held = True
    if isinstance(figure, tuple):
        figure, held = figure
    print(f"figure: {figure}", flush=True)
    sys.exit(0 if held else 1)


class Clock:
    """A daemon's wall clock (clock_shim.c): ours and an offset."""

    def __init__(self, path):
        if not os.path.exists(SHIM):
            raise NotRun(f"{SHIM} is not there")
        self.path = path
        with open(path, "wb") as file:
            file.write(bytes(8))
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 8)
        self.offset = 0

    def set(self, offset):
        self.offset = offset
        self.map[:8] = struct.pack("<q", offset)

    def now(self):
        return time.time_ns() + self.offset

    def to_midnight(self, before_ns, offset=0):
        """Sets it to so much before the next midnight of the date that it is at `offset`."""
        now = time.time_ns()
        self.set(((now + offset) // DAY_NS + 1) * DAY_NS - before_ns - now)

    def to_noon(self):
        """Sets it to noon of the date that it is: no test takes so long that its day ends."""
        now = time.time_ns()
        self.set((now // DAY_NS * 2 + 1) * DAY_NS // 2 - now)

    def environment(self):
        """What the daemon is started with."""
        options = os.environ.get("ASAN_OPTIONS", "")
        return dict(os.environ, LD_PRELOAD=SHIM, FAULT_CLOCK=self.path,
                    ASAN_OPTIONS=options + ":verify_asan_link_order=0:detect_leaks=0")


def program(name):
    return os.path.join(BIN, name)


def largest_rss(process):
    """The largest resident size that a process has had, in bytes."""
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def descriptors(process):
    """How many it has open."""
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def sanitized(process):
    """Whether it runs with a sanitizer, which keeps what was freed: no figure of memory."""
    with open(f"/proc/{process.pid}/maps", encoding="utf-8") as file:
        return any("libasan" in line or "libtsan" in line for line in file)


def bring_into_files(daemon):
    """Stops it with everything in files. A drain that a busy machine cuts short goes on
    at the next start."""
    for _ in range(5):
        if daemon.stop() == 0:
            return
        daemon.start()
    assert daemon.stop() == 0, daemon.log()


def spans_in(store):
    """How often each span is in the store's files: {(trace id, span id): lines}, both
    as texts. Reads sealed parts with zstdcat."""
    found = {}
    for name in sorted(os.listdir(store)):
        path = os.path.join(store, name)
        if name.endswith(".jsonl"):
            with open(path, "rb") as file:
                data = file.read()
        elif name.endswith(".jsonl.zst"):
            data = subprocess.run(["zstdcat", path], stdout=subprocess.PIPE, check=True).stdout
        else:
            continue
        assert not data or data.endswith(b"\n"), f"{name} ends inside a line"
        for line in data.splitlines():
            assert line.startswith(b'{"trace_id":"') and line.endswith(b"}"), (name, line[:200])
            key = (line[13:49].decode(), line[62:98].decode())
            found[key] = found.get(key, 0) + 1
    return found
