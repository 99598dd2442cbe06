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
    found = {
        "agents": sum(_is_agent(pid) for pid in os.listdir("/proc") if pid.isdigit()),
        "mounts": len(Path("/proc/self/mounts").read_text().splitlines()),
        "temporary files": len(os.listdir(tempfile.gettempdir())),
        "descriptors": len(os.listdir("/proc/self/fd")),
    }
    if isinstance(backend, DockerBackend):
        found["containers"] = backend.count()
    return found


def _is_agent(pid: str) -> bool:
    try:
        return Path("/proc", pid, "cmdline").read_bytes() == b"python3\0main.py\0"
    except OSError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=("docker", "bubblewrap"), default="docker")
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=4)
    chosen = parser.parse_args()
    backend = backend_of(chosen.backend)
    before = traces(backend)
    pool = Pool(backend, minimum=chosen.clients, maximum=chosen.clients)
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

    print(f"{backend.describe()}\n{machine()}\n{chosen.runs} runs, {chosen.clients} clients")
    share = max(chosen.runs // ROUNDS, 1)
    per_second(run, min(share, 50), chosen.clients)
    memory = resident_bytes()
    ours, theirs = [], []
    for number in range(ROUNDS):
        ours.append(per_second(run, share, chosen.clients))
        pool.settle(60)
        theirs.append(per_second(engine_alone, max(share // 4, 10), chosen.clients))
        print(f"round {number + 1}: {ours[-1]:.1f} runs/s, engine alone {theirs[-1]:.1f}/s", flush=True)
    grown = resident_bytes() - memory
    pool.close()
    print(f"ratio {at(ours, 0.5) / at(theirs, 0.5):.2f}; memory grew by {grown / 1e6:.1f} MB")
    after = traces(backend)
    left = {name: after[name] - before[name] for name in after if after[name] > before[name]}
    print(f"left behind: {left or 'nothing'}")


if __name__ == "__main__":
    main()
