"""What the host keeps: nothing left behind by a worker that dies, the right backend chosen, faults with remedies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from execution import availability
from execution.sandbox import owners
from execution.sandbox.bubblewrap import FIRST_UID, BubblewrapBackend
from execution.sandbox.cgroups import Cgroups
from execution.sandbox.choose import choose_backend
from execution.sandbox.container import DEADLINE_LABEL, OWNER_LABEL
from execution.sandbox.control import Control
from execution.sandbox.doctor import checks
from execution.sandbox.errors import SandboxFault
from execution.sandbox.job import prepare
from execution.sandbox.limits import RUN
from execution.sandbox.processes import OWNER_VARIABLE
from execution.sandbox.supervisor import execute
from languages import LANGUAGES
from tests.execution.conftest import docker
from tests.execution.sandbox.running import Watcher, run
from tests.services import servers
from tests.services.fixtures import BUILD_IMAGES, image_environment

ROOT = Path(__file__).resolve().parents[3]
WORKER = """
import os, sys
from execution.sandbox.choose import choose_backend
from tests.execution.conftest import docker
from tests.execution.sandbox.running import Watcher, run
backend = choose_backend(sys.argv[1], image=os.environ.get("SANDBOX_IMAGE", ""))
run(backend, "python", "import os, time; os.write(1, b'up'); time.sleep(60)",
    watcher=Watcher(on_output=lambda data: print("up", flush=True)))
"""


def eventually(is_so, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def kill_worker_in_a_run(name: str) -> int:
    worker = subprocess.Popen([sys.executable, "-c", WORKER, name], stdout=subprocess.PIPE, cwd=ROOT)
    assert worker.stdout.read(2) == b"up"
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    return worker.pid


def test_on_the_host_no_bubblewrap_process_is_root():
    backend = BubblewrapBackend()
    handle = backend.open(RUN, "test")
    try:
        while not handle.receive():
            pass
        family = {handle.host_pid}
        uids = set()
        for _generation in range(3):
            for process in psutil.process_iter(["pid", "ppid"]):
                if process.info["ppid"] in family:
                    family.add(process.info["pid"])
        for pid in family:
            status = Path("/proc", str(pid), "status").read_text()
            uids |= {int(uid) for uid in status.split("Uid:")[1].split("\n")[0].split()}
    finally:
        handle.close()
    assert len(family) >= 2
    assert 0 not in uids
    if os.geteuid() == 0:
        assert min(uids) >= FIRST_UID


def test_a_folder_below_usr_can_be_hidden():
    seen = next(path for path in (Path("/usr/share/doc"), Path("/usr/share")) if path.is_dir())
    assert run(BubblewrapBackend(), "bash", f"ls {seen} | head -1").stdout != b""
    assert run(BubblewrapBackend(hidden=[seen]), "bash", f"ls {seen}").stdout == b""


def test_a_killed_worker_leaves_no_bubblewrap_process():
    BubblewrapBackend()
    pid = kill_worker_in_a_run("bubblewrap")

    def none_is_left() -> bool:
        for other in filter(str.isdigit, os.listdir("/proc")):
            try:
                if b"/opt/codecrafter/agent.py" in Path("/proc", other, "cmdline").read_bytes():
                    started_by = Path("/proc", other, "cgroup").read_text()
                    if f"/{pid}-" in started_by:
                        return False
            except OSError:
                continue
        return True

    assert eventually(none_is_left)


def test_a_later_worker_removes_the_cgroups_of_a_dead_one():
    if not BubblewrapBackend().cgroups.version:
        pytest.skip("no cgroup can be made here")
    pid = kill_worker_in_a_run("bubblewrap")

    def all_removed() -> bool:
        Cgroups().reap()
        return not any(entry.name.startswith(f"{pid}-") for parent in Cgroups().parents() for entry in parent.iterdir())

    assert eventually(all_removed)


def test_the_next_start_ends_what_a_killed_worker_left_half_made():
    uid = FIRST_UID + os.getpid()
    become = ["setpriv", "--reuid", str(uid), "--clear-groups"] if os.geteuid() == 0 else []
    gone, _, _started = owners.this_process().rpartition(":")

    def wait_for_nothing(environment: dict[str, str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*become, "sleep", "600"], env=os.environ | environment)

    left = wait_for_nothing({OWNER_VARIABLE: f"{gone}:1"})
    kept = [wait_for_nothing({OWNER_VARIABLE: owners.this_process()}), wait_for_nothing({})]
    try:
        # Until then it still runs as the worker.
        assert eventually(lambda: Path(f"/proc/{left.pid}/cmdline").read_text().startswith("sleep"))
        BubblewrapBackend()
        assert left.wait(10) == -signal.SIGKILL
        assert [process.poll() for process in kept] == [None, None]
    finally:
        for process in (left, *kept):
            process.kill()
            process.wait()


def test_a_sandbox_does_not_know_its_worker():
    program = "import os; print(os.environ, open('/proc/self/environ').read())"
    assert OWNER_VARIABLE.encode() not in run(BubblewrapBackend(), "python", program).stdout


AS_INIT = """
import os
from execution.sandbox.bubblewrap import BubblewrapBackend
from tests.execution.sandbox.running import run
backend = BubblewrapBackend(use_cgroups=False)
assert os.getpid() == 1
for source in ("print(1)", "import os; os.kill(os.getpid(), 9)"):
    run(backend, "python", source)
