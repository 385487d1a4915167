#!/usr/bin/python3
"""libwaft against a collector over TLS and TCP: what gets through, what is refused and
how it says so. waft-load keeps its own count and holds the store against it.

    test_remote_client.py NAME...    runs test_NAME; without names, all
"""
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
import wire  # noqa: E402
from daemon import until  # noqa: E402
from test_remote import Gateway, OTHER_TOKEN, READER, RULES, TOKEN, token_rule  # noqa: E402

LOAD = os.path.join(os.environ["WAFT_BIN"], "waft-load")
HELD_NAMES = os.path.join(os.environ["WAFT_BIN"], os.pardir, "lib", "waft_held_names.so")


class Load:
    """waft-load, with its ledger in the daemon's directory."""

    def __init__(self, daemon, *options, endpoint=None, program=LOAD, **variables):
        self.daemon = daemon
        self.ledger = daemon.file(f"ledger-{time.monotonic_ns()}")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("WAFT_T")}
        environment.update({"WAFT_TLS_CA": daemon.file("ca.pem")})
        environment.update(variables)
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [program, "--ledger", self.ledger, "--endpoint",
             endpoint or f"tls://localhost:{daemon.port}", *options],
            env={k: v for k, v in environment.items() if v is not None}, stderr=subprocess.PIPE,
            stdout=subprocess.PIPE)

    def end(self):
        """(what it said, seconds)."""
        output, errors = self.process.communicate(timeout=wire.DEADLINE_S)
        return (output + errors).decode(), time.monotonic() - self.began

    def verify(self):
        done = subprocess.run([LOAD, "verify", self.ledger, "--store", self.daemon.store],
                              capture_output=True, timeout=wire.DEADLINE_S, check=False)
        assert done.returncode == 0, (done.stdout + done.stderr).decode()
        return done.stdout.decode()


def certificate(daemon, name="agent-7"):
    return {"WAFT_TLS_CERT": daemon.file(name + ".pem"),
            "WAFT_TLS_KEY": daemon.file(name + ".key")}


def test_good():
    """Several processes and threads by certificate, by name and by address."""
    with Gateway() as daemon:
        daemon.serve()
        loads = [Load(daemon, "--processes", "2", "--threads", "2", "--traces", "300",
                      "--rate", "1000", "--data", "400", endpoint=f"tls://{host}:{daemon.port}",
                      **certificate(daemon)) for host in ("localhost", "127.0.0.1")]
        for load in loads:
            said, _ = load.end()
            assert "waft:" not in said, said
        assert daemon.stop() == 0
        # On a busy machine the bounded buffers may drop some, by count.
        told = [re.search(r"emitted 8400 stored (\d+) lost 0", load.verify()) for load in loads]
        assert len(daemon.records()) == sum(int(t.group(1)) for t in told) > 0
        assert daemon.peers() == {"{'name': 'agent-7'}"}, daemon.peers()


def test_exit():
    """A program that ends at once, by exit alone, has its spans stored."""
    with Gateway() as daemon:
        daemon.serve()
        load = Load(daemon, "--traces", "1", **certificate(daemon))
        load.end()
        assert daemon.stop() == 0
        load.verify()
        assert len(daemon.records()) == 7


def refused(daemon, why, endpoint=None, program=LOAD, **variables):
    """Nothing goes out, the reason is said once, and the end is not delayed."""
    load = Load(daemon, "--traces", "3", "--shutdown", "1000", endpoint=endpoint,
                program=program, **variables)
    said, seconds = load.end()
    assert said.count("waft: ") == 1 and why in said, (why, said)
    assert seconds < 10, (why, seconds)
    load.verify()


def test_refused():
    """No, a wrong, an expired certificate; a server that is another, or of another CA."""
    with Gateway() as daemon:
        daemon.serve()
        refused(daemon, "certificate required")
        refused(daemon, "certificate expired", **certificate(daemon, "expired"))
        refused(daemon, "no TLS with localhost", **certificate(daemon, "foreign"))
        refused(daemon, "may not send spans here", **certificate(daemon, "agent-8"))
        good = certificate(daemon)
        refused(daemon, "the peer's certificate", **{**good, "WAFT_TLS_CA": daemon.file("other-ca.pem")})
        refused(daemon, "missing.pem", **{**good, "WAFT_TLS_CA": daemon.file("missing.pem")})
        refused(daemon, "go together", WAFT_TLS_CERT=daemon.file("agent-7.pem"))
        assert daemon.stop() == 0
        assert daemon.records() == []


