#!/usr/bin/python3
"""Collectors that forward to others: agents, gateways, and what a kill of either costs.
waft-load keeps its own count.

    test_forward.py NAME...    runs test_NAME; without names, all
"""
import os
import re
import resource
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
import wire  # noqa: E402
from daemon import Daemon, until  # noqa: E402
from test_remote import Gateway, TOKEN, token_rule  # noqa: E402
from wire import Connection, Exporter, fields, number, one, text  # noqa: E402

LOAD = os.path.join(os.environ["WAFT_BIN"], "waft-load")


class Node(Daemon):
    """A collector with metrics."""

    def serve(self, *options):
        return self.start("--http", "127.0.0.1:0", "--quiet", "20ms", "--hold", "200ms",
                          "--drain", "60s", *options)

    def forward_to(self, *gateways, options=()):
        lists = [argument for gateway in gateways
                 for argument in ("--forward", f"unix:{gateway.socket}")]
        return self.serve(*lists, *options)

    def wait_metric(self, name, wanted):
        """Until a count has come up to a value."""
        deadline = time.monotonic() + wire.DEADLINE_S
        while (value := self.metric(name)) < wanted:
            assert time.monotonic() < deadline, f"{name} is {value}, not {wanted}: {self.log()}"
        return value

    def clients(self):
        """What Status has of the clients, by id."""
        code, message, answer = self.query("Status")
        assert code == 0, message
        return {one(c, 1): c for c in map(fields, fields(answer).get(1, []))}


class Load:
    def __init__(self, node, *options):
        self.ledger = os.path.join(node.directory, f"ledger-{time.monotonic_ns()}")
        self.process = subprocess.Popen(
            [LOAD, "--ledger", self.ledger, "--endpoint", f"unix:{node.socket}", *options],
            stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.PIPE)

    def end(self):
        output, errors = self.process.communicate(timeout=wire.DEADLINE_S)
        assert self.process.returncode == 0, (output + errors).decode()

    def verify(self, store):
        done = subprocess.run([LOAD, "verify", self.ledger, "--store", store],
                              capture_output=True, timeout=wire.DEADLINE_S, check=False)
        assert done.returncode == 0, (done.stdout + done.stderr).decode()
        return done.stdout.decode()


def test_one():
    """One gateway: all arrives, the ledger too, with who sent it and who vouches."""
    with Node() as gateway, Node() as agent:
        gateway.serve()
        agent.forward_to(gateway)
        load = Load(agent, "--processes", "2", "--threads", "2", "--traces", "200")
        load.end()
        assert agent.stop() == 0
        assert gateway.stop() == 0
        load.verify(gateway.store)
        records = gateway.records()
        assert len(records) == 2 * 2 * 200 * 7
        assert agent.records() == []
        peers = {tuple(record["metadata"]["peer"]) for record in records}
        assert peers == {("pid", "uid", "agent")}, peers
        assert {r["metadata"]["peer"]["agent"] for r in records} == {f"uid {os.geteuid()}"}
        assert {r["metadata"]["peer"]["pid"] for r in records} == {
            r["metadata"]["pid"] for r in records}


def send_batches(exporter, count, emitted=0):
    """Batches of one trace of 4 spans each; their trace ids, the spans emitted so far."""
    ids = []
    for _ in range(count):
        data, new = wire.tree_batch()
        emitted += 4
        exporter.send_batch(data, emitted=emitted)
        ids += new
    return ids, emitted


def settled(client):
    """A client's ledger as Status has it: (emitted, durable, dropped by reason)."""
    dropped = {one(fields(d), 1).decode(): one(fields(d), 2) for d in client.get(7, [])}
    return one(client, 5), one(client, 6), dropped


def stored(nodes, ids):
    """Every span of these traces is in exactly one place."""
    found = {}
    for node in nodes:
        for record in node.records():
            key = (record["trace_id"], record["span_id"])
            assert key not in found, f"{key} is there twice"
            found[key] = node
    wanted = {wire.uuid_text(i) for i in ids}
    assert {key[0] for key in found} == wanted, (len({k[0] for k in found}), len(wanted))
    assert len(found) == 4 * len(wanted)


