#!/usr/bin/python3
"""waft-collectord for other machines: TLS, certificates, tokens, rights.

    test_remote.py NAME...    runs test_NAME; without names, all
"""
import hashlib
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
import wire  # noqa: E402
from daemon import Daemon, until  # noqa: E402
from wire import Closed, Connection, Exporter, one, tree_batch, uuid_text  # noqa: E402

QUERY = "/waft.v1.Query/"
PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNAVAILABLE, UNAUTHENTICATED = 7, 8, 14, 16
TOKEN, OTHER_TOKEN, READER = "correct-horse", "battery-staple", "only-reads"


def token_rule(name, token, rights):
    return f"token {name}:{hashlib.sha256(token.encode()).hexdigest()} {rights}\n"


RULES = ("cert agent-7 send\n" + token_rule("build", TOKEN, "send")
         + token_rule("build", OTHER_TOKEN, "send") + token_rule("reader", READER, "query"))


def bearer(token):
    return wire.text(4, wire.text(1, "authorization") + wire.text(2, "Bearer " + token))


class Gateway(Daemon):
    """A daemon with a TLS listener and rules."""

    def __init__(self, rules=RULES):
        super().__init__()
        subprocess.run([os.path.join(os.environ["WAFT_BIN"], "write_certs"), self.directory],
                       check=True)
        self.write_rules(rules)
        self.install("server")
        self.port = 0

    def file(self, name):
        return os.path.join(self.directory, name)

    def write_rules(self, rules):
        with open(self.file("rules"), "w", encoding="utf-8") as file:
            file.write(rules)

    def install(self, name):
        """Puts a certificate where the daemon looks for its own."""
        for kind in "pem", "key":
            with open(self.file(f"{name}.{kind}"), "rb") as source:
                content = source.read()
            with open(self.file(f"live.{kind}"), "wb") as target:
                target.write(content)
            os.chmod(self.file(f"live.{kind}"), 0o600)

    def serve(self, *options, certs="required"):
        self.start("--listen", "tls://127.0.0.1:0", "--tls-cert", self.file("live.pem"),
                   "--tls-key", self.file("live.key"), "--tls-ca", self.file("ca.pem"),
                   "--tls-client-certs", certs, "--access", self.file("rules"),
                   "--http", "127.0.0.1:0", *options)
        self.port = int(re.search(r"tls://127\.0\.0\.1:(\d+)", self.ready_line).group(1))
        return self

    def raw(self):
        return socket.create_connection(("127.0.0.1", self.port), wire.DEADLINE_S)

    def connect(self, client="agent-7", version=None, raw=None):
        """A socket over TLS; client: whose certificate, or None; raw: over this one."""
        context = ssl.create_default_context(cafile=self.file("ca.pem"))
        if version is not None:
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = version
        if client is not None:
            context.load_cert_chain(self.file(client + ".pem"), self.file(client + ".key"))
        return context.wrap_socket(raw or self.raw(), server_hostname="localhost")

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def peers(self):
        return {str(r["metadata"].get("peer")) for r in self.records()}


def send_one(target, header=b"", traces=3):
    """An Exporter that has sent a batch, acknowledged; and its trace ids."""
    exporter = Exporter(target, header=header)
    assert exporter.status is None, exporter.status
    data, ids = tree_batch(traces, 4)
    exporter.send_batch(data)
    exporter.wait(1)
    return exporter, ids


def refused(target, header=b""):
    """The status with which Export is refused."""
    exporter = Exporter(target, header=header)
    return exporter.wait_status()


def stored(daemon, ids):
    """Each trace once."""
    found = [r["trace_id"] for r in daemon.records()]
    assert sorted(found) == sorted([uuid_text(i) for i in ids] * 4), (len(found), len(ids))


def test_good():
    """A certificate's spans are stored under its name; large batches pass."""
    with Gateway() as daemon:
        daemon.serve()
        exporter, ids = send_one(daemon.connect())
        for count in (1, 300, 2000):
            data, more = tree_batch(count, 4)
            exporter.send_batch(data)
            ids += more
        exporter.wait(4)
        assert daemon.connect().version() == "TLSv1.3"
        assert daemon.stop() == 0
        stored(daemon, ids)
        assert daemon.peers() == {"{'name': 'agent-7'}"}, daemon.peers()


