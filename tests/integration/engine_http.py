#!/usr/bin/env python3
"""The decision engine over HTTP: cases, random decisions, routes, bad requests,
workers that die, the command line. Traces are engine_trace.py's."""
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import engine_reference as reference
import engine_service
from engine_service import (
    BIN, SOURCE, Service, cases, decide, main, same, stop_worker, wait_until)

FORMS = ("missingkey", "badtype", "nullscore", "scoresnotdict")
DECISION = {"problem": "p", "alternatives": ["x", "y"], "criteria": {"a": 0.6, "b": 0.4},
            "scores": {"x": {"a": 6, "b": 1}, "y": {"a": 3, "b": 5}}}


def test_cases():
    with Service("--workers", "2") as service:
        count = 0
        for case in cases("decision_cases.jsonl", "decision_cases_more.jsonl"):
            status, headers, body = service.analyze(case["request"])
            answer, expect = json.loads(body), case["expect"]
            told = f"case {case['id']}: {status} {answer}"
            if expect["ok"]:
                assert status == 200, told
                for warning in answer["sensitivity_warnings"]:
                    del warning["warning"]
                for key in ("rankings", "is_robust", "sensitivity_warnings"):
                    assert same(answer[key], expect[key]), told
                assert headers["Location"].startswith("/api/decision/"), told
            else:
                assert status == (422 if case["kind"] in FORMS else 400), told
                assert answer["detail"] == expect["error"], told
            count += 1
        assert count >= 74, count


def test_random_decisions():
    seen = {}
    with Service("--workers", "2") as service:
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
        for text in reference.generate(seed=20260109, count=600):
            connection.request("POST", "/api/decision/analyze", text.encode())
            response = connection.getresponse()
            answer = json.loads(response.read())
            try:
                expected = 200, reference.decide(json.loads(text))
            except reference.Refused as refused:
                expected = refused.status, refused.detail
            if expected[0] != 200:
                answer = answer["detail"]
            assert (response.status, same(answer, expected[1])) == (expected[0], True), \
                f"{text}\n{response.status} {answer}\nexpected {expected}"
            seen[response.status] = seen.get(response.status, 0) + 1
        connection.close()
    assert min(seen[s] for s in (200, 400, 422)) > 30, seen


def test_routes():
    with Service() as service:
        status, headers, body = service.ask("GET", "/api/health")
        health = json.loads(body)
        assert status == 200 and list(health) == ["status", "timestamp", "service"], body
        assert (health["status"], health["service"]) == ("healthy", "waft-engined")
        assert headers["Content-Type"] == "application/json"
        status, _, body = service.ask("GET", "/api/decision/health?x=1")
        assert status == 200 and json.loads(body) == {
            "status": "ok", "version": "1.0", "core": "diamond_plated", "engine": "iron_core"}
        status, headers, body = service.ask("HEAD", "/api/health")
        assert (status, body) == (200, b"") and int(headers["Content-Length"]) > 0
        for method, path, allow in (
                ("GET", "/api/decision/analyze", "POST"), ("PUT", "/api/decision/analyze", "POST"),
                ("POST", "/api/health", "GET, HEAD"), ("DELETE", "/api/decision/x", "GET, HEAD"),
                ("POST", "/api/decision/history", "GET, HEAD"),
                ("BREW", "/api/decision/health", "GET, HEAD")):
            status, headers, body = service.ask(method, path, b"{}")
            assert (status, headers["Allow"]) == (405, allow), (method, path, status, body)
            assert "detail" in json.loads(body)
        for path in ("/", "/api", "/api/", "/api/health/", "/api/decision/", "/api/decision",
                     "/api/decision/a/b", "//api/health", "/api/decision/%00", "/api/decision/" +
                     "f" * 2000, "/api/decision/00000000-0000-4000-8000-000000000000", "/%ff"):
            status, _, body = service.ask("GET", path)
            assert status == 404 and json.loads(body)["detail"], (path, status, body)


