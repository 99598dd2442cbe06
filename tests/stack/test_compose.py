"""The real Dockerfile and docker-compose.yml, from build to down, on images that stand in for those of a registry."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from execution.sandbox.image_names import image_of
from tests.live import PASSWORD
from tests.project.test_settings_documented import read_by_settings
from tests.services import fixtures, servers

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
PROJECT = "codecrafter-stack-test"
PATIENCE_SECONDS = 120
FINAL = ("completed", "failed", "compile_error", "timed_out", "out_of_memory", "output_limit", "cancelled", "error")
APPLICATION = ("web", "worker", "beat", "migrate")
NOT_OF_A_CHECKOUT = (".git", ".venv", "node_modules", "build", "var", "__pycache__", ".env", "tests", ".*_cache")
# What the image is built with, and what docker-compose.yml says because other services count on it.
FIXED = {"HOST", "PORT", "DATA_DIR", "STATIC_ROOT", "STATIC_COMPRESS", "WORKER_METRICS_PORT"}
# What only the process that answers people reads.
SECRETS = {
    *("SECRET_KEY", "SECRET_KEY_FALLBACKS", "JWT_SIGNING_KEY", "METRICS_TOKEN"),
    *("EMAIL_URL", "GITHUB_CLIENT_SECRET", "OIDC_CLIENT_SECRET"),
}
# Name -> the value that .env.example shows.
VARIABLES = dict(re.findall(r"^#([A-Z0-9_]+)=(.*)$", (ROOT / ".env.example").read_text(), flags=re.MULTILINE))
# How a machine behind a proxy that inspects TLS is told what to trust.
CERTIFICATES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
SWITCHES = {"on": "off", "off": "on"}
# Taken apart by the settings: a value, and what is kept of it.
TAKEN_APART = {
    "DATABASE_URL": ("postgres://u:p@database-url:5432/d", "database-url"),
    "EMAIL_URL": ("smtp+tls://u:p@email-url:587", "email-url"),
}


class Stack:
    """The stack of a checkout of its own, with the .env that `make up` would make."""

    def __init__(self, checkout: Path, engine: str) -> None:
        self.checkout = checkout
        self.port = servers.free_port()
        # Compose would prefer what the environment says to what .env says.
        self.environment = {name: value for name, value in os.environ.items() if name not in VARIABLES} | {
            "DOCKER_HOST": engine,
            "COMPOSE_PROJECT_NAME": PROJECT,
            "STAND_INS": str(checkout / "stand-ins"),
            "STAND_IN_BASE": image_of("base", os.environ.get("SANDBOX_IMAGE", "")),
            "BUILD_CA": next((os.environ[name] for name in CERTIFICATES if os.environ.get(name)), "/dev/null"),
        }
        ignore = shutil.ignore_patterns(*NOT_OF_A_CHECKOUT)
        shutil.copytree(ROOT, checkout, ignore=ignore)
        shutil.copytree(HERE, checkout / "stand-ins", ignore=ignore)
        for name in ("deploy/node.txt", "requirements-dev.txt"):
            shutil.copy(ROOT / name, checkout / "stand-ins")
        self.env = checkout / ".env"
        chosen = {
            "PUBLISH": f"127.0.0.1:{self.port}",
            "PROMETHEUS_PORT": servers.free_port(),
            "GRAFANA_PORT": servers.free_port(),
            "ENGINE_SOCKET": engine.removeprefix("unix://"),
            "SANDBOX_IMAGE": os.environ.get("SANDBOX_IMAGE") or "codecrafter/sandbox",
        }
        self.env.write_text("".join(f"{name}={value}\n" for name, value in chosen.items()))
        subprocess.run([sys.executable, checkout / "deploy" / "write_env.py"], check=True, capture_output=True)

    def docker(self, *words: str) -> str:
        done = subprocess.run(
            [servers.program("docker"), *words],
            cwd=self.checkout,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.fail(f"docker {' '.join(words)}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}", pytrace=False)
        return done.stdout

    def compose(self, *words: str) -> str:
        return self.docker("compose", "-f", "docker-compose.yml", "-f", "stand-ins/override.yml", *words)

    def secrets(self) -> dict[str, str]:
        return dict(re.findall(r"^([A-Z_]+)=([0-9a-f]{64})$", self.env.read_text(), flags=re.MULTILINE))

    def settings(self, service: str) -> dict[str, str]:
        """What codecrafter.settings holds in a container of the service, each written as Python would."""
        script = (
            "import json; from codecrafter import settings;"
            "print(json.dumps({name: repr(value) for name, value in vars(settings).items() if name.isupper()}))"
        )
        found: dict[str, str] = json.loads(
            self.compose("run", "--rm", "--no-deps", "-T", service, "python", "-c", script)
        )
        return found


@pytest.fixture(scope="module")
def stack(docker_engine: str, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """Its images are built; nothing runs yet."""
    if not docker_engine.startswith("unix://"):
        fixtures.missing("the engine is not on this machine")
    if subprocess.run([servers.program("docker"), "compose", "version"], check=False, capture_output=True).returncode:
        fixtures.missing("Docker Compose 2 is not installed")
    made = Stack(tmp_path_factory.mktemp("stack") / "checkout", docker_engine)
    made.compose("--profile", "stand-ins", "build", "--quiet", "stand-in", "stand-in-python", "stand-in-node")
    made.compose("build", "--quiet", "web")
    return made


@pytest.fixture
def running(stack: Stack) -> Iterator[Stack]:
    try:
        stack.compose("up", "--detach", "--wait", "--wait-timeout", "240", "--no-build")
        yield stack
    finally:
        print(stack.compose("ps", "--all"), stack.compose("logs", "--tail", "40"))
        stack.compose("down", "--volumes", "--timeout", "5")


def given(number: int, name: str, shown: str) -> tuple[str, str]:
    """A value for a variable that is not its default, and how the settings show it."""
    if shown in SWITCHES:
        return SWITCHES[shown], str(SWITCHES[shown] == "on")
    if re.fullmatch(r"[0-9.]+(/[0-9]+)?", shown):
        return re.sub(r"^[0-9.]+", str(71_000 + number), shown), str(71_000 + number)
    return TAKEN_APART.get(name, (f"given-{100 + number}", f"given-{100 + number}"))


def test_every_variable_reaches_the_settings_of_the_processes_that_read_it(stack: Stack) -> None:
    names = sorted(read_by_settings() & VARIABLES.keys() - FIXED)
    values = {name: given(number, name, VARIABLES[name]) for number, name in enumerate(names)}
    before = stack.env.read_text()
    try:
        stack.env.write_text(before + "".join(f"{name}={value}\n" for name, (value, _) in values.items()))
        for service in APPLICATION:
            settings = stack.settings(service)
            everything = "\n".join(settings.values())
            arrived = {name for name, (_, kept) in values.items() if kept in settings.get(name, everything)}
            assert arrived == values.keys() - (set() if service == "web" else SECRETS), service
    finally:
        stack.env.write_text(before)


def ask_until(client: httpx.Client, path: str, name: str, wanted: tuple[str, ...]) -> dict[str, Any]:
    """The JSON at a path once one of its values is as wanted, or when that takes too long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        told: dict[str, Any] = client.get(path).json()
        if told.get(name) in wanted or time.monotonic() > deadline:
            return told
        time.sleep(0.5)


