"""The live document beside its peers: processor time per delivered edit, delivery, acknowledgement, joining, memory.

    .venv/bin/python benchmarks/realtime/run.py [--scenarios fanout,writers] [--servers codecrafter,hocuspocus]

Every round measures every server, one after the other, with the same load client at the same pace; figures are the
medians of the rounds. README.md says what each scenario is. Needs Node 20, PostgreSQL and redis-server.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.common import machine
from tests.live import LiveServer, free_port
from tests.services import servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
SERVERS = ("codecrafter", "y-websocket", "hocuspocus", "group_send")
PEERS = ("y-websocket", "hocuspocus")
# With the clients of the peers instead of the page.
STOCK = "codecrafter, stock client"


def processor_seconds(pid: int) -> float:
    """User and system time of one process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def group_seconds(parent: int) -> float:
    """Of a process and its children."""
    total = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent or stat.parent.name == str(parent):
                total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


@dataclass
class Target:
    """A running server, and what a client needs to talk to it."""

    urls: list[str]
    pids: list[int]
    dialect: str = "plain"
    subprotocol: str = ""
    rooms: Callable[[int, int, Path | None], dict[str, Any]] = field(
        default=lambda rooms, people, document: {"rooms": [f"room{n}" for n in range(rooms)], "tokens": []}
    )
    keeps_documents: bool = False
    database: int | None = None


