#!/usr/bin/env python3
"""`run.py python3 tools.py`: Redis's own tools while a node is killed and started again.

Prints what each said that is not plain success, and how long each took.
"""

import json
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

OPERATIONS = 5_000
#: The tests of redis-benchmark whose commands the server has.
TESTS = "ping_inline,ping_mbulk,set,get,incr,hset,mset"
BOUND_S = 100


def split(address):
    host, port = address.rsplit(":", 1)
    return ["-h", host, "-p", port]


def check(address):
    """What `redis-cli --cluster check` finds: its exit code and its verdicts."""
    command = ["redis-cli", "--cluster", "check", address]
    told = subprocess.run(command, capture_output=True, text=True, timeout=BOUND_S)
    text = re.sub("\x1b[^m]*m", "", told.stdout + told.stderr)
    is_verdict = re.compile(r"\[(OK|ERR|WARNING)\]|Could not").match
    verdicts = [line for line in text.splitlines() if is_verdict(line)]
    return {"exit": told.returncode, "verdicts": verdicts}


def benchmark(address, count):
    told = subprocess.run(
        ["redis-benchmark", "--cluster", *split(address), "-t", TESTS, "-n", str(count), "-q"],
        capture_output=True, text=True, timeout=BOUND_S,
    )
    rates = re.findall(r"([A-Z_]+[^:\n\r]*): [\d.]+ requests per second", told.stdout)
    lines = (told.stdout + told.stderr).replace("\r", "\n").splitlines()
    errors = [line for line in lines if "rror" in line and "CONFIG" not in line]
    return {"exit": told.returncode, "done": rates, "errors": sorted(set(errors))[:5]}


def cli(address, resp):
    """Lines through one `redis-cli -c`; the address is of a node that is not killed."""
    process = subprocess.Popen(
        ["redis-cli", "-c", f"-{resp}", *split(address)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, bufsize=1,
    )
    result = {"operations": 0, "failed": 0, "wrong": 0, "longest_ms": 0, "errors": {}}
    watchdog = threading.Timer(BOUND_S, process.kill)
    watchdog.start()
    may = {}  # What a key may hold: the last acknowledged value, and unknown ones.
    for i in range(OPERATIONS):
        key, value = f"k{(i // 2) % 97}", f"v{i // 2}"
        is_set = i % 2 == 0
        began = time.monotonic()
        process.stdin.write(f"set {key} {value}\n" if is_set else f"get {key}\n")
        process.stdin.flush()
        line = process.stdout.readline().strip()
        while line.startswith("-> Redirected") or line == "":
            if process.poll() is not None:
                return result | {"ended": process.returncode}
            line = process.stdout.readline().strip()
        result["longest_ms"] = max(result["longest_ms"], round((time.monotonic() - began) * 1000))
        result["operations"] += 1
        found = re.fullmatch(r'"?(v\d+)"?', line)
        if is_set:
            may[key] = [value] if line == "OK" else may.get(key, []) + [value]
        if found and not is_set:
            result["wrong"] += found[1] not in may[key]
        elif line != "OK":
            result["failed"] += 1
            result["errors"][line] = result["errors"].get(line, 0) + 1
        if resp == 2 and result["operations"] % 100 == 0:
            print(f"at {result['operations']}", flush=True)
        if resp == 2 and i == 2_000:
            result["check while it is down"] = check(address)
    process.stdin.close()
    watchdog.cancel()
    return result


def main():
    first, _, last = sys.argv[1:]
    results = {"check before": check(first), "benchmark before": benchmark(last, 2_000)}
    with ThreadPoolExecutor() as pool:
        meanwhile = pool.submit(benchmark, first, 60_000)
        results["redis-cli -c -2"] = cli(first, 2)
        results["benchmark meanwhile"] = meanwhile.result()
    results["redis-cli -c -3"] = cli(last, 3)
    results["check after"] = check(first)
    results["benchmark after"] = benchmark(first, 2_000)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
