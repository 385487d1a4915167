#!/usr/bin/python3
"""Files of a store moved, truncated, removed, or replaced from outside by symbolic
links, hard links, FIFOs, directories: before a start, and while the daemon runs.

No path outside the store is followed: what the links lead to stays as it was, byte for
byte and in its times. The daemon refuses to start with a reason, or works, says so in
its health where it can't, and never hangs.
"""
import errno
import os
import shutil
import subprocess
import tempfile
import time

import fault
from fault import Daemon, Exporter, tree_batch

OPTIONS = ("--segment-size", "64K", "--part-size", "8K", "--quiet", "5ms", "--hold", "50ms",
           "--http", "127.0.0.1:0")
START_S = 30


class Outside:
    """What a link leads to: a file and a directory, and how they were."""

    def __init__(self, directory):
        self.top = os.path.join(directory, "outside")
        self.file = os.path.join(self.top, "file")
        self.directory = os.path.join(self.top, "directory")

    def make(self, like):
        """Anew, with content that the daemon would take for its own."""
        shutil.rmtree(self.top, ignore_errors=True)
        os.mkdir(self.top)
        if os.path.isdir(like):
            shutil.copytree(like, self.directory)
        else:
            os.mkdir(self.directory)
        with open(self.file, "wb") as file:
            if os.path.isfile(like):
                with open(like, "rb") as source:
                    file.write(source.read())
            else:
                file.write(b"of somebody else\n")
        self.before = self.look()

    def look(self):
        found = {}
        for root, directories, names in os.walk(self.top):
            for name in directories + names:
                path = os.path.join(root, name)
                stat = os.lstat(path)
                content = None
                if os.path.isfile(path):
                    with open(path, "rb") as file:
                        content = file.read()
                # Links of the outside file are the attack's own doing.
                found[path] = (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_mode, content)
        return found


def remove(path):
    """Where the daemon may make or remove a file in between."""
    while os.path.lexists(path):
        try:
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                raise


def replace(path, make):
    """Puts something in the place of a name, where the daemon may make a file in between."""
    while True:
        remove(path)
        try:
            return make()
        except FileExistsError:
            pass


def to_symlink(path, outside):
    target = outside.directory if os.path.isdir(path) else outside.file
    replace(path, lambda: os.symlink(target, path))


def to_dangling(path, outside):
    replace(path, lambda: os.symlink(os.path.join(outside.top, "new"), path))


def to_hard_link(path, outside):
    replace(path, lambda: os.link(outside.file, path))


def to_fifo(path, _):
    replace(path, lambda: os.mkfifo(path))


def to_directory(path, _):
    replace(path, lambda: os.mkdir(path))


def to_file(path, _):
    remove(path)
    with open(path, "wb") as file:
        file.write(b"not what you think\n")


