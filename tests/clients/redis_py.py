#!/usr/bin/env python3
"""`run.py python3 redis_py.py RESP`: redis-py with its defaults; the same as `workload.mjs`."""

import collections
import json
import sys
import threading
import time

from redis.cluster import ClusterNode, RedisCluster

OPERATIONS = 5_000
WORKERS = 8


class Run:
    """What all workers count together."""

    def __init__(self, client):
        self.client, self.lock = client, threading.Lock()
        self.operations = self.failed = self.wrong = self.repeated = 0
        self.longest_ms, self.errors = 0, collections.Counter()

    def attempt(self, operation):
        """Whether it was answered, and by what."""
        began = time.monotonic()
        try:
            ended = True, operation()
        except Exception as error:  # Whatever a client throws at its user.
            ended = False, f"{type(error).__name__}: {error}"
        with self.lock:
            if not ended[0]:
                self.failed += 1
                self.errors[ended[1]] += 1
            self.longest_ms = max(self.longest_ms, round((time.monotonic() - began) * 1000))
            self.operations += 1
            if self.operations % 100 == 0:
                print(f"at {self.operations}", flush=True)
        return ended


class Worker:
    """Writes to keys of its own, so that it knows what it must read."""

    def __init__(self, run, number):
        self.run, self.client, self.number = run, run.client, number
        self.may = {}  # What a key may hold: the last acknowledged value, and unknown ones.
        self.sum = self.unknown = 0

    def work(self):
        for i in range(OPERATIONS // WORKERS):
            self.step(i)

    def step(self, i):
        client, value = self.client, f"{self.number}-{i}"
        key = lambda at: f"k:{self.number}:{at % 37}"
        hash = lambda at: f"h:{self.number}:{at % 5}"
        tag = lambda at: f"{{m:{self.number}:{at % 11}}}"
        match i % 7:
            case 0:
                self.write([key(i)], value, lambda: client.set(key(i), value))
            case 1:
                self.read(key(i - 1), lambda: client.get(key(i - 1)))
            case 2:
                self.count()
            case 3:
                self.write([hash(i)], value, lambda: client.hset(hash(i), "field", value))
            case 4:
                self.read(hash(i - 1), lambda: client.hget(hash(i - 1), "field"))
            case 5:
                pair = {f"{tag(i)}a": value, f"{tag(i)}b": value}
                self.write(list(pair), value, lambda: client.mset(pair))
            case 6:
                def both():
                    a, b = client.mget(f"{tag(i - 1)}a", f"{tag(i - 1)}b")
                    return a if a == b else f"{a} and {b}"
                self.read(f"{tag(i - 1)}a", both)

    def write(self, keys, value, operation):
        ok, _ = self.run.attempt(operation)
        for key in keys:
            self.may[key] = [value] if ok else self.may.get(key, [None]) + [value]

    def read(self, key, operation):
        ok, found = self.run.attempt(operation)
        if ok and found not in self.may.get(key, [None]):
            self.run.wrong += 1

    def count(self):
        ok, found = self.run.attempt(lambda: self.client.incr(f"n:{self.number}"))
        if not ok:
            self.unknown += 1
            return
        if found <= self.sum:
            self.run.wrong += 1
        # A client that sends an INCR again whose reply was lost may count twice.
        self.run.repeated += max(0, found - self.sum - 1 - self.unknown)
        self.sum, self.unknown = found, 0


def main():
    resp, addresses = int(sys.argv[1]), [address.split(":") for address in sys.argv[2:]]
    nodes = [ClusterNode(host, int(port)) for host, port in addresses]
    run = Run(RedisCluster(startup_nodes=nodes, protocol=resp, decode_responses=True))
    workers = [threading.Thread(target=Worker(run, at).work) for at in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    counts = ("operations", "failed", "wrong", "repeated", "longest_ms", "errors")
    print(json.dumps({"client": f"redis-py RESP{resp}"} | {it: getattr(run, it) for it in counts}))


if __name__ == "__main__":
    main()
