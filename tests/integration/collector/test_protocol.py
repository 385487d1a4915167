#!/usr/bin/python3
"""What waft-collectord answers on its socket: in order, out of order, hostile.

    test_protocol.py NAME...    runs test_NAME; without names, all
"""
import os
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
import wire  # noqa: E402
from daemon import Daemon, check_records, exported  # noqa: E402
from wire import Closed, Connection, Exporter, fields, one, tree_batch  # noqa: E402

QUERY = "/waft.v1.Query/"


def test_sequence():
    """Gaps, duplicates, refusals, drops, goodbye, forgotten."""
    with Daemon() as daemon:
        daemon.start()
        exporter, ids = exported(daemon, batches=2)
        data, new = tree_batch(1)
        exporter.send_batch(b"\xff\xff not a batch")
        exporter.send_batch(data)
        exporter.send_drop("buffer_full", 17)
        exporter.wait(5)
        assert exporter.refusals == {3: 3}, exporter.refusals
        exporter.send_batch(data, sequence=4)
        exporter.send_batch(data, sequence=9)
        assert exporter.wait_status()[0] == 9  # FAILED_PRECONDITION
        again = Exporter(daemon.socket, exporter.client, acknowledged=2)
        assert again.durable == 5 and again.refusals == {3: 3}
        newer = Exporter(daemon.socket, exporter.client, acknowledged=5)
        assert again.wait_status()[0] == 10  # ABORTED
        assert not newer.refusals
        newer.send_goodbye(emitted=100)
        assert newer.wait_status()[0] == 0 and newer.goodbye
        late = Exporter(daemon.socket, exporter.client, acknowledged=5)
        assert one(late.welcome, 2) == 1, "not forgotten"
        status, _, answer = daemon.query("Status")
        total = fields(one(fields(answer), 2))
        dropped = {one(fields(e), 1): one(fields(e), 2) for e in total.get(7, [])}
        assert status == 0 and one(total, 6) == 44 and dropped[b"buffer_full"] == 17, total
        assert daemon.stop() == 0
        check_records(daemon.records(), ids + new)


def test_hostile():
    """Bad frames and requests end what they must, and nothing else."""
    with Daemon() as daemon:
        daemon.start("--http", "127.0.0.1:0")
        exporter = exported(daemon)[0]
        good = wire.frame(wire.PING, 0, b"x")
        for bad, code in ((b"GET / HTTP/1.1\r\n\r\n" + b"x" * 20, 3),
                          (wire.frame(wire.PING, 0, b"x", crc=1), 3),
                          (good[:12] + struct.pack("<I", 1 << 30) + good[16:], 3),
                          (wire.frame(wire.MESSAGE, 7, b"x"), 3),
                          (wire.frame(wire.PING, 0, b"x" * 65), 3)):
            connection = Connection(daemon.socket)
            connection.send_raw(bad)
            kind, stream, payload = connection.receive()
            assert (kind, stream, one(fields(payload), 1)) == (wire.STATUS, 0, code)
            try:
                connection.receive()
                raise AssertionError("not closed")
            except Closed:
                pass
        connection = Connection(daemon.socket)
        connection.send_raw(wire.frame(wire.PING, 0, b"x", version=9))
        assert connection.receive()[0] == wire.VERSION
        connection = Connection(daemon.socket)
        assert connection.unary("/waft.v1.Query/Nonsense")[0] == 12
        assert connection.unary(QUERY + "ListTraces", b"\xff")[0] == 3
        connection.send(wire.PING, 0, b"hello")
        assert connection.receive() == (wire.PONG, 0, b"hello")
        connection.send(77, 5)
        assert one(fields(connection.receive()[2]), 1) == 12
        early = Exporter(daemon.socket, hello=False)
        early.send_batch(tree_batch(1)[0], sequence=1)
        assert early.wait_status()[0] == 9
        exporter.send_batch(tree_batch(1)[0])
        exporter.wait(4)
        assert daemon.metric("frames_bad_total") == 3
        assert daemon.stop() == 0


def test_descriptors():
    """Descriptors passed unasked are closed."""
    with Daemon() as daemon:
        daemon.start()
        exporter = exported(daemon, batches=1)[0]
        directory = f"/proc/{daemon.process.pid}/fd"
        before = len(os.listdir(directory))
        for _ in range(20):
            with open("/dev/null", "rb") as file:
                socket.send_fds(exporter.socket, [wire.frame(wire.PING, 0, b"x")],
                                [file.fileno()] * 8)
            while exporter.receive()[0] != wire.PONG:
                pass
        assert len(os.listdir(directory)) == before
        assert daemon.stop() == 0


def test_idle():
    """Peers that stop inside a frame, or say nothing, are closed; too many refused."""
    with Daemon() as daemon:
        daemon.start("--idle", "50ms", "--max-connections", "3")
        silent = Connection(daemon.socket)
        half = Connection(daemon.socket)
        half.send_raw(wire.frame(wire.PING, 0, b"hello")[:-2])
        for connection in (silent, half):
            assert one(fields(connection.receive()[2]), 1) == 4
        held = [Exporter(daemon.socket) for _ in range(3)]
        one_more = Connection(daemon.socket)
        assert one(fields(one_more.receive()[2]), 1) == 8
        held[0].send_batch(tree_batch(1)[0])
        held[0].wait(1)
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
