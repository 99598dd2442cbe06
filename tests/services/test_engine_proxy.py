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
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
import pytest

from execution.sandbox.container import DEADLINE_LABEL, JOB_LABEL, LABELS, OWNER_LABEL, Container
from execution.sandbox.errors import FULL, SandboxFault
from execution.sandbox.image_names import image_of
from execution.sandbox.limits import RUN
from languages.families import FAMILIES
from tests.execution.conftest import docker as docker_sandbox
from tests.execution.sandbox.running import run
from tests.services import fixtures, servers

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent.parent
PREFIX = "codecrafter/proof"
IMAGE = image_of("core", PREFIX)
COUNT = 12
# In the place of the program that every sandbox starts.
ECHO = "#include <unistd.h>\nint main(){char b[512];long n;while((n=read(0,b,512))>0)write(1,b,n);return 7;}"
DEFAULT_PROFILE = 'seccomp={"defaultAction":"SCMP_ACT_ALLOW"}'


def sandbox(**labels: str) -> dict[str, Any]:
    """What docker.py asks for."""
    ours = {JOB_LABEL: "proof", DEADLINE_LABEL: str(int(time.time()) + 600), OWNER_LABEL: "proof:1:1"}
    return Container.of(IMAGE, "", RUN, "python", ours | labels).create_body()


SANDBOX = sandbox()


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
        tar.add(folder / "echo", "usr/bin/python3")
    client = docker.DockerClient(base_url=bare_docker_engine)
    labels = ["LABEL codecrafter.recipe=1 codecrafter.agent=1", "ENV SECRET=of-an-image"]
    name, _, tag = IMAGE.rpartition(":")
    client.api.import_image_from_data(packed.getvalue(), repository=name, tag=tag, changes=labels)
    client.api.tag(IMAGE, "somebody/else", "latest")
    with contextlib.closing(client):
        yield client
        for container in client.api.containers(all=True, filters={"ancestor": IMAGE}):
            client.api.remove_container(container["Id"], force=True)


