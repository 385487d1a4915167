#!/usr/bin/python3
"""What a killed client leaves: its region is salvaged by waft-collectord.

Environment: WAFT_BIN (cmake/WaftTest.cmake).
"""
import collections
import contextlib
import datetime
import fcntl
import json
import os
import pty
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import termios
import time

sys.path.append(os.path.join(os.path.dirname(__file__), "../collector"))
from daemon import Daemon, until  # pylint: disable=wrong-import-position
from wire import (  # pylint: disable=wrong-import-position
    Connection, DEADLINE_S, Exporter, MESSAGE, fields, frame, number, one, text)

AGENT = os.path.join(os.environ["WAFT_BIN"], "salvage_agent")
WAFTCTL = os.path.join(os.environ["WAFT_BIN"], "waftctl")
NEVER = "10000"  # ms: no batch is cut for its age


class SlowDaemon(Daemon):
    """One that may take its time to bring everything into files: what is tested is not
    how fast it is."""

    def command(self, *options):
        return super().command("--drain", "60s", *options)


class Agent:
    """A traced program under command."""

    def __init__(self, daemon, batch_age=NEVER, **environment):
        environment = {**os.environ, "WAFT_ENDPOINT": "unix:" + daemon.socket,
                       "WAFT_BATCH_AGE_MS": batch_age, "OTEL_SERVICE_NAME": "agent",
                       **environment}
        self.process = subprocess.Popen([AGENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        env=environment, text=True, bufsize=1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE_S)
        self.process.stdin.close()
        self.process.stdout.close()

    def tell(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        assert answer, f"no answer to {command!r}"
        return answer

    def stats(self):
        return dict(zip(("emitted", "durable", "unknown", "in_flight", "dropped"),
                        map(int, self.tell("stats").split())))

    def connect(self):
        """Until the collector has its region: what is flushed after is only by size."""
        self.tell("end 1")
        assert self.tell("flush") == "0"

    def kill(self):
        self.process.kill()
        self.process.wait(DEADLINE_S)

    def states(self):
        tasks = f"/proc/{self.process.pid}/task"
        for task in os.listdir(tasks):
            with open(os.path.join(tasks, task, "stat"), encoding="utf-8") as stat:
                yield stat.read().rsplit(")", 1)[1].split()[0]

    def stop(self):
        """Until all of its threads stand still: the sender could connect again before it does."""
        self.process.send_signal(signal.SIGSTOP)
        until(lambda: set(self.states()) == {"T"}, "the agent is stopped", self.process)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)


def status(daemon):
    """The ledger's total, and the clients."""
    code, message, answer = daemon.query("Status")
    assert code == 0, message
    answer = fields(answer)

    def ledger(data):
        got = fields(data)
        dropped = {one(fields(entry), 1).decode(): one(fields(entry), 2)
                   for entry in got.get(7, [])}
        return {"emitted": one(got, 5), "durable": one(got, 6), "dropped": dropped,
                "unknown": one(got, 8), "connected": one(got, 4)}

    return ledger(one(answer, 2)), [ledger(client) for client in answer.get(1, [])]


def expect_ledger(daemon, durable, dropped=0, unknown=0):
    total, _ = status(daemon)
    assert total["durable"] == durable, total
    assert sum(total["dropped"].values()) == dropped, total
    assert total["unknown"] == unknown, total
    assert total["emitted"] == durable + dropped + unknown, total


def by_operation(records):
    return collections.Counter((record["operation"], record["status"]) for record in records)


def expect_once(records):
    spans = [(record["trace_id"], record["span_id"]) for record in records]
    assert len(spans) == len(set(spans)), "a span is there twice"


def wait_metric(daemon, name, value):
    until(lambda: daemon.metric(name) >= value, f"{name} is {value}")


def client_ids(daemon):
    code, message, answer = daemon.query("Status")
    assert code == 0, message
    return [one(fields(client), 1) for client in fields(answer).get(1, [])]


def connected_ids(daemon):
    """Of libwaft's clients that have a session."""
    code, message, answer = daemon.query("Status")
    assert code == 0, message
    clients = [fields(client) for client in fields(answer).get(1, [])]
    return [one(client, 1) for client in clients if one(client, 4)]


def take_session(daemon):
    """Ends the session of the one client there is, as a lost connection does."""
    ids = client_ids(daemon)
    assert len(ids) == 1, ids
    Exporter(daemon.socket, client=ids[0]).close()


def test_killed():
    """All finished spans are stored, the open ones pending, and the ledger is exact."""
    with SlowDaemon() as daemon:
        daemon.start("--http", "127.0.0.1:0")
        with Agent(daemon) as agent:
            agent.connect()
            agent.tell("open 3")
            agent.tell("end 200")
            agent.tell("crowd 2")
            agent.kill()
            daemon.wait_log("salvaged 1221 finished and 3 open spans of agent")
        assert daemon.metric("clients_salvaged_total") == 1
        assert daemon.metric("regions_held") == 0
        expect_ledger(daemon, 1225, dropped=2)
        assert daemon.stop() == 0
        records = daemon.records()
        expect_once(records)
        assert by_operation(records) == {("agent.done", "success"): 201,
                                         ("agent.crowd", "success"): 1021,
                                         ("agent.open", "pending"): 3}, by_operation(records)
        numbers = sorted(record["metadata"]["attributes"]["number"] for record in records
                         if record["operation"] == "agent.done")
        assert numbers == [0] + list(range(200)), numbers


def test_fenced():
    """One that only seemed dead is told what was taken, and counts exactly."""
    with SlowDaemon() as daemon:
        daemon.start("--http", "127.0.0.1:0", "--salvage-after", "300ms")
        with Agent(daemon) as agent:
            agent.connect()
            agent.tell("open 2")
            agent.tell("end 100")
            agent.tell("crowd 3")
            agent.stop()
            take_session(daemon)
            daemon.wait_log("salvaged 1122 finished and 2 open spans of agent")
            agent.go_on()
            agent.tell("end 10")
            assert agent.tell("flush") == "0"
            agent.tell("close 2")
            assert agent.tell("flush") == "0"
            stats = agent.stats()
            assert stats == {"emitted": 1138, "durable": 1135, "unknown": 0,
                             "in_flight": 0, "dropped": 3}, stats
            assert daemon.metric("clients_fenced_total") == 1
            assert agent.tell("shutdown 5000").split()[1] == "1135"
        # The two that were stored as pending count beside those that ended later.
        expect_ledger(daemon, 1137, dropped=3)
        assert daemon.stop() == 0
        records = daemon.records()
        expect_once([record for record in records if record["status"] != "pending"])
        assert by_operation(records) == {("agent.done", "success"): 111,
                                         ("agent.crowd", "success"): 1022,
                                         ("agent.open", "success"): 2,
                                         ("agent.open", "pending"): 2}, by_operation(records)


def waftctl(daemon, *arguments, **environment):
    # waftctl's own limit is short for a busy machine.
    done = subprocess.run([WAFTCTL, "--endpoint", "unix:" + daemon.socket,
                           "--timeout", f"{DEADLINE_S}s", *arguments],
                          capture_output=True, text=True, timeout=DEADLINE_S, check=False,
                          env={**os.environ, "LC_ALL": "C.UTF-8", **environment})
    return done.returncode, done.stdout, done.stderr


def expect_listed(daemon, trace, pending, spans):
    """Lists tell what show does of a trace that runs."""
    statuses = {}
    for status in ("pending", "success"):
        code, out, err = waftctl(daemon, "trace", "list", "--json", "--status", status)
        assert (code, err) == (0, "") or not out, (out, err)
        for row in map(json.loads, out.splitlines()):
            if row["trace_id"].replace("-", "") == trace:
                statuses[status] = row
    assert list(statuses) == ["pending" if pending else "success"], statuses
    row, = statuses.values()
    assert (row["spans"], row["operation"], row["duration_ms"] is None) == (
        spans, "agent.open", pending), row
    code, out, err = waftctl(daemon, "trace", "list")
    assert (code, err) == (0, "") and out.count("agent.open (open ") == 1 + pending, out


def test_ps():
    """What is open right now, by process and thread, as trees; in `trace show` too."""
    with SlowDaemon() as daemon:
        daemon.start()
        assert waftctl(daemon, "ps") == (0, "", f"No open spans in unix:{daemon.socket}.\n")
        with Agent(daemon) as agent, Agent(daemon, OTEL_SERVICE_NAME="other") as other:
            agent.connect()
            other.connect()
            agent.tell("open 3")
            trace = agent.tell("trace")
            other.tell("open 1")
            code, out, err = waftctl(daemon, "ps")
            assert (code, err) == (0, ""), err
            assert re.fullmatch(
                r"agent \(pid (\d+)\)\n"
                r"  thread \1\n"
                r"    • agent\.open \(open \d+\.\d\ds\) \[test\]\n"
                r"      • agent\.open \(open \d+\.\d\ds\) \[test\]\n"
                r"        • agent\.open \(open \d+\.\d\ds\) \[test\]\n"
                r"other \(pid (\d+)\)\n"
                r"  thread \2\n"
                r"    • agent\.open \(open \d+\.\d\ds\) \[test\]\n", out), out
            code, out, err = waftctl(daemon, "ps", "--service", "agent", "--json")
            rows = [json.loads(line) for line in out.splitlines()]
            assert (code, err) == (0, "") and [row["depth"] for row in rows] == [0, 1, 2], out
            assert {row["pid"] for row in rows} == {agent.process.pid}, out
            assert rows[1]["parent_span_id"] == rows[0]["span_id"]
            assert all(row["trace_id"].replace("-", "") == trace for row in rows)
            assert all(0 <= row["open_ms"] < 60000 for row in rows), out
            # Nothing of the trace has ended: the id alone finds it.
            for name in (trace, trace[:8], rows[0]["trace_id"]):
                code, out, err = waftctl(daemon, "trace", "show", name)
                assert (code, err) == (0, ""), err
                assert out.count("• agent.open (open ") == 3, out
            # A list has it, too, before and after something of it is stored.
            expect_listed(daemon, trace, pending=True, spans=3)
            agent.tell("close 1")
            assert agent.tell("flush") == "0"
            expect_listed(daemon, trace, pending=True, spans=3)
            code, out, err = waftctl(daemon, "trace", "show", trace)
            tree = out[out.index("\n\n") + 2:]
            assert re.fullmatch(r"• agent\.open \(open \S+s\) \[test\]\n"
                                r"  • agent\.open \(open \S+s\) \[test\]\n"
                                r"    ✓ agent\.open \(\S+ms\) \[test\]\n", tree), out
            agent.tell("close 2")
            assert agent.tell("flush") == "0"
            code, out, err = waftctl(daemon, "trace", "show", trace)
            assert out.count("✓ agent.open (") == 3 and "•" not in out, out
            expect_listed(daemon, trace, pending=False, spans=3)
            code, out, err = waftctl(daemon, "ps", "--service", "agent")
            assert out == "" and err.startswith("No open spans"), out
        done = subprocess.run([WAFTCTL, "--store", daemon.store, "ps"], capture_output=True,
                              text=True, timeout=DEADLINE_S, check=False)
        assert (done.returncode, done.stdout) == (1, "") and "collector only" in done.stderr
        assert daemon.stop() == 0


def test_list_running():
    """A running trace takes no other's place in a list, and isn't read however large it is."""
    with SlowDaemon() as daemon:
        daemon.start()
        with Agent(daemon) as agent:
            agent.connect()
            agent.tell("open 1")
            trace = agent.tell("trace")
            since = datetime.datetime.now(datetime.timezone.utc).strftime(
                "%Y-%m-%dT%H:%M:%S.%fZ")
            agent.tell("end 2")
            agent.tell("under 1")
            assert agent.tell("flush") == "0"

            def listed(*options):
                code, out, err = waftctl(daemon, "trace", "list", "--json", *options)
                assert (code, err) == (0, "") or not out, (out, err)
                return [json.loads(line) for line in out.splitlines()]

            # What is stored of it began since, and is the newest; it didn't as a whole.
            for count in (1, 2):
                rows = listed("--since", since, "--limit", str(count))
                assert [row["operation"] for row in rows] == ["agent.done"] * count, rows
            rows = [row for row in listed() if row["trace_id"].replace("-", "") == trace]
            assert [(row["spans"], row["status"]) for row in rows] == [(2, "pending")], rows
            # More than a list fetches of one trace: it is there as it is stored.
            agent.tell("under 16000")
            assert agent.tell("flush") == "0"
            rows = [row for row in listed() if row["trace_id"].replace("-", "") == trace]
            assert [(row["spans"], row["status"]) for row in rows] == [(16001, "success")], rows
        assert daemon.stop() == 0


def test_ps_threads():
    """Every thread of a process with open spans, each with its own."""
    with SlowDaemon() as daemon:
        daemon.start()
        with Agent(daemon) as agent:
            agent.connect()
            agent.tell("open 2")
            agent.tell("beside 1")
            code, out, err = waftctl(daemon, "ps")
            assert (code, err) == (0, ""), err
            threads = re.findall(r"^  thread (\d+)\n((?:    .*\n)+)", out, re.MULTILINE)
            assert out.count("agent (pid") == 1 and len(threads) == 2, out
            tasks = os.listdir(f"/proc/{agent.process.pid}/task")
            assert all(thread in tasks for thread, _ in threads), (threads, tasks)
            opened = {thread: spans.count("• ") for thread, spans in threads}
            assert opened.pop(str(agent.process.pid)) == 2 and list(opened.values()) == [1], out
            assert "agent.beside (open " in out, out
        assert daemon.stop() == 0


def test_few_descriptors():
    """Without descriptors for their regions, clients send as ever: only salvage is lost."""
    with SlowDaemon() as daemon:
        daemon.start("--http", "127.0.0.1:0", preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_NOFILE, (64, 64)))
        with contextlib.ExitStack() as stack:
            agents = [stack.enter_context(Agent(daemon)) for _ in range(8)]
            for agent in agents:
                agent.connect()
            assert daemon.metric("regions_refused_total") > 0
            assert daemon.metric("regions_held") < len(agents)
            for agent in agents:
                agent.tell("end 50")
                assert agent.tell("flush") == "0"
                stats = agent.stats()
                assert (stats["durable"], stats["dropped"]) == (51, 0), stats
        assert daemon.stop() == 0
        records = daemon.records()
        expect_once(records)
        assert by_operation(records) == {("agent.done", "success"): 8 * 51}


