"""What the API adds to a bare Django view: each call beside GET /health, a constant, on one server in one run.

    .venv/bin/python benchmarks/api.py [--rounds 600] [--sessions 100000]

One process in the production shape (PostgreSQL, Redis), one kept connection, calls interleaved round by round, medians.
Rate limits are off. Sign-in stands beside one bcrypt hash, computed here.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import bcrypt

from benchmarks.common import at, machine
from tests.live import ROOT, LiveServer
from tests.services import servers

WARM = 50
PASSWORD = "correct horse battery"
# Runs inside the server's settings: people, and the sessions that one of them owns.
PREPARE = """
import json
from datetime import timedelta
from django.db import connection
from django.utils import timezone
from accounts import tokens
from accounts.models import User
import languages
from sessions_app import actions
from sessions_app.models import CodeSession, Collaborator
owner, few = (User.objects.create_user(n, n + "@example.org", "%(password)s") for n in ("owner", "few"))
session = actions.create_session(owner, language=languages.get("python"), title="Bench")
Collaborator.objects.create(session=session, user=few, permission="write")
begin = timezone.now() - timedelta(days=30)
rows = [
    CodeSession(owner=owner if n %% 50 else few, title=f"Session {n}", language="python") for n in range(%(count)d)
]
CodeSession.objects.bulk_create(rows, batch_size=5000)
with connection.cursor() as cursor:
    cursor.execute("UPDATE sessions_app_codesession SET updated_at = now() - random() * interval '30 days'")
    cursor.execute("ANALYZE")
print(json.dumps({"session": str(session.pk), "owner": tokens.issue(owner).access, "few": tokens.issue(few).access}))
"""


class Caller:
    """One kept connection; as little of our own work in a measurement as the standard library allows."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port)

    def __call__(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[float, int]:
        began = time.perf_counter()
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        answer.read()
        return time.perf_counter() - began, answer.status


def measure(port: int, made: dict[str, str], rounds: int) -> None:
    call = Caller(port)
    owner, few = ({"Authorization": f"Bearer {made[name]}"} for name in ("owner", "few"))
    session = f"/api/sessions/{made['session']}"
    calls = {
        "constant": ("/health", {}),
        "profile": ("/api/auth/profile", owner),
        "session by id, owner": (session, owner),
        "session by id, collaborator": (session, few),
        "20 of the owner's": ("/api/sessions", owner),
        "20 of somebody who has a fiftieth": ("/api/sessions", few),
        "languages": ("/api/execute/languages", {}),
    }
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(WARM + rounds):
        for name, (path, headers) in calls.items():
            seconds, status = call("GET", path, None, headers)
            assert status == 200, (name, status)
            if number >= WARM:
                samples[name].append(seconds)
    base = at(samples["constant"], 0.5)
    print(f"{'call':<36} {'p50 ms':>8} {'p95 ms':>8} {'/ constant':>11}")
    for name, taken in samples.items():
        middle = at(taken, 0.5)
        print(f"{name:<36} {middle * 1e3:8.2f} {at(taken, 0.95) * 1e3:8.2f} {middle / base:11.2f}", flush=True)


def measure_login(port: int, times: int) -> None:
    call = Caller(port)
    body = json.dumps({"username": "owner", "password": PASSWORD}).encode()
    ours, hashes = [], []
    for _ in range(times):
        seconds, status = call("POST", "/api/auth/login", body, {"Content-Type": "application/json"})
        assert status == 200, status
        ours.append(seconds)
        began = time.perf_counter()
        bcrypt.hashpw(b"x" * 64, bcrypt.gensalt(12))
        hashes.append(time.perf_counter() - began)
    ratio = at(ours, 0.5) / at(hashes, 0.5)
    print(f"login {at(ours, 0.5) * 1e3:.0f} ms, one bcrypt hash {at(hashes, 0.5) * 1e3:.0f} ms, ratio {ratio:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=600)
    parser.add_argument("--sessions", type=int, default=100_000)
    chosen = parser.parse_args()
    with contextlib.ExitStack() as stack:
        settings = {
            "DATABASE_URL": stack.enter_context(servers.postgres()),
            "REDIS_URL": stack.enter_context(servers.redis()),
            # Nothing is run here, so nobody needs to listen.
            "CELERY_BROKER_URL": "amqp://guest:guest@127.0.0.1:1//",
        }
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="codecrafter-bench-"))
        live = stack.enter_context(LiveServer(Path(folder), settings))
        script = PREPARE % {"password": PASSWORD, "count": chosen.sessions}
        done = subprocess.run(
            [sys.executable, "manage.py", "shell", "-v", "0", "-c", script],
            cwd=ROOT,
            env=live.environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        print(f"{machine()}; {chosen.sessions} sessions, {chosen.rounds} rounds")
        measure(live.port, json.loads(done.stdout.splitlines()[-1]), chosen.rounds)
        measure_login(live.port, 15)


if __name__ == "__main__":
    main()