def test_decisions_are_kept():
    with Service() as service:
        ids = []
        for i in range(5):
            status, headers, body = service.analyze({**DECISION, "problem": f"p{i}"})
            assert status == 200
            ids.append(headers["Location"].rsplit("/", 1)[1])
            status, _, again = service.ask("GET", headers["Location"])
            loaded = json.loads(again)
            assert loaded.pop("id") == ids[-1] and loaded.pop("created_at").endswith("Z")
            loaded.pop("trace_id")
            assert (status, loaded) == (200, json.loads(body))
        assert service.ask("GET", f"/api/decision/{ids[2][-8:].upper()}")[0] == 200

        def history(query):
            status, _, body = service.ask("GET", "/api/decision/history" + query)
            assert status == 200, body
            listing = json.loads(body)
            return [d["id"] for d in listing["decisions"]], listing["next"]

        assert history("") == (ids[::-1], None)
        assert history("?limit=2") == ([ids[4], ids[3]], ids[3])
        assert history(f"?limit=2&before={ids[3]}") == ([ids[2], ids[1]], ids[1])
        assert history(f"?limit=2&before={ids[1]}") == ([ids[0]], None)
        for query, expected in (("?limit=0", 400), ("?limit=x", 400), ("?limit=1001", 400),
                                ("?limit=", 400), ("?before=nope", 404)):
            status, _, body = service.ask("GET", "/api/decision/history" + query)
            assert status == expected, (query, status, body)
        directory = service.directory
        first = os.path.join(directory, "_pyrite", "analytics", "decisions.db")
        assert os.stat(first).st_mode & 0o777 == 0o600
        # Another service on the same file knows them, too.
        with Service("--db", first) as second:
            assert second.ask("GET", f"/api/decision/{ids[0]}")[0] == 200
        # A refused decision is not kept.
        service.analyze({})
        assert len(history("")[0]) == 5


def test_stored_decisions_pass_the_rules_again():
    import sqlite3
    with Service("--db", "d.db") as service:
        _, headers, _ = service.analyze(DECISION)
        path = os.path.join(service.directory, "d.db")
        with sqlite3.connect(path) as database:
            database.execute("UPDATE decisions SET request = replace(request, '0.6', '0.7')")
        status, _, body = service.ask("GET", headers["Location"])
        detail = json.loads(body)["detail"]
        assert status == 500 and "does not pass the rules" in detail, detail
        assert "got 1.1" in detail, detail


def test_bodies():
    with Service() as service:
        assert service.analyze(b"x" * 1048576)[0] == 422
        for size in (1048577, 5000000):
            status, _, body = service.analyze(b"x" * size)
            assert status == 413 and "1048576" in json.loads(body)["detail"], status
        # Sent in chunks, nothing tells the size beforehand.
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
        connection.request("POST", "/api/decision/analyze", (b"x" * 65536 for _ in range(20)))
        assert connection.getresponse().status == 413
        connection.close()
        # Who asks first is told before sending.
        with socket.create_connection(("127.0.0.1", service.port), timeout=60) as raw:
            raw.sendall(b"POST /api/decision/analyze HTTP/1.1\r\nHost: x\r\n"
                        b"Content-Length: 2000000\r\nExpect: 100-continue\r\n\r\n")
            assert raw.recv(4096).startswith(b"HTTP/1.1 413 ")
        text = json.dumps(DECISION)
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
        connection.request("POST", "/api/decision/analyze", (c.encode() for c in text))
        assert connection.getresponse().status == 200
        connection.close()


