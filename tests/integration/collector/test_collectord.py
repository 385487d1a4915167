#!/usr/bin/python3
"""waft-collectord as a whole: the program, a socket, files.

    test_collectord.py NAME...    runs test_NAME; without names, all
"""
import contextlib
import grp
import json
import os
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
import wire  # noqa: E402
from daemon import Daemon, PROGRAM, check_records, exported, until  # noqa: E402
from wire import Closed, Connection, Exporter, fields, one, tree_batch, uuid_text  # noqa: E402

LOAD = os.path.join(os.environ["WAFT_BIN"], "waft-load")
QUERY = "/waft.v1.Query/"


def list_traces(daemon, limit=0):
    status, message, answer = daemon.query("ListTraces", wire.number(2, limit))
    assert status == 0, (status, message)
    return [one(fields(t), 1) for t in fields(answer).get(1, [])]


def get_trace(daemon, trace):
    lines, page = [], b""
    while True:
        status, message, answer = daemon.query(
            "GetTrace", wire.text(1, trace) + (wire.text(2, page) if page else b""))
        if status != 0:
            return status, message
        parts = fields(answer)
        lines += parts.get(1, [])
        page = one(parts, 2, b"")
        if not page:
            return 0, lines


# ---- durability ------------------------------------------------------------------


def test_kill():
    """What was acknowledged is there after kill -9, once."""
    with Daemon() as daemon:
        ids = []
        for _ in range(3):
            daemon.start()
            ids += exported(daemon)[1]
            daemon.kill()
        daemon.start()
        assert "recovered" in daemon.log()
        assert "60 spans waiting" in daemon.log() or daemon.log().count("recovered:") == 4
        assert daemon.stop() == 0
        check_records(daemon.records(), ids)


def test_resend():
    """A reconnect learns the watermark; what comes again is not stored twice."""
    with Daemon() as daemon:
        daemon.start()
        exporter, ids = exported(daemon, batches=2)
        data, new = tree_batch(5)
        daemon.kill()
        daemon.start()
        again = Exporter(daemon.socket, exporter.client, acknowledged=1)
        assert again.durable == 2 and one(again.welcome, 1) == 1, again.durable
        again.send_batch(data, sequence=2)  # came before: not looked at
        again.send_batch(data, sequence=3)
        again.wait(3)
        assert daemon.stop() == 0
        check_records(daemon.records(), ids + new)


def test_drain():
    """SIGTERM brings what is held into files, within 5 s."""
    with Daemon() as daemon:
        daemon.start("--quiet", "60s", "--hold", "60s")
        exporter, ids = exported(daemon)
        assert not daemon.records()
        begin = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - begin < 5
        assert exporter.wait_closed()[0] == 14  # UNAVAILABLE
        check_records(daemon.records(), ids)
        assert not os.path.exists(daemon.socket)


