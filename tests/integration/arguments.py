#!/usr/bin/python3
"""What every program says of a wrong command line: exit code 2, the program, the argument
and what is allowed, on standard error; nothing on standard output; nothing made or begun."""
import os
import subprocess
import tempfile

BIN = os.environ["WAFT_BIN"]

LONG = "/" + "x" * 200

# (arguments, what is said); the argument itself, where it is wrong, and what may stand there.
CASES = {
    "waft-collectord": (
        (["--bogus"], "--bogus", "--help"),
        (["word"], "'word'", "besides options", "--help"),
        (["--store"], "--store", "needs a value"),
        (["--store", ""], "store", "DIR"),
        (["--socket", ""], "socket", "PATH"),
        (["--socket", LONG], "socket", "PATH"),
        (["--http", "junk"], "http: 'junk'", "ADDRESS:PORT"),
        (["--http", "127.0.0.1:99999"], "127.0.0.1:99999", "ADDRESS:PORT"),
        (["--http", "192.0.2.1:80"], "192.0.2.1:80", "loopback", "--http-remote"),
        (["--listen", "junk"], "listen: 'junk'", "tcp://ADDRESS:PORT", "tls://ADDRESS:PORT"),
        (["--listen", "tcp://127.0.0.1:0,x"], "'x'", "tcp://ADDRESS:PORT"),
        (["--listen", "tcp://192.0.2.1:5"], "tcp://192.0.2.1:5", "loopback", "tls://"),
        (["--listen", "tls://127.0.0.1:0"], "listen", "--tls-cert", "--tls-key"),
        (["--listen", "tls://127.0.0.1:0", "--tls-cert", "c", "--tls-key", "k"], "--tls-ca"),
        (["--forward", "junk"], "forward: 'junk'", "tls://HOST:PORT"),
        (["--quiet", "soon"], "quiet", "'soon'", "TIME"),
        (["--part-size", "much"], "part-size", "'much'", "SIZE"),
        (["--log-level", "loud"], "log-level", "'loud'", "debug"),
        (["--config", "none.conf"], "none.conf", "No such file"),
    ),
    "waftctl": (
        ([], "what to do?", "trace list", "help"),
        (["bogus"], '"bogus"', "waftctl help"),
        (["trace"], "trace what?", "trace show"),
        (["trace", "lisst"], '"trace lisst"', '"trace list"'),
        (["trace", "list", "--bogus"], '"--bogus"', "trace list"),
        (["-z"], '"-z"'),
        (["version", "x"], '"x"', "usage: waftctl version"),
        (["--json=1", "version"], "--json takes no value"),
        (["--color", "pink", "version"], '"pink"'),
        (["--timeout", "0", "status"], "--timeout", '"0"', "10ms"),
        (["trace", "show"], "trace show needs", "TRACE-ID|last|@N"),
        (["trace", "show", "last", "more"], '"more"', "usage:"),
        (["trace", "show", "--data=most", "last"], "--data", "none, short or full", '"most"'),
        (["trace", "list", "-n", "0"], "--limit", "from 1 to 1000000", '"0"'),
        (["trace", "list", "--limit"], "--limit needs a value"),
        (["trace", "list", "--status", "bad"], "success, error or pending", '"bad"'),
        (["trace", "list", "--attr", "x"], "--attr", "KEY=VALUE", '"x"'),
        (["trace", "list", "--since", "huh"], "--since", "RFC 3339", '"huh"'),
        (["trace", "list", "--since", "today", "--until", "yesterday"], "--since", "--until"),
        (["trace", "list", "--grep", ""], "--grep", "not empty"),
        (["stats", "--min-duration", "5s", "--max-duration", "1s"], "--min-duration"),
        (["trace", "list", "--endpoint", "foo"], '--endpoint "foo"', "unix:PATH", "file:DIR"),
        (["--endpoint", "unix:", "status"], '--endpoint "unix:"', "unix:PATH"),
        (["--endpoint", "unix:" + LONG, "status"], "--endpoint", "107 bytes"),
        (["--endpoint", "tls://host", "status"], '--endpoint "tls://host"', "port"),
        (["--endpoint", "tls://host:0", "status"], '--endpoint "tls://host:0"', "port"),
        (["--endpoint", "tcp://192.0.2.1:5", "ps"], "tcp://192.0.2.1:5", "tls://"),
        (["--endpoint", "", "status"], "--endpoint", "not empty"),
        (["--store", "", "status"], "--store", "not empty"),
        (["--store", "a", "--endpoint", "file:b", "status"], "--store", "--endpoint"),
        (["help", "nope"], '"nope"'),
    ),
    "waft-engined": (
        (["--bogus"], "--bogus", "--help"),
        (["word"], "'word'", "--help"),
        (["--listen"], "--listen", "--help"),
        (["--listen", "junk"], "--listen junk", "HOST:PORT"),
        (["--listen", ""], "--listen", "HOST:PORT"),
        (["--listen", "127.0.0.1:70000"], "127.0.0.1:70000", "HOST:PORT"),
        (["--db", ""], "--db", "FILE"),
        (["--workers", "0"], "--workers 0", "from 1 to 256"),
        (["--workers", "2x"], "--workers 2x", "from 1 to 256"),
        (["--timeout", "3601"], "--timeout 3601", "from 1 to 3600"),
    ),
    "waft-decide": (
        ([], "FILE, history or show ID", "--help"),
        (["--bogus"], "--bogus", "--help"),
        (["-n"], "'n'", "--help"),
        (["-n", "0", "history"], "--limit", "from 1 to 1000", "'0'"),
        (["-n", "1001", "history"], "--limit", "from 1 to 1000", "'1001'"),
        (["--limit", "x", "history"], "--limit", "from 1 to 1000", "'x'"),
        (["-n", "5", "FILE"], "--limit", "history only"),
        (["--before", "abcd", "show", "abcd"], "--before", "history only"),
        (["--before", "zz", "history"], "--before", "4 digits", "'zz'"),
        (["show"], "show needs an ID"),
        (["show", ""], "an ID", "empty"),
        (["show", "abcd", "abce"], "'abce'"),
        (["history", "x"], "'x'"),
        ([""], "a FILE", "empty"),
        (["one", "two"], "'two'"),
        (["--server", "", "history"], "--server", "http://127.0.0.1:8420", "''"),
        (["--server", "ftp://x", "history"], "--server", "URL", "'ftp://x'"),
        (["--server", "http://x:99999", "history"], "--server", "URL", "'http://x:99999'"),
    ),
    "waft-load": (
        ([], "--ledger FILE"),
        (["--bogus"], "--bogus", "--help"),
        (["word"], "'word'", "--help"),
        (["--ledger", ""], "--ledger FILE"),
        (["verify"], "verify", "LEDGER --store DIR"),
        (["--ledger", "l", "--processes", "0"], "--processes", "from 1 to 256", "'0'"),
        (["--ledger", "l", "--endpoint", "foo"], "--endpoint", "unix:PATH", "'foo'"),
    ),
}


def check(program, arguments, said, directory):
    done = subprocess.run([os.path.join(BIN, program), *arguments], capture_output=True,
                          text=True, timeout=60, cwd=directory, stdin=subprocess.DEVNULL,
                          check=False)
    where = (program, arguments, done)
    assert done.returncode == 2, where
    assert done.stdout == "", where
    assert done.stderr.startswith(program + ": "), where
    for word in said:
        assert word in done.stderr, (word, *where)
    assert not os.listdir(directory), (os.listdir(directory), *where)


def main():
    with tempfile.TemporaryDirectory(prefix="waft-arguments.") as directory:
        for program, cases in CASES.items():
            for arguments, *said in cases:
                check(program, arguments, said, directory)
            print(f"ok {program} ({len(cases)} command lines)", flush=True)


if __name__ == "__main__":
    main()