def handshake_fails(daemon, client):
    try:
        target = daemon.connect(client)
        # With TLS 1.3 the client learns of it when it reads.
        assert target.recv(1) == b"", "an answer"
    except (ssl.SSLError, ConnectionResetError):
        return True
    return False


def test_certificates():
    """No, an expired, and a foreign certificate: no connection, the reason in the log."""
    with Gateway() as daemon:
        daemon.serve()
        for client, why in ((None, "did not return a certificate"), ("expired", "expired"),
                            ("foreign", "signature failure")):
            assert handshake_fails(daemon, client), client
            daemon.wait_log(why)
        assert daemon.metric("tls_failed_total") == 3
        # One that is right but has no rule.
        status = refused(daemon.connect("agent-8"))
        assert status[0] == PERMISSION_DENIED and "may not send" in status[1], status
        assert daemon.metric("calls_denied_total") == 1
        send_one(daemon.connect())
        assert daemon.stop() == 0


def test_versions():
    """Nothing below TLS 1.3; plain frames to a TLS port get nowhere."""
    with Gateway() as daemon:
        daemon.serve()
        for version in ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2:
            try:
                daemon.connect(version=version)
                raise AssertionError(f"{version} is spoken")
            except (ssl.SSLError, ConnectionResetError):
                pass
        plain = Connection(daemon.raw())
        plain.call("/waft.v1.Collector/Export")
        try:
            while plain.socket.recv(4096):
                pass
        except ConnectionResetError:
            pass
        send_one(daemon.connect())
        assert daemon.stop() == 0


def test_garbage():
    """Random bytes and cut handshakes end in an alert or a closed connection."""
    with Gateway() as daemon:
        daemon.serve()
        hello = record_client_hello()
        pieces = [os.urandom(5000), b"\x16\x03\x01\xff\xff" + os.urandom(70000), hello[:40],
                  hello + os.urandom(3000), b"\x17\x03\x03\x40\x00" + bytes(16384)]
        for piece in pieces:
            target = daemon.raw()
            try:
                target.sendall(piece)
                target.shutdown(socket.SHUT_WR)
                while target.recv(4096):
                    pass
            except (ConnectionResetError, BrokenPipeError, OSError):
                pass
            target.close()
        send_one(daemon.connect())
        assert daemon.metric("connections") <= 1
        assert daemon.stop() == 0


def record_client_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="x")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def test_slow():
    """A handshake that trickles in is ended after 5 s, however busy it looks."""
    with Gateway() as daemon:
        daemon.serve()
        target, hello, began = daemon.raw(), record_client_hello(), time.monotonic()
        target.settimeout(0.5)
        at = 0
        while True:
            try:
                target.sendall(hello[at:at + 1])
                at += 1
                if not target.recv(4096):
                    break
            except TimeoutError:
                assert time.monotonic() - began < 20, "a slow handshake goes on"
            except OSError:
                break
        assert time.monotonic() - began > 4
        daemon.wait_log("no TLS with 127.0.0.1")
        assert daemon.stop() == 0


def test_flood():
    """Many silent strangers: those who are let in still get through, beside them."""
    with Gateway() as daemon:
        daemon.serve("--max-connections", "200")
        strangers = [daemon.raw() for _ in range(150)]
        ids = send_one(daemon.connect())[1]
        strangers += [daemon.raw() for _ in range(150)]
        ids += send_one(daemon.connect())[1]
        ids += send_one(daemon.socket)[1]
        assert daemon.metric("connections") <= 64 + 4, daemon.metric("connections")
        for stranger in strangers:
            stranger.close()
        assert daemon.stop() == 0
        stored(daemon, ids)


def test_flood_at_once():
    """More strangers than places, all met at once: the one behind them is let in."""
    with Gateway() as daemon:
        daemon.serve("--max-connections", "100")
        kept, ids = send_one(daemon.connect())
        daemon.process.send_signal(signal.SIGSTOP)
        strangers = [daemon.raw() for _ in range(250)]
        last = daemon.raw()
        daemon.process.send_signal(signal.SIGCONT)
        ids += send_one(daemon.connect(raw=last))[1]
        data, more = tree_batch(1, 4)
        kept.send_batch(data)
        kept.wait(2)
        for stranger in strangers:
            stranger.close()
        assert daemon.stop() == 0
        stored(daemon, ids + more)