def test_drain_of_full():
    """SIGTERM while senders send all they can: what was acknowledged is in files."""
    with Daemon() as daemon:
        # The time is for machines that do much else; tests/bench/drain measures it.
        daemon.start("--drain", "60s", "--http", "127.0.0.1:0")
        ledger = os.path.join(daemon.directory, "ledger")
        with subprocess.Popen(
                [LOAD, "--ledger", ledger, "--endpoint", "unix:" + daemon.socket, "--processes",
                 "2", "--threads", "2", "--until-eof", "--traces", "100000000", "--shutdown",
                 "100"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as load:
            until(lambda: daemon.metric("spans_written_total") >= 20000, "enough spans", load)
            assert daemon.stop() == 0
            assert "everything is in files" in daemon.log()
            load.stdin.close()
            load.wait()
        done = subprocess.run([LOAD, "verify", ledger, "--store", daemon.store],
                              capture_output=True, check=False)
        assert done.returncode == 0, done


def test_sigterm_unacknowledged():
    """What is sent while it stops is acknowledged and in files, or neither."""
    with Daemon() as daemon:
        daemon.start()
        exporter = Exporter(daemon.socket)
        batches = [tree_batch(5) for _ in range(50)]
        daemon.process.send_signal(signal.SIGTERM)
        try:
            for data, _ in batches:
                exporter.send_batch(data)
        except Closed:
            pass
        exporter.wait_closed()
        assert daemon.process.wait(wire.DEADLINE_S) == 0
        ids = [i for _, new in batches[:exporter.durable] for i in new]
        records = [r for r in daemon.records() if r["trace_id"] in {uuid_text(i) for i in ids}]
        check_records(records, ids)


def test_no_space():
    """Without space nothing is acknowledged, queries go on, and it heals by itself."""
    with Daemon() as daemon:
        daemon.start("--quiet", "60s", "--hold", "60s", "--http", "127.0.0.1:0")
        exporter, ids = exported(daemon)
        pid = daemon.process.pid
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (40, resource.RLIM_INFINITY))
        data, new = tree_batch(5)
        exporter.send_batch(data)
        until(lambda: daemon.http("/healthz")[0] != 200, "the daemon says so")
        assert "the log can't be written" in daemon.http("/healthz")[1]
        assert set(list_traces(daemon)) == set(ids)
        assert exporter.durable == 3
        resource.prlimit(pid, resource.RLIMIT_FSIZE,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        begin = time.monotonic()
        exporter.wait(4)
        assert time.monotonic() - begin < 1
        assert daemon.http("/healthz") == (200, "ok\n")
        assert daemon.stop() == 0
        check_records(daemon.records(), ids + new)


def test_second():
    """A second daemon on the store ends with a clear message and writes nothing."""
    with Daemon() as daemon:
        daemon.start()
        exported(daemon)
        # What changes meanwhile, the first one did not.
        daemon.process.send_signal(signal.SIGSTOP)
        assert os.WIFSTOPPED(os.waitpid(daemon.process.pid, os.WUNTRACED)[1])
        before = snapshot(daemon.store)
        code, output = daemon.run_to_end("--socket", daemon.socket + "2")
        assert code == 1 and "another waft-collectord writes to the store" in output, output
        assert snapshot(daemon.store) == before
        daemon.process.send_signal(signal.SIGCONT)
        assert not os.path.exists(daemon.socket + "2")
        code, output = daemon.run_to_end("--store", daemon.store + "2")
        assert code == 1 and "listens on" in output, output
        exported(daemon)
        assert daemon.stop() == 0


def test_start_refused():
    """What is wrong with the settings or in use is found before the store is touched."""
    with Daemon() as daemon, socket.create_server(("127.0.0.1", 0)) as taken, \
            socket.socket(socket.AF_UNIX) as answered:
        port = taken.getsockname()[1]
        path = os.path.join(daemon.directory, "answered")
        answered.bind(path)
        answered.listen()
        for options, wanted in (
                (("--http", f"127.0.0.1:{port}"), f"HTTP on 127.0.0.1:{port}: Address already"),
                (("--listen", f"tcp://127.0.0.1:{port}"), f"tcp://127.0.0.1:{port}: Address al"),
                (("--socket", path), f"another program, listens on {path}"),
                (("--listen", f"tcp://127.0.0.1:{port}", "--access", "/nonexistent"),
                 "rules from /nonexistent")):
            code, output = daemon.run_to_end(*options)
            assert code == 1 and wanted in output, (options, code, output)
            assert not os.path.exists(daemon.store), options
            assert not os.path.exists(daemon.socket), options
        # A port is free again at once, and so is the socket.
        daemon.start("--http", "127.0.0.1:0")
        assert daemon.http("/healthz") == (200, "ok\n")
        assert daemon.stop() == 0


def snapshot(directory):
    found = {}
    for root, _, names in os.walk(directory):
        for name in names:
            now = os.stat(os.path.join(root, name))
            found[os.path.join(root, name)] = (now.st_size, now.st_mtime_ns, now.st_ino)
    return {k: v for k, v in found.items() if "/index/" not in k and ".jsonl" not in k
            and "/manifest" not in k and "/log/" not in k}


# ---- visible ---------------------------------------------------------------------


def test_visible():
    """An acknowledged span is in list and show at once, long before it is in a file."""
    with Daemon() as daemon:
        daemon.start("--quiet", "60s", "--hold", "60s")
        for _ in range(5):
            ids = exported(daemon, batches=1, traces=2)[1]
            assert set(ids) <= set(list_traces(daemon, 1000))
            status, lines = get_trace(daemon, uuid_text(ids[0]))
            assert status == 0 and len(lines) == 4, (status, lines)
        assert not daemon.records()
        status, message = get_trace(daemon, "0123456789abcdef0123456789abcdef")
        assert status == 5 and message.startswith("No trace found with ID: 0123"), message
        waiting = get_trace(daemon, ids[0].hex())[1]
        assert daemon.stop() == 0
        daemon.start()
        assert sorted(get_trace(daemon, ids[0].hex())[1]) == sorted(waiting)
        assert get_trace(daemon, ids[0].hex()[:9])[0] == 0


def test_move():
    """A trace that moves from log to file is seen whole by every query meanwhile."""
    with Daemon() as daemon:
        daemon.start("--quiet", "5ms", "--part-size", "8K", "--segment-size", "64K")
        ids = []
        for _ in range(40):
            ids += exported(daemon, batches=1, traces=3)[1]
            listed = list_traces(daemon, 1000)
            assert len(listed) == len(set(listed)) == len(ids), (len(listed), len(ids))
            for trace in ids[-2:]:
                assert len(set(get_trace(daemon, trace.hex())[1])) == 4
        assert daemon.stop() == 0
        check_records(daemon.records(), ids)


def test_tail():
    """Tail shows spans as they become durable, and only those that match."""
    with Daemon() as daemon:
        daemon.start("--quiet", "60s")
        reader = Connection(daemon.socket)
        stream = reader.call(QUERY + "Tail")
        reader.send(wire.MESSAGE, stream, wire.text(1, wire.text(4, "wanted.operation")))
        assert reader.receive() == (wire.MESSAGE, stream, b"")
        exporter = Exporter(daemon.socket)
        wanted, ids = tree_batch(3, name="wanted.operation")
        for data in (tree_batch(3)[0], wanted, tree_batch(3)[0]):
            exporter.send_batch(data)
        lines = []
        while len(lines) < 12:
            kind, _, payload = reader.receive()
            assert kind == wire.MESSAGE
            lines += fields(payload).get(1, [])
        assert len(lines) == 12
        assert all(b'"operation":"wanted.operation"' in line for line in lines)
        assert {line[13:49].decode() for line in lines} == {uuid_text(i) for i in ids}
        reader.send(wire.CANCEL, stream)
        assert one(fields(reader.receive()[2]), 1) == 1
        assert daemon.stop() == 0


def test_tail_slow():
    """A reader without credit is told what it missed; ingest goes on."""
    with Daemon() as daemon:
        daemon.start("--quiet", "60s")
        reader = Connection(daemon.socket)
        stream = reader.call(QUERY + "Tail", wire.number(3, 1))
        reader.send(wire.MESSAGE, stream, b"")
        assert reader.receive() == (wire.MESSAGE, stream, b"")
        exporter = Exporter(daemon.socket)
        for _ in range(600):
            exporter.send_batch(tree_batch(1, 2)[0])
        exporter.wait(600)
        reader.send(wire.CREDIT, stream, wire.number(1, 1 << 24))
        seen, missed = 0, 0
        while seen + missed < 1200:
            answer = fields(reader.receive()[2])
            seen += len(answer.get(1, []))
            missed += one(answer, 2)
        assert missed > 0 and seen + missed == 1200, (seen, missed)
        assert daemon.stop() == 0


def test_deadline():
    """A query whose deadline passed, or that is cancelled, ends with that status."""
    with Daemon() as daemon:
        daemon.start()
        exported(daemon)
        reader = Connection(daemon.socket)
        stream = reader.call(QUERY + "ListTraces", wire.number(2, 1))
        kind, on, payload = reader.receive()
        assert (kind, on, one(fields(payload), 1)) == (wire.STATUS, stream, 4)
        stream = reader.call(QUERY + "ListTraces")
        reader.send(wire.CANCEL, stream)
        assert one(fields(reader.receive()[2]), 1) == 1
        status, _, answer = reader.unary(QUERY + "ListTraces")
        assert status == 0 and len(fields(answer)[1]) == 15
        assert daemon.stop() == 0


# ---- the daemon --------------------------------------------------------------------


def test_sockets():
    """A stale socket is replaced, another file is not, a directory is made."""
    with Daemon() as daemon:
        daemon.start()
        daemon.kill()
        assert os.path.exists(daemon.socket)
        daemon.start()
        assert daemon.stop() == 0
        with open(daemon.socket, "w", encoding="utf-8") as file:
            file.write("mine")
        code, output = daemon.run_to_end()
        assert code == 1 and "is no socket" in output, output
        os.unlink(daemon.socket)
        daemon.socket = os.path.join(daemon.directory, "new", "s")
        daemon.start()
        assert os.stat(os.path.dirname(daemon.socket)).st_mode & 0o777 == 0o700
        assert os.stat(daemon.socket).st_mode & 0o777 == 0o600
        assert os.stat(daemon.store).st_mode & 0o777 == 0o700
        exported(daemon)
        assert daemon.stop() == 0


def network_sockets(process):
    """Of its sockets, those of a network."""
    mine = set()
    for name in os.listdir(f"/proc/{process.pid}/fd"):
        target = os.readlink(f"/proc/{process.pid}/fd/{name}")
        if target.startswith("socket:["):
            mine.add(target[8:-1])
    assert mine, "it has no socket at all"
    found = []
    for kind in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6"):
        if os.path.exists(f"/proc/{process.pid}/net/{kind}"):
            with open(f"/proc/{process.pid}/net/{kind}", encoding="ascii") as file:
                found += [line for line in file if line.split()[9] in mine]
    return found


def test_default_places():
    """Without options: under the runtime directory and the working directory, and nothing
    listens on a network."""
    with Daemon() as daemon:
        environment = dict(os.environ, XDG_RUNTIME_DIR=daemon.directory)
        environment.pop("STATE_DIRECTORY", None)
        with subprocess.Popen([PROGRAM], cwd=daemon.directory, env=environment,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            line = process.stdout.readline().decode()
            assert f"unix:{daemon.directory}/waft/collector.sock" in line, line
            assert f"{daemon.directory}/_pyrite/analytics/traces" in line, line
            daemon.socket = os.path.join(daemon.directory, "waft/collector.sock")
            exported(daemon)
            assert network_sockets(process) == []
            process.terminate()
            assert process.wait(wire.DEADLINE_S) == 0


def test_tcp():
    """Loopback TCP takes spans and answers no queries."""
    with Daemon() as daemon:
        code, output = daemon.run_to_end("--listen", "tcp://192.0.2.1:4242")
        assert code == 2 and "loopback" in output, output
        daemon.start("--listen", "tcp://127.0.0.1:0")
        port = int(daemon.ready_line.split("tcp://127.0.0.1:")[1].split(",")[0])

        def connect():
            return Connection(socket.create_connection(("127.0.0.1", port), wire.DEADLINE_S))

        assert connect().unary(QUERY + "Health")[0] == 16  # UNAUTHENTICATED
        connection = connect()
        stream = connection.call("/waft.v1.Collector/Export")
        connection.send(wire.MESSAGE, stream, wire.text(3, wire.text(1, os.urandom(16))))
        assert 4 in fields(connection.receive()[2])
        assert daemon.stop() == 0


def test_reload():
    """SIGHUP takes over what is right and keeps the old when it is wrong."""
    with Daemon() as daemon:
        config = os.path.join(daemon.directory, "conf")

        def write(content):
            with open(config, "w", encoding="utf-8") as file:
                file.write(content)
            if daemon.process is not None:
                daemon.process.send_signal(signal.SIGHUP)

        write("quiet = 60s\nhold = 60s\n")
        daemon.start("--config", config, "--http", "127.0.0.1:0")
        ids = exported(daemon)[1]
        write("quiet = soon\n")
        daemon.wait_log("conf:1: quiet: 'soon' is not a TIME that fits")
        write("part-size = 8K\nquiet = 1ms\nlog-level = debug\n")
        daemon.wait_log("was read again")
        assert "a restart is needed for: part-size" in daemon.log(), daemon.log()
        until(lambda: daemon.metric("spans_waiting") == 0, "all is in files")
        check_records(daemon.records(), ids)
        daemon.process.send_signal(signal.SIGUSR1)
        daemon.wait_log("60 spans")
        assert daemon.stop() == 0


def test_options():
    """--help, --version, defaults that are a configuration, clear errors."""
    with Daemon() as daemon:
        code, output = daemon.run_to_end("--version")
        assert code == 0 and output.startswith("waft-collectord "), output
        code, output = daemon.run_to_end("--help")
        assert code == 0 and "--memory-limit SIZE" in output
        code, output = daemon.run_to_end("--print-defaults")
        config = os.path.join(daemon.directory, "conf")
        with open(config, "w", encoding="utf-8") as file:
            file.writelines(line[1:] if line.startswith("#") and line.split(" = ")[-1].strip()
                            and " = " in line else "\n" for line in output.splitlines(True))
        daemon.start("--config", config)
        assert daemon.stop() == 0
        for options, wanted in ((("--memory-limit", "lots"), "is not a SIZE that fits"),
                                (("--nonsense",), "--nonsense: there is no such option"),
                                (("--socket",), "needs a value"),
                                (("extra",), "no arguments besides options"),
                                (("--config", "/nonexistent"), "No such file"),
                                (("--store", "/dev/null/x"), "can't open the store")):
            code, output = daemon.run_to_end(*options)
            assert code in (1, 2) and wanted in output, (options, output)


def test_http():
    """/metrics and /healthz, on loopback only."""
    with Daemon() as daemon:
        code, output = daemon.run_to_end("--http", "192.0.2.1:80")
        assert code == 2 and "is not a loopback address" in output, output
        daemon.start("--http", "127.0.0.1:0", "--quiet", "60s")
        exported(daemon)
        assert daemon.http("/healthz") == (200, "ok\n")
        assert daemon.http("/nonsense")[0] == 404
        status, body = daemon.http("/metrics")
        assert status == 200
        for line in body.splitlines():
            assert line.startswith("#") or len(line.split(" ")) == 2, line
        assert daemon.metric("spans_durable_total") == 60
        assert daemon.metric("spans_waiting") == 60
        assert daemon.metric("healthy") == 1
        assert daemon.stop() == 0


SHIPPED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../systemd")
OTHER_ID = 65534  # nobody and nogroup


def modes(directory):
    """The permission bits of all directories, and of all files, below and with one."""
    directories, files = set(), set()
    for root, _, names in os.walk(directory):
        directories.add(stat.S_IMODE(os.lstat(root).st_mode))
        files |= {stat.S_IMODE(os.lstat(os.path.join(root, name)).st_mode) for name in names}
    return directories, files


def foreign_group():
    """A group that neither this process nor OTHER_ID is in."""
    mine = {os.getegid(), OTHER_ID, *os.getgroups()}
    return next(group for group in grp.getgrall() if group.gr_gid not in mine)


@contextlib.contextmanager
def other_user(*groups):
    """Inside, this process has another uid and gid; what it connects, so has its peer."""
    before = os.getgroups()
    os.setgroups(groups)
    os.setegid(OTHER_ID)
    os.seteuid(OTHER_ID)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(before)


def check_other_users(daemon, group):
    """All may send, only the group may query and administer."""
    program = os.path.join(daemon.directory, "waftctl")  # where another user gets to it
    shutil.copy(os.path.join(os.environ["WAFT_BIN"], "waftctl"), program)

    def status(*groups):
        done = subprocess.run([program, "--endpoint", "unix:" + daemon.socket, "status"],
                              user=OTHER_ID, group=OTHER_ID, extra_groups=groups,
                              cwd=daemon.directory, capture_output=True, check=False)
        return done.returncode, (done.stdout + done.stderr).decode()

    with other_user():
        ids = exported(daemon)[1]
        code, message, _ = daemon.query("ListTraces")
        assert code == 7 and "may not query" in message, (code, message)
    code, output = status()
    assert code == 1 and "may not query" in output, (code, output)
    with other_user(group.gr_gid):
        assert set(list_traces(daemon)) >= set(ids)
        assert Connection(daemon.socket).unary("/waft.v1.Admin/Flush")[0] == 0
    with other_user():
        status_of_flush = Connection(daemon.socket).unary("/waft.v1.Admin/Flush")
        assert status_of_flush[0] == 7 and "--admin-group" in status_of_flush[1], status_of_flush
    code, output = status(group.gr_gid)
    assert code == 0 and "may not" not in output, (code, output)
    return ids


def test_service():
    """As the service's unit and configuration have it: who may read, send and query."""
    with Daemon() as daemon:
        os.chmod(daemon.directory, 0o755)
        group = foreign_group()
        options = ("--config", os.path.join(SHIPPED, "collectord.conf"), "--query-group",
                   group.gr_name, "--admin-group", group.gr_name)
        daemon.start(*options, umask=0o027)
        assert stat.S_IMODE(os.stat(daemon.socket).st_mode) == 0o666
        # The daemon's own uid may query, whatever the group.
        ids = exported(daemon)[1]
        assert set(list_traces(daemon)) == set(ids)
        if os.geteuid() == 0:
            ids += check_other_users(daemon, group)
        daemon.kill()  # now nothing comes or goes
        assert modes(daemon.store) == ({0o750}, {0o640}), modes(daemon.store)
        daemon.start(*options, umask=0o027)
        assert daemon.stop() == 0
        assert modes(daemon.store) == ({0o750}, {0o640}), modes(daemon.store)
        check_records(daemon.records(), ids)


def test_inbox():
    """What a process without a daemon left is taken in, at start and while running."""

    def leave(client, locked=False, torn=b""):
        os.makedirs(inbox, exist_ok=True)
        path = os.path.join(inbox, client.hex() + ".waft")
        hello = wire.text(3, wire.text(1, client) + wire.number(2, 1) + wire.text(4, "test"))
        (first, ids), (second, more) = tree_batch(2), tree_batch(2)
        messages = [hello, wire.number(1, 1) + wire.text(4, first),
                    wire.number(1, 2) + wire.text(4, second),
                    wire.number(1, 3) + wire.text(5, wire.text(1, "buffer_full") + b"\x10\x05")]
        with open(path + ".new", "wb") as file:
            file.write(b"".join(wire.frame(wire.MESSAGE, 1, m) for m in messages) + torn)
        os.rename(path + ".new", path)
        return path, ids + more

    with Daemon() as daemon:
        inbox = os.path.join(daemon.store, ".waft", "inbox")
        first, ids = leave(os.urandom(16), torn=wire.frame(wire.MESSAGE, 1, b"x" * 99)[:50])
        daemon.start("--quiet", "60s", "--http", "127.0.0.1:0")
        until(lambda: not os.path.exists(first), "the first is taken in", daemon.process)
        assert set(list_traces(daemon)) == set(ids)
        second, more = leave(os.urandom(16), torn=b"not a frame at all, 20 bytes and more")
        until(lambda: not os.path.exists(second), "the second is taken in", daemon.process)
        until(lambda: daemon.metric("inbox_damaged_total") >= 1, "its damage is counted")
        assert daemon.metric("inbox_files_total") == 2
        assert daemon.metric("inbox_torn_bytes_total") == 50
        assert os.listdir(os.path.join(daemon.store, ".waft", "quarantine"))
        assert daemon.stop() == 0
        check_records(daemon.records(), ids + more)


def test_inbox_locked():
    """What a process that has no daemon writes is seen through one, once, all the time."""
    with Daemon() as daemon:
        daemon.start("--quiet", "60s", "--http", "127.0.0.1:0")
        ledger = os.path.join(daemon.directory, "ledger")
        with subprocess.Popen([LOAD, "--ledger", ledger, "--endpoint", "file:" + daemon.store,
                               "--rate", "70", "--traces", "100000", "--until-eof"],
                              stdin=subprocess.PIPE) as writer:
            until(lambda: list_traces(daemon), "a trace is listed", writer)
            assert daemon.metric("inbox_files_total") == 0
            trace = uuid_text(list_traces(daemon)[-1])
            writer.stdin.close()
            # While it ends and is taken in, each is there once.
            def taken_in():
                status, lines = get_trace(daemon, trace)
                assert status == 0 and len(set(lines)) == 7, (status, lines)
                return daemon.metric("inbox_files_total") > 0

            until(taken_in, "the inbox is taken in")
        assert daemon.stop() == 0
        done = subprocess.run([LOAD, "verify", ledger, "--store", daemon.store],
                              capture_output=True, check=False)
        assert done.returncode == 0, done


def foreign_record(number, operation, text):
    return {"trace_id": f"00000000-0000-4000-8000-{number:012x}",
            "span_id": f"00000000-0000-8000-8000-{number:012x}", "parent_span_id": None,
            "timestamp": "2026-01-01T00:00:00Z", "duration_ms": 1.5, "operation": operation,
            "layer": "core", "status": "success", "data": {"input": text, "output": None},
            "metadata": {}, "error": None}


def waftctl(daemon, *arguments):
    done = subprocess.run([os.path.join(os.environ["WAFT_BIN"], "waftctl"), "--endpoint",
                           "unix:" + daemon.socket, *arguments], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[:500]
    return done.stdout.decode()


def test_large_answers():
    """What takes more than one message, or all of the credit, comes whole."""
    with Daemon() as daemon:
        os.makedirs(daemon.store)
        long_text = "\u00e9\\n" * 700000
        with open(os.path.join(daemon.store, "2026-01-01.jsonl"), "w", encoding="utf-8") as file:
            for number in range(1, 2001):
                file.write(json.dumps(foreign_record(number, f"op{number:04}" * 60, "")) + "\n")
            file.write(json.dumps(foreign_record(4000, "large", long_text)) + "\n")
        with open(os.path.join(daemon.directory, "set-aside"), "wb") as file:
            file.write(bytes(1000))
        daemon.start()
        os.rename(os.path.join(daemon.directory, "set-aside"),
                  os.path.join(daemon.store, ".waft", "quarantine", "set-aside"))
        for _ in range(300):
            exporter = exported(daemon, 1, 1, 1)[0]
            exporter.socket.close()
        operations = json.loads("[" + ",".join(waftctl(daemon, "stats", "--json").split("\n")[:-1])
                                + "]")
        assert len({o["operation"] for o in operations}) == 2002, len(operations)
        record = json.loads(waftctl(daemon, "trace", "show", "--json", "00000000-0000-4000-8000-"
                                    + f"{4000:012x}"))
        assert record["data"]["input"] == long_text, len(record["data"]["input"])
        status = json.loads(waftctl(daemon, "status", "--json"))
        assert len(status["clients"]) == 300, len(status["clients"])
        assert status["quarantined_bytes"] == 1000
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