def test_bad_requests():
    bodies = [b"", b"\0", b"{", b"[]", b"null", b"\xff\xfe", b"\xef\xbb\xbf{}", b"{}", b"[" * 100000,
              b'{"a":' * 5000, b'{"problem": "\xff"}', b'{"problem": "\\ud800"}', b"1e999",
              b'{"problem": 1e99999}', b"NaN", b'{"problem":"p","problem":5}']
    with Service() as service:
        for body in bodies:
            status, _, answer = service.analyze(body)
            assert status == 422, (body[:40], status, answer)
            assert json.loads(answer)["detail"].startswith("Error in input data: "), answer
        for head in (b"\0\0\0\0", b"GET\r\n\r\n", b"POST /api/decision/analyze HTTP/1.1\r\n\r\n",
                     b"GET / HTTP/9.9\r\n\r\n", b"A" * 100000, b"\r\n" * 1000,
                     b"POST /api/decision/analyze HTTP/1.1\r\nHost: x\r\n"
                     b"Content-Length: -5\r\n\r\n",
                     b"POST /api/decision/analyze HTTP/1.1\r\nHost: x\r\n"
                     b"Content-Length: 99999999999999999999999\r\n\r\n",
                     b"POST /api/decision/analyze HTTP/1.1\r\nHost: x\r\n"
                     b"Transfer-Encoding: chunked\r\n\r\nZZZ\r\n"):
            with socket.create_connection(("127.0.0.1", service.port), timeout=60) as raw:
                try:
                    raw.sendall(head)
                    raw.shutdown(socket.SHUT_WR)
                    while raw.recv(65536):
                        pass
                except OSError:
                    pass
        # Gone in the middle of the body.
        with socket.create_connection(("127.0.0.1", service.port), timeout=60) as raw:
            raw.sendall(b"POST /api/decision/analyze HTTP/1.1\r\nHost: x\r\n"
                        b"Content-Length: 100\r\n\r\n{")
        assert service.analyze(DECISION)[0] == 200
        # What a good and a bad caller of the trace headers may send.
        for headers in ({"traceparent": "x" * 1000}, {"tracestate": "," * 600, "baggage": "=;,"},
                        {"traceparent": "00-" + "0" * 32 + "-" + "0" * 16 + "-00"}):
            assert service.analyze(DECISION, headers)[0] == 200


def test_workers_killed_during_requests():
    """Whenever a worker is killed, no request fails."""
    with Service("--workers", "2") as service:
        done = ([], [])  # a list of statuses for each thread
        stop = threading.Event()

        def ask(statuses):
            while not stop.is_set():
                statuses.append(service.analyze(DECISION)[0])

        def further(before):
            """Whether all that was asked then is answered, and more."""
            return all(len(now) > count + 1 for now, count in zip(done, before))

        threads = [threading.Thread(target=ask, args=(statuses,)) for statuses in done]
        for thread in threads:
            thread.start()
        try:
            for _ in range(15):
                victim = wait_until(service.workers, "a worker lives")[0]
                os.kill(victim, signal.SIGKILL)
                # A request is handed on once: none may meet two kills.
                before = [len(statuses) for statuses in done]
                wait_until(lambda: victim not in service.workers() and further(before),
                           "requests go on")
            # One that dies before it has answered comes back when requests need it.
            wait_until(lambda: len(service.workers()) == 2, "both workers are back")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert set(done[0] + done[1]) == {200}, set(done[0] + done[1])
        assert "was killed by signal 9" in service.stderr()


def test_stopped_worker():
    """Another answers: at once when one is idle, and a single one is replaced."""
    with Service("--workers", "2") as service:
        stopped = service.workers()[0]
        stop_worker(stopped)
        started = time.monotonic()
        for _ in range(5):
            assert service.analyze(DECISION)[0] == 200
        assert time.monotonic() - started < 20, "a request waited for the stopped worker"
        assert stopped in service.workers(), "a stopped worker was killed without need"
        os.kill(stopped, signal.SIGCONT)
    with Service() as service:
        assert service.analyze(DECISION)[0] == 200
        worker = service.workers()[0]
        stop_worker(worker)
        assert service.analyze(DECISION)[0] == 200
        assert service.workers() != [worker]


