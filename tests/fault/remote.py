#!/usr/bin/python3
"""Hostile TCP and TLS: what tests/integration/collector tries of credentials, replays
and collectors, in one run; a scan of the TLS set-up by openssl; and what strangers cost
beside a sender that is let in.
"""
import os
import subprocess
import time

import fault
from fault import Exporter, tree_batch
import test_remote
import test_remote_client
from test_remote import Gateway, record_client_hello

STRANGERS, STRANGERS_SHORT = 3000, 100
PROBES = 50
REFUSED = ("certificates", "versions", "garbage", "tokens", "rights", "removed", "replay",
           "loopback", "needs", "bad_files")
REFUSED_SHORT = ("replay",)  # scripts/test runs each beside this
VERSIONS = ("tls1", "tls1_1", "tls1_2", "tls1_3")
SUITES = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
          "TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256")
WEAK = ("TLS_AES_128_CCM_8_SHA256",)


def s_client(daemon, *options):
    """What openssl says of a connection; empty: none came about."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{daemon.port}", "-servername",
         "localhost", "-CAfile", daemon.file("ca.pem"), "-cert", daemon.file("agent-7.pem"),
         "-key", daemon.file("agent-7.key"), *options],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=fault.wire.DEADLINE_S, check=False)
    said = done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")
    return "" if "Cipher is (NONE)" in said else said


def scan(daemon):
    """(versions, suites) that are spoken."""
    # As low as the client goes: what is refused, the server refuses.
    versions = [v for v in VERSIONS
                if s_client(daemon, "-" + v, "-cipher", "ALL:eNULL:@SECLEVEL=0")]
    assert versions == ["tls1_3"], versions
    suites = [s for s in SUITES if s_client(daemon, "-tls1_3", "-ciphersuites", s)]
    assert suites and not set(suites) & set(WEAK), suites
    said = s_client(daemon, "-tls1_3")
    assert "Verify return code: 0 (ok)" in said, said
    assert "Early data was not sent" in said and "Max Early Data: 0" in said or \
        "New Session Ticket" not in said, said
    assert "Compression: NONE" in said and "Reused" not in said, said
    return versions, suites


def p99(exporter, sent, count):
    times = []
    for number in range(sent + 1, sent + count + 1):
        begin = time.monotonic()
        exporter.send_batch(tree_batch(1, 1)[0], number)
        exporter.wait(number)
        times.append(time.monotonic() - begin)
    return sorted(times)[int(count * 0.99)]


def strangers(daemon, count):
    """(ingest p99 alone and beside strangers, KiB that they cost)"""
    exporter = Exporter(daemon.connect())
    alone = p99(exporter, 0, PROBES)
    before = fault.largest_rss(daemon.process)
    hello = record_client_hello()
    # By turns: silence, half a handshake, a large record that never ends, garbage.
    pieces = (b"", hello[:100], b"\x16\x03\x01\x40\x00" + bytes(16000), os.urandom(4000))
    peers = []
    slowest = 0
    for number in range(count):
        peer = daemon.raw()
        peer.setblocking(False)
        try:
            peer.send(pieces[number % 4])
        except OSError:
            pass
        peers.append(peer)
        if number % (count // 4) == count // 4 - 1:
            slowest = max(slowest, p99(exporter, exporter.durable, 25))
    for peer in peers:
        peer.close()
    return alone, slowest, (fault.largest_rss(daemon.process) - before) >> 10


def run(short):
    for name in REFUSED_SHORT if short else REFUSED:
        getattr(test_remote, "test_" + name)()
    if not short:
        for name in ("refused", "server_name", "tokens", "hostile"):
            getattr(test_remote_client, "test_" + name)()
    with Gateway() as daemon:
        daemon.serve()
        versions, suites = scan(daemon)
        count = STRANGERS_SHORT if short else STRANGERS
        alone, beside, cost = strangers(daemon, count)
        sanitized = fault.sanitized(daemon.process)
        assert daemon.stop() == 0
    # 64 of them at once, 64 KiB taken in of each, OpenSSL's own, and what malloc keeps.
    assert cost < 64 * (64 + 256) or sanitized, f"{cost} KiB"
    assert beside < 5, beside
    return (f"{' '.join(versions)} alone, {len(suites)} of {len(SUITES)} suites, without early data "
            f"and tickets; {count} strangers cost {cost} KiB; ingest p99 {alone * 1000:.1f} ms alone, "
            f"{beside * 1000:.1f} ms beside them")


fault.main(run)