def test_ledger():
    """Drops, refusals and goodbyes go on; the gateway's ledger is the client's."""
    with Node() as gateway, Node() as agent:
        gateway.serve()
        agent.forward_to(gateway)
        exporter = Exporter(agent.socket)
        ids, emitted = send_batches(exporter, 10)
        exporter.sequence += 1
        exporter.request(text(5, text(1, "buffer_full") + number(2, 17)), exporter.sequence,
                         emitted + 17)
        exporter.send_batch(b"\xff", emitted=emitted + 17 + 5)
        exporter.wait(12)
        gateway.wait_metric("forward_records_taken_total", 12)
        agent.wait_metric("forward_records_total", 12)
        client = gateway.clients()[exporter.client]
        assert settled(client) == (62, 40, {"buffer_full": 17, "refused": 5}), settled(client)
        assert one(client, 2).decode() == "test" and one(client, 3) == os.getpid()
        assert settled(client) == settled(agent.clients()[exporter.client])
        exporter.send_goodbye(emitted=62)
        while not exporter.goodbye:
            exporter.take()
        # The agent says when nothing of the client can come again.
        until(lambda: exporter.client not in gateway.clients(), "the gateway forgets it")
        assert gateway.metric("client_spans_emitted_total") == 62
        assert gateway.metric("client_spans_durable_total") == 40
        assert gateway.metric("client_spans_dropped_total") == 22
        assert agent.stop() == 0
        assert gateway.stop() == 0
        stored([gateway], ids)


def kills(gateway, agent, serve_gateway, serve_agent):
    """Agent and gateway killed in turn, each three times, while batches come."""
    serve_gateway()
    serve_agent()
    ids, emitted, sequence = [], 0, 0
    client = os.urandom(16)
    for turn in range(6):
        exporter = Exporter(agent.socket, client, acknowledged=sequence)
        assert exporter.durable == sequence, (exporter.durable, sequence)
        new, emitted = send_batches(exporter, 40, emitted)
        ids += new
        sequence += 40
        exporter.wait(sequence)
        exporter.close()
        # Somewhere on its way, not at its end.
        gateway.wait_metric("forward_records_taken_total", 1)
        for node in ((agent, gateway) if turn == 5 else (agent,) if turn % 2 else (gateway,)):
            node.kill()
            if node is gateway:
                serve_gateway()
            else:
                serve_agent()
    exporter = Exporter(agent.socket, client, acknowledged=sequence)
    assert exporter.durable == sequence
    agent.wait_metric("forward_idle", 1)
    assert settled(gateway.clients()[client]) == (emitted, emitted, {})
    assert agent.stop() == 0
    assert gateway.stop() == 0
    stored([gateway], ids)
    # The log let go of what was answered.
    serve_agent()
    assert agent.stop() == 0
    with open(os.path.join(agent.directory, "log"), encoding="utf-8") as log:
        assert re.search(r", 0 to forward", log.read()), agent.log()


def test_kills():
    """Over the Unix socket."""
    with Node() as gateway, Node() as agent:
        kills(gateway, agent, gateway.serve, lambda: agent.forward_to(gateway))


class RemoteNode(Gateway):
    """A collector with metrics that is reached over TLS, at one port for good."""

    wait_metric = Node.wait_metric
    clients = Node.clients

    def serve_again(self):
        """Where it was, or anywhere at first."""
        at = ("--listen", f"tls://127.0.0.1:{self.port}") if self.port != 0 else ()
        self.serve("--quiet", "20ms", "--hold", "200ms", "--drain", "60s", *at)


def test_kills_tls():
    """Over TLS."""
    with RemoteNode("cert agent-7 forward\n") as gateway, Node() as agent:
        kills(gateway, agent, gateway.serve_again, lambda: agent.serve(
            "--forward", f"tls://localhost:{gateway.port}",
            "--forward-tls-ca", gateway.file("ca.pem"),
            "--forward-tls-cert", gateway.file("agent-7.pem"),
            "--forward-tls-key", gateway.file("agent-7.key")))


def test_partitions():
    """Three gateways: each trace is whole at one, and the ledgers add up to the client's."""
    with Node() as first, Node() as second, Node() as third, Node() as agent:
        gateways = (first, second, third)
        for gateway in gateways:
            gateway.serve()
        agent.forward_to(*gateways)
        exporter = Exporter(agent.socket)
        data, ids = wire.tree_batch(traces=100)
        emitted = 400
        exporter.send_batch(data, emitted=emitted)
        more, emitted = send_batches(exporter, 50, emitted)
        exporter.sequence += 1
        exporter.request(text(5, text(1, "buffer_full") + number(2, 17)), exporter.sequence,
                         emitted + 17)
        exporter.send_batch(b"\xff", emitted=emitted + 17 + 5)
        exporter.wait(53)
        agent.wait_metric("forward_records_total", 53)
        refused = {}
        for gateway in gateways:
            for entry in gateway.clients().get(exporter.client, {}).get(7, []):
                entry = fields(entry)
                refused[one(entry, 1)] = refused.get(one(entry, 1), 0) + one(entry, 2)
        assert refused == {b"buffer_full": 17, b"refused": 5}, refused
        exporter.send_goodbye(emitted=emitted + 17 + 5)
        while not exporter.goodbye:
            exporter.take()
        agent.wait_metric("forward_records_total", 54)
        for gateway in gateways:
            until(lambda g=gateway: exporter.client not in g.clients(), "a gateway forgets it")
        sums = [sum(gateway.metric(f"client_spans_{name}_total") for gateway in gateways)
                for name in ("emitted", "durable", "dropped", "unknown")]
        assert sums == [622, 600, 22, 0], sums
        for gateway in gateways:
            assert gateway.metric("client_spans_durable_total") > 0
            assert gateway.stop() == 0
        assert agent.stop() == 0
        stored(gateways, ids + more)
        owners = {}
        for gateway in gateways:
            for record in gateway.records():
                owners.setdefault(record["trace_id"], set()).add(gateway.store)
        assert all(len(owner) == 1 for owner in owners.values())