def test_stop_lets_requests_finish():
    service = Service()
    worker = service.workers()[0]
    body = json.dumps(DECISION).encode()
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as raw:
        raw.sendall(b"POST /api/decision/analyze HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                    b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        # The service has the request's head, and waits for the rest.
        assert raw.recv(4096).startswith(b"HTTP/1.1 100 ")
        service.process.terminate()
        wait_until(lambda: not listens(service.port), "no more connections are taken")
        raw.sendall(body)
        answer = b""
        while piece := raw.recv(65536):
            answer += piece
    code, text = service.stop()
    assert answer.startswith(b"HTTP/1.1 200 ") and b'"recommendation":"x"' in answer, answer
    assert (code, text) == (0, ""), (code, text)
    assert not os.path.exists(f"/proc/{worker}")


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    except (ConnectionRefusedError, ConnectionResetError):
        return False


def test_stops_and_leaves_nothing():
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        service = Service("--workers", "3")
        workers = wait_until(lambda: len(service.workers()) == 3 and service.workers(), "workers")
        code, text = service.stop(signal_number)
        assert (code, text) == (0, ""), (code, text)
        assert not any(os.path.exists(f"/proc/{w}") for w in workers)
    # Killed without a chance: its workers go, too.
    service = Service("--workers", "2")
    workers = service.workers()
    service.stop(signal.SIGKILL)
    wait_until(lambda: not any(os.path.exists(f"/proc/{w}") for w in workers), "workers leave")


def run_engined(*arguments):
    return subprocess.run([os.path.join(BIN, "waft-engined"), *arguments], capture_output=True,
                          text=True, timeout=60, cwd="/")


def test_engined_command_line():
    done = run_engined("--help")
    assert done.returncode == 0 and "--workers N" in done.stdout
    assert run_engined("--version").stdout.startswith("waft-engined ")
    for arguments, said in (
            (["--bogus"], "bogus"), (["x"], "unexpected argument 'x'"),
            (["--workers", "0"], "--workers 0: not a number from 1 to 256"),
            (["--workers", "257"], "--workers 257"), (["--workers", "1x"], "--workers 1x"),
            (["--workers", ""], "--workers "), (["--timeout", "-1"], "--timeout -1"),
            (["--listen"], "listen")):
        done = run_engined(*arguments)
        assert done.returncode == 2 and said in done.stderr, (arguments, done)
    with Service() as service:
        db = os.path.join(service.directory, "other", "d.db")
        for listen, code, said in (
                ("nonsense", 2, "not HOST:PORT"), ("127.0.0.1:", 2, "not HOST:PORT"),
                ("127.0.0.1:70000", 2, "not HOST:PORT"), ("::1:80", 2, "not HOST:PORT"),
                ("no.such.host.invalid:80", 1, "no.such.host.invalid"),
                (f"127.0.0.1:{service.port}", 1, "Address already in use; choose another")):
            done = run_engined("--db", db, "--listen", listen)
            assert done.returncode == code and said in done.stderr, (listen, done)
            # Found before anything was made.
            assert not os.path.exists(os.path.dirname(db)), listen
        done = run_engined("--db", "/proc/none/d.db")
        assert done.returncode == 1 and "cannot make directory /proc/none" in done.stderr, done


def test_manuals_name_the_options():
    for program, page in (("waft-engined", "waft-engined.8"), ("waft-decide", "waft-decide.1")):
        text = subprocess.run([os.path.join(BIN, program), "--help"], capture_output=True,
                              text=True, timeout=60).stdout
        with open(os.path.join(SOURCE, "engine", "man", page), encoding="utf-8") as file:
            manual = file.read()
        helped = set(re.findall(r"^ +(?:-\w, )?--([a-z]+)", text, re.MULTILINE))
        listed = set(re.findall(r"Fl -([a-z]+)", "\n".join(
            line for line in manual.splitlines() if line.startswith(".It "))))
        assert helped and helped == listed, (program, helped ^ listed)


def test_decide():
    with Service() as service:
        path = os.path.join(service.directory, "decision.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({**DECISION, "alternatives": ["東京", "y\x1b[2J"], "scores": {
                "東京": {"a": 6, "b": 1}, "y\x1b[2J": {"a": 3, "b": 5}}}, file)
        done = decide(service, path)
        assert done.stdout.splitlines() == [
            "Problem: p", "Recommendation: 東京", "",
            "Ranking", "  1.  東京      4.00", "  2.  y\\x1b[2J  3.80", "",
            "Scores", "  Criterion  Weight  東京  y\\x1b[2J", "  a             0.6  6.00      3.00",
            "  b             0.4  1.00      5.00", "  Total              4.00      3.80", "",
            "Sensitivity",
            "  ! If 'a' becomes less important, 'y\\x1b[2J' would win instead of '東京'.",
            "    (weight 0.6 -> 0.48)"], done.stdout
        told = dict(line.split() for line in done.stderr.splitlines())
        decision = told["decision"]
        done = decide(service, "--json", "-", stdin=json.dumps(DECISION))
        assert json.loads(done.stdout)["recommendation"] == "x"
        done = decide(service, "history")
        assert [line.split()[0] for line in done.stdout.splitlines()][-1] == decision
        assert json.loads(decide(service, "history", "--json").stdout)["next"] is None
        done = decide(service, "show", decision[:8], "--json")
        assert json.loads(done.stdout)["id"] == decision
        assert decision in decide(service, "show", decision).stderr


