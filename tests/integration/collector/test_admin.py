#!/usr/bin/python3
"""The Admin service of waft-collectord: reload, flush, log level, clients; and who may.

    test_admin.py NAME...    runs test_NAME; without names, all
"""
import grp
import hashlib
import json
import os
import re
import resource
import socket
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
import wire  # noqa: E402
from daemon import Daemon, until  # noqa: E402
from wire import Connection, Exporter, fields, one, tree_batch, uuid_text  # noqa: E402

INVALID_ARGUMENT, PERMISSION_DENIED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION = 3, 7, 8, 9
UNAVAILABLE, UNAUTHENTICATED = 14, 16
WAFTCTL = os.path.join(os.environ["WAFT_BIN"], "waftctl")
ADMIN = "/waft.v1.Admin/"
ADMIN_METHODS = ("Reload", "Flush", "SetLogLevel", "ListClients")


def admin(daemon, method, request=b"", header=b""):
    connection = Connection(daemon.socket)
    try:
        return connection.unary(ADMIN + method, request, header)
    finally:
        connection.close()


def test_flush():
    """All that is held is in files when it answers: traces that go on, too."""
    with Daemon() as daemon:
        daemon.start("--hold", "10min", "--quiet", "1min")
        exporter = Exporter(daemon.socket)
        ids = []
        for number in range(1, 4):
            data, more = tree_batch(10, 4)
            exporter.send_batch(data)
            exporter.wait(number)
            ids += more
            assert len(daemon.records()) == 40 * (number - 1)
            status, text, answer = admin(daemon, "Flush")
            assert status == 0, text
            assert one(fields(answer), 1) == 40, fields(answer)
            assert len(daemon.records()) == 40 * number
        status, _, answer = admin(daemon, "Flush")
        assert status == 0 and fields(answer) == {}, answer
        assert sorted({r["trace_id"] for r in daemon.records()}) == sorted(map(uuid_text, ids))
        assert daemon.stop() == 0


def test_flush_full():
    """While the files can't be written it says so, and what is held stays."""
    limit = 1 << 16
    with Daemon() as daemon:
        daemon.start("--hold", "10min", "--quiet", "1min",
                     preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, -1)))
        exporter, sent = Exporter(daemon.socket), 0
        while exporter.status is None and sent < 12:
            exporter.send_batch(tree_batch(10, 4)[0])
            sent += 1
            exporter.wait(sent)
        status, text, _ = admin(daemon, "Flush")
        while status == 0:
            exporter.send_batch(tree_batch(10, 4)[0])
            sent += 1
            exporter.wait(sent)
            status, text, _ = admin(daemon, "Flush")
        assert status == UNAVAILABLE and "can't be written" in text, (status, text)
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (-1, -1))
        until(lambda: admin(daemon, "Flush")[0] == 0, "a flush when there is room")
        assert len(daemon.records()) == 40 * sent
        assert daemon.stop() == 0


def test_reload():
    """As SIGHUP, with an answer: what waits for a restart, or what is wrong."""
    with Daemon() as daemon:
        conf = os.path.join(daemon.directory, "conf")

        def write(text):
            with open(conf, "w", encoding="utf-8") as file:
                file.write(text)

        write("max-tails = 3\n")
        daemon.start("--config", conf)
        write("max-tails = 0\npart-size = 1M\n")
        status, text, answer = admin(daemon, "Reload")
        assert status == 0 and one(fields(answer), 1) == b"part-size", (status, text, answer)
        assert daemon.query("Tail")[0] == RESOURCE_EXHAUSTED
        write("max-tails = many\n")
        status, text, _ = admin(daemon, "Reload")
        assert status == FAILED_PRECONDITION and f"{conf}:1" in text, (status, text)
        write("access = /nonexistent\n")
        status, text, _ = admin(daemon, "Reload")
        assert status == FAILED_PRECONDITION and "/nonexistent" in text, (status, text)
        # New rules end connections, but not before the answer.
        rules = os.path.join(daemon.directory, "rules")
        with open(rules, "w", encoding="utf-8") as file:
            file.write("uid 1 send\n")
        write(f"access = {rules}\n")
        kept = Exporter(daemon.socket)
        status, text, _ = admin(daemon, "Reload")
        assert status == 0, text
        assert kept.wait_status()[0] == UNAVAILABLE
        # And so do other groups, whose members have rights; the same ones don't.
        for setting in ("query-group", "admin-group"):
            kept = Exporter(daemon.socket)
            write(f"access = {rules}\n{setting} = {grp.getgrgid(0).gr_name}\n")
            assert admin(daemon, "Reload")[0] == 0
            assert kept.wait_status()[0] == UNAVAILABLE
        kept = Exporter(daemon.socket)
        assert admin(daemon, "Reload")[0] == 0
        kept.send_batch(tree_batch(1, 1)[0])
        kept.wait(1)
        assert daemon.stop() == 0


def test_log_level():
    with Daemon() as daemon:
        daemon.start()
        status, _, answer = admin(daemon, "SetLogLevel", wire.text(1, "debug"))
        assert status == 0 and one(fields(answer), 1) == b"info", (status, answer)
        status, _, answer = admin(daemon, "SetLogLevel", wire.text(1, "error"))
        assert status == 0 and one(fields(answer), 1) == b"debug", (status, answer)
        status, text, _ = admin(daemon, "SetLogLevel", wire.text(1, "loud"))
        assert status == INVALID_ARGUMENT and "loud" in text, (status, text)
        assert daemon.stop() == 0


