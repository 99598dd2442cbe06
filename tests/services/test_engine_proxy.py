"""deploy/engine_proxy.py in front of a real engine: a sandbox can be run through it, and nothing else can."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
import pytest

from execution.images.build import image_of
from execution.images.families import FAMILIES
from tests.execution.conftest import docker as docker_sandbox
from tests.execution.sandbox.running import run
from tests.services import fixtures, servers

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent.parent
IMAGE = "codecrafter/proof"
ECHO = "#include <unistd.h>\nint main(){char b[512];long n;while((n=read(0,b,512))>0)write(1,b,n);return 7;}"
SANDBOX: dict[str, Any] = {
    "Image": IMAGE,
    "Cmd": ["/echo"],
    "User": "65534:65534",
    "Labels": {"codecrafter.run": "proof"},
    "AttachStdin": True,
    "AttachStdout": True,
    "OpenStdin": True,
    "StdinOnce": True,
    "HostConfig": {
        "NetworkMode": "none",
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "Memory": 64 * 1024 * 1024,
        "PidsLimit": 16,
        "LogConfig": {"Type": "none"},
    },
}


@pytest.fixture(scope="module")
def engine(bare_docker_engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[docker.DockerClient]:
    """The engine itself, with an image of one static program that repeats its input and ends with 7."""
    if shutil.which("gcc") is None:
        fixtures.missing("gcc is not installed")
    folder = tmp_path_factory.mktemp("image")
    (folder / "echo.c").write_text(ECHO)
    subprocess.run(["gcc", "-static", "-Os", "-o", "echo", "echo.c"], cwd=folder, check=True, capture_output=True)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(folder / "echo", "echo")
    client = docker.DockerClient(base_url=bare_docker_engine)
    client.api.import_image_from_data(packed.getvalue(), repository=IMAGE)
    with contextlib.closing(client):
        yield client


@pytest.fixture(scope="module")
def proxy(
    engine: docker.DockerClient, bare_docker_engine: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """The port of a proxy in front of the engine."""
    port = servers.free_port()
    environment = {
        "LISTEN": f"127.0.0.1:{port}",
        "ENGINE_SOCKET": bare_docker_engine.removeprefix("unix://"),
        "SANDBOX_IMAGES": f"{IMAGE},{os.environ.get('SANDBOX_IMAGE', 'codecrafter/sandbox')}",
    }

    def ready() -> None:
        servers.say_over_tcp(port, b"GET /_ping HTTP/1.1\r\n\r\n")

    log = tmp_path_factory.mktemp("proxy") / "log"
    with servers.process([sys.executable, ROOT / "deploy/engine_proxy.py"], ready, log, environment=environment):
        yield port


@pytest.fixture
def through(proxy: int) -> Iterator[docker.APIClient]:
    with contextlib.closing(docker.APIClient(base_url=f"tcp://127.0.0.1:{proxy}", version="auto")) as client:
        yield client


def call(client: docker.APIClient, method: str, path: str, body: object = None) -> tuple[int, str]:
    answer = client.request(method, f"{client.base_url}{path}", json=body)
    return answer.status_code, answer.text


def changed(**changes: object) -> dict[str, Any]:
    """The sandbox with other settings; those of HostConfig are given with a leading underscore."""
    host = {name[1:]: value for name, value in changes.items() if name.startswith("_")}
    rest = {name: value for name, value in changes.items() if not name.startswith("_")}
    return {**SANDBOX, **rest, "HostConfig": {**SANDBOX["HostConfig"], **host}}


def test_a_sandbox_runs_through_the_proxy(through: docker.APIClient) -> None:
    container = through.create_container_from_config(SANDBOX)["Id"]
    attached = through.attach_socket(container, {"stdin": 1, "stdout": 1, "stream": 1})
    through.start(container)
    stream = attached._sock
    stream.sendall(b"over and back")
    stream.shutdown(socket.SHUT_WR)
    said = b""
    while chunk := stream.recv(4096):
        said += chunk
    attached.close()
    assert said.endswith(b"over and back")
    assert through.wait(container)["StatusCode"] == 7
    assert [found["Id"] for found in through.containers(all=True, filters={"label": "codecrafter.run=proof"})] == [
        container
    ]
    through.remove_container(container, force=True)


def test_the_docker_sandbox_works_through_the_proxy(
    docker_engine: str, proxy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{proxy}")
    ran = run(docker_sandbox(), "python", "print(input())", stdin=b"over and back")
    assert (ran.status, ran.stdout) == ("completed", b"over and back\n")


@pytest.mark.parametrize(
    "container",
    [
        changed(_Privileged=True),
        changed(_Binds=["/:/host"]),
        changed(_Mounts=[{"Type": "bind", "Source": "/", "Target": "/host"}]),
        changed(Volumes={"/data": {}}),
        changed(_NetworkMode="host"),
        changed(_NetworkMode=None),
        changed(_PidMode="host"),
        changed(_IpcMode="host"),
        changed(_UTSMode="host"),
        changed(_UsernsMode="host"),
        changed(_CgroupnsMode="host"),
        changed(_CapAdd=["SYS_ADMIN"]),
        changed(_CapDrop=[]),
        changed(_Devices=[{"PathOnHost": "/dev/sda"}]),
        changed(_DeviceCgroupRules=["a *:* rwm"]),
        changed(_SecurityOpt=["no-new-privileges", "seccomp=unconfined"]),
        changed(_SecurityOpt=["no-new-privileges", "apparmor=unconfined"]),
        changed(_SecurityOpt=[]),
        changed(_VolumesFrom=["another"]),
        changed(_CgroupParent="/"),
        changed(_Runtime="another"),
        changed(_ReadonlyRootfs=False),
        changed(_MaskedPaths=[]),
        changed(_RestartPolicy={"Name": "always"}),
        changed(_Memory=0),
        changed(_PidsLimit=-1),
        changed(_Sysctls={"kernel.msgmax": "1"}),
        changed(_SomethingNew=True),
        changed(User="0"),
        changed(User=""),
        changed(User="root"),
        changed(Image="postgres:17"),
        changed(Image=IMAGE + "x"),
        changed(Labels={}),
        changed(NetworkingConfig={"EndpointsConfig": {"bridge": {}}}),
        {**SANDBOX, "HostConfig": None},
        changed(_memory=0),
        changed(_readonlyRootfs=False),
        changed(hostconfig={"Privileged": True}),
        changed(_ReadonlyRootfſ=False),
        ["not", "an", "object"],
    ],
    ids=lambda value: json.dumps(value)[-60:],
)
def test_a_container_that_is_no_sandbox_is_refused(through: docker.APIClient, container: object) -> None:
    status, text = call(through, "POST", "/containers/create", container)
    assert status == 403, text
    assert "engine proxy" in text


@pytest.mark.parametrize("family", FAMILIES)
def test_the_image_of_every_family_is_known(through: docker.APIClient, family: str) -> None:
    for image, refused in ((image_of(family, IMAGE), False), (f"{IMAGE}/{family}", True), (f"{IMAGE}{family}", True)):
        status, text = call(through, "POST", "/containers/create", changed(Image=image))
        # The engine has no such image; what the proxy says comes before that.
        assert (status == 403) == refused, text


def test_a_create_that_says_a_thing_twice_is_refused(through: docker.APIClient) -> None:
    twice = '{"HostConfig": {"Privileged": true}, ' + json.dumps(SANDBOX)[1:]
    answer = through.post(
        f"{through.base_url}/containers/create", data=twice, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/containers/x/exec"),
        ("POST", "/exec/x/start"),
        ("GET", "/containers/x/archive?path=/"),
        ("PUT", "/containers/x/archive?path=/"),
        ("POST", "/containers/x/update"),
        ("GET", "/containers/x/logs"),
        ("POST", "/images/create?fromImage=postgres"),
        ("DELETE", "/images/postgres"),
        ("POST", "/build"),
        ("POST", "/commit?container=x"),
        ("GET", "/volumes"),
        ("POST", "/networks/create"),
        ("POST", "/swarm/init"),
        ("GET", "/containers/json"),
        ("GET", "/containers/json?filters={}"),
        ("POST", "/containers/prune"),
        ("GET", "/v1.41/containers/x/../../volumes"),
        ("GET", "/containers/x%2f..%2f..%2fvolumes/json"),
    ],
)
def test_other_calls_are_refused(proxy: int, method: str, path: str) -> None:
    head = f"{method} {path} HTTP/1.1\r\nHost: engine\r\n\r\n"
    assert servers.say_over_tcp(proxy, head.encode()).startswith(b"HTTP/1.1 403")


def test_a_container_of_somebody_else_cannot_be_touched(engine: docker.DockerClient, through: docker.APIClient) -> None:
    foreign = engine.api.create_container(IMAGE, ["/echo"], stdin_open=True)["Id"]
    try:
        for method, path in (("POST", "start"), ("POST", "attach?stdin=1"), ("POST", "kill"), ("GET", "json")):
            assert call(through, method, f"/containers/{foreign}/{path}")[0] == 403
        assert call(through, "DELETE", f"/containers/{foreign}?force=1")[0] == 403
    finally:
        engine.api.remove_container(foreign, force=True)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST /containers/create HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\nhello",
        b"GET /_ping HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
        b"GET  /_ping HTTP/1.1\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nLong: " + b"x" * 100_000 + b"\r\n\r\n",
    ],
    ids=["chunked", "two lengths", "too long a body", "two spaces", "no header", "too long a head"],
)
def test_a_request_that_could_be_read_in_two_ways_is_refused(proxy: int, request_bytes: bytes) -> None:
    try:
        assert servers.say_over_tcp(proxy, request_bytes).startswith(b"HTTP/1.1 400")
    except servers.NotReady as hung_up:
        assert "reset" in str(hung_up)


@pytest.mark.parametrize("upgrade", [b"", b"Connection: Upgrade\r\nUpgrade: tcp\r\n"])
def test_a_second_request_on_one_connection_never_reaches_the_engine(proxy: int, upgrade: bytes) -> None:
    first = b"POST /containers/absent/attach HTTP/1.1\r\nHost: engine\r\n" + upgrade + b"\r\n"
    with socket.create_connection(("127.0.0.1", proxy), timeout=10) as connection:
        connection.sendall(first + b"GET /volumes HTTP/1.1\r\nHost: engine\r\n\r\n")
        said = b""
        with contextlib.suppress(ConnectionResetError):
            while chunk := connection.recv(4096):
                said += chunk
    assert said.startswith(b"HTTP/1.1 404")
    assert said.count(b"HTTP/1.1 ") == 1
    assert b"Volumes" not in said


def test_an_absent_engine_is_told(tmp_path: Path) -> None:
    port = servers.free_port()
    environment = {
        "LISTEN": f"127.0.0.1:{port}",
        "ENGINE_SOCKET": str(tmp_path / "none.sock"),
        "PATH": os.environ["PATH"],
    }

    def ready() -> None:
        servers.say_over_tcp(port, b"GET /_ping HTTP/1.1\r\n\r\n")

    argv = [sys.executable, ROOT / "deploy/engine_proxy.py"]
    with servers.process(argv, ready, tmp_path / "log", environment=environment):
        assert servers.say_over_tcp(port, b"GET /_ping HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 502")
