#!/usr/bin/python3
"""What a killed client leaves: its region is salvaged by waft-collectord.

Environment: WAFT_BIN (cmake/WaftTest.cmake).
"""
import collections
import json
import os
import re
import signal
import subprocess
import sys
import time

sys.path.append(os.path.join(os.path.dirname(__file__), "../collector"))
from daemon import Daemon  # pylint: disable=wrong-import-position
from wire import DEADLINE_S, Exporter, fields, one  # pylint: disable=wrong-import-position

AGENT = os.path.join(os.environ["WAFT_BIN"], "salvage_agent")
WAFTCTL = os.path.join(os.environ["WAFT_BIN"], "waftctl")
NEVER = "10000"  # ms: no batch is cut for its age


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

    def signal(self, number):
        self.process.send_signal(number)


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
    deadline = time.monotonic() + DEADLINE_S
    while daemon.metric(name) < value:
        assert time.monotonic() < deadline, daemon.log()


def client_ids(daemon):
    code, message, answer = daemon.query("Status")
    assert code == 0, message
    return [one(fields(client), 1) for client in fields(answer).get(1, [])]


def take_session(daemon):
    """Ends the session of the one client there is, as a lost connection does."""
    ids = client_ids(daemon)
    assert len(ids) == 1, ids
    Exporter(daemon.socket, client=ids[0]).close()


def test_killed():
    """All finished spans are stored, the open ones pending, and the ledger is exact."""
    with Daemon() as daemon:
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
    with Daemon() as daemon:
        daemon.start("--http", "127.0.0.1:0", "--salvage-after", "300ms")
        with Agent(daemon) as agent:
            agent.connect()
            agent.tell("open 2")
            agent.tell("end 100")
            agent.tell("crowd 3")
            agent.signal(signal.SIGSTOP)
            take_session(daemon)
            daemon.wait_log("salvaged 1122 finished and 2 open spans of agent")
            agent.signal(signal.SIGCONT)
            agent.tell("end 10")
            assert agent.tell("flush") == "0"
            agent.tell("close 2")
            assert agent.tell("flush") == "0"
            stats = agent.stats()
            assert stats == {"emitted": 1138, "durable": 1135, "unknown": 0,
                             "in_flight": 0, "dropped": 3}, stats
            assert daemon.metric("clients_fenced_total") == 1
            assert agent.tell("shutdown 5000").split()[1] == "1135"
        assert daemon.stop() == 0


def waftctl(daemon, *arguments, **environment):
    done = subprocess.run([WAFTCTL, "--endpoint", "unix:" + daemon.socket, *arguments],
                          capture_output=True, text=True, timeout=DEADLINE_S, check=False,
                          env={**os.environ, "LC_ALL": "C.UTF-8", **environment})
    return done.returncode, done.stdout, done.stderr


def test_ps():
    """What is open right now, by process and thread, as trees; in `trace show` too."""
    with Daemon() as daemon:
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
            agent.tell("close 1")
            assert agent.tell("flush") == "0"
            code, out, err = waftctl(daemon, "trace", "show", trace)
            tree = out[out.index("\n\n") + 2:]
            assert re.fullmatch(r"• agent\.open \(open \S+s\) \[test\]\n"
                                r"  • agent\.open \(open \S+s\) \[test\]\n"
                                r"    ✓ agent\.open \(\S+ms\) \[test\]\n", tree), out
            agent.tell("close 2")
            assert agent.tell("flush") == "0"
            code, out, err = waftctl(daemon, "trace", "show", trace)
            assert out.count("✓ agent.open (") == 3 and "•" not in out, out
            code, out, err = waftctl(daemon, "ps", "--service", "agent")
            assert out == "" and err.startswith("No open spans"), out
        done = subprocess.run([WAFTCTL, "--store", daemon.store, "ps"], capture_output=True,
                              text=True, timeout=DEADLINE_S, check=False)
        assert (done.returncode, done.stdout) == (1, "") and "collector only" in done.stderr
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