def node(script: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["node", str(script)], cwd=HERE, env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip


@contextlib.contextmanager
def simple(argv: list[str], dialect: str, path: str) -> Iterator[Target]:
    port = free_port()
    process = subprocess.Popen(
        argv,
        cwd=HERE,
        env={**os.environ, "PORT": str(port), "HOST": "127.0.0.1", "NODE_ENV": "production"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port)
        yield Target([f"ws://127.0.0.1:{port}{path}"], [process.pid], dialect)
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 2).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


class Ours(LiveServer):
    def __exit__(self, *exc: object) -> None:
        # Nothing is kept, so nobody waits for the good-byes to all sockets.
        self.kill()


@contextlib.contextmanager
def codecrafter(processes: int = 1, **settings: str) -> Iterator[Target]:
    """`manage.py serve` as production starts it: on PostgreSQL and Redis, with no worker inside."""
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(servers.postgres())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        environment = {
            "DATABASE_URL": postgres,
            # Nothing listens there: no run is started here, and the worker stays out of the measured process.
            "CELERY_BROKER_URL": "amqp://127.0.0.1:9//",
            "LOG_LEVEL": "WARNING",
            **settings,
        }
        environment["REDIS_URL"] = stack.enter_context(servers.redis())
        running = [stack.enter_context(Ours(folder / str(n), environment)) for n in range(processes)]

        def rooms(count: int, people: int, document: Path | None) -> dict[str, Any]:
            argv = [sys.executable, str(HERE / "prepare.py"), str(count), str(people)]
            done = subprocess.run(
                [*argv, *([str(document)] if document else [])],
                env=running[0].environment,
                check=True,
                stdout=subprocess.PIPE,
            )
            made: dict[str, Any] = json.loads(done.stdout)
            return made

        pids = [live._server.process.pid for live in running if live._server.process is not None]
        yield Target(
            [f"{live.ws_url}/ws/sessions/{{room}}" for live in running],
            pids,
            subprotocol="codecrafter.v1",
            rooms=rooms,
            keeps_documents=True,
            database=postmaster(postgres),
        )


def postmaster(address: str) -> int:
    port = address.rpartition(":")[2].partition("/")[0]
    for stat in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"\0-p\0{port}\0".encode() in stat.read_bytes():
                return int(stat.parent.name)
    raise RuntimeError("the database's process is not there")


def start(name: str, **settings: str) -> contextlib.AbstractContextManager[Target]:
    if name in ("codecrafter", STOCK):
        return codecrafter(**settings)
    if name == "y-websocket":
        script = HERE / "node_modules" / "y-websocket" / "bin" / "server.cjs"
        return simple(["node", str(script)], "plain", "/{room}")
    if name == "hocuspocus":
        return simple(["node", str(HERE / "hocuspocus_server.mjs")], "hocuspocus", "/")
    return simple([sys.executable, str(HERE / "group_send.py")], "relay", "/{room}")


def load(target: Target, job: dict[str, Any], on_line: Callable[[dict[str, Any]], None] = lambda line: None) -> Any:
    """Run the load client; the outcome with the processor time that the servers used between begin and end."""
    job = {"dialect": target.dialect, "subprotocol": target.subprotocol, "servers": target.urls, **job}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(job, file)
        file.flush()
        client = subprocess.Popen(["node", str(HERE / "client.mjs"), file.name], stdout=subprocess.PIPE, text=True)
        assert client.stdout is not None
        used: dict[str, float] = {}
        outcome: dict[str, Any] | None = None
        for text in client.stdout:
            line = json.loads(text)
            if line["at"] in ("begin", "end"):
                sign = -1 if line["at"] == "begin" else 1
                used["server"] = used.get("server", 0) + sign * sum(map(processor_seconds, target.pids))
                used["memory"] = used.get("memory", 0) + sign * sum(map(resident_bytes, target.pids))
                if target.database is not None:
                    used["database"] = used.get("database", 0) + sign * group_seconds(target.database)
            elif line["at"] == "lost":
                raise SystemExit(f"the server closed a socket: {line}")
            elif line["at"] == "done":
                outcome = line
            on_line(line)
        if client.wait() or outcome is None:
            raise SystemExit("the load client failed")
    return {**outcome, "used": used}


def typing_job(
    target: Target, options: argparse.Namespace, rooms: int, writers: int, readers: int, rate: float
) -> dict[str, Any]:
    made = target.rooms(rooms, max(1, -(-rooms * (writers + readers) // 4)), None)
    return {
        "kind": "typing",
        "rooms": [{"room": room, "writers": writers, "readers": readers} for room in made["rooms"]],
        "tokens": made["tokens"],
        "rate": rate,
        "warmup": 3,
        "seconds": options.seconds,
    }


def typing_figures(outcome: Any) -> dict[str, float | None]:
    delivered = outcome["delivery"]["count"]
    used = outcome["used"]
    return {
        "delivered": delivered,
        "CPU us/delivered": 1e6 * used["server"] / delivered,
        "database us/delivered": 1e6 * used["database"] / delivered if "database" in used else None,
        "p50 ms": outcome["delivery"]["p50"],
        "p95 ms": outcome["delivery"]["p95"],
        "p99 ms": outcome["delivery"]["p99"],
        "ack p50 ms": outcome["ack"]["p50"],
        "ack p95 ms": outcome["ack"]["p95"],
        "client CPU": outcome["client_cpu"],
    }


Figures = dict[str, float | None]


def fanout(name: str, options: argparse.Namespace) -> Figures:
    with start(name) as target:
        return typing_figures(load(target, typing_job(target, options, 1, 1, options.readers, options.rate)))


def writers(name: str, options: argparse.Namespace) -> Figures:
    with start(name) as target:
        return typing_figures(load(target, typing_job(target, options, 1, options.writers, 0, 5)))


def ack(name: str, options: argparse.Namespace) -> Figures:
    with start(name) as target:
        return typing_figures(load(target, typing_job(target, options, 10, 5, 0, 5)))


def authors(name: str, options: argparse.Namespace) -> Figures:
    figures: Figures = {}
    for count in options.authors:
        with start(name) as target:
            found = typing_figures(load(target, typing_job(target, options, 1, count, 0, 5)))
        figures[f"{count}: p95 ms"] = found["p95 ms"]
        figures[f"{count}: ack p95 ms"] = found["ack p95 ms"]
    return figures


def processes(name: str, options: argparse.Namespace) -> Figures:
    """One writer at the first process; half of the readers there, half at the second."""
    with codecrafter(2, ROOM_TICK_SECONDS="600") as target:
        found = load(target, typing_job(target, options, 1, 1, 10, options.rate))
    here, there = found["by_server"]
    return {
        "here p50 ms": here["p50"], "there p50 ms": there["p50"], "added p50 ms": there["p50"] - here["p50"],
        "here p99 ms": here["p99"], "there p99 ms": there["p99"],
    }  # fmt: skip


def join(name: str, options: argparse.Namespace) -> Figures:
    document = trace_document(options.edits)
    with start(name) as target:
        made = target.rooms(1, 30, document)
        outcome = load(
            target,
            {
                "kind": "joining",
                "rooms": [{"room": made["rooms"][0]}],
                "tokens": made["tokens"],
                "document": None if target.keeps_documents else str(document),
                "joins": 20,
            },
        )
    return {
        "join p50 ms": outcome["join"]["p50"],
        "join p95 ms": outcome["join"]["p95"],
        "usable p50 ms": outcome["usable"]["p50"],
        "first ms": outcome["cold"],
        "KB": outcome["bytes"] / 1024,
        "CPU ms/join": 1000 * outcome["used"]["server"] / 20,
    }


def rooms(name: str, options: argparse.Namespace) -> Figures:
    """The same 1,000 rooms opened and closed in five parts; memory after each of them."""
    seen: list[int] = []
    with start(name, ROOM_IDLE_SECONDS="2", ROOM_TICK_SECONDS="2") as target:
        made = target.rooms(options.rooms, 10, None)
        before = sum(map(resident_bytes, target.pids))

        def note(line: dict[str, Any]) -> None:
            if line["at"] == "part":
                seen.append(sum(map(resident_bytes, target.pids)))

        load(
            target,
            {
                "kind": "visiting",
                "rooms": [{"room": room} for room in made["rooms"]],
                "tokens": made["tokens"],
                "parts": 5,
                "settle": 6,
            },
            note,
        )
    mib = 1024 * 1024
    return {
        "start MB": before / mib,
        **{f"{(n + 1) * options.rooms // 5} MB": size / mib for n, size in enumerate(seen)},
        "grew after the first part MB": (seen[-1] - seen[0]) / mib,
    }


def idle(name: str, options: argparse.Namespace) -> Figures:
    with start(name) as target:
        made = target.rooms(110, 200, None)
        outcome = load(
            target,
            {
                "kind": "idling",
                "rooms": [{"room": room, "readers": 10} for room in made["rooms"]],
                "tokens": made["tokens"],
                "warm": 100,
            },
        )
    return {"KB per socket": outcome["used"]["memory"] / 1024 / outcome["sockets"]}


def quiet(name: str, options: argparse.Namespace) -> Figures:
    with start(name) as target:
        made = target.rooms(1, 100, None)
        outcome = load(
            target,
            {
                "kind": "resting",
                "rooms": [{"room": made["rooms"][0], "readers": 100}],
                "tokens": made["tokens"],
                "renewals": "off" if name == "codecrafter" else "on",
                "warmup": 5,
                # Several renewals of every cursor.
                "seconds": 4 * options.seconds,
            },
        )
    return {
        "frames/s out": outcome["frames_out"],
        "KiB/s out": outcome["bytes_out"] / 1024,
        "frames/s in": outcome["frames_in"],
        "KiB/s in": outcome["bytes_in"] / 1024,
        "% of a core": 100 * outcome["used"]["server"] / (4 * options.seconds),
    }


SCENARIOS: dict[str, tuple[Callable[[str, argparse.Namespace], Figures], tuple[str, ...]]] = {
    "fanout": (fanout, SERVERS),
    "writers": (writers, ("codecrafter", *PEERS)),
    "ack": (ack, ("codecrafter",)),
    "processes": (processes, ("codecrafter",)),
    "join": (join, ("codecrafter", *PEERS)),
    "rooms": (rooms, ("codecrafter", *PEERS)),
    "idle": (idle, ("codecrafter", *PEERS)),
    "quiet": (quiet, ("codecrafter", STOCK, *PEERS)),
    "authors": (authors, ("codecrafter", *PEERS)),
}


def trace_document(edits: int) -> Path:
    """What a person leaves who writes the rustcode trace over and over until there were so many edits; kept."""
    path = servers.cache_folder() / f"rustcode-{edits}.update"
    if path.is_file():
        return path
    folders = [Path(os.environ["EDITING_TRACES"])] if "EDITING_TRACES" in os.environ else []
    folders += sorted(ROOT.parent.glob("*/data/editing-traces"))
    trace = next((folder / "rustcode.json.gz" for folder in folders if (folder / "rustcode.json.gz").is_file()), None)
    if trace is None:
        raise SystemExit("EDITING_TRACES must name the folder of rustcode.json.gz (github.com/josephg/editing-traces)")
    # By Yjs, which finds a place in a long text from the last one; pycrdt counts from the beginning each time.
    made = path.with_suffix(".part")
    subprocess.run(["node", str(HERE / "trace_document.mjs"), str(trace), str(edits), str(made)], check=True)
    made.rename(path)
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", default=",".join(SCENARIOS))
    parser.add_argument("--servers", default=",".join(SERVERS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15, help="measured time of each typing scenario")
    parser.add_argument("--rate", type=float, default=20, help="edits a second of the one writer")
    parser.add_argument("--readers", type=int, default=100)
    parser.add_argument("--writers", type=int, default=60)
    parser.add_argument("--edits", type=int, default=260_000)
    parser.add_argument("--rooms", type=int, default=1000)
    parser.add_argument("--authors", type=lambda text: [int(n) for n in text.split(",")], default=[10, 20, 40, 60, 80])
    parser.add_argument("--json", type=Path, help="write all figures there")
    options = parser.parse_args()
    if not (HERE / "node_modules").is_dir():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=HERE, check=True)
    if shutil.which("node") is None:
        raise SystemExit("node is not installed")
    print(f"{machine()}; load at the start {os.getloadavg()[0]:.1f}", flush=True)
    wanted = options.servers.split(",")
    everything: dict[str, Any] = {}
    for scenario in options.scenarios.split(","):
        measure, possible = SCENARIOS[scenario]
        names = [name for name in possible if name.partition(",")[0] in wanted]
        found: dict[str, list[Figures]] = {name: [] for name in names}
        for _ in range(options.rounds):
            for name in names:
                found[name].append(measure(name, options))
        everything[scenario] = found
        show(scenario, {name: medians(rounds) for name, rounds in found.items()})
    if options.json:
        options.json.write_text(json.dumps(everything, indent=1))
    return 0


def medians(rounds: list[Figures]) -> Figures:
    return {
        key: statistics.median(values) if (values := [r[key] for r in rounds if r[key] is not None]) else None  # type: ignore[type-var]
        for key in rounds[0]
    }


def show(scenario: str, rows: dict[str, Figures]) -> None:
    keys = list(next(iter(rows.values())))
    print(f"\n{scenario}\n| | {' | '.join(keys)} |\n|---|{'---|' * len(keys)}")
    for name, figures in rows.items():
        cells = ["" if figures[key] is None else f"{figures[key]:.1f}" for key in keys]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
