#!/usr/bin/python3
"""What a collector and waftctl say of files that are damaged.

    test_damage.py NAME...    runs test_NAME; without names, all
"""
import json
import os
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
import wire  # noqa: E402
from daemon import Daemon, exported, until  # noqa: E402
from wire import Exporter, fields, one, tree_batch, uuid_text  # noqa: E402

OPTIONS = ("--part-size", "16K", "--quiet", "1ms", "--seal-after", "1ms", "--http",
           "127.0.0.1:0")
DATA_LOSS = 15


def waftctl(daemon, *arguments):
    """(what it prints, what it warns of)."""
    done = subprocess.run([os.path.join(os.environ["WAFT_BIN"], "waftctl"), *arguments],
                          capture_output=True, check=False, cwd=daemon.directory)
    assert done.returncode == 0, done.stderr.decode()[:500]
    return done.stdout.decode(), done.stderr.decode()


def sealed_store(daemon, end=Daemon.stop):
    """Some traces, and a part of them that was sealed; then the daemon ends. (Its name, the ids in
    it, all ids.)"""
    daemon.start(*OPTIONS)
    exporter, ids = Exporter(daemon.socket), []
    for number in range(1, 5):
        data, new = tree_batch(20, 4)
        exporter.send_batch(data)
        exporter.wait(number)
        ids += [uuid_text(i) for i in new]
    until(lambda: daemon.metric("parts_sealed_total") >= 1, "a part is sealed")
    assert not end(daemon)
    name = min(name for name in os.listdir(daemon.store) if name.endswith(".zst"))
    lines = subprocess.run(["zstdcat", os.path.join(daemon.store, name)], check=True,
                           capture_output=True).stdout.splitlines()
    return name, {json.loads(line)["trace_id"] for line in lines}, set(ids)


def spoil(daemon, name):
    """Some of its only frame."""
    with open(os.path.join(daemon.store, name), "r+b") as file:
        file.seek(200)
        file.write(bytes(400))


def listed(daemon):
    """Of what is listed: (all ids, those marked as damaged, the file that the answer names)."""
    status, message, answer = daemon.query("ListTraces", wire.number(2, 1000))
    assert status == 0, (status, message)
    parts = fields(answer)
    traces = [fields(trace) for trace in parts.get(1, [])]
    return ({uuid_text(one(trace, 1)) for trace in traces},
            {uuid_text(one(trace, 1)) for trace in traces if one(trace, 11, 0)},
            one(parts, 3, b"").decode())


def check_said(daemon, name, damaged, ids):
    """The list marks what can't be shown, and no more."""
    found, marked, file = listed(daemon)
    assert found == ids and marked == damaged and file == name, (found, marked, file)
    out = waftctl(daemon, "--endpoint", "unix:" + daemon.socket, "trace", "list", "--json",
                  "-n", "1000")[0]
    rows = [json.loads(line) for line in out.splitlines()]
    assert {row["trace_id"] for row in rows if row.get("damaged")} == damaged
    out, warned = waftctl(daemon, "--endpoint", "unix:" + daemon.socket, "trace", "list",
                          "-n", "1000")
    assert out.count("  damaged\n") == len(damaged), out
    assert name in warned, warned


def test_found():
    """A list says what a query has found, and after another start what the comparison has."""
    with Daemon() as daemon:
        name, damaged, ids = sealed_store(daemon)
        daemon.start("--http", "127.0.0.1:0")
        parts = sum(n.endswith((".jsonl", ".zst")) for n in os.listdir(daemon.store))
        until(lambda: daemon.metric("parts_verified_total") >= parts, "all parts are read")
        spoil(daemon, name)
        assert listed(daemon) == (ids, set(), "")
        status, message, _ = daemon.query("GetTrace", wire.text(1, min(damaged)))
        assert status == DATA_LOSS and name in message, (status, message)
        check_said(daemon, name, damaged, ids)
        code, text = daemon.http("/healthz")
        assert code != 200 and name in text, (code, text)
        assert daemon.stop() == 0
        daemon.start("--http", "127.0.0.1:0")
        until(lambda: daemon.metric("parts_damaged_total") >= 1, "the damage is found")
        check_said(daemon, name, damaged, ids)
        assert daemon.stop() == 0