print([pid for pid in os.listdir("/proc") if pid.isdigit() and pid != "1"])
"""


SIGNALS = """
import sys
from execution.sandbox.choose import choose_backend
from tests.execution.sandbox.running import run
program = "import signal; print(*(signal.getsignal(s).name for s in (signal.SIGHUP, signal.SIGQUIT)))"
print(run(choose_backend("bubblewrap"), "python", program).stdout.decode(), end="")
"""


def test_what_the_worker_ignores_a_program_does_not():
    worker = ("env", "--ignore-signal=HUP,INT,QUIT", sys.executable, "-c", SIGNALS)
    said = subprocess.run(worker, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.split() == ["SIG_DFL", "SIG_DFL"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a PID namespace for it")
def test_a_worker_that_is_init_leaves_no_zombie():
    argv = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", AS_INIT]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, check=True, text=True, timeout=60)
    assert done.stdout == "[]\n"


def test_a_killed_worker_leaves_no_container(docker_engine, docker_backend, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", docker_engine)
    pid = kill_worker_in_a_run("docker")

    def none_runs() -> bool:
        running = docker_backend._api.containers(filters={"label": OWNER_LABEL})
        return not any(f":{pid}:" in found["Labels"][OWNER_LABEL] for found in running)

    # The engine closes the agent's stdin with the connection, and the agent ends.
    assert eventually(none_runs)


def test_stopped_leftovers_are_removed_after_their_deadline(docker_backend):
    api = docker_backend._api
    labels = {DEADLINE_LABEL: str(int(time.time()) - 1)}
    old = api.create_container(docker_backend.image(), labels=labels)["Id"]
    new = api.create_container(docker_backend.image(), labels={DEADLINE_LABEL: str(int(time.time()) + 600)})["Id"]
    try:
        docker_backend.reap()
        ids = {container["Id"] for container in api.containers(all=True)}
        assert old not in ids
        assert new in ids
    finally:
        api.remove_container(new, force=True)


def test_no_container_is_left_after_a_run(docker_engine, docker_backend):
    before = docker_backend.count()
    run(docker_backend, "bash", "sleep 300 & echo")
    assert docker_backend.count() == before
    assert eventually(lambda: servers.mounts_without_container(docker_engine) == [])


def test_a_container_is_as_closed_as_promised(docker_backend):
    handle = docker_backend.open(RUN, "test")
    try:
        info = docker_backend._api.inspect_container(handle.container)
    finally:
        handle.close()
    host = info["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    assert host["Privileged"] is False
    assert host["Binds"] is None
    assert host["CapDrop"] == ["ALL"]
    assert host["NetworkMode"] == "none"
    assert host["IpcMode"] == "private"
    assert host["LogConfig"]["Type"] == "none"
    assert host["Memory"] == host["MemorySwap"] == RUN.memory_bytes
    assert (host["CpuQuota"], host["CpuPeriod"]) == (500_000, 1_000_000)
    assert host["PidsLimit"] == RUN.processes + 1
    assert "no-new-privileges" in host["SecurityOpt"]
    assert info["Config"]["User"] == "65534:65534"
    assert info["Config"]["StdinOnce"] is True


@pytest.mark.parametrize("wanted", ["runc", "io.containerd.runc.v2"])
def test_the_runtime_of_the_settings_is_the_containers(docker_engine, docker_backend, monkeypatch, settings, wanted):
    monkeypatch.setenv("DOCKER_HOST", docker_engine)
    settings.SANDBOX_BACKEND, settings.SANDBOX_RUNTIME = "docker", wanted
    settings.SANDBOX_IMAGE = docker_backend.prefix
    # It is kept for as long as the process lives, settings or not.
    availability.bare_backend.cache_clear()
    try:
        backend = availability.bare_backend()
    finally:
        availability.bare_backend.cache_clear()
    handle = backend.open(RUN, "test")
    try:
        assert docker_backend._api.inspect_container(handle.container)["HostConfig"]["Runtime"] == wanted
    finally:
        handle.close()
    assert f"runtime {wanted}" in backend.describe()


def test_a_runtime_that_the_engine_does_not_know_is_the_hosts_fault(docker_engine, docker_backend, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", docker_engine)
    with pytest.raises(SandboxFault) as fault:
        docker(runtime="no-such-runtime").open(RUN, "test")
    assert fault.value.code == "engine_failed"
    found = {check.name: check for check in checks(docker_backend.prefix, "no-such-runtime")}
    assert found["sandbox"].detail == "programs run in bubblewrap"
    assert "SANDBOX_RUNTIME" in found["container runtime"].remedy


class LosesItsSandbox:
    """A real backend whose sandbox is killed from outside as soon as it is handed out."""

    name = "bubblewrap"

    def __init__(self) -> None:
        self._inner = BubblewrapBackend()

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def open(self, limits, label, language=""):
        handle = self._inner.open(limits, label)
        os.kill(handle.host_pid, signal.SIGKILL)
        return handle


def test_a_sandbox_that_dies_is_the_hosts_fault_and_says_so():
    with pytest.raises(SandboxFault) as fault:
        execute(prepare(LANGUAGES["python"], {"main.py": b""}), LosesItsSandbox(), Watcher(), Control())
    assert fault.value.code == "sandbox_died"
    assert fault.value.remedy


def test_without_an_engine_bubblewrap_is_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    assert choose_backend("auto").name == "bubblewrap"
    with pytest.raises(SandboxFault) as fault:
        choose_backend("docker")
    assert (fault.value.code, "DOCKER_HOST" in fault.value.remedy) == ("engine_absent", True)


def test_without_bubblewrap_the_remedy_is_one_command(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda *_args, **_kwargs: None)
    with pytest.raises(SandboxFault) as fault:
        choose_backend("bubblewrap")
    assert "apt-get install bubblewrap" in fault.value.remedy


def test_an_engine_with_the_image_is_chosen(docker_engine, docker_backend, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", docker_engine)
    assert choose_backend("auto", image=docker_backend.prefix).name == "docker"


def test_an_image_that_is_absent_or_old_is_named(docker_engine, docker_backend, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", docker_engine)
    with pytest.raises(SandboxFault) as fault:
        docker(image="codecrafter/none:latest")
    assert (fault.value.code, fault.value.remedy) == ("image_absent", "Run `make images`.")
    monkeypatch.setattr("execution.sandbox.docker.agent_digest", lambda: "another")
    with pytest.raises(SandboxFault) as fault:
        docker()
    assert fault.value.code == "image_stale"


def test_an_unknown_backend_is_refused():
    with pytest.raises(SandboxFault, match="unknown_backend"):
        choose_backend("lxc")


def test_the_doctor_names_each_part_and_a_remedy_for_what_fails(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    found = {check.name: check for check in checks()}
    assert {"sandbox", "Docker engine", "sandbox images", "bubblewrap", "user namespaces"} <= set(found)
    assert not found["Docker engine"].ok
    for check in found.values():
        assert check.detail
        assert check.ok == (check.remedy == "")


def test_the_doctor_says_what_holds_the_limits(docker_engine, docker_backend, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", docker_engine)
    found = {check.name: check for check in checks(docker_backend.prefix)}
    assert found["sandbox"].detail == "programs run in Docker"
    assert "cgroup v" in found["container runtime"].detail


def test_building_an_image_that_is_there_does_nothing(docker_engine, docker_backend):
    done = subprocess.run(
        BUILD_IMAGES,
        cwd=ROOT,
        env=image_environment(docker_engine),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "up to date" in done.stdout) == (0, True)


def test_building_without_an_engine_says_what_to_do(tmp_path):
    done = subprocess.run(
        BUILD_IMAGES,
        cwd=ROOT,
        env={**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/none.sock"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "DOCKER_HOST" in done.stderr or "docker.io" in done.stderr


def test_the_agent_is_not_compiled_anew_in_every_sandbox(backend):
    source = "PYTHONPATH=/opt/codecrafter python3 -S -v -c 'import agent' 2>&1 | grep -o \"code object from '/opt/.*'\""
    lines = run(backend, "bash", source).stdout.decode().splitlines()
    assert {line.rpartition("/")[2].partition(".")[0] for line in lines} == {"agent", "protocol", "usercustomize"}
    assert all("/__pycache__/" in line for line in lines)