def on_terminal(columns, *command):
    """What a command writes to a terminal of that width."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "NO_COLOR": "1", "TERM": "xterm",
                   "WAFT_PAGER": "cat"}
    environment.pop("COLUMNS", None)
    with subprocess.Popen(command, stdin=slave, stdout=slave, env=environment) as process:
        os.close(slave)
        said = b""
        while True:
            try:
                data = os.read(master, 65536)
            except OSError:
                break
            if not data:
                break
            said += data
        assert process.wait(DEADLINE_S) == 0
    os.close(master)
    return said.decode().replace("\r\n", "\n")


def test_ps_terminal():
    """No line is wider than the terminal; --watch goes on until nobody reads."""
    name = "a-service-with-a-name-that-no-terminal-of-forty-columns-has-room-for"
    with SlowDaemon() as daemon:
        daemon.start()
        with Agent(daemon, OTEL_SERVICE_NAME=name) as agent:
            agent.connect()
            agent.tell("open 40")
            where = ["--endpoint", "unix:" + daemon.socket]
            for columns in (40, 80):
                out = on_terminal(columns, WAFTCTL, *where, "ps")
                lines = out.splitlines()
                assert len(lines) == 42 and out.count("• ") == 40, out
                assert all(len(line) <= columns for line in lines), out
            with subprocess.Popen([WAFTCTL, *where, "ps", "--watch", "--json"],
                                  stdout=subprocess.PIPE, text=True) as watch:
                seen = [json.loads(watch.stdout.readline()) for _ in range(120)]
                watch.stdout.close()
                watch.terminate()
                watch.wait(DEADLINE_S)
            assert seen[0]["span_id"] == seen[40]["span_id"] == seen[80]["span_id"]
            assert seen[0]["open_ms"] < seen[40]["open_ms"] < seen[80]["open_ms"]
        assert daemon.stop() == 0


def test_stopped_collector():
    """Sent and not read, cut and not sent, not cut: all of it is stored, once."""
    with SlowDaemon() as daemon:
        daemon.start("--http", "127.0.0.1:0")
        with Agent(daemon) as agent:
            agent.connect()
            daemon.process.send_signal(signal.SIGSTOP)
            # More than the socket takes, in batches that are due by their size.
            agent.tell("end 8000")
            agent.tell("open 2")
            agent.kill()
            daemon.process.send_signal(signal.SIGCONT)
            wait_metric(daemon, "clients_salvaged_total", 1)
        assert daemon.metric("batches_duplicate_total") == 0
        expect_ledger(daemon, 8003)
        assert daemon.stop() == 0
        records = daemon.records()
        expect_once(records)
        assert by_operation(records) == {("agent.done", "success"): 8001,
                                         ("agent.open", "pending"): 2}, by_operation(records)


def test_written_to():
    """A process whose region is read while it goes on writing, again and again."""
    with SlowDaemon() as daemon:
        daemon.start("--http", "127.0.0.1:0", "--salvage-after", "10ms")
        with Agent(daemon, batch_age="5") as agent:
            agent.connect()
            agent.tell("spin")
            for fenced in range(1, 5):
                def is_fenced(wanted=fenced):
                    for client in connected_ids(daemon):
                        Exporter(daemon.socket, client=client).close()
                    return daemon.metric("clients_fenced_total") >= wanted

                until(is_fenced, "the client is fenced", agent.process)
            agent.tell("rest")
            assert agent.tell("flush") == "0"
            stats = agent.stats()
            assert stats["in_flight"] == 0 and stats["unknown"] == 0, stats
            assert stats["emitted"] == stats["durable"] + stats["dropped"], stats
        assert daemon.metric("regions_damaged_total") == 0
        expect_ledger(daemon, stats["durable"], stats["dropped"])
        assert daemon.stop() == 0
        records = daemon.records()
        expect_once(records)
        assert len(records) == stats["durable"]


def test_killed_often():
    """Killed at any moment: the ledger is exact and nothing is stored twice."""
    with SlowDaemon() as daemon:
        daemon.start("--http", "127.0.0.1:0")
        for _ in range(8):
            with Agent(daemon, batch_age="2") as agent:
                agent.tell("spin")
                before = status(daemon)[0]["durable"]
                until(lambda b=before: status(daemon)[0]["durable"] > b + 50, "it sends spans",
                      agent.process)
                agent.kill()
            until(lambda: daemon.metric("regions_held") == 0, "its region is let go")
            for client in status(daemon)[1]:
                assert client["emitted"] == (client["durable"] +
                                             sum(client["dropped"].values())), client
        total, _ = status(daemon)
        assert total["unknown"] == 0, total
        assert daemon.stop() == 0
        records = daemon.records()
        expect_once(records)
        assert len(records) == total["durable"], total


def test_killed_before_stop():
    """What a killed client left is in files after a stop that comes at the same moment:
    the stop is seen first, when both are there as the collector looks."""
    for stopped_first in (True, False, False):
        with SlowDaemon() as daemon:
            daemon.start()
            with Agent(daemon) as agent:
                agent.connect()
                agent.tell("end 200")
                agent.tell("open 2")
                if stopped_first:
                    daemon.process.send_signal(signal.SIGSTOP)
                    daemon.process.send_signal(signal.SIGTERM)
                agent.kill()
                if stopped_first:
                    daemon.process.send_signal(signal.SIGCONT)
                    assert daemon.process.wait(DEADLINE_S) == 0
                else:
                    assert daemon.stop() == 0
            assert "salvaged 200 finished and 2 open spans of agent" in daemon.log()
            records = daemon.records()
            expect_once(records)
            assert by_operation(records) == {("agent.done", "success"): 201,
                                             ("agent.open", "pending"): 2}, by_operation(records)


def test_restart():
    """A client that is idle comes back to a collector that began anew, which holds its
    region again."""
    with SlowDaemon() as daemon:
        daemon.start("--http", "127.0.0.1:0")
        with Agent(daemon) as agent:
            agent.connect()
            agent.tell("open 2")
            agent.tell("end 5")
            daemon.kill()
            daemon.start("--http", "127.0.0.1:0")
            wait_metric(daemon, "regions_held", 1)
            until(lambda: waftctl(daemon, "ps")[1].count("agent.open") == 2, "both are shown",
                  agent.process)
            agent.kill()
            daemon.wait_log("salvaged 5 finished and 2 open spans of agent")
        expect_ledger(daemon, 8)
        assert daemon.stop() == 0
        expect_once(daemon.records())


def test_kept():
    """The service manager keeps regions while the collector is down (FDSTORE)."""
    with SlowDaemon() as daemon:
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        manager.settimeout(DEADLINE_S)
        manager.bind(os.path.join(daemon.directory, "notify"))
        environment = {**os.environ, "NOTIFY_SOCKET": manager.getsockname()}
        daemon.start("--http", "127.0.0.1:0", env=environment)
        with Agent(daemon) as agent:
            agent.connect()
            agent.tell("open 1")
            agent.tell("end 7")
            kept = {}
            while not kept:
                text, descriptors, _, _ = socket.recv_fds(manager, 65536, 8)
                lines = dict(line.split("=", 1) for line in text.decode().splitlines())
                if "FDSTORE" in lines:
                    kept[lines["FDNAME"]] = descriptors[0]
            daemon.kill()
            agent.kill()
        (name, descriptor), = kept.items()
        wrapped = ["sh", "-c", f'exec 3<&{descriptor}; LISTEN_PID=$$ exec "$@"', "sh"]
        command = daemon.command
        daemon.command = lambda *options: wrapped + command(*options)
        daemon.start("--http", "127.0.0.1:0", "--salvage-after", "100ms",
                     pass_fds=[descriptor],
                     env={**environment, "LISTEN_FDS": "1", "LISTEN_FDNAMES": name})
        daemon.wait_log("salvaged 7 finished and 1 open spans")
        expect_ledger(daemon, 9)
        text = b""
        while b"FDSTOREREMOVE=1\nFDNAME=" + name.encode() not in text:
            text = manager.recv(65536)
        # A second time, the client is known to be fenced: nothing of it is taken.
        daemon.kill()
        daemon.start("--http", "127.0.0.1:0", "--salvage-after", "100ms",
                     pass_fds=[descriptor],
                     env={**environment, "LISTEN_FDS": "1", "LISTEN_FDNAMES": name})
        assert daemon.metric("regions_refused_total") == 1
        assert daemon.metric("regions_held") == 0
        expect_ledger(daemon, 9)
        assert daemon.stop() == 0
        expect_once(daemon.records())
        manager.close()
        os.close(descriptor)


F_ADD_SEALS, SEAL_SHRINK, SEAL_GROW = 1033, 2, 4


def memfd(size, seals, content=b""):
    descriptor = os.memfd_create("test", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.ftruncate(descriptor, size)
    os.pwrite(descriptor, content, 0)
    fcntl.fcntl(descriptor, F_ADD_SEALS, seals)
    return descriptor


def hand_over(daemon, descriptors, region=1):
    """Says hello with descriptors, and goes away without a goodbye."""
    exporter = Exporter(daemon.socket, hello=False)
    body = (text(1, exporter.client) + number(2, 1) + text(4, "test") + number(8, region))
    payload = text(3, body)
    # With the first byte of what comes next, as they are taken by hand.
    socket.send_fds(exporter.socket, [frame(MESSAGE, exporter.on, payload)], descriptors)
    while exporter.welcome is None:
        exporter.take()
    exporter.close()


def test_descriptors():
    """What is no region is not taken, and nothing is left open."""
    sealed = SEAL_SHRINK | SEAL_GROW
    whole = 4 << 20
    with SlowDaemon() as daemon:
        daemon.start("--http", "127.0.0.1:0", "--salvage-after", "10ms")
        directory = f"/proc/{daemon.process.pid}/fd"
        daemon.metric("regions_held")
        before = len(os.listdir(directory))
        null = os.open("/dev/null", os.O_RDONLY)
        bad = [null, memfd(whole, 0), memfd(whole, SEAL_GROW), memfd(whole + 4096, sealed),
               memfd(0, sealed), daemon_socket := socket.socketpair()[0].detach()]
        for count, descriptor in enumerate(bad, 1):
            hand_over(daemon, [descriptor])
            assert daemon.metric("regions_refused_total") == count
        # Sealed and of the size, and nonsense; another layout; one too many.
        for content in (b"", os.urandom(65536), b"WAFTRGN1" + b"\1\0\0\0" + os.urandom(8192)):
            descriptor = memfd(whole, sealed, content)
            failed = daemon.metric("regions_failed_total")
            hand_over(daemon, [descriptor])
            wait_metric(daemon, "regions_failed_total", failed + 1)
            os.close(descriptor)
        hand_over(daemon, [bad[1]], region=2)
        assert daemon.metric("descriptors_unasked_total") == 0
        hand_over(daemon, [null, bad[1], null])
        assert daemon.metric("descriptors_unasked_total") == 2
        hand_over(daemon, [null], region=0)
        assert daemon.metric("descriptors_unasked_total") == 3
        for _ in range(3):
            connection = Connection(daemon.socket)
            socket.send_fds(connection.socket, [frame(7, 0, b"x")], [null] * 20)
            connection.receive()
            connection.close()
        wait_metric(daemon, "descriptors_unasked_total", 63)
        assert daemon_socket >= 0
        until(lambda: len(os.listdir(directory)) <= before, "none is left open", daemon.process)
        assert daemon.metric("regions_held") == 0
        for descriptor in bad:
            os.close(descriptor)
        assert daemon.stop() == 0


def main():
    known = {name[5:]: test for name, test in globals().items() if name.startswith("test_")}
    names = sys.argv[1:] or list(known)
    for name in names:
        begin = time.monotonic()
        known[name]()
        print(f"ok {name} ({time.monotonic() - begin:.2f} s)", flush=True)


if __name__ == "__main__":
    main()