def test_failover():
    """A gateway is killed and stays away: the others get its share, and nothing is lost.
    What it had without an answer may be at two, line by line the same."""
    with Node() as first, Node() as second, Node() as third, Node() as agent:
        gateways = (first, second, third)
        for gateway in gateways:
            gateway.serve()
        agent.forward_to(*gateways, options=("--forward-timeout", "300ms"))
        exporter = Exporter(agent.socket)
        ids, emitted = [], 0
        for turn in range(4):
            new, emitted = send_batches(exporter, 60, emitted)
            ids += new
            if turn == 1:
                second.kill()
            if turn == 3:
                agent.kill()
                agent.forward_to(*gateways, options=("--forward-timeout", "300ms"))
            else:
                exporter.wait(60 * (turn + 1))
        again = Exporter(agent.socket, exporter.client, acknowledged=exporter.durable)
        ids = ids[:again.durable]
        agent.wait_metric("forward_moved_total", 1)
        agent.wait_metric("forward_idle", 1)
        # It comes back, with what it had.
        second.serve()
        agent.wait_metric("forward_gateways_open", 3)
        new, emitted = send_batches(again, 60, 4 * again.durable)
        again.wait(again.sequence)
        ids += new
        agent.wait_metric("forward_idle", 1)
        assert agent.stop() == 0
        for gateway in gateways:
            assert gateway.stop() == 0
        lines = {}
        for gateway in gateways:
            for record in gateway.records():
                lines.setdefault((record["trace_id"], record["span_id"]), []).append(record)
        assert {key[0] for key in lines} == {wire.uuid_text(i) for i in ids}
        assert len(lines) == 4 * len(ids)
        for records in lines.values():
            assert all(record == records[0] for record in records), records


def test_outage():
    """No gateway, and a log of 1 MiB: the oldest goes, by count; then the gateway's ledger
    is exact, over a restart of the agent too."""
    small = ("--forward-max-bytes", "1M", "--segment-size", "128K")
    with Node() as gateway, Node() as agent:
        agent.forward_to(gateway, options=small)
        exporter = Exporter(agent.socket)
        other = Exporter(agent.socket)
        ids, emitted, sent = [], 0, 0
        for turn in range(8):
            for _ in range(10):
                data, new = wire.tree_batch(traces=400)
                ids.append(new)
                emitted += 1600
                while exporter.credit <= sent:
                    exporter.take()
                sent += len(data) + 32
                exporter.send_batch(data, emitted=emitted)
                exporter.wait(exporter.sequence)
            other.sequence += 1
            other.request(text(5, text(1, "buffer_full") + number(2, 3)), other.sequence,
                          3 * (turn + 1))
            other.wait(other.sequence)
            if turn == 5:
                agent.kill()
                agent.forward_to(gateway, options=small)
                exporter = Exporter(agent.socket, exporter.client, acknowledged=exporter.durable)
                other = Exporter(agent.socket, other.client, acknowledged=other.durable)
                assert exporter.durable == 60 and other.durable == 6
                sent = 0
        until(lambda: agent.metric("log_bytes") <= 1 << 20, "the log is small enough")
        dropped = agent.metric('forward_dropped_spans_total{reason="forward_full"}')
        assert dropped > 0
        gateway.serve()
        agent.wait_metric("forward_idle", 1)
        mine = gateway.clients()[exporter.client]
        assert settled(mine) == (emitted, emitted - dropped, {"forward_full": dropped}), (
            settled(mine), emitted, dropped)
        assert settled(gateway.clients()[other.client]) == (24, 0, {"buffer_full": 24})
        assert agent.metric('forward_dropped_spans_total{reason="forward_full"}') == dropped
        assert agent.stop() == 0
        assert gateway.stop() == 0
        found = {record["trace_id"] for record in gateway.records()}
        assert len(gateway.records()) == emitted - dropped
        # The newest is there to the last span.
        assert {wire.uuid_text(i) for i in ids[-1]} <= found