def test_clients():
    """Who is connected, and each client's ledger."""
    with Daemon() as daemon:
        daemon.start()
        exporter = Exporter(daemon.socket)
        exporter.send_batch(tree_batch(10, 4)[0], emitted=40)
        exporter.send_drop("buffer_full", 3)
        exporter.wait(2)
        status, text, answer = admin(daemon, "ListClients")
        assert status == 0, text
        answers = fields(answer)
        # The last message has the clients; unary keeps that one.
        client = fields(one(answers, 1))
        assert one(client, 1) == exporter.client and one(client, 6) == 40, client
        assert daemon.stop() == 0


def test_rights():
    """Without the right: PERMISSION_DENIED, and nothing happens."""
    with Daemon() as daemon:
        rules = os.path.join(daemon.directory, "rules")
        token, root = "only-reads", "may-do-it"
        with open(rules, "w", encoding="utf-8") as file:
            for name, right in ((token, "send query forward"), (root, "admin")):
                file.write(f"token {name}:{hashlib.sha256(name.encode()).hexdigest()} {right}\n")
        daemon.start("--listen", "tcp://127.0.0.1:0", "--access", rules, "--http", "127.0.0.1:0")
        port = int(daemon.ready_line.split("tcp://127.0.0.1:")[1].split(",")[0])

        def call(method, name):
            connection = Connection(socket.create_connection(("127.0.0.1", port), wire.DEADLINE_S))
            header = b"" if name is None else wire.text(4, wire.text(1, "authorization") + wire.text(
                2, "Bearer " + name))
            status = connection.unary(ADMIN + method, wire.text(1, "debug"), header)
            connection.close()
            return status

        for method in ADMIN_METHODS:
            status = call(method, token)
            assert status[0] == PERMISSION_DENIED and "admin" in status[1], status
            assert call(method, None)[0] == UNAUTHENTICATED
        assert daemon.metric("reloads_total") == 0
        for method in ADMIN_METHODS:
            status = call(method, root)
            assert status[0] == 0, status
        assert daemon.metric("reloads_total") == 1
        assert daemon.stop() == 0


def waftctl(daemon, *arguments):
    """(exit code, output, errors)"""
    done = subprocess.run([WAFTCTL, "--endpoint", f"unix:{daemon.socket}", "admin", *arguments],
                          capture_output=True, text=True, timeout=wire.DEADLINE_S, check=False)
    return done.returncode, done.stdout, done.stderr


def test_waftctl():
    """The commands, for people and as JSON."""
    with Daemon() as daemon:
        conf = os.path.join(daemon.directory, "conf")
        with open(conf, "w", encoding="utf-8") as file:
            file.write("part-size = 1M\n")
        daemon.start("--config", conf, "--hold", "10min", "--quiet", "1min")
        exporter = Exporter(daemon.socket)
        exporter.send_batch(tree_batch(10, 4)[0], emitted=40)
        exporter.wait(1)
        assert waftctl(daemon, "flush") == (0, "All that was held is in files: 40 spans.\n", "")
        assert waftctl(daemon, "flush", "--json") == (0, '{"spans":0}\n', "")
        assert waftctl(daemon, "log-level", "debug") == (
            0, "The log level is debug; it was info.\n", "")
        assert waftctl(daemon, "log-level", "loud", "--json")[0] == 1
        with open(conf, "w", encoding="utf-8") as file:
            file.write("part-size = 2M\nseal = perhaps\n")
        code, out, err = waftctl(daemon, "reload")
        assert code == 1 and out == "" and f"{conf}:2" in err, (code, out, err)
        with open(conf, "w", encoding="utf-8") as file:
            file.write("part-size = 2M\n")
        code, out, err = waftctl(daemon, "reload", "--json")
        assert (code, out, err) == (0, '{"needs_restart":["part-size"]}\n', ""), (code, out, err)
        code, out, err = waftctl(daemon, "clients")
        assert code == 0 and err == "", (code, err)
        assert re.match(rf"uid:{os.getuid()}: 2 connected, 1 of them send; [\d.]+ \w+ received, "
                        r"0 bytes in flight\ntest \(pid \d+, connected\): emitted 40 = stored 40 "
                        r"\+ dropped 0 \+ unknown 0 \+ in flight 0\n\Z", out), out
        code, out, err = waftctl(daemon, "clients", "--json")
        lines = [json.loads(line) for line in out.splitlines()]
        assert lines[0]["account"] == f"uid:{os.getuid()}" and lines[0]["senders"] == 1, lines
        assert lines[1]["client"] == exporter.client.hex() and lines[1]["stored"] == 40, lines
        assert daemon.stop() == 0
        code, out, err = waftctl(daemon, "flush")
        assert code == 1 and "does not answer" in err, (code, out, err)


def main():
    names = sys.argv[1:] or [n[5:] for n in globals() if n.startswith("test_")]
    for name in names:
        globals()["test_" + name]()
        print(f"ok {name}")


if __name__ == "__main__":
    main()
