"""Real servers on free ports, from the programs on the machine, ended with everything they started; for fixtures.py.

Each is a context manager that yields the address to connect to. `Unavailable` says what is missing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from docker import DockerClient
from docker.errors import DockerException

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

START_SECONDS = 90
STOP_SECONDS = 30


# Whether the test that runs now is marked slow; `make test-unit` promises that no server is started.
may_start = True


class Unavailable(Exception):
    """This server cannot run here; the message says why."""


class NotReady(Exception):
    """The server does not answer as it should, yet."""


def program(name: str, *directories: str) -> str:
    """The path of an installed program; Debian keeps some servers outside an ordinary PATH."""
    found = shutil.which(name, path=os.pathsep.join([*directories, os.environ.get("PATH", ""), "/usr/sbin"]))
    if found is None:
        raise Unavailable(f"{name} is not installed")
    return found


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


@contextlib.contextmanager
def folder(owner: str | None = None) -> Iterator[Path]:
    """A directory of its own with a path short enough for a Unix socket."""
    path = Path(tempfile.mkdtemp(prefix="cc-", dir="/tmp"))
    try:
        if owner:
            shutil.chown(path, owner, pwd.getpwnam(owner).pw_gid)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def say_over_tcp(port: int, request: bytes) -> bytes:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.settimeout(2)
            connection.sendall(request)
            return connection.recv(64)
    except OSError as error:
        raise NotReady(str(error)) from error


@contextlib.contextmanager
def process(
    argv: Sequence[str | Path],
    ready: Callable[[], None],
    log: Path,
    *,
    stop: signal.Signals = signal.SIGTERM,
    user: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a server until the block ends. It dies with this process too, so a killed test run leaves nothing behind."""
    assert may_start, "a test that starts a server must be marked slow"
    as_user = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}
    with log.open("wb") as output:
        server = subprocess.Popen(  # type: ignore[call-overload]
            [program("setpriv"), "--pdeathsig", stop.name[3:], "--", *(str(part) for part in argv)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=log.parent,
            env={**os.environ, **(environment or {})},
            **as_user,
        )
    try:
        wait_until_ready(server, ready, log)
        yield server
    finally:
        end(server, stop)


def wait_until_ready(server: subprocess.Popen[bytes], ready: Callable[[], None], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return ready()
        except NotReady as error:
            if server.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace")[-4000:]
                raise RuntimeError(f"{server.args!r} did not become ready ({error}); it said:\n{said}") from error
        time.sleep(0.05)


def end(server: subprocess.Popen[bytes], stop: signal.Signals) -> None:
    """Asks the server to stop, then kills what is left of its process group."""
    if server.poll() is None:
        server.send_signal(stop)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


@contextlib.contextmanager
def redis(port: int | None = None) -> Iterator[str]:
    port = port or free_port()

    def ready() -> None:
        if say_over_tcp(port, b"PING\r\n") != b"+PONG\r\n":
            raise NotReady("no PONG")

    with folder() as directory:
        argv: list[str | Path] = [
            program("redis-server"),
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            directory,
        ]
        with process(argv, ready, directory / "log"):
            yield f"redis://127.0.0.1:{port}/0"


@contextlib.contextmanager
def rabbitmq() -> Iterator[str]:
    # Debian's /usr/sbin/rabbitmq-server changes user, directory and log; the script it wraps does not.
    server = program("rabbitmq-server", "/usr/lib/rabbitmq/bin")
    port, epmd_port, distribution_port = free_port(), free_port(), free_port()

    def answers_amqp() -> None:
        # The server opens with Connection.Start, a method frame (type 1) on channel 0.
        if not say_over_tcp(port, b"AMQP\x00\x00\x09\x01").startswith(b"\x01\x00\x00"):
            raise NotReady("no AMQP")

    def names_answer() -> None:
        say_over_tcp(epmd_port, b"\x00\x01n")

    with folder() as directory:
        (directory / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{port}\nlog.console = true\n")
        (directory / "env.conf").touch()
        (directory / "plugins").write_text("[].\n")
        environment = {
            "HOME": str(directory),
            "ERL_EPMD_PORT": str(epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONF_ENV_FILE": str(directory / "env.conf"),
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
            "RABBITMQ_NODENAME": f"cc{port}@localhost",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(distribution_port),
            "RABBITMQ_MNESIA_BASE": str(directory / "data"),
            "RABBITMQ_LOG_BASE": str(directory / "logs"),
            "RABBITMQ_PID_FILE": str(directory / "pid"),
            # The script then becomes the server instead of waiting for it, so its pid is the one to end.
            "RUNNING_UNDER_SYSTEMD": "true",
        }
        # Started first and in the foreground: otherwise the server starts one that outlives it.
        names = [program("epmd"), "-port", str(epmd_port), "-address", "127.0.0.1"]
        with (
            process(names, names_answer, directory / "epmd.log", environment=environment),
            process([server], answers_amqp, directory / "log", environment=environment),
        ):
            yield f"amqp://guest:guest@127.0.0.1:{port}//"


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    initdb = program("initdb", *map(str, versions))
    server = program("postgres", *map(str, versions))
    # It refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    port = free_port()

    with folder(user) as directory:
        data = directory / "data"

        def ready() -> None:
            # The last line of the pid file says "ready" once connections are taken.
            try:
                lines = (data / "postmaster.pid").read_text().splitlines()
            except OSError as error:
                raise NotReady(str(error)) from error
            if len(lines) < 8 or lines[7].strip() != "ready":
                raise NotReady("starting")

        subprocess.run(
            [initdb, "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
            user=user,
            group=pwd.getpwnam(user).pw_gid if user else None,
            extra_groups=[] if user else None,
            cwd=directory,
            check=True,
            capture_output=True,
        )
        argv: list[str | Path] = [
            server,
            "-D",
            data,
            "-p",
            str(port),
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            f"unix_socket_directories={directory}",
            "-c",
            "max_connections=200",
        ]
        # SIGINT is the fast shutdown: it does not wait for clients.
        with process(argv, ready, directory / "log", stop=signal.SIGINT, user=user):
            yield f"postgres://postgres@127.0.0.1:{port}/postgres"


@contextlib.contextmanager
def mongodb() -> Iterator[str]:
    """SecantusDB, which speaks MongoDB's protocol. A test that passes on it has not passed on mongod."""
    port = free_port()
    server = program("secantusd-py", str(Path(sys.executable).parent))

    def ready() -> None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=2).close()
        except OSError as error:
            raise NotReady(str(error)) from error

    with folder() as directory:
        (directory / "secantusd.toml").touch()
        argv: list[str | Path] = [
            server,
            "--config",
            directory / "secantusd.toml",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--storage-path",
            directory / "data",
        ]
        with process(argv, ready, directory / "log", environment={"HOME": str(directory)}):
            yield f"mongodb://127.0.0.1:{port}/codecrafter"


def cache_folder() -> Path:
    """What is costly to make and kept between test runs."""
    path = Path(os.environ.get("CODECRAFTER_TEST_CACHE") or Path.home() / ".cache" / "codecrafter-tests")
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def unmounted(directory: Path) -> Iterator[None]:
    """Afterwards nothing is mounted below: an engine that has run containers leaves its network namespace there."""
    try:
        yield
    finally:
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for path in sorted((path for path in mounts if path.startswith(f"{directory}/")), reverse=True):
            subprocess.run([program("umount"), "--lazy", path], check=False, capture_output=True)


@contextlib.contextmanager
def docker() -> Iterator[str]:
    """A Docker engine without a network of its own; its images stay in the cache folder. Yields a DOCKER_HOST value."""
    given = os.environ.get("DOCKER_HOST")
    if given:
        yield given
        return
    if os.geteuid() != 0:
        raise Unavailable("only root can start dockerd; set DOCKER_HOST to an engine that may be used")
    cache = cache_folder()
    # Two engines must not share a data root: a second test run waits for the first.
    with folder() as directory, (cache / "docker.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with unmounted(directory), dockerd(directory, cache / "docker") as (address, _server):
            # What a killed test run left in the cache, which may have started again with the engine.
            client = [program("docker"), "--host", address]
            left = subprocess.run([*client, "ps", "--all", "--quiet"], check=True, capture_output=True, text=True)
            for container in left.stdout.split():
                subprocess.run([*client, "rm", "--force", "--volumes", container], check=True, capture_output=True)
            yield address


@contextlib.contextmanager
def dockerd(directory: Path, data_root: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """An engine; what it keeps while it runs is in `directory`, where another may take over after its death."""
    client = program("docker")
    address = f"unix://{directory}/docker.sock"

    def ready() -> None:
        asked = subprocess.run(
            [client, "--host", address, "version"],
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        if asked.returncode:
            raise NotReady(asked.stderr.strip())

    # No bridge and no firewall rules: sandboxes have no network, and the machine's own stays as it was.
    argv: list[str | Path] = [
        program("dockerd"),
        *("--data-root", data_root, "--exec-root", directory / "exec", "--pidfile", directory / "pid"),
        *("--host", address),
        *("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"),
    ]
    with process(argv, ready, directory / "log") as server:
        yield address, server


def mounts_without_container(host: str = "") -> list[str]:
    """What is mounted in the folder of an engine on this machine, and belongs to no container that the engine knows.

    `host` is as DOCKER_HOST, which is asked without one.
    """
    with contextlib.closing(DockerClient(base_url=host) if host else DockerClient.from_env()) as client:
        engine = client.api
        root = str(engine.info()["DockerRootDir"])
        known = []
        mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for container in engine.containers(all=True):
            known.append(container["Id"])
            with contextlib.suppress(DockerException):
                data = engine.inspect_container(container["Id"])["GraphDriver"]["Data"] or {}
                known.append(data.get("MergedDir", container["Id"]))
    return [path for path in mounted if path.startswith(f"{root}/") and not any(part in path for part in known)]
