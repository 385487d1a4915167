#!/usr/bin/python3
"""What one side does when the other is hostile or dies: gateways that answer an agent with
anything, collectors that answer waftctl, senders that say they are somebody else; TLS
with a collector that is killed.

    test_peers.py NAME...    runs test_NAME; without names, all
"""
import contextlib
import os
import re
import resource
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
import wire  # noqa: E402
from daemon import Daemon, until  # noqa: E402
from test_forward import Node, send_batches, stored  # noqa: E402
from test_remote import Gateway, TOKEN, bearer, token_rule  # noqa: E402
from test_remote_client import Hostile, Load, answer, certificate  # noqa: E402
from wire import Connection, Exporter, fields, one, text  # noqa: E402

WAFTCTL = os.path.join(os.environ["WAFT_BIN"], "waftctl")
PERMISSION_DENIED = 7
RSS_MOST = 256 << 20


def forward_answer(durable=0, refused=0, credit=1 << 30, hello=True):
    body = wire.number(1, durable) + wire.number(2, refused) + wire.number(3, credit)
    if hello:
        body += wire.text(4, "a collector") + wire.text(5, os.urandom(16))
    return wire.frame(wire.MESSAGE, 1, body)


def pings(peer):
    peer.recv(65536)
    peer.sendall(forward_answer())
    for _ in range(2000):
        peer.sendall(wire.frame(wire.PING, 0, b"x" * 64) * 8)


def ahead(peer):
    """Answers what it has had with a number that nothing has had yet."""
    agent = Connection(peer)
    with contextlib.suppress(wire.Closed):
        for _ in range(2):  # the call, and the hello
            agent.receive()
        peer.sendall(forward_answer())
        agent.receive()
        peer.sendall(forward_answer(1 << 40, hello=False))
        while True:
            agent.receive()


# What acknowledges nothing that was sent: the numbers are those of nothing or of the future.
GATEWAYS = {
    "garbage": lambda peer: answer(peer, os.urandom(100000)),
    "giant": lambda peer: answer(peer, b"WAFT\x01\x02\0\0\1\0\0\0\xff\xff\xff\xff\0\0\0\0"),
    "large": lambda peer: answer(peer, wire.frame(wire.MESSAGE, 1, bytes(266240))),
    "version": lambda peer: answer(peer, wire.frame(wire.MESSAGE, 1, b"", version=9)),
    "checksum": lambda peer: answer(peer, wire.frame(wire.MESSAGE, 1, b"", crc=1)),
    "no store": lambda peer: answer(peer, forward_answer(durable=3, hello=False)),
    "future": lambda peer: answer(peer, forward_answer(durable=1 << 60)),
    "later": lambda peer: answer(peer, forward_answer(), forward_answer(1 << 40, hello=False)),
    "refusals": lambda peer: answer(peer, forward_answer(refused=(1 << 64) - 1)),
    "status": lambda peer: answer(peer, wire.frame(wire.STATUS, 0, wire.number(1, 14) + wire.text(
        2, "\x1b]0;" + "x" * 60000) + wire.number(3, (1 << 32) - 1))),
    "pings": pings,
    "hangs up": lambda peer: peer.recv(65536),
    "ahead": ahead,
}


def resident(process):
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))


def agent_of(name, hostile, stack):
    """An agent with eight batches for that gateway; (agent, name, what was sent)"""
    agent = stack.enter_context(Node())
    agent.serve("--forward", f"tcp://127.0.0.1:{hostile.port}", "--forward-timeout", "200ms")
    exporter = Exporter(agent.socket)
    ids, emitted = send_batches(exporter, 8)
    exporter.wait(8)
    return agent, name, (exporter.client, ids, emitted)


def test_gateway():
    """An agent lets go of nothing that was not acknowledged, whatever its gateway says, stays
    small, and goes on with a good one."""
    hostiles = {name: Hostile(talk) for name, talk in GATEWAYS.items()}
    with contextlib.ExitStack() as stack:
        good = stack.enter_context(Node())
        good.serve()
        agents = [agent_of(name, hostile, stack) for name, hostile in hostiles.items()]
        for agent, name, (client, ids, emitted) in agents:
            # It has been told something; where that is no long wait, it has tried again.
            tries = 1 if name == "status" else 2
            until(lambda a=agent, h=hostiles[name], t=tries: h.taken >= t
                  or a.metric("forward_records_total") > 0, f"{name} is tried {tries} times")
            hostiles[name].close()
            assert agent.metric("forward_records_total") == 0, (name, agent.log())
            assert agent.metric("forward_idle") == 0, name
            assert resident(agent.process) < RSS_MOST, name
            assert "\x1b" not in agent.log(), name
            agent.kill()
            agent.forward_to(good)
            agent.wait_metric("forward_records_total", 8)
            agent.wait_metric("forward_idle", 1)
            mine = good.clients()[client]
            assert (one(mine, 5), one(mine, 6)) == (emitted, emitted), name
            assert agent.stop() == 0
        assert good.stop() == 0
        stored([good], [one_id for _, _, (_, ids, _) in agents for one_id in ids])


def endless_pages(peer):
    peer.recv(65536)
    row = wire.text(1, wire.text(1, os.urandom(16)) + wire.text(5, "op"))
    while True:
        peer.sendall(wire.frame(wire.MESSAGE, 1, row + wire.text(2, os.urandom(8))) * 10)


def endless_pings(peer):
    peer.recv(65536)
    while True:
        peer.sendall(wire.frame(wire.PING, 0, b"x" * 64) * 100)