def test_the_stack_comes_up_and_runs_a_program(running: Stack) -> None:
    address = f"http://127.0.0.1:{running.port}"
    with httpx.Client(base_url=address, headers={"Host": "localhost"}, timeout=60) as client:
        client.headers["Authorization"] = f"Bearer {running.secrets()['METRICS_TOKEN']}"
        # A worker reports for the first time a moment after it is up.
        health = ask_until(client, "/health/ready", "status", ("ok",))
        assert health["status"] == "ok", health
        del client.headers["Authorization"]
        who = {"username": "ada", "email": "ada@example.org", "password": PASSWORD}
        client.headers["Authorization"] = f"Bearer {client.post('/api/auth/register', json=who).json()['access']}"
        for language, code in (
            ("python", "print('hello, world')"),
            ("c", '#include <stdio.h>\nint main(void) { puts("hello, world"); }'),
        ):
            job = client.post("/api/execute", json={"language": language, "code": code}).json()
            ran = ask_until(client, f"/api/execute/status/{job['job_id']}", "status", FINAL)
            assert (ran["status"], ran["stdout"]) == ("completed", "hello, world\n"), ran
        style = re.search(r'href="(/static/[^"]+\.css)"', client.get("/").text)
        assert style is not None
        sent = client.get(style[1], headers={"Accept-Encoding": "br"})
        assert (sent.status_code, sent.headers["Content-Encoding"]) == (200, "br")


def test_the_image_holds_no_secret(stack: Stack) -> None:
    told = stack.docker("image", "inspect", "codecrafter/app")
    told += stack.docker("history", "--no-trunc", "codecrafter/app")
    files = (
        "run",
        "--rm",
        "--network",
        "none",
        "codecrafter/app",
        "find",
        "/srv",
        "/data",
        "/run",
        "/tmp",
        "-type",
        "f",
    )
    assert not [line for line in stack.docker(*files).splitlines() if re.search(r"/\.env|_key$|secrets", line)]
    assert len(stack.secrets()) > 5
    assert not [name for name, value in stack.secrets().items() if value in told]