def test_decide_fails_clearly():
    with Service() as service:
        def fails(code, said, *arguments, stdin=None):
            done = decide(service, *arguments, stdin=stdin, check=False)
            assert done.returncode == code and said in done.stderr, (arguments, done)
            assert done.stdout == "", done.stdout

        fails(1, "Missing required keys", "-", stdin="{}")
        fails(1, "(the service answered 422)", "-", stdin="nonsense")
        fails(1, "(the service answered 413)", "-", stdin="x" * 2000000)
        fails(1, "cannot open nothing.json: No such file", "nothing.json")
        fails(1, "cannot read /: Is a directory", "/")
        fails(1, "No decision found with ID: a?b#c", "show", "a?b#c")
        fails(2, "--limit takes a number", "history", "-n", "many")
        fails(2, "is missing")
        fails(2, "show needs an ID", "show")
        fails(2, "unexpected argument 'b'", "a", "b")
        fails(2, "--bogus", "--bogus", "a")
        with open("/dev/full", "w") as full:
            done = subprocess.run([os.path.join(BIN, "waft-decide"), "--server", service.url,
                                   "history"], stdout=full, stderr=subprocess.PIPE, timeout=60)
            assert done.returncode == 1 and b"cannot write" in done.stderr, done
        url = service.url
    done = subprocess.run([os.path.join(BIN, "waft-decide"), "--server", url, "history"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "is waft-engined running?" in done.stderr, done
    done = subprocess.run([os.path.join(BIN, "waft-decide"), "--server", "ftp://x/", "history"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "not 'ftp://x/'" in done.stderr, done


def test_strange_servers():
    """waft-decide copes with whatever answers."""
    answers = [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
               b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
               b"HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\nnope",
               b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
               b'HTTP/1.1 400 No\r\nContent-Length: 17\r\n\r\n{"detail":"\x1b[2J"}',
               b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"]
    codes = []
    for answer in answers:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            def serve():
                peer, _ = listener.accept()
                with peer:
                    peer.recv(65536)
                    peer.sendall(answer)
            thread = threading.Thread(target=serve)
            thread.start()
            done = subprocess.run(
                [os.path.join(BIN, "waft-decide"), "--server",
                 f"http://127.0.0.1:{listener.getsockname()[1]}", "history"],
                capture_output=True, timeout=60)
            thread.join()
            assert b"\x1b" not in done.stderr, done.stderr
            assert b"Sanitizer" not in done.stderr, done.stderr
            codes.append(done.returncode)
    assert codes == [1, 1, 0, 1, 1, 1, 1, 1], codes


if __name__ == "__main__":
    os.environ.update(engine_service.NO_COLLECTOR)
    main([test_cases, test_random_decisions, test_routes, test_decisions_are_kept,
          test_stored_decisions_pass_the_rules_again, test_bodies, test_bad_requests,
          test_workers_killed_during_requests, test_stopped_worker, test_stop_lets_requests_finish,
          test_stops_and_leaves_nothing, test_engined_command_line, test_manuals_name_the_options,
          test_decide,
          test_decide_fails_clearly, test_strange_servers])