def cut_before_sealed(daemon):
    """The manifest ends before the record that a part was sealed (docs/STORE.md)."""
    path = os.path.join(daemon.store, ".waft", "manifest")
    with open(path, "rb") as file:
        manifest = file.read()
    at = 0
    while manifest[at + 8] != 8:
        at += 16 + int.from_bytes(manifest[at + 4:at + 8], "little")
    os.truncate(path, at)


def test_cut():
    """What a manifest forgets is seen and told, without a collector and with one."""
    with Daemon() as daemon:
        ids = sealed_store(daemon, Daemon.kill)[2]
        cut_before_sealed(daemon)
        out, warned = waftctl(daemon, "--store", daemon.store, "trace", "list", "--json", "-n",
                              "1000")
        assert {json.loads(line)["trace_id"] for line in out.splitlines()} == ids
        assert "was cut off" in warned, warned
        assert "was cut off" in waftctl(daemon, "--store", daemon.store, "status")[0]
        daemon.start("--http", "127.0.0.1:0")
        assert listed(daemon)[0] == ids
        assert "manifest was lost or damaged" in daemon.http("/healthz")[1]
        assert daemon.stop() == 0
        warned = waftctl(daemon, "--store", daemon.store, "trace", "list")[1]
        assert warned == "", warned


def test_foreign():
    """A file that anyone may leave under a part's name says nothing of the manifest."""
    with Daemon() as daemon:
        daemon.start()
        exported(daemon)
        assert daemon.stop() == 0
        part, = [name for name in os.listdir(daemon.store) if name.endswith(".jsonl")]
        path = os.path.join(daemon.store, part)
        subprocess.run(["zstd", "-q", "--rm", path], check=True)
        daemon.start("--http", "127.0.0.1:0")
        said = daemon.http("/healthz")[1]
        assert "manifest" not in said and "manifest" not in daemon.log(), said + daemon.log()
        assert os.listdir(os.path.join(daemon.store, ".waft", "quarantine")) == []
        assert daemon.stop() == 0


def test_bad_lines():
    """Lines that are no records are counted."""
    with Daemon() as daemon:
        os.makedirs(daemon.store)
        with open(os.path.join(daemon.store, "2026-01-01.jsonl"), "w", encoding="utf-8") as file:
            file.write("{\nnothing\n")
        daemon.start("--http", "127.0.0.1:0")
        assert daemon.metric("query_bad_lines_total") == 0
        assert listed(daemon)[0] == set()
        assert daemon.metric("query_bad_lines_total") == 2
        status, _, answer = daemon.query("Status")
        counters = dict((one(fields(entry), 1), one(fields(entry), 2, 0))
                        for entry in fields(answer)[12])
        assert status == 0 and counters[b"query_bad_lines_total"] == 2, counters
        assert daemon.stop() == 0


def test_part():
    """A committed byte that changed is found, and said, while the daemon works."""
    with Daemon() as daemon:
        daemon.start("--http", "127.0.0.1:0")
        exported(daemon)
        assert daemon.stop() == 0
        daemon.start("--http", "127.0.0.1:0")
        until(lambda: daemon.metric("parts_verified_total") >= 1, "the part is read")
        assert daemon.metric("parts_damaged_total") == 0
        assert daemon.http("/healthz") == (200, "ok\n")
        assert daemon.stop() == 0
        name = next(name for name in os.listdir(daemon.store) if name.endswith(".jsonl"))
        with open(os.path.join(daemon.store, name), "r+b") as file:
            file.seek(20)
            file.write(b"X")
        daemon.start("--http", "127.0.0.1:0")
        until(lambda: daemon.http("/healthz")[0] != 200, "the damage is said")
        assert f"committed bytes of a file are damaged: {name}" in daemon.http("/healthz")[1]
        assert daemon.metric("parts_damaged_total") == 1
        assert f"{name} is damaged" in daemon.log()
        status, _, health = daemon.query("Health")
        assert status == 0 and one(fields(health), 1) == 1, health  # DEGRADED
        exported(daemon)
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