@pytest.fixture(scope="module")
def proxy(
    engine: docker.DockerClient, bare_docker_engine: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """The port of a proxy in front of the engine."""
    port = servers.free_port()
    environment = {
        "LISTEN": f"127.0.0.1:{port}",
        "ENGINE_SOCKET": bare_docker_engine.removeprefix("unix://"),
        "SANDBOX_IMAGES": f"{PREFIX},{os.environ.get('SANDBOX_IMAGE', 'codecrafter/sandbox')}",
        "SANDBOX_MAX_COUNT": str(COUNT),
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


@pytest.fixture
def ours(through: docker.APIClient, engine: docker.DockerClient) -> Iterator[str]:
    """The id of a sandbox that was not started."""
    made = through.create_container_from_config(SANDBOX)["Id"]
    yield made
    with contextlib.suppress(docker.errors.NotFound):
        engine.api.remove_container(made, force=True)


@pytest.fixture
def foreign(engine: docker.DockerClient) -> Iterator[str]:
    """The id of somebody else's container. It carries the labels of a sandbox's image."""
    made = engine.api.create_container(IMAGE, ["python3"], stdin_open=True, environment={"PASSWORD": "theirs"})["Id"]
    yield made
    engine.api.remove_container(made, force=True)


def call(client: docker.APIClient, method: str, path: str, body: object = None) -> tuple[int, str]:
    answer = client.request(method, f"{client.base_url}{path}", json=body)
    return answer.status_code, answer.text


def changed(**changes: object) -> dict[str, Any]:
    """The sandbox with other settings; those of HostConfig are given with a leading underscore."""
    host = {name[1:]: value for name, value in changes.items() if name.startswith("_")}
    rest = {name: value for name, value in changes.items() if not name.startswith("_")}
    return {**SANDBOX, **rest, "HostConfig": {**SANDBOX["HostConfig"], **host}}


def options(*without_profile: str, profile: str | None = None) -> list[str]:
    return [*without_profile, profile if profile is not None else SANDBOX["HostConfig"]["SecurityOpt"][1]]


def test_a_sandbox_runs_through_the_proxy(through: docker.APIClient, ours: str) -> None:
    attached = through.attach_socket(ours, {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
    through.start(ours)
    stream = attached._sock
    stream.sendall(b"over and back")
    stream.shutdown(socket.SHUT_WR)
    said = b""
    while chunk := stream.recv(4096):
        said += chunk
    attached.close()
    assert said.endswith(b"over and back")
    assert through.wait(ours)["StatusCode"] == 7
    state = through.inspect_container(ours)["State"]
    assert (state["ExitCode"], state["OOMKilled"], state["Running"]) == (7, False, False)
    assert [found["Id"] for found in through.containers(all=True, filters={"label": f"{JOB_LABEL}=proof"})] == [ours]
    through.remove_container(ours, force=True, v=True)
    with pytest.raises(docker.errors.NotFound):
        through.inspect_container(ours)


def test_the_engine_makes_exactly_the_sandbox_that_was_asked_for(engine: docker.DockerClient, ours: str) -> None:
    made = engine.api.inspect_container(ours)
    host, asked = made["HostConfig"], SANDBOX["HostConfig"]
    assert {name: host[name] for name in asked if name != "Runtime"} == {
        name: value
        for name, value in (asked | {"LogConfig": {"Type": "none", "Config": {}}}).items()
        if name != "Runtime"
    }
    assert "/proc/kcore" in host["MaskedPaths"]
    assert host["Privileged"] is False
    assert not host["Binds"] and not made["Mounts"] and not host["CapAdd"]
    assert {name: made["Config"]["Labels"][name] for name in LABELS} == SANDBOX["Labels"]


def test_the_docker_sandbox_works_through_the_proxy(
    docker_engine: str, proxy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{proxy}")
    backend = docker_sandbox()
    ran = run(backend, "python", "print(input())", stdin=b"over and back")
    assert (ran.status, ran.stdout) == ("completed", b"over and back\n")
    assert run(backend, "python", "x = ' ' * 2**40").status == "failed"
    assert run(backend, "c", '#include <stdio.h>\nint main(void) { puts("c"); }').stdout == b"c\n"
    assert "core" in backend.describe()
    assert backend.count() == 0


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
        changed(_DeviceRequests=[{"Count": -1}]),
        changed(_GroupAdd=["0"]),
        changed(_SecurityOpt=options("no-new-privileges", profile="seccomp=unconfined")),
        changed(_SecurityOpt=options("no-new-privileges", profile=DEFAULT_PROFILE)),
        changed(_SecurityOpt=options("no-new-privileges", profile=SANDBOX["HostConfig"]["SecurityOpt"][1] + " ")),
        changed(_SecurityOpt=options("no-new-privileges", "apparmor=unconfined")),
        changed(_SecurityOpt=options("no-new-privileges", "systempaths=unconfined")),
        changed(_SecurityOpt=options("no-new-privileges=false")),
        changed(_SecurityOpt=options()),
        changed(_SecurityOpt=[]),
        changed(_VolumesFrom=["another"]),
        changed(_CgroupParent="/"),
        changed(_Runtime="another"),
        changed(_ReadonlyRootfs=False),
        changed(_MaskedPaths=[]),
        changed(_MaskedPaths=["/nonexistent"]),
        changed(_ReadonlyPaths=["/nonexistent"]),
        changed(_RestartPolicy={"Name": "always"}),
        changed(_AutoRemove=True),
        changed(_Init=True),
        changed(_LogConfig={"Type": "json-file", "Config": {"max-size": "-1"}}),
        changed(_LogConfig={"Type": "syslog", "Config": {"syslog-address": "unix:///var/run/docker.sock"}}),
        changed(_LogConfig={"Type": "splunk", "Config": {"splunk-url": "http://127.0.0.1:1"}}),
        changed(_LogConfig={"Type": "none", "Config": {"mode": "non-blocking"}}),
        changed(_LogConfig={}),
        changed(_Memory=0),
        changed(_Memory=1 << 50, _MemorySwap=1 << 50),
        changed(_Memory=64.0 * 1024 * 1024, _MemorySwap=64.0 * 1024 * 1024),
        changed(_Memory=True, _MemorySwap=True),
        changed(_Memory="67108864", _MemorySwap="67108864"),
        changed(_MemorySwap=-1),
        changed(_MemorySwappiness=100),
        changed(_OomKillDisable=True),
        changed(_OomScoreAdj=-1000),
        changed(_PidsLimit=-1),
        changed(_PidsLimit=0),
        changed(_PidsLimit=4_000_000),
        changed(_CpuQuota=-1),
        changed(_CpuQuota=64_000_000),
        changed(_CpuPeriod=1),
        changed(_NanoCpus=64_000_000_000),
        changed(_CpuShares=262144),
        changed(_CpuRealtimeRuntime=950_000),
        changed(_ShmSize=1 << 40),
        changed(_Tmpfs={"/work": "rw,size=1099511627776"}),
        changed(_Tmpfs={**SANDBOX["HostConfig"]["Tmpfs"], "/etc": "rw"}),
        changed(_Tmpfs={"/work": SANDBOX["HostConfig"]["Tmpfs"]["/work"].replace("nosuid", "suid")}),
        changed(_Ulimits=[{"Name": "nofile", "Soft": 1 << 30, "Hard": 1 << 30}]),
        changed(_BlkioWeight=1000),
        changed(_StorageOpt={"size": "1T"}),
        changed(_Sysctls={"kernel.msgmax": "1"}),
        changed(_Links=["another:it"]),
        changed(_PortBindings={"80/tcp": [{"HostPort": "80"}]}),
        changed(_ExtraHosts=["a:1.2.3.4"]),
        changed(_Isolation="hyperv"),
        changed(_ContainerIDFile="/etc/x"),
        changed(_VolumeDriver="x"),
        changed(_SomethingNew=True),
        changed(User="0"),
        changed(User=""),
        changed(User="root"),
        changed(User="65534:0"),
        changed(Image="postgres:17"),
        changed(Image=IMAGE + "x"),
        changed(Image=f"{PREFIX}-core@sha256:{'0' * 64}"),
        changed(Image="somebody/else"),
        changed(Image=["a", "list"]),
        changed(Labels={}),
        changed(Labels={**SANDBOX["Labels"], "com.docker.compose.project": "codecrafter"}),
        changed(Labels={**SANDBOX["Labels"], DEADLINE_LABEL: "9" * 12}),
        changed(Labels={**SANDBOX["Labels"], DEADLINE_LABEL: "never"}),
        changed(Labels={**SANDBOX["Labels"], JOB_LABEL: "x" * 5000}),
        changed(Labels={**SANDBOX["Labels"], JOB_LABEL: "\u2028"}),
        changed(Labels={**SANDBOX["Labels"], JOB_LABEL: 7}),
        changed(Cmd=["python3", "-c", "print()"]),
        changed(Cmd=None),
        changed(Entrypoint=["/bin/sh"]),
        changed(Entrypoint=None),
        changed(Env=["LD_PRELOAD=/work/x.so"]),
        changed(Env=[]),
        changed(Env=[["a", "list"]]),
        changed(Hostname="localhost"),
        changed(Domainname="example.org"),
        changed(WorkingDir="/proc/self"),
        changed(Healthcheck={"Test": ["CMD", "/bin/sh"], "Interval": 1_000_000}),
        changed(StopSignal="SIGKILL"),
        changed(StopTimeout=1 << 30),
        changed(OnBuild=["RUN x"]),
        changed(ExposedPorts={"80/tcp": {}}),
        changed(MacAddress="02:42:ac:11:00:02"),
        changed(Tty=True),
        changed(NetworkDisabled=False),
        changed(AttachStdin=False),
        changed(NetworkingConfig={"EndpointsConfig": {"bridge": {}}}),
        {**SANDBOX, "HostConfig": None},
        {**SANDBOX, "HostConfig": "x"},
        changed(_memory=0),
        changed(_readonlyRootfs=False),
        changed(hostconfig={"Privileged": True}),
        changed(_ReadonlyRootfſ=False),
        {**SANDBOX, "": {}},
        ["not", "an", "object"],
        "text",
        17,
    ],
    ids=lambda value: json.dumps(value)[-60:],
)
def test_a_container_that_is_no_sandbox_is_refused(through: docker.APIClient, container: object) -> None:
    status, text = call(through, "POST", "/containers/create", container)
    assert status == 403, text
    assert "engine proxy" in text


@pytest.mark.parametrize("family", FAMILIES)
def test_the_image_of_every_family_is_known(through: docker.APIClient, family: str) -> None:
    for image, refused in (
        (image_of(family, PREFIX), False),
        (f"{PREFIX}/{family}", True),
        (f"{PREFIX}{family}", True),
    ):
        status, text = call(through, "GET", f"/images/{image}/json")
        assert (status == 403) == refused, text


@pytest.mark.parametrize(
    "body",
    [
        b'{"HostConfig": {"Privileged": true}, ' + json.dumps(SANDBOX).encode()[1:],
        json.dumps(SANDBOX).encode().replace(b'"HostConfig": {', b'"HostConfig": {"Memory": 1, '),
        b'{"hostConfig": {"Privileged": true}, ' + json.dumps(SANDBOX).encode()[1:],
        json.dumps(SANDBOX).encode("utf-16"),
        b"\xef\xbb\xbf" + json.dumps(SANDBOX).encode(),
        json.dumps(SANDBOX).encode() + b'{"HostConfig": {"Privileged": true}}',
        json.dumps(SANDBOX).encode().replace(b": 65,", b": 6e1,"),
        json.dumps(SANDBOX).encode().replace(b": 65,", b": NaN,"),
        json.dumps(SANDBOX).encode().replace(b": 65,", b": " + b"6" * 5000 + b","),
        b'{"Image": ' + b"[" * 60_000 + b"]" * 60_000 + b"}",
        b"",
        b"null",
        b"\xff",
    ],
    ids=lambda body: repr(body[:40]),
)
def test_a_create_that_can_be_read_in_two_ways_is_refused(through: docker.APIClient, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    assert through.post(f"{through.base_url}/containers/create", data=body, headers=headers).status_code == 403


def test_a_sandbox_cannot_be_named(through: docker.APIClient, foreign: str) -> None:
    for query in (f"name={foreign[:12]}", "name=", "platform=linux", "x=1"):
        assert call(through, "POST", f"/containers/create?{query}", SANDBOX)[0] == 403


@pytest.mark.parametrize("version", ["", "/v1.23", "/v1.12", "/v1.41", "/v1.99"])
def test_nothing_is_changed_at_start(
    through: docker.APIClient, engine: docker.DockerClient, ours: str, version: str
) -> None:
    changes = {"Binds": ["/:/host"], "Privileged": True, "PidMode": "host", "GroupAdd": ["0"]}
    for verb in ("start", "kill", "wait"):
        assert call(through, "POST", f"{version}/containers/{ours}/{verb}", changes)[0] == 403
    made = engine.api.inspect_container(ours)
    assert (made["State"]["Status"], made["HostConfig"]["Privileged"]) == ("created", False)
    assert made["HostConfig"]["Binds"] is None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/containers/{ours}/exec"),
        ("POST", "/exec/{ours}/start"),
        ("GET", "/containers/{ours}/archive?path=/"),
        ("POST", "/containers/{ours}/update"),
        ("POST", "/containers/{ours}/rename?name=x"),
        ("POST", "/containers/{ours}/restart"),
        ("POST", "/containers/{ours}/stop"),
        ("POST", "/containers/{ours}/pause"),
        ("POST", "/containers/{ours}/resize?h=1&w=1"),
        ("POST", "/containers/{ours}/start?detachKeys=a"),
        ("POST", "/containers/{ours}/start?checkpoint=a&checkpoint-dir=/etc"),
        ("POST", "/containers/{ours}/kill?signal=0"),
        ("POST", "/containers/{ours}/kill?signal=STOP"),
        ("POST", "/containers/{ours}/wait?condition=removed"),
        ("POST", "/containers/{ours}/attach?logs=1&stream=1&stdin=1&stdout=1&stderr=1"),
        ("POST", "/containers/{ours}/attach"),
        ("GET", "/containers/{ours}/attach/ws?stream=1"),
        ("GET", "/containers/{ours}/logs?stdout=1"),
        ("GET", "/containers/{ours}/export"),
        ("GET", "/containers/{ours}/top?ps_args=aux"),
        ("GET", "/containers/{ours}/changes"),
        ("GET", "/containers/{ours}/stats"),
        ("GET", "/containers/{ours}/json?size=1"),
        ("DELETE", "/containers/{ours}"),
        ("DELETE", "/containers/{ours}?force=1&link=1"),
        ("POST", "/images/create?fromImage=postgres"),
        ("DELETE", "/images/postgres"),
        ("GET", "/images/json"),
        ("GET", "/images/somebody/else/json"),
        ("GET", "/images/{image}/history"),
        ("GET", "/images/{image}/json?x=1"),
        ("GET", "/images/get?names={image}"),
        ("POST", "/build"),
        ("POST", "/commit?container={ours}"),
        ("GET", "/volumes"),
        ("POST", "/networks/create"),
        ("POST", "/swarm/init"),
        ("GET", "/events"),
        ("GET", '/events?filters={{"label":["codecrafter.job"]}}'),
        ("GET", "/system/df"),
        ("POST", "/containers/prune"),
        ("POST", "/session"),
        ("POST", "/grpc"),
        ("GET", "/v1.41/containers/x/../../volumes"),
        ("GET", "/containers/x%2f..%2f..%2fvolumes/json"),
        ("GET", "//v1.41/_ping"),
        ("GET", "/v1.41/v1.41/_ping"),
        ("GET", "/v1.40/_ping"),
        ("GET", "/_ping?x=1"),
        ("GET", "/containers/json"),
        ("GET", "/containers/json?all=1"),
        ("GET", "/containers/json?filters={{}}"),
        ("GET", '/containers/json?filters=&filters={{"label":["codecrafter.job"]}}'),
        ("GET", '/containers/json?filters={{"label":["codecrafter.job"]}}&filters='),
        ("GET", '/containers/json?filters={{"label":["codecrafter.job"]}};filters='),
        ("GET", '/containers/json?Filters={{}}&filters={{"label":["codecrafter.job"]}}'),
        ("GET", '/containers/json?filters={{"label":["codecrafter.job"],"name":["x"]}}'),
        ("GET", '/containers/json?filters={{"label":["codecrafter.job"],"label":[]}}'),
        ("GET", '/containers/json?filters={{"label":{{"codecrafter.job":true}}}}'),
        ("GET", '/containers/json?filters={{"label":["com.docker.compose.project"]}}'),
        ("GET", '/containers/json?filters={{"label":["codecrafter.recipe"]}}'),
        ("GET", '/containers/json?filters={{"label":["codecrafter.job"]}}&size=1'),
        ("GET", '/containers/json?filters={{"label":["codecrafter.job"]}}&before={ours}'),
    ],
)
def test_other_calls_are_refused(proxy: int, ours: str, method: str, path: str) -> None:
    head = f"{method} {path.format(ours=ours, image=IMAGE)} HTTP/1.1\r\nHost: engine\r\n\r\n"
    assert servers.say_over_tcp(proxy, head.encode()).startswith(b"HTTP/1.1 403")


def test_lists_hold_our_sandboxes_and_nothing_of_others(through: docker.APIClient, ours: str, foreign: str) -> None:
    for label in LABELS:
        # Other tests may keep sandboxes on the same engine.
        found = {container["Id"] for container in through.containers(all=True, filters={"label": label})}
        assert ours in found and foreign not in found
    assert through.containers(all=True, filters={"label": f"{JOB_LABEL}=another"}) == []


def test_a_container_of_somebody_else_cannot_be_touched(
    through: docker.APIClient, engine: docker.DockerClient, foreign: str
) -> None:
    for name in (foreign, foreign[:12], engine.api.inspect_container(foreign)["Name"].strip("/")):
        for method, path in (("POST", "start"), ("POST", "kill"), ("POST", "wait"), ("GET", "json")):
            status, text = call(through, method, f"/containers/{name}/{path}")
            assert status == 403
            assert "theirs" not in text
        with pytest.raises(docker.errors.APIError, match="403"):
            through.attach_socket(name, {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
        with pytest.raises(docker.errors.APIError, match="403"):
            through.remove_container(name, force=True, v=True)
    assert engine.api.inspect_container(foreign)["State"]["Status"] == "created"


def test_a_name_that_comes_to_mean_another_container_is_not_followed(
    through: docker.APIClient, engine: docker.DockerClient, foreign: str
) -> None:
    """A sandbox is called by the beginning of a foreign id: while it goes, the same word begins to mean the other."""
    for _ in range(8):
        named = engine.api.create_container_from_config(SANDBOX, name=foreign[:12])["Id"]
        calls = [("POST", f"/containers/{foreign[:12]}/{verb}") for verb in ("start", "start", "kill", "wait")]
        calls.append(("DELETE", f"/containers/{foreign[:12]}?v=True&link=False&force=True"))
        threads = [threading.Thread(target=call, args=(through, *asked)) for asked in calls]
        for thread in threads:
            thread.start()
        # The proxy may have removed it, or be about to, which the engine answers with a conflict.
        with contextlib.suppress(docker.errors.APIError):
            engine.api.remove_container(named, force=True)
        for thread in threads:
            thread.join()
        assert engine.api.inspect_container(foreign)["State"]["Status"] == "created"


def test_an_absent_container_is_answered_by_the_proxy(through: docker.APIClient) -> None:
    for name in ("absent", "0" * 64):
        status, text = call(through, "POST", f"/containers/{name}/start")
        assert (status, "engine proxy" in text) == (404, True)


def test_no_more_sandboxes_are_made_than_there_may_be(through: docker.APIClient, engine: docker.DockerClient) -> None:
    threads, made = [], []

    def create() -> None:
        made.append(call(through, "POST", "/containers/create", SANDBOX)[0])

    for _ in range(2 * COUNT):
        threads.append(threading.Thread(target=create))
        threads[-1].start()
    for thread in threads:
        thread.join()
    found = engine.api.containers(all=True, filters={"label": DEADLINE_LABEL})
    for container in found:
        engine.api.remove_container(container["Id"], force=True)
    assert set(made) == {201, 429}
    assert made.count(201) == len(found) <= COUNT


def test_a_full_engine_is_told_from_a_broken_one(
    docker_engine: str,
    proxy: int,
    through: docker.APIClient,
    engine: docker.DockerClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{proxy}")
    backend = docker_sandbox()
    try:
        for _ in range(COUNT):
            call(through, "POST", "/containers/create", SANDBOX)
        with pytest.raises(SandboxFault, match=FULL):
            backend.open(RUN, "one too many")
    finally:
        for container in engine.api.containers(all=True, filters={"label": DEADLINE_LABEL}):
            engine.api.remove_container(container["Id"], force=True)


def test_no_answer_tells_of_more_than_a_sandbox_needs(through: docker.APIClient, ours: str) -> None:
    assert through.inspect_image(IMAGE).keys() == {"Id", "Config"}
    assert through.inspect_image(IMAGE)["Config"].keys() == {"Labels"}
    assert through.inspect_container(ours).keys() == {"Id", "Created", "State", "Config"}
    assert through.version().keys() == {"Version", "ApiVersion", "MinAPIVersion"}
    assert through.info().keys() == {"Runtimes", "DefaultRuntime", "CgroupVersion", "CgroupDriver"}


@pytest.mark.parametrize("upgrade", [b"", b"Connection: Upgrade\r\nUpgrade: tcp\r\n"])
def test_a_second_request_on_one_connection_never_reaches_the_engine(proxy: int, upgrade: bytes) -> None:
    query = b"stdin=1&stdout=1&stderr=1&stream=1"
    first = b"POST /containers/absent/attach?" + query + b" HTTP/1.1\r\nHost: engine\r\n" + upgrade + b"\r\n"
    with socket.create_connection(("127.0.0.1", proxy), timeout=10) as connection:
        connection.sendall(first + b"GET /volumes HTTP/1.1\r\nHost: engine\r\n\r\n")
        said = b""
        with contextlib.suppress(ConnectionResetError):
            while chunk := connection.recv(4096):
                said += chunk
    assert said.startswith(b"HTTP/1.1 404" if upgrade else b"HTTP/1.1 403")
    assert said.count(b"HTTP/1.1 ") == 1
    assert b"Volumes" not in said
