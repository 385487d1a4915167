#!/usr/bin/python3
"""Hosts that are hard on the library in them, with a real collector beside them:

client_host.py descriptors [--short]: the host closes descriptors 3..1023 and opens its
own files there, while threads trace.
client_host.py forks [--short]: threads trace and fork; children end in every way.

The program (client_host.c) says what it counted; here that is held against the store.
"""
import json
import os
import re
import subprocess
import sys

import fault
from fault import Daemon

ROUNDS = {"descriptors": (1000, 40), "forks": (5000, 60)}
DEADLINE_S = 1500
ENDED = re.compile(r"process (\d+) (.*) emitted (\d+) durable (\d+) dropped (\d+) unknown (\d+) "
                   r"in_flight (\d+)")


def host(daemon, mode, rounds):
    """What the program printed, and whether it found everything as it should be."""
    environment = dict(os.environ, WAFT_ENDPOINT=f"unix:{daemon.socket}",
                       WAFT_EXIT_TIMEOUT_MS="20000", ASAN_OPTIONS="detect_leaks=0")
    done = subprocess.run([fault.program("fault_client_host"), mode, str(rounds)],
                          cwd=daemon.directory, env=environment, stdout=subprocess.PIPE,
                          timeout=DEADLINE_S, check=False)
    return done.stdout.decode(), done.returncode == 0


def stored(store):
    """{pid: spans} of lines that are final, how many stand there twice, and how many a
    process sent that another made."""
    count, seen, doubled, foreign = {}, set(), 0, 0
    for name in os.listdir(store):
        if not name.endswith(".jsonl"):
            continue
        with open(os.path.join(store, name), encoding="utf-8") as file:
            for line in file:
                record = json.loads(line)
                metadata = record["metadata"]
                if record["status"] == "pending":
                    continue
                doubled += record["span_id"] in seen
                seen.add(record["span_id"])
                foreign += metadata["attributes"]["maker"] != metadata["pid"]
                count[metadata["pid"]] = count.get(metadata["pid"], 0) + 1
    return count, doubled, foreign


def run(short):
    mode = sys.argv[1]
    rounds = ROUNDS[mode][1 if short else 0]
    with Daemon() as daemon:
        daemon.start("--http", "127.0.0.1:0")
        said, held = host(daemon, mode, rounds)
        # Half a frame of a connection that the host took away is no beginning of another.
        bad_frames = daemon.metric("frames_bad_total")
        fault.bring_into_files(daemon)
        count, doubled, foreign = stored(daemon.store)
    lost = 0
    emitted = 0
    for pid, _, spans, durable, _, unknown, _ in ENDED.findall(said):
        there = count.get(int(pid), 0)
        lost += max(0, int(durable) - there)
        emitted += int(spans)
        # More than was counted: doubled, or never counted.
        doubled += max(0, there - int(durable) - int(unknown))
    counted = dict(re.findall(r"^(foreign|leaked|mismatch) (\d+)$", said, re.MULTILINE))
    held = (held and not (lost or doubled or foreign or bad_frames) and "mismatch" in counted and
            emitted > 0)
    figure = (f"{rounds} {'rounds' if mode == 'descriptors' else 'cycles'}, "
              f"{sum(count.values())} spans stored of {len(count)} processes, lost {lost}, "
              f"doubled {doubled}, of another process {foreign}, mismatch "
              f"{counted.get('mismatch', '?')}, ")
    if mode == "descriptors":
        return (f"{figure}the host's files with bytes of ours {counted.get('foreign', '?')}, "
                f"bad frames {bad_frames}", held)
    return figure + f"descriptors leaked {counted.get('leaked', '?')}", held


if __name__ == "__main__":
    fault.main(run)