def test_flood_plain():
    """The same on plain TCP, where tokens tell strangers from others."""
    with Gateway() as daemon:
        daemon.start("--listen", "tcp://127.0.0.1:0", "--access", daemon.file("rules"),
                     "--max-connections", "20")
        where = ("127.0.0.1", int(re.search(r"tcp://127\.0\.0\.1:(\d+)",
                                            daemon.ready_line).group(1)))
        kept, ids = send_one(socket.create_connection(where), bearer(TOKEN))
        strangers = [socket.create_connection(where) for _ in range(60)]
        ids += send_one(socket.create_connection(where), bearer(TOKEN))[1]
        data, more = tree_batch(1, 4)
        kept.send_batch(data)
        kept.wait(2)
        for stranger in strangers:
            stranger.close()
        assert daemon.stop() == 0
        stored(daemon, ids + more)


def test_tokens():
    """Without a certificate, by token; several under a name; a wrong one ends it."""
    with Gateway() as daemon:
        daemon.serve(certs="optional")
        ids = send_one(daemon.connect(None), bearer(TOKEN))[1]
        ids += send_one(daemon.connect(None), bearer(OTHER_TOKEN))[1]
        for header, why in ((b"", "a token is needed"), (bearer("nonsense"), "not known"),
                            (bearer(""), "not known"), (bearer("x" * 5000), "not known"),
                            (wire.text(4, wire.text(1, "authorization") + wire.text(2, TOKEN)),
                             "not known")):
            target = daemon.connect(None)
            status = refused(target, header)
            assert status[0] == UNAUTHENTICATED and why in status[1], status
        # Three tries a connection.
        guesser = Connection(daemon.connect(None))
        for _ in range(3):
            guesser.call("/waft.v1.Collector/Export", bearer("guess"))
        try:
            while True:
                guesser.receive()
        except Closed:
            pass
        # On the Unix socket it is a name beside pid and uid.
        ids += send_one(daemon.socket, bearer(TOKEN))[1]
        assert daemon.metric("calls_unauthenticated_total") == 8
        assert daemon.stop() == 0
        stored(daemon, ids)
        assert "{'name': 'build'}" in daemon.peers(), daemon.peers()
        assert any("'pid'" in p and "'name': 'build'" in p for p in daemon.peers())
        assert len(daemon.peers()) == 2, daemon.peers()


def test_rights():
    """Who may send may not read, and the reverse."""
    with Gateway() as daemon:
        daemon.serve(certs="optional")
        health = QUERY + "Health"
        assert Connection(daemon.connect()).unary(health)[0] == PERMISSION_DENIED
        assert Connection(daemon.connect(None)).unary(health, header=bearer(TOKEN))[0] == 7
        assert Connection(daemon.connect(None)).unary(health, header=bearer(READER))[0] == 0
        assert refused(daemon.connect(None), bearer(READER))[0] == PERMISSION_DENIED
        assert Connection(daemon.connect()).unary(QUERY + "Tail")[0] == PERMISSION_DENIED
        # A certificate and a token add up, for the call that has the token.
        both = Connection(daemon.connect())
        assert both.unary(health, header=bearer(READER))[0] == 0
        assert both.unary(health)[0] == PERMISSION_DENIED
        assert daemon.stop() == 0


def served_certificate(daemon):
    return daemon.connect().getpeercert(binary_form=True)


def test_rotation():
    """A new certificate by SIGHUP: who was connected comes back, nothing is lost."""
    with Gateway() as daemon:
        daemon.serve()
        first = served_certificate(daemon)
        exporter, ids = send_one(daemon.connect())
        daemon.reload()
        daemon.wait_log("the configuration was read again")
        data, more = tree_batch(2, 4)
        exporter.send_batch(data)
        exporter.wait(2)  # nothing new: the connection stays
        ids += more
        local = Exporter(daemon.socket)
        daemon.install("next")
        daemon.reload()
        assert exporter.wait_status()[0] == UNAVAILABLE
        daemon.wait_log("rules and certificates were read again")
        assert served_certificate(daemon) != first
        again = Exporter(daemon.connect(), client=exporter.client, acknowledged=2)
        assert again.durable == 2
        again.send_batch(data, sequence=2)  # a replay
        data, more = tree_batch(2, 4)
        again.send_batch(data, sequence=3)
        again.wait(3)
        ids += more
        local.send_batch(tree_batch(1, 4)[0], sequence=1)
        local.wait(1)  # a Unix socket has no certificate: it stays
        assert daemon.stop() == 0
        names = [r for r in daemon.records() if "name" in r["metadata"]["peer"]]
        assert len(names) == len(ids) * 4


