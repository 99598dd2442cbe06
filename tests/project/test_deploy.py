"""What the files for operators promise, read from the files themselves."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name for name, service in SERVICES.items() if service.get("image") == "codecrafter/app"}
WRITE_ENV = ROOT / "deploy" / "write_env.py"


def required_secrets() -> set[str]:
    return set(re.findall(r"\$\{([A-Z_]+):\?", (ROOT / "docker-compose.yml").read_text()))


def write_env(path: Path) -> None:
    subprocess.run([sys.executable, WRITE_ENV, path], check=True, capture_output=True)


def test_everything_comes_back_after_a_crash_of_the_engine() -> None:
    lasting = {name for name, service in SERVICES.items() if service["restart"] == "always"}
    assert lasting == SERVICES.keys() - {"migrate"}


def test_every_process_of_the_application_reads_env_and_is_asked_whether_it_is_well() -> None:
    for name in OURS - {"engine"}:
        assert SERVICES[name]["env_file"] == ".env", name
    for name in OURS - {"migrate"}:
        assert SERVICES[name].get("healthcheck") != {"disable": True}, name


def test_a_secret_reaches_only_the_processes_that_read_it() -> None:
    documented = re.findall(r"^#([A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), flags=re.MULTILINE)
    secrets = {name for name in documented if re.search(r"PASSWORD|SECRET|_KEY$|_TOKEN$|^EMAIL_URL$", name)}
    of_servers = {name for name in secrets if name.endswith("_PASSWORD")}
    assert {"SECRET_KEY", "EMAIL_URL", "OIDC_CLIENT_SECRET"} <= secrets - of_servers
    assert len(of_servers) == 5
    for name in OURS - {"engine"}:
        blank = {key for key, value in SERVICES[name]["environment"].items() if value == ""}
        assert blank == (of_servers if name == "web" else secrets), name
    for name in SERVICES.keys() - OURS | {"engine"}:
        assert "env_file" not in SERVICES[name], name
    assert not secrets & SERVICES["engine"]["environment"].keys()


def test_nothing_is_privileged_or_adds_a_capability() -> None:
    for name, service in SERVICES.items():
        assert not service.get("privileged"), name
        assert "cap_add" not in service, name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service.get("network_mode") is None, name


def test_our_processes_keep_no_capability_and_write_nothing() -> None:
    assert {"web", "worker", "beat", "migrate", "engine"} == OURS
    for name in OURS:
        assert SERVICES[name]["cap_drop"] == ["ALL"], name
        assert SERVICES[name]["read_only"] is True, name


def test_only_the_proxy_sees_the_engine_and_only_the_worker_sees_the_proxy() -> None:
    with_socket = {
        name for name, service in SERVICES.items() if "docker.sock" in json.dumps(service.get("volumes", []))
    }
    assert with_socket == {"engine"}
    assert {name for name, service in SERVICES.items() if "engine" in service.get("networks", [])} == {
        "engine",
        "worker",
    }
    assert SERVICES["engine"]["networks"] == ["engine"]
    assert COMPOSE["networks"]["engine"]["internal"] is True


def test_ports_are_published_on_loopback_only() -> None:
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            assert port.startswith(("127.0.0.1:", "${PUBLISH:-127.0.0.1:")), name


def test_compose_refuses_to_start_without_the_secrets_that_make_up_makes(tmp_path: Path) -> None:
    write_env(tmp_path / "env")
    assert required_secrets() == set(re.findall(r"^([A-Z_]+)=", (tmp_path / "env").read_text(), flags=re.MULTILINE))


def test_made_secrets_are_random_private_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("SECRET_KEY=chosen\nPOSTGRES_PASSWORD=")
    write_env(path)
    first = path.read_text()
    assert first.startswith("SECRET_KEY=chosen\n")
    values = re.findall(r"^[A-Z_]+=(\S{40,})$", first, flags=re.MULTILINE)
    assert len(set(values)) == len(required_secrets()) - 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    write_env(path)
    assert path.read_text() == first


def test_the_image_is_built_from_named_folders_only() -> None:
    wanted = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in wanted
    assert not any(line.startswith("!") and line[1:] in (".env", "var", ".git", "tests") for line in wanted)


def test_the_dashboard_asks_for_series_that_the_code_has() -> None:
    dashboard = json.loads((ROOT / "monitoring/grafana/dashboards/codecrafter.json").read_text())
    rules = yaml.safe_load((ROOT / "monitoring/alerts.yml").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked += [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    code = "".join(
        path.read_text()
        for app in ("codecrafter", "execution", "realtime", "activity")
        for path in (ROOT / app).rglob("*.py")
    )
    for name in set(re.findall(r"\b[a-z]+(?:_[a-z]+){1,}\b(?=[\[{) ]|$)", " ".join(asked))) - {"histogram_quantile"}:
        series = re.sub(r"_bucket$", "", name)
        assert f'"{series}"' in code or f'"{series}_' in code, name


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_takes_its_files() -> None:
    for argv in (["check", "config", "--syntax-only", "prometheus.yml"], ["check", "rules", "alerts.yml"]):
        subprocess.run(["promtool", *argv], cwd=ROOT / "monitoring", check=True, capture_output=True)


def test_compose_is_looked_for_before_images_are_built() -> None:
    planned = subprocess.run(
        ["make", "--dry-run", "up"],
        cwd=ROOT,
        env={**os.environ, "MAKEFLAGS": ""},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert planned.index("deploy/setup.py compose") < planned.index("execution.images.build") < planned.index("--wait")


def test_the_documented_backup_is_private_and_can_be_repeated(tmp_path: Path) -> None:
    recipe = (
        (ROOT / "docs/operations.md")
        .read_text()
        .partition("* SQLite, while")[2]
        .partition("```sh\n")[2]
        .partition("```")[0]
    )
    (tmp_path / "var").mkdir()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    with contextlib.closing(sqlite3.connect(tmp_path / "var" / "codecrafter.sqlite3")) as live:
        live.executescript("PRAGMA journal_mode=WAL; CREATE TABLE kept (x); INSERT INTO kept VALUES (1)")
        for _ in range(2):
            subprocess.run(["sh", "-euc", recipe], cwd=tmp_path, check=True)
    made = list(tmp_path.glob("codecrafter-*"))
    assert {path.suffix for path in made} == {".sqlite3"}
    for path in made:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with contextlib.closing(sqlite3.connect(path)) as copy:
            assert copy.execute("SELECT x FROM kept").fetchall() == [(1,)]


def test_every_make_target_is_explained() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    helped = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        env={**os.environ, "MAKEFLAGS": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert {line.split()[1] for line in helped.stdout.splitlines()} == targets
