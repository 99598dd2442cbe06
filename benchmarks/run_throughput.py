"""Single-use sandboxes per second, sustained, beside what the engine alone can create, start and remove.

    .venv/bin/python benchmarks/run_throughput.py [--backend docker|bubblewrap] [--runs 2000] [--clients 4]

Rounds of runs and rounds of the engine alone take turns, with the same number of sandboxes made and removed in each: a
round of runs begins with the parked ones there and ends when all used ones are gone and others are parked. The rest of
the runs follow in one go. Ends with the growth of this process's memory and with whatever was left behind.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import os
import resource
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from typing import TYPE_CHECKING

import languages
from benchmarks.common import PROGRAMS, Listener, backend_of, machine
from execution.sandbox.bubblewrap import BubblewrapBackend
from execution.sandbox.control import Control
from execution.sandbox.docker import DockerBackend
from execution.sandbox.job import prepare
from execution.sandbox.pool import Pool, await_ready
from execution.sandbox.supervisor import execute
from tests.services import servers

if TYPE_CHECKING:
    from collections.abc import Callable

    from execution.sandbox.backends import Backend

ROUNDS = 9
WARM_UP_RUNS = 100
SETTLE_SECONDS = 60.0
LEFT_SECONDS = 15.0
REPORT_RUNS = 250
PROGRAM = PROGRAMS["python"]


def repeat(work: Callable[[], None], count: int, clients: int) -> None:
    """`work` so many times, by so many threads."""
    left = [count]
    lock = threading.Lock()
    failures: list[BaseException] = []

    def client() -> None:
        while not failures:
            with lock:
                if not left[0]:
                    return
                left[0] -= 1
            try:
                work()
            except BaseException as error:
                failures.append(error)

    threads = [threading.Thread(target=client) for _number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def per_second(work: Callable[[], None], count: int, clients: int, after: Callable[[], object]) -> float:
    began = time.perf_counter()
    repeat(work, count, clients)
    after()
    return count / (time.perf_counter() - began)


def resident_bytes() -> int:
    gc.collect()
    # What malloc keeps for itself is not held by anything of ours.
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def traces(backend: Backend) -> dict[str, int]:
    """What this process, and its engine on behalf of it, hold now; what others hold there is not counted."""
    found = {
        "processes": sum(_parent(pid) == os.getpid() for pid in os.listdir("/proc") if pid.isdigit()),
        "temporary files": len(os.listdir(tempfile.gettempdir())),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
    }
    if isinstance(backend, BubblewrapBackend) and backend.cgroups is not None:
        found["cgroups"] = sum(1 for parent in backend.cgroups.parents() for _folder in parent.glob(f"{os.getpid()}-*"))
    if isinstance(backend, DockerBackend):
        found["containers"] = backend.count()
        found["mounts"] = len(servers.mounts_without_container())
    return found


def left_behind(backend: Backend, before: dict[str, int]) -> dict[str, int]:
    """What is more than before, when it does not go away: the kernel and the engine need a moment."""
    deadline = time.monotonic() + LEFT_SECONDS
    while True:
        after = traces(backend)
        left = {name: after[name] - before[name] for name in after if after[name] > before[name]}
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)


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
    parser.add_argument("--round", type=int, default=40, help="sandboxes in each round")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="codecrafter-bench-") as folder:
        tempfile.tempdir = folder
        with backend_of(chosen.backend) as backend:
            measure(backend, chosen.runs, chosen.clients, chosen.round)


def measure(backend: Backend, runs: int, clients: int, share: int) -> None:
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
        backend.open(PROGRAM.limits, "benchmark", PROGRAM.language).close()

    def engine_and_agent() -> None:
        handle = backend.open(PROGRAM.limits, "benchmark", PROGRAM.language)
        with contextlib.closing(handle):
            await_ready(handle)

    def settle() -> None:
        assert pool.settle(SETTLE_SECONDS)

    print(f"{backend.describe()}\n{machine()}\n{runs} runs, {clients} clients, rounds of {share}", flush=True)
    repeat(run, min(WARM_UP_RUNS, runs), clients)
    settle()
    memory = resident_bytes()
    kinds = {"runs": (run, settle), "engine": (engine_alone, int), "engine and agent": (engine_and_agent, int)}
    rates: dict[str, list[float]] = {name: [] for name in kinds}
    for number in range(ROUNDS):
        # Each kind is first, second and third equally often.
        for name in [*kinds, *kinds][number % 3 : number % 3 + 3]:
            work, after = kinds[name]
            rates[name].append(per_second(work, share, clients, after))
        print(
            f"round {number + 1}: " + ", ".join(f"{name} {rate[-1]:.2f}/s" for name, rate in rates.items()), flush=True
        )
    done = ROUNDS * share
    while done < runs:
        more = min(REPORT_RUNS, runs - done)
        rate = per_second(run, more, clients, settle)
        done += more
        print(f"{done} runs: {rate:.2f}/s, memory {(resident_bytes() - memory) / 1e6:+.1f} MB", flush=True)
    grown = resident_bytes() - memory
    middle = {name: statistics.median(rate) for name, rate in rates.items()}
    print("medians: " + ", ".join(f"{name} {rate:.2f}/s" for name, rate in middle.items()))
    for name in ("engine", "engine and agent"):
        print(f"runs / {name}: {middle['runs'] / middle[name]:.2f}")
    print(f"memory grew by {grown / 1e6:.1f} MB over {done} runs")
    pool.close()
    print(f"left behind: {left_behind(backend, before) or 'nothing'}")


if __name__ == "__main__":
    main()