def cut(path, _):
    if os.path.isfile(path):
        os.truncate(path, os.stat(path).st_size // 2)


def gone(path, _):
    remove(path)


def moved(path, outside):
    if os.path.lexists(path):
        os.rename(path, path + ".moved")
        to_dangling(path, outside)


ATTACKS = (to_symlink, to_dangling, to_hard_link, to_fifo, to_directory, to_file, cut, gone, moved)


def day(offset=0):
    return time.strftime("%Y-%m-%d", time.gmtime(time.time() + offset * 86400))


def names(store):
    """Paths below the store that are worth an attack, present or not."""
    log = os.path.join(store, ".waft", "log")
    segment = sorted(os.listdir(log))[-1]
    part = sorted(n for n in os.listdir(store) if n.endswith(".jsonl"))
    waft = ["lock", "manifest", "manifest.new", "part.new", "log", "index", "quarantine", "inbox",
            "log/" + segment, "log/" + f"{int(segment[:16]) + 1:016}.log",
            "index/" + part[0] + ".runs", "index/" + part[0] + ".ids",
            "index/" + part[0] + ".ids.new", "quarantine/x", "inbox/x.batch"]
    return ([".waft"] + [".waft/" + name for name in waft]
            + [part[0], part[-1], f"{day()}.{len(part) + 1:04}.jsonl", f"{day(-1)}.jsonl"])


def use(daemon):
    """Sends something: acknowledged, or the daemon says in its health why not."""
    exporter = Exporter(daemon.socket)
    exporter.send_batch(tree_batch(3)[0])
    exporter.socket.settimeout(0.2)
    deadline = time.monotonic() + START_S
    while exporter.durable < 1 and daemon.http("/healthz")[0] == 200:
        assert time.monotonic() < deadline, "neither acknowledged nor unhealthy"
        try:
            exporter.take()
        except TimeoutError:
            pass
    exporter.close()
    daemon.query("ListTraces")
    daemon.query("Stats")


def start(daemon):
    """True when it came up; False when it ended with a reason."""
    with open(daemon.log_path, "ab") as log:
        daemon.process = subprocess.Popen(daemon.command(*OPTIONS), stdout=subprocess.PIPE,
                                          stderr=log)
    daemon.ready_line = daemon.process.stdout.readline().decode()
    if "ready on" in daemon.ready_line:
        return True
    status = daemon.process.wait(START_S)
    assert status == 1 and daemon.log().strip(), f"ended with {status} and no reason"
    return False


def attack(template, name, how, running, outside):
    """One attack on a copy of the store; True when the daemon did not start."""
    with Daemon() as daemon:
        shutil.copytree(template, daemon.store)
        path = os.path.join(daemon.store, name)
        outside.make(path)
        if running:
            assert start(daemon), daemon.log()
            how(path, outside)
            use(daemon)
            use(daemon)
            daemon.process.terminate()
            assert daemon.process.wait(START_S) in (0, 1), "ended by a signal"
        else:
            how(path, outside)
        started = start(daemon)
        if started:
            use(daemon)
            daemon.process.terminate()
            assert daemon.process.wait(START_S) in (0, 1), "ended by a signal"
        assert outside.look() == outside.before, "what is outside was touched"
        return not started


def plan_short(store):
    """What is worth most: links to what the daemon writes, and every other attack once."""
    everything = names(store)
    segment = next(n for n in everything if n.startswith(".waft/log/"))
    part = next(n for n in everything if n.endswith(".jsonl") and "/" not in n)
    return [(".waft/manifest", to_symlink, False), (".waft/lock", to_dangling, False),
            (".waft/log", to_symlink, False), (segment, to_symlink, False),
            (part, to_symlink, True), (".waft/manifest", to_hard_link, False),
            (segment, to_fifo, False), (".waft/quarantine", to_file, False),
            (".waft/part.new", to_directory, True), (part, cut, True), (part, gone, True),
            (everything[-2], to_dangling, True), (".waft/manifest", moved, True)]


def run(short):
    attacks, refused = 0, 0
    with Daemon() as daemon, tempfile.TemporaryDirectory() as directory:
        daemon.start(*OPTIONS)
        for _ in range(3):
            exporter = Exporter(daemon.socket)
            exporter.send_batch(tree_batch(10)[0])
            exporter.wait(1)
            exporter.close()
        assert daemon.stop() == 0
        # A store that was stopped in order has no log.
        daemon.start(*OPTIONS)
        exporter = Exporter(daemon.socket)
        exporter.send_batch(tree_batch(10)[0])
        exporter.wait(1)
        exporter.close()
        daemon.kill()
        outside = Outside(directory)
        plan = plan_short(daemon.store) if short else [
            (name, how, running) for name in names(daemon.store) for how in ATTACKS
            for running in (False, True)]
        for name, how, running in plan:
            try:
                refused += attack(daemon.store, name, how, running, outside)
            except Exception as error:
                when = "while it runs" if running else "before it starts"
                raise AssertionError(f"{name}: {how.__name__}, {when}: {error}") from error
            attacks += 1
    return f"{attacks} changes from outside, {refused} starts refused, nothing outside touched"


fault.main(run)
