"""How long a hello world takes through a parked sandbox, beside the bare process and a cold start, interleaved.

    .venv/bin/python benchmarks/run_latency.py [--backend docker|bubblewrap] [--runs 40] [--languages python,c]

Ratios within one run of this file are what counts: other work on the machine slows all columns alike.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import languages
from benchmarks.common import PROGRAMS, Listener, Program, at, backend_of, machine
from execution.sandbox.cache import CompileCache
from execution.sandbox.cases import execute_cases
from execution.sandbox.control import Control
from execution.sandbox.docker import DockerBackend
from execution.sandbox.job import Case, prepare
from execution.sandbox.pool import Pool
from execution.sandbox.supervisor import execute

if TYPE_CHECKING:
    from execution.sandbox.backends import Backend

SETTLE_SECONDS = 60
CASES = 20
# Standard library only: it runs in the image, too.
HELPER = """
import json, os, subprocess, sys, tempfile, time
with tempfile.TemporaryDirectory(prefix="codecrafter-bench-") as folder:
    os.chdir(folder)
    for line in sys.stdin:
        question = json.loads(line)
        if "write" in question:
            name, text = question["write"]
            with open(name, "w") as file:
                file.write(text)
            if question["compile"]:
                subprocess.run(question["compile"], check=True)
            print("{}")
            continue
        began = time.perf_counter()
        with subprocess.Popen(question["argv"], env=question["environment"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE) as process:
            said = os.read(process.stdout.fileno(), 4096)
            first = time.perf_counter()
            said += process.stdout.read()
        done = time.perf_counter()
        print(json.dumps({"said": said.decode(), "first": first - began, "done": done - began}))
    os.chdir("/")
"""
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nowhere", "LANG": "C.UTF-8"}


class Bare:
    """Starts bare processes, where the sandboxes' tools are: on this host, or in a plain container of their image."""

    def __init__(self, image: str) -> None:
        words = ["/usr/bin/python3", "-u", "-c", HELPER]
        if image:
            words = ["docker", "run", "--rm", "-i", "--network", "none", "--user", "0", "--entrypoint", words[0], image]
            words += ["-u", "-c", HELPER]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def prepare(self, program: Program) -> None:
        self._ask({"write": [program.file_name, program.source], "compile": program.compile})

    def run(self, program: Program) -> tuple[float, float]:
        """Seconds until the first byte, and until its end."""
        environment = ENVIRONMENT | dict(languages.get(program.language).environment)
        answer = self._ask({"argv": program.bare, "environment": environment})
        assert answer["said"] == "hello\n", answer
        return answer["first"], answer["done"]

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        self._process.communicate()


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


def measure(program: Program, pool: Pool, bare: Bare, image: str, runs: int) -> None:
    cache = CompileCache()
    bare_first, bare_done, first, done, cold, starts = [], [], [], [], [], set()
    bare.prepare(program)
    bare.run(program)
    pool.expect(program.limits, program.language)
    pooled(program, pool, cache)
    for number in range(runs):
        assert pool.settle(SETTLE_SECONDS)
        one = bare.run(program)
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


def measure_cases(pool: Pool, bare: Bare, runs: int) -> None:
    """Twenty test cases of a compiled program against twenty bare starts of it."""
    program = PROGRAMS["c"]
    cache = CompileCache()
    job = prepare(languages.get("c"), {program.file_name: program.source.encode()}, run_limits=program.limits)
    judged, starts = [], []
    bare.prepare(program)
    execute_cases(job, [Case()], pool, Listener(time.perf_counter), Control(), cache=cache)
    for _number in range(runs):
        assert pool.settle(SETTLE_SECONDS)
        starts.append(sum(bare.run(program)[1] for _case in range(CASES)))
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
    with backend_of(chosen.backend) as backend:
        measure_all(backend, chosen.languages.split(","), chosen.runs)


def measure_all(backend: Backend, names: list[str], runs: int) -> None:
    image = backend.image() if isinstance(backend, DockerBackend) and shutil.which("docker") else ""
    print(f"{backend.describe()}\n{machine()}\n{runs} runs each, milliseconds")
    print("            |    bare process |  parked sandbox |   first |   ratio to bare | first  | docker run")
    print("language    |     p50     p95 |     p50     p95 |     p50 |    p50    p95   |  p50   | is slower by | start")
    with contextlib.closing(Bare(image)) as bare:
        for name in names:
            # One at a time, so that sandboxes of other shapes are not made meanwhile.
            with contextlib.closing(Pool(backend, minimum=2)) as pool:
                measure(PROGRAMS[name], pool, bare, image, runs)
        with contextlib.closing(Pool(backend, minimum=2)) as pool:
            pool.expect(PROGRAMS["c"].limits, "c")
            measure_cases(pool, bare, max(runs // 2, 2))


if __name__ == "__main__":
    main()
