"""Row 50: the engine is killed in the middle of a run and started again; an engine of this test's own."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from execution.sandbox.control import Control
from execution.sandbox.docker import DockerBackend
from execution.sandbox.errors import SandboxFault
from execution.sandbox.image_names import AGENT_FILES, AGENT_LABEL, SANDBOX, agent_digest, image_of
from execution.sandbox.pool import Pool
from execution.sandbox.supervisor import execute
from tests.execution.hostile.host import Host, eventually
from tests.execution.hostile.table import ROOMY
from tests.execution.hostile.test_neighbours import job_of
from tests.execution.sandbox.running import Watcher, run
from tests.services import servers
from tests.services.fixtures import START_SECONDS, missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMAGE = "codecrafter/restart"
pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(START_SECONDS)]


class Engine:
    """A dockerd that can be killed and started again over the same containers."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running = contextlib.ExitStack()
        self.start()

    def start(self) -> None:
        # A dead containerd that init has not waited for yet would be taken for one that runs.
        for stale in ("pid", "exec/containerd/containerd.pid"):
            (self._directory / stale).unlink(missing_ok=True)
        self.address, self._server = self._running.enter_context(
            servers.dockerd(self._directory, self._directory / "data")
        )

    def kill(self) -> None:
        self._server.send_signal(signal.SIGKILL)
        self._server.wait()

    def stop(self) -> None:
        self._running.close()


def carry_over(source: str, target: str) -> None:
    """The base image with the agent, from one engine to another."""
    name = image_of("core", IMAGE)
    base = image_of("base", os.environ.get("SANDBOX_IMAGE", ""))
    client = servers.program("docker")
    with subprocess.Popen([client, "--host", source, "save", base], stdout=subprocess.PIPE) as saved:
        subprocess.run([client, "--host", target, "load"], stdin=saved.stdout, check=True, capture_output=True)
    recipe = f"FROM {base}\nCOPY agent/ /opt/codecrafter/\nLABEL {AGENT_LABEL}={agent_digest()}\nWORKDIR /work\n"
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for path, content in {
            "Dockerfile": recipe.encode(),
            **{f"agent/{name}": (SANDBOX / name).read_bytes() for name in AGENT_FILES},
        }.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    build = [client, "--host", target, "build", "--network", "none", "--tag", name, "-"]
    environment = {**os.environ, "DOCKER_BUILDKIT": "0"}
    subprocess.run(build, input=context.getvalue(), check=True, capture_output=True, env=environment)


@pytest.fixture
def engine(docker_engine: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    if os.geteuid() != 0:
        missing("only root can start dockerd")
    with servers.folder() as directory, servers.unmounted(directory):
        made = Engine(directory)
        try:
            carry_over(docker_engine, made.address)
            monkeypatch.setenv("DOCKER_HOST", made.address)
            yield made
        finally:
            made.stop()


def test_an_engine_that_dies_and_comes_back_is_no_verdict_and_leaves_nothing(engine: Engine):
    backend = DockerBackend(image=IMAGE)
    host = Host(backend)
    pool = Pool(host, minimum=1, maximum=1)
    pool.expect(ROOMY)
    assert pool.settle(60)
    with pytest.raises(SandboxFault) as fault:
        execute(job_of("50_waits.py"), pool, Watcher(on_output=lambda _data: engine.kill()), Control(), "restart")
    assert fault.value.remedy
    with pytest.raises(SandboxFault):
        run(pool, "python", "print('nobody can run this')", limits=ROOMY)

    engine.start()
    assert run(pool, "python", "print('back')", limits=ROOMY).stdout == b"back\n"
    assert pool.settle(120)
    assert run(pool, "python", "print('parked')", limits=ROOMY).outcome.stats["start"] == "fork"

    # As the pool does every minute.
    backend.reap()
    pool.close()
    assert eventually(lambda: backend.count() == 0)
    assert eventually(lambda: servers.mounts_without_container(engine.address) == [])
    for traces in host.noted:
        assert eventually(lambda traces=traces: traces.left() == []), traces.left()
