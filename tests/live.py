"""A real server process for tests, and people who use it over the network."""

from __future__ import annotations

import atexit
import functools
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import httpx

from tests.services import servers

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parent.parent
DATABASE_FILE = "codecrafter.sqlite3"
PASSWORD = "correct horse battery"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@functools.cache
def collected_static() -> Path:
    """The static files, collected once for all servers of this test process."""
    folder = tempfile.TemporaryDirectory(prefix="codecrafter-static-")
    atexit.register(folder.cleanup)
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    environment |= {"DATA_DIR": f"{folder.name}/data", "STATIC_ROOT": f"{folder.name}/static"}
    subprocess.run(
        [sys.executable, "manage.py", "collectstatic", "-v", "0", "--no-input"], cwd=ROOT, env=environment, check=True
    )
    return Path(folder.name) / "static"


@functools.cache
def migrated_database() -> Path:
    """A new database as the migrations leave it, made once for all servers of this test process."""
    folder = tempfile.TemporaryDirectory(prefix="codecrafter-database-")
    atexit.register(folder.cleanup)
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    environment |= {"DATA_DIR": folder.name, "SECRET_KEY": "only-for-tests-" + "0" * 40}
    subprocess.run([sys.executable, "manage.py", "migrate", "-v", "0"], cwd=ROOT, env=environment, check=True)
    return Path(folder.name) / DATABASE_FILE


@dataclass
class Process:
    """A process of ours with its own log; ended by its id."""

    argv: list[str]
    environment: dict[str, str]
    log_path: Path
    # The soft and the hard limit of open files.
    descriptors: tuple[int, int] | None = None
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert servers.may_start, "a test that starts a process of ours must be marked slow"
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv, cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        if self.descriptors:
            resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, self.descriptors)

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"did not stop: {self.log()}") from None

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")


class LiveServer:
    """`manage.py serve` on a free port with its own DATA_DIR. The port stays the same over a restart."""

    def __init__(
        self,
        data_dir: Path,
        settings: Mapping[str, str] | None = None,
        descriptors: tuple[int, int] | None = None,
    ) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self.data_dir = data_dir
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.port}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
            "DATA_DIR": str(data_dir),
            "PORT": str(self.port),
            "HOST": "127.0.0.1",
            "RATE_LIMITS": "off",
            "TRY_LANGUAGES": "off",
            "SECRET_KEY": "only-for-tests-" + "0" * 40,
            "JWT_SIGNING_KEY": "only-for-tests-" + "1" * 40,
            "STATIC_ROOT": str(collected_static()),
            "STATIC_COMPRESS": "off",
            **(settings or {}),
        }
        argv = [sys.executable, "manage.py", "serve"]
        self._server = Process(argv, self.environment, data_dir / "serve.log", descriptors)

    def worker(self, name: str, **settings: str) -> Process:
        """A worker process of its own, on the same settings."""
        argv = [sys.executable, "-m", "celery", "-A", "codecrafter", "worker", "-l", "INFO", "-n", f"{name}@%h"]
        return Process(argv, self.environment | settings, self.data_dir / f"worker-{name}.log")

    def beat(self) -> Process:
        """The process that sends the periodic work."""
        schedule = str(self.data_dir / "beat-schedule")
        argv = [sys.executable, "-m", "celery", "-A", "codecrafter", "beat", "-s", schedule]
        return Process(argv, self.environment, self.data_dir / "beat.log")

    def manage(self, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def __enter__(self) -> Self:
        if "DATABASE_URL" in self.environment:
            self.manage("migrate", "-v", "0")
        elif not (self.data_dir / DATABASE_FILE).exists():
            # As open as an earlier version left it.
            shutil.copyfile(migrated_database(), self.data_dir / DATABASE_FILE)
            (self.data_dir / DATABASE_FILE).chmod(0o644)
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.end()

    def start(self) -> None:
        self._server.start()
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            assert self._server.process is not None
            assert self._server.process.poll() is None, self.log()
            try:
                if httpx.get(f"{self.url}/health", timeout=60).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError(f"the server did not start: {self.log()}")

    def stop(self) -> int:
        return self._server.end()

    def kill(self) -> None:
        """kill -9, as a crash would."""
        self._server.end(signal.SIGKILL)

    @property
    def pid(self) -> int:
        assert self._server.process is not None
        return self._server.process.pid

    def log(self) -> str:
        return self._server.log()

    def wait_for_languages(self) -> None:
        """Until the worker has said what runs here."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            rows = httpx.get(f"{self.url}/api/execute/languages").json()
            if any(row["version"] for row in rows):
                return
            time.sleep(0.2)
        raise AssertionError(f"no language became available: {self.log()}")

    def person(self, name: str) -> Person:
        """Register somebody; a suffix keeps names unique on a server that several tests share."""
        username = f"{name}-{uuid.uuid4().hex[:8]}"
        answer = httpx.post(
            f"{self.url}/api/auth/register",
            json={"username": username, "email": f"{username}@example.org", "password": PASSWORD},
            timeout=60,
        )
        assert answer.status_code == 201, answer.text
        body = answer.json()
        return Person(self, username, body["user"]["id"], body["access"])


class Named(Protocol):
    username: str


@dataclass
class Person:
    server: LiveServer
    username: str
    id: str
    access: str
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=self.server.url, headers=self.headers, timeout=60)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access}"}

    def call(self, method: str, path: str, status: int, **kwargs: Any) -> Any:
        answer = self.http.request(method, path, **kwargs)
        assert answer.status_code == status, f"{answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def new_session(self, **fields: Any) -> dict[str, Any]:
        return self.call("POST", "/api/sessions", 201, json={"title": "Together", "language": "python", **fields})

    def let_in(self, session_id: str, other: Named, permission: str = "write") -> None:
        self.call(
            "POST",
            f"/api/sessions/{session_id}/collaborators",
            201,
            json={"username": other.username, "permission": permission},
        )

    def text(self, session_id: str) -> str:
        return self.call("GET", f"/api/sessions/{session_id}", 200)["content"]

    def socket_url(self, session_id: str) -> str:
        return f"{self.server.ws_url}/ws/sessions/{session_id}"