def endless_others(peer):
    """Messages of a call that nobody made."""
    peer.recv(65536)
    while True:
        peer.sendall(wire.frame(wire.MESSAGE, 99, b"x" * 64) * 100)


COLLECTORS = {
    "garbage": lambda peer: answer(peer, os.urandom(100000)),
    "giant": lambda peer: answer(peer, b"WAFT\x01\x02\0\0\1\0\0\0\xff\xff\xff\xff\0\0\0\0"),
    "escapes": lambda peer: answer(peer, wire.frame(wire.STATUS, 1, wire.number(1, 14)
                                                    + wire.text(2, "\x1b]0;pwn\x07" * 50))),
    "endless messages": endless_pages,
    "endless pings": endless_pings,
    "endless others": endless_others,
    "silent": answer,
    "hangs up": lambda peer: peer.recv(65536),
}


def test_waftctl():
    """A reader of a hostile collector ends with a message, in time and small, and prints
    none of its escapes."""
    listeners = {name: Hostile(talk) for name, talk in COLLECTORS.items()}
    readers = {name: subprocess.Popen(
        [WAFTCTL, "trace", "list", "--timeout", "2s", "--endpoint", f"tcp://127.0.0.1:{hostile.port}"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE) for name, hostile in listeners.items()}
    for name, reader in readers.items():
        out, err = reader.communicate(timeout=wire.DEADLINE_S)
        assert reader.returncode == 1, (name, reader.returncode, out, err)
        assert err.startswith(b"waftctl: ") and b"\x1b" not in out + err, (name, out, err)
        listeners[name].close()
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10
    assert largest < RSS_MOST, largest


def key_value(key, value):
    return text(1, key) + text(2, text(1, value))


def test_forged():
    """What says `peer` of itself stands where users' names live, and nowhere else."""
    with Daemon() as daemon:
        daemon.start()
        exporter = Exporter(daemon.socket, hello=False)
        # A hello with fields that are none: a pid and a uid of its own choice.
        exporter.request(text(3, text(1, exporter.client) + wire.number(2, 1) + text(4, "test")
                              + wire.number(5, 1) + wire.number(90, 7)
                              + text(91, text(1, "peer") + wire.number(2, 1))))
        while exporter.welcome is None:
            exporter.take()
        forged = text(4, key_value("peer", "root")) + text(4, key_value("metadata.peer", "root"))
        body = wire.span(1, trace_id=os.urandom(16)) + text(12, forged)
        data = wire.batch([body], 256)
        producer = (text(1, "test") + wire.number(2, 1) + text(3, "host")
                    + text(4, key_value("peer", "root")) + text(20, key_value("peer", "root"))
                    + wire.number(21, 0))
        data += text(1, producer) + text(90, key_value("peer", "root"))
        exporter.send_batch(data)
        exporter.wait(1)
        assert exporter.refusals == {}, exporter.refusals
        assert daemon.stop() == 0
        record, = daemon.records()
        metadata = record["metadata"]
        assert metadata["peer"] == {"pid": os.getpid(), "uid": os.geteuid()}, metadata
        assert metadata["attributes"]["peer"] == "root", metadata
        assert metadata["resource"]["peer"] == "root", metadata
        assert set(metadata) <= {"service", "pid", "host", "kind", "resource", "attributes",
                                 "peer"}, metadata


def test_forged_agent():
    """One that may only send can't speak for others: not by its token, on TCP nor TLS."""
    with Gateway(token_rule("sender", TOKEN, "send")) as secure, Daemon() as plain:
        secure.serve(certs="optional")
        plain.start("--listen", "tcp://127.0.0.1:0", "--access", secure.file("rules"))
        port = int(re.search(r"tcp://127\.0\.0\.1:(\d+)", plain.ready_line).group(1))
        for target in (socket.create_connection(("127.0.0.1", port), wire.DEADLINE_S),
                       secure.connect(client=None)):
            connection = Connection(target)
            stream = connection.call("/waft.v1.Collector/Forward", bearer(TOKEN))
            connection.send(wire.MESSAGE, stream, text(2, text(1, os.urandom(16))))
            kind, _, payload = connection.receive()
            assert kind == wire.STATUS, kind
            assert one(fields(payload), 1) == PERMISSION_DENIED, payload
            connection.close()
        for daemon in (secure, plain):
            assert daemon.stop() == 0
            assert daemon.records() == []


def test_tls_kills():
    """A load over TLS while the collector is killed, three times: what was acknowledged is
    stored, once, and the ledger adds up."""
    with Gateway() as daemon:
        daemon.serve()
        port = daemon.port
        load = Load(daemon, "--threads", "2", "--rate", "1000", "--traces", "150", "--shutdown",
                    "60000", **certificate(daemon))
        for _ in range(3):
            sent = daemon.metric("spans_durable_total")
            until(lambda s=sent: load.process.poll() is not None
                  or daemon.metric("spans_durable_total") >= s + 50, "the load goes on")
            daemon.kill()
            daemon.serve("--listen", f"tls://127.0.0.1:{port}")
        load.end()
        assert daemon.stop() == 0
        told = load.verify()
        assert " holes 0" in told and int(re.search(r"stored (\d+)", told).group(1)) > 0, told


def main():
    names = sys.argv[1:] or [name[5:] for name in globals() if name.startswith("test_")]
    for name in names:
        began = time.monotonic()
        globals()["test_" + name]()
        print(f"ok {name} ({time.monotonic() - began:.2f} s)", flush=True)


if __name__ == "__main__":
    main()
