#!/usr/bin/python3
"""Runs the services as their units would, without systemd: socket activation,
readiness and watchdog by sd_notify, and the units' system call filters, applied
for real by sandbox_exec. A call outside the filter kills the program.

    sandbox.py BIN SANDBOX_EXEC SYSTEMD_DIRECTORY
"""
import atexit
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time

BIN, SANDBOX_EXEC, UNITS = sys.argv[1:4]
DEADLINE_S = 30
REQUEST = {
    "problem": "Which language?",
    "alternatives": ["Python", "Go"],
    "criteria": {"Performance": 0.4, "Ecosystem": 0.6},
    "scores": {"Python": {"Performance": 7, "Ecosystem": 10},
               "Go": {"Performance": 9, "Ecosystem": 6}},
}


def fail(text):
    sys.exit(f"FAILED: {text}")


def syscall_sets():
    """The sets that systemd knows, by name, as `systemd-analyze` lists them."""
    sets, members = {}, None
    done = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager"],
                          capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        if line.startswith("@"):
            members = sets.setdefault(line.strip(), [])
        elif line.startswith("    ") and not line.strip().startswith("#") and line.strip():
            members.append(line.strip())
    return sets


def expand(sets, name):
    if not name.startswith("@"):
        return {name}
    return set().union(*(expand(sets, member) for member in sets[name]))


def allowed_calls(unit):
    """What the unit's SystemCallFilter lines leave, by systemd.exec(5)."""
    sets = syscall_sets()
    with open(os.path.join(UNITS, unit), encoding="utf-8") as file:
        lines = re.findall(r"^SystemCallFilter=(.*)$", file.read(), re.MULTILINE)
    calls = expand(sets, "@default")
    for line in lines:
        names = set().union(*(expand(sets, name) for name in line.lstrip("~").split()))
        calls = calls - names if line.startswith("~") else calls | names
    return calls | expand(sets, "@default")


class Notify:
    """The socket that systemd would read states from."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(DEADLINE_S)

    def wait(self, state):
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            if state in self.socket.recv(4096).decode().splitlines():
                return
        fail(f"no {state}")


class Service:
    def __init__(self, work, unit, listen, *command, without=(), **environment):
        self.name = os.path.basename(command[0])
        calls = os.path.join(work, self.name + ".calls")
        with open(calls, "w", encoding="utf-8") as file:
            file.writelines(f"{call}\n" for call in sorted(allowed_calls(unit) - set(without)))
        self.process = subprocess.Popen(
            [SANDBOX_EXEC, calls, listen, os.path.join(BIN, command[0]), *command[1:]],
            cwd=work, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)
        # Nothing outlives the test, however it ends.
        atexit.register(lambda: self.process.poll() is None and self.process.kill())

    def ready_line(self):
        if not select.select([self.process.stdout], [], [], DEADLINE_S)[0]:
            fail(f"{self.name} did not become ready")
        line = self.process.stdout.readline()
        if not line:
            self.process.wait(DEADLINE_S)
            fail(f"{self.name} ended before it was ready: {self.describe()}")
        return line

    def check_alive(self):
        if self.process.poll() is not None:
            fail(f"{self.name} ended: {self.describe()}")

    def describe(self):
        code = self.process.returncode
        if code == -signal.SIGSYS:
            return "killed for a system call that its unit does not allow"
        return f"status {code}"

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(DEADLINE_S) != 0:
            fail(f"{self.name}: {self.describe()}")


def run(name, *arguments, environment, input=None):
    done = subprocess.run([os.path.join(BIN, name), *arguments], input=input, timeout=DEADLINE_S,
                          env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode != 0:
        fail(f"{name} {' '.join(arguments)}: {done.stderr or done.stdout}")
    return done.stdout


def check_services(work):
    path, store = os.path.join(work, "collector.sock"), os.path.join(work, "traces")
    endpoint = {"WAFT_ENDPOINT": f"unix:{path}"}
    notify = Notify(os.path.join(work, "notify"))
    collector = Service(work, "waft-collectord.service.in", path, "waft-collectord",
                        "--socket", path, "--store", store, "--http", "127.0.0.1:0",
                        NOTIFY_SOCKET=os.path.join(work, "notify"), WATCHDOG_USEC="1000000")
    notify.wait("READY=1")
    engine = Service(work, "waft-engined.service.in", "-", "waft-engined", "--listen",
                     "127.0.0.1:0", "--db", os.path.join(work, "db"), "--workers", "2", **endpoint)
    server = re.search(r"http://[^ \n]*", engine.ready_line()).group()

    run("waft-decide", "--server", server, "-", environment=endpoint, input=json.dumps(REQUEST))
    # The regions of those that are traced are for the service manager to keep.
    notify.wait("FDSTORE=1")
    collector.process.send_signal(signal.SIGHUP)
    collector.process.send_signal(signal.SIGUSR1)
    run("waft-decide", "--server", server, "history", environment=endpoint)
    notify.wait("WATCHDOG=1")
    listed = run("waftctl", "trace", "list", "--json", environment=endpoint).splitlines()
    for record in listed:
        run("waftctl", "trace", "show", json.loads(record)["trace_id"], environment=endpoint)
    run("waftctl", "stats", environment=endpoint)
    run("waftctl", "status", environment=endpoint)
    run("waftctl", "ps", environment=endpoint)
    collector.check_alive()
    engine.check_alive()
    engine.stop()
    collector.stop()
    if len(listed) < 2:
        fail(f"{len(listed)} traces, not 2 or more")


def check_that_it_can_fail(work):
    """Without a call that the collector cannot do without, it must be killed."""
    path = os.path.join(work, "fail.sock")
    collector = Service(work, "waft-collectord.service.in", path, "waft-collectord", "--socket",
                        path, "--store", os.path.join(work, "fail"),
                        without=("fsync", "fdatasync", "sync_file_range"))
    if collector.process.wait(DEADLINE_S) != -signal.SIGSYS:
        fail(f"a missing fsync went unnoticed: {collector.describe()}")


def main():
    with tempfile.TemporaryDirectory() as work:
        check_services(work)
    with tempfile.TemporaryDirectory() as work:
        check_that_it_can_fail(work)
    print("the sandboxes allow what the services do")


main()