def test_server_name():
    """A certificate for another host, and one that has expired."""
    for name, why in (("elsewhere", "ostname mismatch"), ("expired-server", "expired")):
        with Gateway() as daemon:
            daemon.install(name)
            daemon.serve()
            refused(daemon, why, **certificate(daemon))
            assert daemon.stop() == 0
            assert daemon.records() == []


def test_tokens():
    """By token; a wrong or removed one; changed in its file while a program runs."""
    with Gateway() as daemon:
        daemon.serve(certs="optional")
        good = Load(daemon, "--traces", "10", WAFT_TOKEN=TOKEN)
        good.end()
        refused(daemon, "a token is needed here")
        refused(daemon, "the token is not known here", WAFT_TOKEN="nonsense")
        refused(daemon, "can't be read", WAFT_TOKEN_FILE=daemon.file("none"))
        with open(daemon.file("token"), "w", encoding="utf-8") as file:
            file.write(TOKEN + "\n")
        load = Load(daemon, "--traces", "2000", "--rate", "3000",
                    WAFT_TOKEN_FILE=daemon.file("token"))
        until(lambda: daemon.metric("spans_durable_total") >= 500, "spans come", load.process)
        with open(daemon.file("token"), "w", encoding="utf-8") as file:
            file.write(OTHER_TOKEN + "\n")
        daemon.write_rules(token_rule("build", OTHER_TOKEN, "send"))
        daemon.reload()
        said, _ = load.end()
        assert "waft: " not in said, said
        refused(daemon, "the token is not known here", WAFT_TOKEN=TOKEN)
        assert daemon.stop() == 0
        good.verify()
        load.verify()
        assert len(daemon.records()) == (10 + 2000) * 7


def test_rotation():
    """Certificates changed by SIGHUP under load, ten times: nothing is lost or doubled."""
    with Gateway() as daemon:
        daemon.serve()
        load = Load(daemon, "--processes", "2", "--threads", "2", "--rate", "1000",
                    "--duration", "4000", **certificate(daemon))
        for turn in range(10):
            sent = daemon.metric("spans_durable_total")
            until(lambda s=sent: load.process.poll() is not None
                  or daemon.metric("spans_durable_total") >= s + 400, "the load goes on")
            daemon.install(("next", "server")[turn % 2])
            daemon.reload()
        said, _ = load.end()
        assert "waft: " not in said, said
        assert daemon.log().count("certificates were read again") > 5, daemon.log()
        assert daemon.stop() == 0
        load.verify()
        assert len(daemon.records()) > 4000


def test_endpoints():
    """Plain TCP on loopback only; a host that isn't; what can't be an endpoint."""
    with Gateway() as daemon:
        daemon.start("--listen", "tcp://127.0.0.1:0")
        port = re.search(r"tcp://127\.0\.0\.1:(\d+)", daemon.ready_line).group(1)
        daemon.port = 9
        for endpoint, why in (("tcp://192.0.2.1:4000", "tls:// is needed"),
                              ("tcp://[2001:db8::1]:4000", "tls:// is needed"),
                              ("tls://localhost", "has no port"),
                              ("tls://localhost:0", "has no port from"),
                              ("tls://:4000", "no usable host"),
                              ("tls://no-such-host.invalid:4000", "is not found")):
            refused(daemon, why, endpoint=endpoint)
        # Last: what is being written can't be verified yet.
        loads = [Load(daemon, "--traces", "50", endpoint=f"tcp://{host}:{port}")
                 for host in ("127.0.0.1", "localhost")]
        for load in loads:
            said, _ = load.end()
            assert "waft: " not in said, said
        assert daemon.stop() == 0
        for load in loads:
            load.verify()
        assert len(daemon.records()) == 100 * 7


