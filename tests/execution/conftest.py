"""Real sandboxes of each kind: Docker, bubblewrap, and bubblewrap where no cgroup can be made."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from execution.sandbox.bubblewrap import BubblewrapBackend
from execution.sandbox.docker import DockerBackend
from execution.sandbox.errors import SandboxFault
from execution.sandbox.versions import ask_versions
from tests.services.fixtures import START_SECONDS, missing

if TYPE_CHECKING:
    from _pytest.mark import ParameterSet

    from execution.sandbox.backends import Backend

KINDS = ("bubblewrap", "watched", "docker")


def docker(**more: Any) -> DockerBackend:
    """With the images and the runtime that the person who runs the tests chose."""
    chosen = {"image": os.environ.get("SANDBOX_IMAGE", ""), "runtime": os.environ.get("SANDBOX_RUNTIME", "")}
    return DockerBackend(**chosen | more)


def bubblewrap(*, use_cgroups: bool) -> BubblewrapBackend:
    try:
        backend = BubblewrapBackend(use_cgroups=use_cgroups)
    except SandboxFault as fault:
        missing(str(fault))
    if use_cgroups and not backend.cgroups.version:
        missing(f"no cgroup can be made here: {backend.cgroups.problem}")
    return backend


@pytest.fixture(scope="session")
def backends() -> dict[str, Backend]:
    return {}


@pytest.fixture(scope="session")
def docker_backend(docker_engine: str, backends: dict[str, Backend]) -> DockerBackend:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", docker_engine)
        return docker()


def kind_of_backend(name: str) -> ParameterSet:
    """Each kind stays in one worker of a parallel test run, and Docker's first test may wait for its image."""
    if name == "docker":
        return pytest.param(name, marks=[pytest.mark.xdist_group("engine"), pytest.mark.timeout(START_SECONDS)])
    return pytest.param(name, marks=pytest.mark.xdist_group(name))


@pytest.fixture(params=[kind_of_backend(kind) for kind in KINDS])
def backend(request: pytest.FixtureRequest, backends: dict[str, Backend]) -> Backend:
    kind = request.param
    if kind not in backends:
        if kind == "docker":
            backends[kind] = request.getfixturevalue("docker_backend")
        else:
            backends[kind] = bubblewrap(use_cgroups=kind == "bubblewrap")
    return backends[kind]


@pytest.fixture(scope="session")
def known_versions() -> dict[str, dict[str, str]]:
    return {}


@pytest.fixture
def versions(
    backend: Backend, request: pytest.FixtureRequest, known_versions: dict[str, dict[str, str]]
) -> dict[str, str]:
    kind = request.node.callspec.params["backend"]
    if kind not in known_versions:
        known_versions[kind] = ask_versions(backend)
    return known_versions[kind]
