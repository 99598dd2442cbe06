"""Single-use sandboxes per second, sustained, beside what the engine alone can create, start and remove.

    .venv/bin/python benchmarks/run_throughput.py [--backend docker|bubblewrap] [--runs 2000] [--clients 4]

The two are measured in turns. Ends with the growth of this process's memory and with whatever was left behind.
"""

from __future__ import annotations

import argparse
import gc
import os
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from typing import TYPE_CHECKING

from benchmarks.common import PROGRAMS, Listener, at, backend_of, machine
from execution.sandbox.control import Control
from execution.sandbox.docker import DockerBackend
from execution.sandbox.job import prepare
from execution.sandbox.pool import Pool, await_ready
from execution.sandbox.supervisor import execute
from sessions_app import languages

if TYPE_CHECKING:
    from collections.abc import Callable

    from execution.sandbox.backends import Backend

ROUNDS = 5
PROGRAM = PROGRAMS["python"]


def per_second(work: Callable[[], None], count: int, clients: int) -> float:
    left = [count]
    lock = threading.Lock()
    failures: list[BaseException] = []

    def client() -> None:
        while True:
            with lock:
                if not left[0]:
                    return
                left[0] -= 1
            try:
                work()
            except BaseException as error:
                failures.append(error)
                raise

    threads = [threading.Thread(target=client) for _number in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return count / (time.perf_counter() - began)


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def traces(backend: Backend) -> dict[str, int]:
    """What this process, and its engine, hold now. Other work on the machine must not show here."""
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    cgroups = Path("/sys/fs/cgroup").glob(f"**/codecrafter/{os.getpid()}-*")
    found = {
        "processes": sum(_parent(pid) == os.getpid() for pid in os.listdir("/proc") if pid.isdigit()),
        "cgroups": sum(1 for _folder in cgroups),
        "temporary files": len(os.listdir(tempfile.gettempdir())),
        "descriptors": len(os.listdir("/proc/self/fd")),
    }
    if isinstance(backend, DockerBackend):
        root = backend.root_folder()
        found["containers"] = backend.count()
        found["mounts"] = sum(root in line for line in mounts)
    return found


def _parent(pid: str) -> int:
    try:
        return int(Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=("docker", "bubblewrap"), default="docker")
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=4)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="codecrafter-bench-") as folder:
        tempfile.tempdir = folder
        measure(backend_of(chosen.backend), chosen.runs, chosen.clients)


def measure(backend: Backend, runs: int, clients: int) -> None:
    before = traces(backend)
    pool = Pool(backend, minimum=clients, maximum=clients)
    job = prepare(
        languages.get(PROGRAM.language), {PROGRAM.file_name: PROGRAM.source.encode()}, run_limits=PROGRAM.limits
    )

    def run() -> None:
        listener = Listener(time.perf_counter)
        execute(job, pool, listener, Control(), "benchmark")
        assert listener.said == b"hello\n"

    def engine_alone() -> None:
        handle = backend.open(PROGRAM.limits, "benchmark", PROGRAM.language)
        try:
            await_ready(handle)
        finally:
            handle.close()

    print(f"{backend.describe()}\n{machine()}\n{runs} runs, {clients} clients")
    share = max(runs // ROUNDS, 1)
    per_second(run, min(share, 50), clients)
    memory = resident_bytes()
    ours, theirs = [], []
    for number in range(ROUNDS):
        ours.append(per_second(run, share, clients))
        pool.settle(60)
        theirs.append(per_second(engine_alone, max(share // 4, 10), clients))
        print(f"round {number + 1}: {ours[-1]:.1f} runs/s, engine alone {theirs[-1]:.1f}/s", flush=True)
    grown = resident_bytes() - memory
    pool.close()
    print(f"ratio {at(ours, 0.5) / at(theirs, 0.5):.2f}; memory grew by {grown / 1e6:.1f} MB")
    after = traces(backend)
    left = {name: after[name] - before[name] for name in after if after[name] > before[name]}
    print(f"left behind: {left or 'nothing'}")


if __name__ == "__main__":
    main()
