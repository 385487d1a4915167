#!/usr/bin/env python3
"""What a decision leaves in the store of traces: one trace over three processes
and four layers, each operation where it belongs, with what went in and came
out, and errors on every span that they pass."""
import json
import os
import re
import signal
import subprocess
import tempfile

from engine_service import BIN, Service, decide, main, stop_worker

DECISION = {"problem": "p", "alternatives": ["x", "y"], "criteria": {"a": 0.6, "b": 0.4},
            "scores": {"x": {"a": 6, "b": 1}, "y": {"a": 3, "b": 5}}}
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

EVALUATE = [("decision_matrix.create_calculator", "core", []),
            ("decision_matrix.calculate_wsm", "core", []),
            ("decision_matrix.rank_alternatives", "core", [])]
TRANSFORM = ("input_transformer.transform_input", "core", [
    ("input_transformer.validate_schema", "core", []),
    ("input_transformer.extract_alternatives", "core", []),
    ("input_transformer.extract_criteria", "core", []),
    ("input_transformer.extract_scores", "core", []),
    ("input_transformer.create_matrix", "core", [])])
ANALYSIS = [
    TRANSFORM, *EVALUATE, ("decision_matrix.get_detailed_scores", "core", []),
    ("api.sensitivity_analysis", "api", EVALUATE),
    ("api.build_response", "api", [])]
DECIDED = ("waft-decide.analyze", "cli", [
    ("POST /api/decision/analyze", "api", [
        ("api.decision.analyze", "api", [
            *ANALYSIS, ("decision_store.insert", "persistence", [])])])])


class Traced:
    """A place for traces, and the environment of those that are traced into it:
    files, which need no daemon."""

    def __init__(self):
        self._temporary = tempfile.TemporaryDirectory(prefix="waft-trace.")
        self.directory = self._temporary.name
        self.source = ["--store", self.directory]
        self.environment = {"WAFT_ENDPOINT": "file:" + self.directory,
                            "WAFT_SNAPSHOT_LIMIT": "100000"}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._temporary.cleanup()

    def waftctl(self, *arguments):
        done = subprocess.run([os.path.join(BIN, "waftctl"), *self.source, *arguments],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def records(self, trace_id):
        """The records of a trace."""
        return [json.loads(line) for line in
                self.waftctl("trace", "show", trace_id, "--json").splitlines()]


class Collected(Traced):
    """The same by a collector, which is asked for what it has."""

    def __init__(self):
        super().__init__()
        self.socket = os.path.join(self.directory, "collector.sock")
        self.source = ["--endpoint", "unix:" + self.socket]
        self.environment["WAFT_ENDPOINT"] = "unix:" + self.socket
        self.environment["WAFT_EXIT_TIMEOUT_MS"] = "20000"
        self.errors = open(os.path.join(self.directory, "collector.stderr"), "a+b")
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [os.path.join(BIN, "waft-collectord"), "--socket", self.socket, "--store",
             os.path.join(self.directory, "traces")],
            stdout=subprocess.PIPE, stderr=self.errors)
        assert self.process.stdout.readline(), "waft-collectord is not ready"

    def stop(self, signal_number=signal.SIGTERM):
        self.process.send_signal(signal_number)
        code = self.process.wait(30)
        self.process.stdout.close()
        return code

    def __exit__(self, *_):
        code = self.stop()
        self.errors.seek(0)
        text = self.errors.read().decode()
        self.errors.close()
        super().__exit__()
        assert code == 0, f"waft-collectord exited with {code}: {text}"


def tree_of(records):
    """Nested (operation, layer, children) of each root, children by start."""
    children = {}
    ids = {r["span_id"] for r in records}
    for record in sorted(records, key=lambda r: r["timestamp"]):
        parent = record["parent_span_id"]
        children.setdefault(parent if parent in ids else None, []).append(record)
    assert len(ids) == len(records), "a span id twice"

    def subtree(record):
        return (record["operation"], record["layer"],
                [subtree(c) for c in children.get(record["span_id"], [])])

    return [subtree(r) for r in children.get(None, [])]


def by_operation(records):
    found = {}
    for record in records:
        found.setdefault(record["operation"], []).append(record)
    return found


def told(done):
    """What waft-decide says on standard error: {"decision": id, "trace": id}."""
    return dict(line.split() for line in done.stderr.splitlines()
                if re.match(r"(decision|trace) ", line))


def test_one_decision_is_one_trace():
    for place in (Traced, Collected):
        decide_once(place)