class ByHand:
    """A session of an agent, hello sent."""

    def __init__(self, gateway, agent):
        self.connection = Connection(gateway.socket)
        self.stream = self.connection.call("/waft.v1.Collector/Forward")
        self.connection.send(wire.MESSAGE, self.stream, text(2, text(1, agent) + number(2, 1)))

    def send_batch(self, count, client, sequence, data):
        self.connection.send(wire.MESSAGE, self.stream, wire.fixed64(1, count) + text(3, data)
                             + text(8, client) + number(9, sequence))

    def receive(self, wanted):
        """The payload of the next frame, which is of that type."""
        kind, _, payload = self.connection.receive()
        assert kind == wanted, (kind, payload)
        return fields(payload)


def test_comes_again():
    """An agent that comes again while a record of it is on its way to the log waits until
    that is durable, and what it sends again is not logged again."""
    with Node() as gateway:
        gateway.serve()
        agent, client = os.urandom(16), os.urandom(16)
        data, ids = wire.tree_batch()
        first = ByHand(gateway, agent)
        first.receive(wire.MESSAGE)
        limit = lambda size: resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE,
                                              (size, resource.RLIM_INFINITY))
        limit(40)
        first.send_batch(1, client, 1, data)
        until(lambda: gateway.http("/healthz")[0] != 200, "the log can't be written")
        again = ByHand(gateway, agent)
        first.receive(wire.STATUS)
        again.connection.send(wire.PING, 0)
        again.receive(wire.PONG)
        limit(resource.RLIM_INFINITY)
        again.receive(wire.MESSAGE)
        again.send_batch(1, client, 1, data)
        assert one(again.receive(wire.MESSAGE), 1) == 1
        assert gateway.metric("forward_records_taken_total") == 1
        assert gateway.metric("forward_duplicates_total") == 1
        assert gateway.stop() == 0
        stored([gateway], ids)


def over_tls(gateway, agent, *options):
    """A batch by an agent over TLS; its trace ids."""
    agent.serve("--forward", f"tls://localhost:{gateway.port}", "--forward-tls-ca",
                gateway.file("ca.pem"), *options)
    exporter = Exporter(agent.socket)
    ids, _ = send_batches(exporter, 5)
    data, more = wire.tree_batch(traces=1000)
    exporter.send_batch(data)
    exporter.wait(6)
    return ids + more


def refused_by(agent, why):
    """The agent says why nothing goes on, and keeps it."""
    agent.wait_log(why)
    assert agent.metric("forward_records_total") == 0
    until(lambda: "a gateway is not there" in agent.http("/healthz")[1], "its health says so")


def test_rights():
    """By certificate and by token, with the right and without; other authorities; what an
    agent keeps goes on when it may."""
    certificate = lambda g, name: ("--forward-tls-cert", g.file(name + ".pem"),
                                   "--forward-tls-key", g.file(name + ".key"))
    send = "cert agent-7 send\n" + token_rule("build", TOKEN, "send")
    with Gateway(send) as gateway, Node() as agent:
        gateway.serve(certs="optional")
        ids = over_tls(gateway, agent, *certificate(gateway, "agent-7"))
        refused_by(agent, "status 7: this peer may not forward here")
        agent.kill()
        agent.serve("--forward", f"tls://localhost:{gateway.port}", "--forward-tls-ca",
                    gateway.file("other-ca.pem"), *certificate(gateway, "agent-7"))
        refused_by(agent, "TLS: ")
        agent.kill()
        # The rule is changed; everything kept goes on.
        gateway.write_rules("cert agent-7 forward\n" + token_rule("edge", TOKEN, "forward"))
        gateway.reload()
        gateway.wait_log("rules and certificates were read again")
        ids += over_tls(gateway, agent, *certificate(gateway, "agent-7"))
        agent.wait_metric("forward_idle", 1)
        assert agent.stop() == 0
        with open(gateway.file("token"), "w", encoding="utf-8") as token:
            token.write(TOKEN + "\n")
        ids += over_tls(gateway, agent, "--forward-token-file", gateway.file("token"))
        agent.wait_metric("forward_idle", 1)
        assert agent.stop() == 0
        assert gateway.stop() == 0
        stored([gateway], ids)
        agents = {r["metadata"]["peer"]["agent"] for r in gateway.records()}
        assert agents == {"agent-7", "edge"}, agents
        assert TOKEN not in agent.log() + gateway.log()


def main():
    names = sys.argv[1:] or [name[5:] for name in globals() if name.startswith("test_")]
    for name in names:
        globals()["test_" + name]()
        print(f"ok {name}")


if __name__ == "__main__":
    main()
