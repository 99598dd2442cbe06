"""How long a hello world takes through a parked sandbox, beside the bare process and a cold start, interleaved.

    .venv/bin/python benchmarks/run_latency.py [--backend docker|bubblewrap] [--runs 40] [--languages python,c]

Ratios within one run of this file are what counts: other work on the machine slows all columns alike.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.common import PROGRAMS, Listener, Program, at, backend_of, machine
from execution.sandbox.cache import CompileCache
from execution.sandbox.control import Control
from execution.sandbox.docker import DockerBackend
from execution.sandbox.job import Case, prepare
from execution.sandbox.pool import Pool
from execution.sandbox.supervisor import execute, execute_cases
from sessions_app import languages

SETTLE_SECONDS = 60
CASES = 20
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nowhere", "LANG": "C.UTF-8"}


def bare(program: Program, folder: str) -> tuple[float, float]:
    """(first byte, done) of the process alone."""
    environment = ENVIRONMENT | dict(languages.get(program.language).environment)
    began = time.perf_counter()
    with subprocess.Popen(
        program.bare, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        said = os.read(process.stdout.fileno(), 4096)
        first = time.perf_counter()
        process.stdout.read()
    assert said == b"hello\n", said
    return first - began, time.perf_counter() - began


def pooled(program: Program, pool: Pool, cache: CompileCache) -> tuple[float, float, str]:
    """(first byte, done, start)."""
    began = time.perf_counter()
    listener = Listener(time.perf_counter)
    job = prepare(
        languages.get(program.language), {program.file_name: program.source.encode()}, run_limits=program.limits
    )
    outcome = execute(job, pool, listener, Control(), "benchmark", cache=cache)
    done = time.perf_counter() - began
    assert listener.said == b"hello\n", (listener.said, outcome)
    assert listener.first is not None
    return listener.first - began, done, outcome.stats["start"]


def cold_docker_run(image: str) -> float:
    began = time.perf_counter()
    subprocess.run(
        ["docker", "run", "--rm", "--network", "none", "--entrypoint", "/bin/true", image],
        check=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    return time.perf_counter() - began


def measure(program: Program, pool: Pool, image: str, runs: int) -> None:
    cache = CompileCache()
    bare_first, bare_done, first, done, cold, starts = [], [], [], [], [], set()
    with tempfile.TemporaryDirectory(prefix="codecrafter-bench-") as folder:
        Path(folder, program.file_name).write_text(program.source)
        if program.compile:
            subprocess.run(program.compile, cwd=folder, check=True)
        pool.expect(program.limits, program.language)
        pooled(program, pool, cache)
        for number in range(runs):
            assert pool.settle(SETTLE_SECONDS)
            one = bare(program, folder)
            bare_first.append(one[0])
            bare_done.append(one[1])
            taken = pooled(program, pool, cache)
            first.append(taken[0])
            done.append(taken[1])
            starts.add(taken[2])
            if image and number % 4 == 0:
                assert pool.settle(SETTLE_SECONDS)
                cold.append(cold_docker_run(image))
    line = [
        f"{program.language:<11}",
        f"{at(bare_done, 0.5) * 1e3:7.1f} {at(bare_done, 0.95) * 1e3:7.1f}",
        f"{at(done, 0.5) * 1e3:7.1f} {at(done, 0.95) * 1e3:7.1f}",
        f"{at(first, 0.5) * 1e3:7.1f}",
        f"{at(done, 0.5) / at(bare_done, 0.5):6.2f} {at(done, 0.95) / at(bare_done, 0.95):6.2f}",
        f"{at(first, 0.5) / at(bare_first, 0.5):6.2f}",
        f"{at(cold, 0.5) / at(done, 0.5):6.1f}" if cold else "     -",
        ",".join(sorted(starts)),
    ]
    print(" | ".join(line), flush=True)


def measure_cases(pool: Pool, runs: int) -> None:
    """Twenty test cases of a compiled program against twenty bare starts of it."""
    program = PROGRAMS["c"]
    cache = CompileCache()
    job = prepare(languages.get("c"), {program.file_name: program.source.encode()}, run_limits=program.limits)
    judged, starts = [], []
    with tempfile.TemporaryDirectory(prefix="codecrafter-bench-") as folder:
        Path(folder, program.file_name).write_text(program.source)
        subprocess.run(program.compile, cwd=folder, check=True)
        execute_cases(job, [Case()], pool, Listener(time.perf_counter), Control(), cache=cache)
        for _number in range(runs):
            assert pool.settle(SETTLE_SECONDS)
            starts.append(sum(bare(program, folder)[1] for _case in range(CASES)))
            began = time.perf_counter()
            outcome = execute_cases(job, [Case()] * CASES, pool, Listener(time.perf_counter), Control(), cache=cache)
            judged.append(time.perf_counter() - began)
            assert [case.stdout for case in outcome.cases] == [b"hello\n"] * CASES
    ours, theirs = at(judged, 0.5), at(starts, 0.5)
    print(f"{CASES} cases of a C program: {ours * 1e3:.1f} ms, bare {theirs * 1e3:.1f} ms, ratio {ours / theirs:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=("docker", "bubblewrap"), default="docker")
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--languages", default=",".join(PROGRAMS))
    chosen = parser.parse_args()
    backend = backend_of(chosen.backend)
    image = backend.image() if isinstance(backend, DockerBackend) and shutil.which("docker") else ""
    print(f"{backend.describe()}\n{machine()}\n{chosen.runs} runs each, milliseconds")
    print("            |    bare process |  parked sandbox |   first |   ratio to bare | first  | docker run")
    print("language    |     p50     p95 |     p50     p95 |     p50 |    p50    p95   |  p50   | is slower by | start")
    for name in chosen.languages.split(","):
        # One at a time, so that sandboxes of other shapes are not made meanwhile.
        pool = Pool(backend, minimum=2)
        try:
            measure(PROGRAMS[name], pool, image, chosen.runs)
        finally:
            pool.close()
    pool = Pool(backend, minimum=2)
    try:
        pool.expect(PROGRAMS["c"].limits, "c")
        measure_cases(pool, max(chosen.runs // 2, 2))
    finally:
        pool.close()


if __name__ == "__main__":
    main()