def decide_once(place):
    with place() as traced:
        with Service("--workers", "2", environment=traced.environment) as service:
            workers = service.workers()
            engined = service.process.pid
            ids = told(decide(service, "-", stdin=json.dumps(DECISION),
                              environment=traced.environment))
        assert UUID.fullmatch(ids["trace"]) and UUID.fullmatch(ids["decision"]), ids
        records = traced.records(ids["trace"])
        assert tree_of(records) == [DECIDED], json.dumps(tree_of(records), indent=1)
        found = by_operation(records)
        for record in records:
            assert record["status"] == "success" and record["error"] is None, record
            assert record["trace_id"] == ids["trace"]
            if record["layer"] == "core":
                assert record["metadata"]["pid"] in workers, record
                assert record["metadata"]["service"] == "waft-engine-worker", record
            elif record["layer"] != "cli":
                assert record["metadata"]["pid"] == engined, record
                assert record["metadata"]["service"] == "waft-engined", record
            if not record["operation"].startswith("POST "):
                assert record["data"].get("input") is not None, record
                assert record["data"].get("output") is not None, record
        cli = found["waft-decide.analyze"][0]
        assert cli["metadata"]["service"] == "waft-decide"
        assert len({r["metadata"]["pid"] for r in records}) >= 3
        assert cli["data"]["output"]["decision_id"] == ids["decision"]
        check_shown(traced.waftctl("trace", "show", ids["trace"]), DECIDED)
        check_data(found)
        check_http(found["POST /api/decision/analyze"][0])
        insert = found["decision_store.insert"][0]
        assert insert["data"]["input"][0] == ids["decision"], insert
        assert insert["metadata"]["attributes"]["db.system.name"] == "sqlite", insert


def check_shown(text, tree):
    """The tree as waftctl prints it: no flag on any line, no span outside of its
    parent."""
    def lines(span, depth):
        operation, layer, children = span
        yield re.escape(f"{'  ' * depth}✓ {operation} (") + r"\d+\.\d\dms\)" + \
            re.escape(f" [{layer}]")
        for child in children:
            yield from lines(child, depth + 1)

    shown = text.split("\n\n", 1)[1].splitlines()
    expected = list(lines(tree, 0))
    assert len(shown) == len(expected), text
    for line, pattern in zip(shown, expected):
        assert re.fullmatch(pattern, line), f"{line!r} is not {pattern!r}"


def check_data(found):
    """What the operations say of this decision."""
    def data(operation, place=0):
        return found[operation][place]["data"]

    transform = data("input_transformer.transform_input")
    assert transform["input"] == DECISION, transform
    assert transform["output"] == {"methodology": "WSM", "num_alternatives": 2,
                                   "num_criteria": 2}, transform
    assert data("input_transformer.extract_alternatives") == {
        "input": ["x", "y"], "output": {"count": 2, "names": ["x", "y"]}}
    assert data("input_transformer.extract_criteria")["output"] == {
        "count": 2, "criteria": [{"name": "a", "weight": 0.6}, {"name": "b", "weight": 0.4}]}
    assert data("input_transformer.extract_scores") == {
        "input": DECISION["scores"], "output": {"count": 4}}
    totals = data("decision_matrix.calculate_wsm")["output"]
    assert {k: round(v, 9) for k, v in totals.items()} == {"x": 4.0, "y": 3.8}, totals
    assert [r[0] for r in data("decision_matrix.rank_alternatives")["output"]] == ["x", "y"]
    assert [r[0] for r in data("decision_matrix.rank_alternatives", 1)["output"]] == ["y", "x"]
    sensitivity = data("api.sensitivity_analysis")["output"]
    assert (sensitivity["is_robust"], sensitivity["new_winner"]) == (False, "y"), sensitivity
    response = data("api.build_response")["output"]
    assert response["recommendation"] == "x", response
    assert data("api.decision.analyze") == {"input": DECISION, "output": response}


def check_http(record):
    assert record["metadata"]["kind"] == "server", record
    attributes = record["metadata"]["attributes"]
    expected = {"http.request.method": "POST", "url.path": "/api/decision/analyze",
                "http.route": "/api/decision/analyze", "url.scheme": "http",
                "client.address": "127.0.0.1", "user_agent.original": "waft-decide",
                "http.response.status_code": 200}
    assert {k: attributes.get(k) for k in expected} == expected, attributes


def test_errors_are_on_every_span_they_pass():
    message = "Criteria weights must sum to 1.0, got 1.4."
    wrong = {**DECISION, "criteria": {"a": 0.7, "b": 0.7}}
    with Traced() as traced:
        with Service(environment=traced.environment) as service:
            done = decide(service, "-", stdin=json.dumps(wrong), check=False,
                          environment=traced.environment)
        assert done.returncode == 1 and message in done.stderr, done
        records = traced.records(told(done)["trace"])
    expected = ("waft-decide.analyze", "cli", [("POST /api/decision/analyze", "api", [
        ("api.decision.analyze", "api", [TRANSFORM])])])
    assert tree_of(records) == [expected], tree_of(records)
    failed = {r["operation"] for r in records if r["status"] == "error"}
    assert failed == {"waft-decide.analyze", "POST /api/decision/analyze", "api.decision.analyze",
                      "input_transformer.transform_input", "input_transformer.create_matrix"}
    for record in records:
        assert (record["status"] == "error") == (record["error"] is not None), record
        assert record["status"] == "success" or message in record["error"], record