def test_module():
    """Without libwaft-tls.so beside libwaft: an error that says so, and no span goes
    anywhere else."""
    with Gateway() as daemon:
        daemon.serve()
        alone = daemon.file("lib")
        os.mkdir(alone)
        shutil.copy(os.path.join(os.environ["WAFT_BUILD"], "lib", "libwaft.so.0"), alone)
        refused(daemon, "libwaft-tls.so can't be used", LD_LIBRARY_PATH=alone,
                **certificate(daemon))
        with open(os.path.join(alone, "libwaft-tls.so"), "wb") as file:
            file.write(b"no library")
        refused(daemon, "libwaft-tls.so can't be used", LD_LIBRARY_PATH=alone,
                **certificate(daemon))
        assert daemon.stop() == 0
        assert daemon.records() == []


def waftctl(daemon, *arguments, endpoint=None, **variables):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WAFT_T")}
    environment.update({"WAFT_TLS_CA": daemon.file("ca.pem")})
    environment.update(variables)
    done = subprocess.run(
        [os.path.join(os.environ["WAFT_BIN"], "waftctl"), *arguments, "--endpoint",
         endpoint or f"tls://localhost:{daemon.port}"], env=environment, capture_output=True,
        timeout=wire.DEADLINE_S, check=False)
    return done.returncode, (done.stdout + done.stderr).decode()


def test_waftctl():
    """Reading over TLS: with the right to query; without it, and each other fault, by name."""
    with Gateway(RULES + "cert agent-8 query\n") as daemon:
        daemon.serve(certs="optional")
        load = Load(daemon, "--traces", "400", "--rate", "2000", **certificate(daemon))
        load.end()
        for reader in (certificate(daemon, "agent-8"), {"WAFT_TOKEN": READER}):
            code, said = waftctl(daemon, "trace", "list", "--limit", "3", **reader)
            assert code == 0 and "load.root" in said, said
        code, said = waftctl(daemon, "trace", "list", "--json", "--limit", "400",
                             WAFT_TOKEN=READER)
        assert code == 0 and len(said.splitlines()) >= 400, (code, len(said))
        for why, variables in (("may not query here", certificate(daemon)),
                               ("a token is needed here", {}),
                               ("the token is not known", {"WAFT_TOKEN": "guess"}),
                               ("can't be read", {"WAFT_TOKEN_FILE": daemon.file("none")}),
                               ("certificate", {"WAFT_TLS_CA": daemon.file("other-ca.pem")}),
                               ("missing", {"WAFT_TLS_CA": daemon.file("missing")}),
                               ("expired", certificate(daemon, "expired"))):
            code, said = waftctl(daemon, "trace", "list", **variables)
            assert code == 1 and why in said, (why, said)
        code, said = waftctl(daemon, "trace", "list", endpoint="tcp://192.0.2.1:4000")
        assert code == 2 and "use tls://" in said, said
        code, said = waftctl(daemon, "trace", "list", endpoint="tls://localhost")
        assert code == 2 and "has no port" in said, said
        assert daemon.stop() == 0
        load.verify()


class Hostile:
    """A listener on loopback that answers each connection with what `talk` does."""

    def __init__(self, talk):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.taken = 0
        self.talk = talk
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.taken += 1
            try:
                peer.settimeout(10)
                self.talk(peer)
            except OSError:
                pass
            peer.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def answer(peer, *frames):
    peer.recv(65536)
    for data in frames:
        peer.sendall(data)
    while peer.recv(65536):
        pass


def response(durable=0, credit=0, welcome=True, more=b""):
    body = wire.number(1, durable) + wire.number(3, credit) + more
    if welcome:
        body += wire.text(4, wire.text(1, os.urandom(16)))
    return wire.frame(wire.MESSAGE, 1, body)


def endless(peer):
    peer.recv(65536)
    peer.sendall(response(credit=1 << 40))
    for _ in range(20000):
        peer.sendall(wire.frame(wire.PING, 0, b"x" * 64) * 8
                     + response(credit=(1 << 64) - 1, welcome=False))


