"""Parked sandboxes: each is used once and replaced, a dead one is never handed out, and nothing outlives its worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from execution.sandbox import owners
from execution.sandbox.cgroups import Cgroups
from execution.sandbox.container import DEADLINE_LABEL, JOB_LABEL, OWNER_LABEL
from execution.sandbox.errors import FULL, SandboxFault
from execution.sandbox.limits import MIB, RUN
from execution.sandbox.pool import PARKED, Pool
from tests.execution.conftest import docker
from tests.execution.sandbox.running import LIMITS, run
from tests.execution.sandbox.test_host import ROOT, eventually

PARKED_STARTS = ("fork", "exec")
# What is here was left behind by another program.
TRACE = "import os; print(sorted(os.listdir('/tmp')), os.listdir('/dev/shm')); open('/tmp/mine', 'w')"
WORKER = """
import os, sys, time
from execution.sandbox.choose import choose_backend
from execution.sandbox.pool import Pool
from execution.sandbox.limits import RUN
pool = Pool(choose_backend(sys.argv[1], image=os.environ.get("SANDBOX_IMAGE", "")), minimum=2)
pool.expect(RUN)
if not pool.settle(60):
    sys.exit(1)
print("up", flush=True)
time.sleep(600)
"""


class Recording:
    """A real backend that remembers what it made, and fails as often as it is told to."""

    def __init__(self, backend) -> None:
        self._backend = backend
        self.made = []
        self.failures = 0
        self.code = "engine_failed"
        self._lock = threading.Lock()

    def open(self, limits, label, language=""):
        with self._lock:
            if self.failures:
                self.failures -= 1
                raise SandboxFault(self.code, "Try again.")
        handle = self._backend.open(limits, label, language)
        with self._lock:
            self.made.append((handle, label))
        return handle

    def __getattr__(self, name):
        return getattr(self._backend, name)


@pytest.fixture
def recording(backend):
    return Recording(backend)


@pytest.fixture
def pool(recording):
    pool = Pool(recording, minimum=1, maximum=3)
    yield pool
    pool.close()


def fill(pool: Pool, limits=LIMITS) -> None:
    pool.expect(limits)
    assert pool.settle(60)


def end(handle) -> None:
    """From outside, as a crash would."""
    if hasattr(handle, "host_pid"):
        os.kill(handle.host_pid, signal.SIGKILL)
    handle.kill()


def test_a_run_takes_a_parked_sandbox_and_another_takes_its_place(pool, recording):
    fill(pool)
    assert pool.parked() == 1
    ran = run(pool, "python", "print('hello')")
    assert (ran.stdout, ran.outcome.stats["start"]) == (b"hello\n", "fork")
    assert pool.settle(60)
    assert pool.parked() == 1
    assert [label for _handle, label in recording.made] == [PARKED, PARKED]


def test_no_sandbox_serves_two_runs(pool, recording):
    fill(pool)
    for _turn in range(4):
        assert run(pool, "python", TRACE).stdout == b"[] []\n"
    assert pool.settle(60)
    assert len(recording.made) >= 5


def test_threads_never_share_a_sandbox(pool):
    fill(pool)
    said = []

    def work() -> None:
        for _turn in range(3):
            said.append(run(pool, "python", TRACE).stdout)

    threads = [threading.Thread(target=work) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == [b"[] []\n"] * 12


def test_a_handle_is_given_once_however_many_ask(pool):
    pool.expect(LIMITS)
    assert pool.settle(60)
    taken = []
    threads = [threading.Thread(target=lambda: taken.append(pool.open(LIMITS, "test"))) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(handle.handle) for handle in taken}) == 4
    for handle in taken:
        handle.close()
        handle.close()
    assert pool.settle(60)


def test_an_empty_pool_starts_a_sandbox_for_the_run_and_parks_one_for_the_next(pool):
    ran = run(pool, "lua", "print(1)")
    assert (ran.status, ran.outcome.stats["start"]) == ("completed", "cold")
    assert pool.settle(60)
    assert run(pool, "bash", "echo 1").outcome.stats["start"] == "exec"


def test_a_shape_that_runs_out_parks_more_but_never_above_the_maximum(pool):
    fill(pool)
    for _turn in range(3):
        taken = [pool.open(LIMITS, "test") for _number in range(5)]
        for handle in taken:
            handle.close()
        assert pool.settle(60)
    assert pool.parked() == 3


def test_a_shape_that_never_runs_out_gives_sandboxes_up_again(pool, monkeypatch):
    fill(pool)
    for handle in [pool.open(LIMITS, "test") for _number in range(4)]:
        handle.close()
    assert pool.settle(60)
    assert pool.parked() == 3
    monkeypatch.setattr("execution.sandbox.pool.COOL_SECONDS", 0.1)
    for shelf in pool._shelves.values():
        shelf.cool_at = 0.0
    with pool._changed:
        pool._changed.notify_all()
    assert eventually(lambda: pool.parked() == 1)
    assert pool.settle(60)


def test_other_limits_are_another_shape(pool):
    fill(pool)
    other = replace(LIMITS, memory_bytes=64 * MIB)
    assert run(pool, "python", "", limits=other).outcome.stats["start"] == "cold"
    assert run(pool, "python", "", limits=replace(LIMITS, cpu_ms=100, wall_ms=900)).outcome.stats["start"] == "fork"


def test_the_total_holds_and_the_shape_in_use_wins(recording):
    pool = Pool(recording, minimum=1, maximum=2, total=2)
    try:
        shapes = [replace(LIMITS, memory_bytes=size * MIB) for size in (48, 64, 80, 96)]
        for limits in shapes:
            pool.open(limits, "test").close()
            assert eventually(lambda: pool.parked() >= 1)
        assert pool.settle(60)
        assert pool.parked() == 2
        assert pool.open(shapes[-1], "test").parked
    finally:
        pool.close()


def test_other_shapes_never_push_out_one_that_is_expected(recording):
    pool = Pool(recording, minimum=1, maximum=2, total=2)
    try:
        pool.expect(LIMITS)
        assert pool.settle(60)
        for size in (48, 64, 80):
            pool.open(replace(LIMITS, memory_bytes=size * MIB), "test").close()
            assert pool.settle(60)
        assert pool.open(LIMITS, "test").parked
    finally:
        pool.close()


def test_a_dead_agent_is_never_handed_out(pool, recording):
    fill(pool)
    end(recording.made[0][0])
    ran = run(pool, "python", "print('hello')")
    assert (ran.status, ran.stdout) == ("completed", b"hello\n")
    assert pool.settle(60)
    assert pool.parked() >= 1


def test_an_old_sandbox_is_replaced(recording):
    pool = Pool(recording, minimum=1, maximum=1, max_age_seconds=1)
    try:
        pool.expect(LIMITS)
        assert eventually(lambda: len(recording.made) >= 3)
    finally:
        pool.close()


def test_what_cannot_be_parked_is_tried_again_and_runs_say_why(pool, recording):
    recording.failures = 2
    with pytest.raises(SandboxFault, match="engine_failed"):
        run(pool, "python", "")
    assert eventually(lambda: pool.parked() == 1)
    assert recording.failures == 0


def test_where_no_more_may_exist_a_parked_sandbox_makes_room_for_a_run(pool, recording):
    fill(pool)
    recording.code = FULL
    recording.failures = 1
    larger = replace(LIMITS, memory_bytes=LIMITS.memory_bytes + MIB)
    ran = run(pool, "python", "print('hello')", limits=larger)
    assert (ran.stdout, ran.outcome.stats["start"]) == (b"hello\n", "cold")
    recording.failures = 99
    with pytest.raises(SandboxFault, match=FULL):
        run(pool, "python", "", limits=replace(LIMITS, memory_bytes=LIMITS.memory_bytes + 2 * MIB))


def test_closing_leaves_nothing_and_takes_no_more(recording):
    pool = Pool(recording, minimum=2, maximum=2)
    fill(pool)
    in_use = pool.open(LIMITS, "test")
    pool.close()
    with pytest.raises(SandboxFault, match="pool_closed"):
        pool.open(LIMITS, "test")
    in_use.close()
    for handle, _label in recording.made:
        assert handle._closed


def test_parked_agents_take_no_processor_time(pool, recording):
    """What a job may use in its first second is not spent by waiting."""
    fill(pool)
    ran = run(pool, "python", "import time; print(time.process_time() < 1)", limits=LIMITS)
    assert ran.stdout == b"True\n"
    assert ran.outcome.stats["cpu_ms"] < 1000


def test_a_parked_container_says_whose_it_is_and_has_every_limit(docker_backend):
    pool = Pool(docker_backend, minimum=1)
    try:
        fill(pool, RUN)
        (parked,) = next(iter(pool._shelves.values())).parked
        info = docker_backend._api.inspect_container(parked.handle.container)
    finally:
        pool.close()
    labels = info["Config"]["Labels"]
    assert labels[JOB_LABEL] == PARKED
    assert labels[OWNER_LABEL] == owners.this_process()
    assert int(labels[DEADLINE_LABEL]) > time.time()
    host = info["HostConfig"]
    assert host["Memory"] == host["MemorySwap"] == RUN.memory_bytes
    assert (host["CpuQuota"], host["CpuPeriod"], host["PidsLimit"]) == (500_000, 1_000_000, RUN.processes + 1)
    assert (host["NetworkMode"], host["ReadonlyRootfs"], host["CapDrop"]) == ("none", True, ["ALL"])


def killed_worker(name: str) -> int:
    worker = subprocess.Popen([sys.executable, "-c", WORKER, name], stdout=subprocess.PIPE, cwd=ROOT)
    assert worker.stdout.read(2) == b"up"
    worker.kill()
    worker.wait()
    worker.stdout.close()
    return worker.pid


def test_the_next_start_removes_the_parked_containers_of_a_killed_worker(docker_engine, docker_backend, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", docker_engine)
    pid = killed_worker("docker")

    def left() -> int:
        known = docker_backend._api.containers(all=True, filters={"label": OWNER_LABEL})
        return sum(f":{pid}:" in found["Labels"][OWNER_LABEL] for found in known)

    assert left() == 2
    docker()
    assert left() == 0


def test_a_live_workers_parked_containers_stay(docker_engine, docker_backend, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", docker_engine)
    pool = Pool(docker_backend, minimum=1)
    try:
        fill(pool, RUN)
        docker()
        assert run(pool, "python", "print(1)", limits=RUN).outcome.stats["start"] == "fork"
    finally:
        pool.close()


def test_no_parked_process_or_cgroup_outlives_a_killed_worker(backend):
    if not hasattr(backend, "cgroups"):
        pytest.skip("containers have their own test")
    pid = killed_worker("bubblewrap")

    def none_is_left() -> bool:
        if backend.cgroups is not None and backend.cgroups.version:
            Cgroups().reap()
            for parent in Cgroups().parents():
                if any(entry.name.startswith(f"{pid}-") for entry in parent.iterdir()):
                    return False
        return not any(f"/{pid}-" in text for text in map(_cgroup_of, filter(str.isdigit, os.listdir("/proc"))))

    assert eventually(none_is_left)


def _cgroup_of(pid: str) -> str:
    try:
        return Path("/proc", pid, "cgroup").read_text()
    except OSError:
        return ""


def test_an_owner_is_known_to_be_gone_only_when_it_is():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    owner = owners.this_process().replace(f":{os.getpid()}:", f":{child.pid}:")
    own_start = owners.this_process().rpartition(":")[2]
    owner = owner.replace(own_start, owners._started(child.pid))
    try:
        assert not owners.is_gone(owner)
        assert not owners.is_gone(owners.this_process())
    finally:
        child.kill()
        child.wait()
    assert owners.is_gone(owner)
    assert not owners.is_gone(owner.replace(owner[:8], "another!"))
    assert not owners.is_gone("")
