#!/usr/bin/env python3
"""Runs a cluster client against three nodes while one of them is killed and started again.

    run.py [--program PATH] [--node 1|2|3] COMMAND ...

Founds a cluster of real processes, appends the nodes' addresses to COMMAND, and runs it. The
command prints `at N` now and then, N being how many operations have ended; after 1,000 a node is
killed with SIGKILL, after 3,000 (or 15 s later) it is started again. The command's last line is
its result as JSON. docs/clients.md says what came of it.
"""

import argparse
import os
import pathlib
import socket
import subprocess
import tempfile
import threading
import time

# Linux answers for all of 127.0.0.0/8: an address of its own has ports that nobody else takes.
HOST = f"127.{1 + os.getpid() // 250 % 250}.{1 + os.getpid() % 250}.1"
PORTS = [7001, 7002, 7003]
PEER_PORTS = [17001, 17002, 17003]
KILL_AT = 1_000
RESTART_AT = 3_000
RESTART_AFTER_S = 15
BOUND_S = 120


class Cluster:
    """Three nodes, counted from 0."""

    def __init__(self, program, folder):
        self.program, self.folder = program, pathlib.Path(folder)
        nodes = "".join(
            f'\n[[nodes]]\nid = {node + 1}\npeer_addr = "{HOST}:{PEER_PORTS[node]}"\n'
            f'redis_addr = "{HOST}:{PORTS[node]}"\n'
            for node in range(3)
        )
        for node in range(3):
            self.config(node).write_text(
                f'cluster_id = "clients"\nnode_id = {node + 1}\n'
                f'data_dir = "{self.folder}/node-{node + 1}"\n'
                f'redis_addr = "{HOST}:{PORTS[node]}"\n'
                f'peer_addr = "{HOST}:{PEER_PORTS[node]}"\n{nodes}'
            )
        self.processes = [None] * 3
        for node in range(3):
            self.start(node)
        for port in PORTS:
            wait_for_leaders(port)

    def config(self, node):
        return self.folder / f"node-{node + 1}.toml"

    def start(self, node):
        log = open(self.folder / f"node-{node + 1}.log", "ab")
        command = [self.program, "serve", "--config", self.config(node)]
        self.processes[node] = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self, node):
        self.processes[node].kill()
        self.processes[node].wait()

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()

    def addresses(self):
        return [f"{HOST}:{port}" for port in PORTS]


def wait_for_leaders(port):
    """Waits until the node says that every slot has a leader."""
    began = time.monotonic()
    while time.monotonic() - began < BOUND_S:
        try:
            with socket.create_connection((HOST, port), 1) as stream:
                stream.settimeout(1)
                stream.sendall(b"CLUSTER INFO\r\n")
                if b"cluster_slots_ok:16384" in stream.recv(4096):
                    return
        except OSError:
            pass
        time.sleep(0.05)
    raise SystemExit(f"no leaders on port {port}")


def run(cluster, victim, command):
    """Runs the command, and kills and starts the victim meanwhile; gives out its last line."""
    worker = subprocess.Popen(
        command + cluster.addresses(), stdout=subprocess.PIPE, text=True, bufsize=1
    )
    watchdog = threading.Timer(BOUND_S, worker.kill)
    watchdog.start()
    restarted = threading.Event()

    def restart():
        if not restarted.is_set():
            restarted.set()
            cluster.start(victim)

    timer = threading.Timer(RESTART_AFTER_S, restart)
    is_killed, last = False, ""
    for line in worker.stdout:
        last = line.strip()
        if not last.startswith("at "):
            continue
        done = int(last.split()[1])
        if done >= KILL_AT and not is_killed:
            is_killed = True
            cluster.kill(victim)
            timer.start()
        if done >= RESTART_AT and is_killed:
            restart()
    worker.wait()
    timer.cancel()
    watchdog.cancel()
    return last if worker.returncode == 0 else f"the command ended with {worker.returncode}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    repository = pathlib.Path(__file__).resolve().parents[2]
    parser.add_argument("--program", default=repository / "target/debug/multiraft")
    parser.add_argument("--node", type=int, default=2, choices=[1, 2, 3])
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(arguments.program, folder)
        try:
            print(run(cluster, arguments.node - 1, arguments.command))
        finally:
            cluster.stop()


if __name__ == "__main__":
    main()