def test_error_answers_name_their_trace():
    asks = [("POST", "/api/decision/analyze", "{", 422), ("GET", "/nowhere", None, 404),
            ("POST", "/api/decision/analyze", json.dumps({**DECISION, "criteria": {}}), 400),
            ("POST", "/api/decision/analyze", "x" * 1048577, 413),
            ("PUT", "/api/health", None, 405), ("GET", "/api/decision/ffffffff", None, 404),
            ("GET", "/api/decision/history?limit=0", None, 400)]
    parent = "00-0af7651916cd43dd8448eb211c8031{:02x}-b7ad6b7169203331-01"
    with Traced() as traced:
        details = {}
        with Service(environment=traced.environment) as service:
            for i, (method, path, body, expected) in enumerate(asks):
                status, headers, answer = service.ask(method, path, body,
                                                      {"traceparent": parent.format(i)})
                answer = json.loads(answer)
                assert status == expected, (method, path, status, answer)
                traceresponse = headers["traceresponse"].split("-")
                assert traceresponse[1] == parent.format(i).split("-")[1], traceresponse
                assert answer["trace_id"].replace("-", "") == traceresponse[1], answer
                details[answer["trace_id"]] = expected, answer["detail"]
            status, headers, _ = service.ask("GET", "/api/health")
            assert status == 200 and headers["traceresponse"].startswith("00-")
        for trace_id, (status, detail) in details.items():
            records = traced.records(trace_id)
            request = next(r for r in records if r["metadata"]["kind"] == "server")
            assert request["status"] == "error" and request["error"] == detail, request
            assert request["metadata"]["attributes"]["http.response.status_code"] == status
            # The caller's span is of another tracer, which told nothing of it.
            assert request["parent_span_id"].replace("-", "").startswith("b7ad6b71"), request


def test_history_and_show():
    with Traced() as traced:
        with Service(environment=traced.environment) as service:
            first = told(decide(service, "-", stdin=json.dumps(DECISION),
                                environment=traced.environment))
            history = told(decide(service, "history", environment=traced.environment))
            shown = decide(service, "show", first["decision"], "--json",
                           environment=traced.environment)
            assert json.loads(shown.stdout)["trace_id"] == first["trace"]
        assert tree_of(traced.records(history["trace"])) == [
            ("waft-decide.history", "cli", [("GET /api/decision/history", "api", [
                ("api.decision.history", "api", [("decision_store.list", "persistence", [])])])])]
        assert tree_of(traced.records(told(shown)["trace"])) == [
            ("waft-decide.show", "cli", [("GET /api/decision/{id}", "api", [
                ("api.decision.load", "api", [
                    ("decision_store.find", "persistence", []),
                    ("decision_store.load", "persistence", []), *ANALYSIS])])])]


def test_a_callers_trace_is_taken_up():
    trace_id = "0af76519-16cd-43dd-8448-eb211c80319c"
    traceparent = f"00-{trace_id.replace('-', '')}-b7ad6b7169203331-01"
    with Traced() as traced:
        with Service(environment=traced.environment) as service:
            ids = told(decide(service, "history",
                              environment={**traced.environment, "TRACEPARENT": traceparent}))
        assert ids["trace"] == trace_id
        root = by_operation(traced.records(trace_id))["waft-decide.history"][0]
        assert root["parent_span_id"].replace("-", "").startswith("b7ad6b71"), root


def test_a_lost_worker_is_in_the_trace():
    with Traced() as traced:
        with Service("--timeout", "1", environment=traced.environment) as service:
            worker = service.workers()[0]
            stop_worker(worker)
            status, headers, body = service.analyze(DECISION)
            assert status == 200, body
        trace = by_operation(traced.records(headers["traceresponse"].split("-")[1]))
        replaced = trace["worker_pool.replace"][0]
        assert replaced["metadata"]["attributes"]["process.pid"] == worker
        assert (replaced["status"], replaced["error"]) == (
            "error", f"worker {worker} is stopped, and is replaced"), replaced
        # Another did it all.
        done = trace["decision_matrix.calculate_wsm"]
        assert done and all(span["metadata"]["pid"] != worker for span in done), done


def test_killed_collector_fails_no_decision():
    """Killed and started again in the midst of decisions: each is answered, and
    each trace is complete in the end."""
    decided = DECIDED[2]
    with Collected() as traced:
        traces = []
        with Service("--workers", "2", environment=traced.environment) as service:
            for i in range(30):
                if i == 10:
                    traced.stop(signal.SIGKILL)
                if i == 20:
                    traced.start()
                status, headers, body = service.analyze(DECISION)
                assert status == 200, (i, status, body)
                traces.append(headers["traceresponse"].split("-")[1])
        for trace_id in traces:
            assert tree_of(traced.records(trace_id)) == decided, trace_id


if __name__ == "__main__":
    main([test_one_decision_is_one_trace, test_errors_are_on_every_span_they_pass,
          test_error_answers_name_their_trace, test_history_and_show,
          test_a_callers_trace_is_taken_up, test_a_lost_worker_is_in_the_trace,
          test_killed_collector_fails_no_decision])