def test_removed():
    """A token or certificate that is taken out of the rules ends its connections."""
    with Gateway() as daemon:
        daemon.serve(certs="optional")
        by_token = send_one(daemon.connect(None), bearer(TOKEN))[0]
        by_cert = send_one(daemon.connect())[0]
        local = send_one(daemon.socket, bearer(TOKEN))[0]
        daemon.write_rules(token_rule("build", OTHER_TOKEN, "send"))
        daemon.reload()
        assert by_token.wait_status()[0] == UNAVAILABLE
        assert by_cert.wait_status()[0] == UNAVAILABLE
        assert local.wait_status()[0] == UNAVAILABLE
        assert refused(daemon.connect(None), bearer(TOKEN))[0] == UNAUTHENTICATED
        assert refused(daemon.connect())[0] == PERMISSION_DENIED
        assert send_one(daemon.connect(None), bearer(OTHER_TOKEN))[1]
        assert daemon.stop() == 0


def test_bad_files():
    """Bad rules or certificates at SIGHUP: the old ones stay, the log says why."""
    with Gateway() as daemon:
        daemon.serve()
        first = served_certificate(daemon)
        exporter = send_one(daemon.connect())[0]
        daemon.write_rules("uid root send\ncert agent-7 shout\n")
        daemon.reload()
        daemon.wait_log("rules:2: a right is send, forward, query or admin")
        daemon.write_rules(RULES)
        with open(daemon.file("live.key"), "w", encoding="utf-8") as file:
            file.write("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
        daemon.reload()
        daemon.wait_log("reading the private key from")
        os.remove(daemon.file("live.pem"))
        daemon.reload()
        daemon.wait_log("live.pem: No such file")
        exporter.send_batch(tree_batch(1, 4)[0])
        exporter.wait(2)
        assert served_certificate(daemon) == first
        assert daemon.stop() == 0


def test_needs():
    """What a TLS endpoint needs is said at the start."""
    with Gateway() as daemon:
        tls = ["--listen", "tls://127.0.0.1:0"]
        pair = ["--tls-cert", daemon.file("live.pem"), "--tls-key", daemon.file("live.key")]
        ca = ["--tls-ca", daemon.file("ca.pem")]
        for options, why in (
                (tls, "--tls-cert"), (tls + pair, "--tls-ca"), (tls + pair + ca, "--access"),
                (tls + pair + ca + ["--access", daemon.file("none")], "No such file"),
                (["--listen", "tcp://0.0.0.0:0"], "loopback"),
                (["--listen", "tcp://[2001:db8::1]:0"], "loopback"),
                (["--listen", "udp://127.0.0.1:0"], "is not tcp://"),
                (["--listen", "tls://nowhere.test:0"] + pair + ca
                 + ["--access", daemon.file("rules")], "is not tcp://")):
            code, output = daemon.run_to_end(*options)
            # A file that is not there is no fault of the command line.
            wanted = 1 if why == "No such file" else 2
            assert code == wanted and why in output, (options, code, output)


def test_replay():
    """Frames recorded from one export and played by another peer are not stored again."""
    with Gateway(RULES + "cert agent-8 send\n") as daemon:
        daemon.serve()
        exporter, ids = send_one(daemon.connect())
        data, more = tree_batch(5, 4)
        exporter.send_batch(data)
        exporter.wait(2)
        ids += more
        exporter.socket.close()
        thief = Exporter(daemon.connect("agent-8"), client=exporter.client, acknowledged=0)
        assert thief.durable == 2
        thief.send_batch(data, sequence=2)
        thief.send_batch(data, sequence=1)
        data, more = tree_batch(1, 4)
        thief.send_batch(data, sequence=3)
        thief.wait(3)
        ids += more
        assert daemon.stop() == 0
        stored(daemon, ids)


def test_loopback():
    """Plain TCP on loopback: several endpoints; with rules, only by token."""
    with Gateway() as daemon:
        daemon.start("--listen", "tcp://127.0.0.1:0,tcp://[::1]:0", "--access",
                     daemon.file("rules"))
        ports = re.findall(r"tcp://(\S+):(\d+)", daemon.ready_line)
        assert [host for host, _ in ports] == ["127.0.0.1", "[::1]"], daemon.ready_line
        ids = []
        for host, port in ports:
            where = (host.strip("[]"), int(port))
            assert refused(socket.create_connection(where))[0] == UNAUTHENTICATED
            ids += send_one(socket.create_connection(where), bearer(TOKEN))[1]
        assert daemon.stop() == 0
        stored(daemon, ids)
        assert daemon.peers() == {"{'name': 'build'}"}, daemon.peers()


def write_quotas(daemon, **quotas):
    with open(daemon.file("conf"), "w", encoding="utf-8") as file:
        for name, value in quotas.items():
            file.write(f"{name.replace('_', '-')} = {value}\n")


def test_quotas():
    """As many connections as a name may have, whatever token or place they come from;
    others' don't count; SIGHUP changes it."""
    with Gateway() as daemon:
        write_quotas(daemon, client_connections=2)
        daemon.serve("--config", daemon.file("conf"), certs="optional")
        kept = [send_one(daemon.connect(None), bearer(token)) for token in (TOKEN, OTHER_TOKEN)]
        status = refused(daemon.connect(None), bearer(TOKEN))
        assert status[0] == RESOURCE_EXHAUSTED and "as many connections" in status[1], status
        assert daemon.metric("client_connections_refused_total") == 1
        kept += [send_one(daemon.connect()), send_one(daemon.socket)]
        write_quotas(daemon, client_connections=3)
        daemon.reload()
        daemon.wait_log("the configuration was read again")
        kept.append(send_one(daemon.connect(None), bearer(TOKEN)))
        assert refused(daemon.connect(None), bearer(TOKEN))[0] == RESOURCE_EXHAUSTED
        # One that goes makes room.
        kept[0][0].close()
        until(lambda: daemon.metric("connections") <= 4, "one has gone")
        kept.append(send_one(daemon.connect(None), bearer(TOKEN)))
        assert daemon.stop() == 0
        stored(daemon, [one_id for _, ids in kept for one_id in ids])


def test_fair():
    """A client that sends more than it may in a second has to wait, and loses nothing; all
    others go on meanwhile."""
    rate, at_once = 10 << 10, 260 << 10
    with Gateway() as daemon:
        daemon.serve("--client-bytes-per-second", str(rate), certs="optional")
        began = time.monotonic()
        greedy = Exporter(daemon.connect(None), header=bearer(TOKEN))
        data, ids = tree_batch(300, 4)
        sent, count = 0, 0
        while daemon.metric("client_credit_held_total") == 0:
            while sent < greedy.credit:
                greedy.send_batch(data)
                # The request has some bytes besides: sequence, tag and length.
                sent, count = sent + len(data) + 6, count + 1
            greedy.wait(count)
        # One message may go beyond what is left.
        most = at_once + len(data) + 100 + rate * (time.monotonic() - began)
        assert greedy.credit <= most, (greedy.credit, most)
        modest = Exporter(daemon.connect())
        small, more = tree_batch(1, 4)
        for number in range(1, 21):
            modest.send_batch(small)
            modest.wait(number)
        local = send_one(daemon.socket)[1]
        # In time it gets credit again.
        while greedy.credit <= sent:
            greedy.take()
        greedy.send_batch(data)
        greedy.wait(count + 1)
        assert daemon.stop() == 0
        found = {r["trace_id"] for r in daemon.records()}
        assert found == {uuid_text(one_id) for one_id in ids + more + local}


def main():
    names = sys.argv[1:] or [n[5:] for n in globals() if n.startswith("test_")]
    for name in names:
        globals()["test_" + name]()
        print(f"ok {name}")


if __name__ == "__main__":
    main()