def test_hostile():
    """A hostile collector: the host ends in time, its memory stays small, and the
    ledger never calls durable what was not answered."""
    talks = {
        "garbage": lambda peer: answer(peer, os.urandom(100000)),
        "giant": lambda peer: answer(peer, b"WAFT\x01\x02\0\0\1\0\0\0\xff\xff\xff\xff\0\0\0\0"
                                     + bytes(200000)),
        "large": lambda peer: answer(peer, wire.frame(wire.MESSAGE, 1, bytes(266240))),
        "version": lambda peer: answer(peer, wire.frame(wire.MESSAGE, 1, b"", version=9)),
        "checksum": lambda peer: answer(peer, wire.frame(wire.MESSAGE, 1, b"", crc=1)),
        "no welcome": lambda peer: answer(peer, response(welcome=False, credit=1 << 30)),
        "future": lambda peer: answer(peer, response(durable=1 << 60, credit=1 << 30)),
        "later": lambda peer: answer(peer, response(credit=1 << 30),
                                     response(durable=1 << 40, welcome=False)),
        "refusals": lambda peer: answer(peer, response(
            credit=1 << 30, more=b"".join(wire.text(2, wire.number(1, i)) for i in range(5000)))),
        "status": lambda peer: answer(peer, wire.frame(wire.STATUS, 0, wire.number(1, 14)
                                                       + wire.text(2, "\x1b]0;" + "x" * 60000)
                                                       + wire.number(3, (1 << 32) - 1))),
        "endless": endless,
        "silent": lambda peer: peer.recv(1) and peer.recv(1 << 20) and answer(peer),
    }
    with Gateway() as daemon:
        os.makedirs(daemon.store)
        played = []
        for name, talk in talks.items():
            hostile = Hostile(talk)
            played.append((name, hostile, Load(
                daemon, "--traces", "200", "--shutdown", "1500",
                endpoint=f"tcp://127.0.0.1:{hostile.port}")))
        for name, hostile, load in played:
            said, seconds = load.end()
            hostile.close()
            assert load.process.returncode in (0, 1), (name, load.process.returncode, said)
            assert seconds < 30, (name, seconds)
            assert hostile.taken > 0, name
            assert "\x1b" not in said, name
            # Nothing is stored here: so nothing may be called durable.
            load.verify()


def held(daemon, endpoint, met, **variables):
    """A host whose sender can't get anywhere: its spans and its end don't wait for that."""
    load = Load(daemon, "--threads", "2", "--traces", "200", "--shutdown", "200",
                endpoint=endpoint, **variables)
    met(load.process)
    load.end()
    assert load.process.returncode in (0, 1), load.process.returncode
    assert re.search(r"emitted 2800 stored 0 ", load.verify())


def test_held():
    """A lookup of the name that never ends; a server that takes connections and is
    silent before the end of the handshake."""
    with Gateway() as daemon:
        os.makedirs(daemon.store)
        fifo = daemon.file("lookups")
        os.mkfifo(fifo)

        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)

        def looked_up():
            try:
                os.read(reader, 1)  # nothing: nobody has it open for writing
            except BlockingIOError:
                return True
            return False

        held(daemon, "tls://collector.example:4317",
             lambda load: until(looked_up, "the name is looked up", load), HELD_NAMES=fifo,
             LD_PRELOAD=HELD_NAMES, ASAN_OPTIONS="verify_asan_link_order=0:detect_leaks=0")
        os.close(reader)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            silent.settimeout(wire.DEADLINE_S)
            taken = []
            held(daemon, f"tls://127.0.0.1:{silent.getsockname()[1]}",
                 lambda _: taken.append(silent.accept()))
            assert taken[0][0].recv(1)  # the client did say hello
            taken[0][0].close()


def main():
    names = sys.argv[1:] or [n[5:] for n in globals() if n.startswith("test_")]
    for name in names:
        began = time.monotonic()
        globals()["test_" + name]()
        print(f"ok {name} ({time.monotonic() - began:.2f} s)")


if __name__ == "__main__":
    main()
