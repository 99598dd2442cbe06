"""What the worst edits cost, each beside one small edit of the same text in the same run.

    .venv/bin/python benchmarks/edit_cost.py [--rounds 3] [--sessions 2000]

One process with SQLite in a folder of its own. Every shape is done as the server does it: by a thread, or
on the event loop for what sockets send. Meanwhile the loop ticks every millisecond, and another thread takes
the write lock over and over: the longest time that each was kept waiting is what the edit held. Medians of the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import statistics
import struct
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
_FOLDER = tempfile.TemporaryDirectory()
os.environ |= {
    "DATA_DIR": _FOLDER.name,
    "DJANGO_SETTINGS_MODULE": "codecrafter.settings",
    "RATE_LIMITS": "False",
    "LOG_LEVEL": "ERROR",
}
for name in ("DATABASE_URL", "REDIS_URL", "MONGODB_URL"):
    os.environ.pop(name, None)

import django

django.setup()

import pycrdt
from django.core.management import call_command
from django.db import connection, transaction

import languages
from accounts.actions import delete_account
from accounts.models import User
from benchmarks.common import machine
from realtime import registry
from realtime.connection.connection import open_connection
from realtime.connection.identity import Identity, SignIn
from realtime.wire.protocol import SyncUpdate
from sessions_app import actions, messages
from sessions_app.access import Action, access_to
from sessions_app.document import blocks, contents, update_log
from sessions_app.document.update_log import Entry
from sessions_app.document.updates import merge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessions_app.models import CodeSession

    Shape = Callable[[], Awaitable[object]]

WORDS = [format(number, "x") for number in range(92_000)]
PYTHON = languages.get("python")
TICK_SECONDS = 0.001


class Meter:
    """What happens while a shape is done."""

    def __init__(self) -> None:
        self.edits = 0
        for name in ("insert", "__delitem__"):
            setattr(pycrdt.Text, name, self._counting(getattr(pycrdt.Text, name)))

    def _counting(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            self.edits += 1
            return real(*args)

        return call

    async def measure(self, shape: Shape) -> tuple[float, float, float, int]:
        """Processor seconds, the loop's and the lock's longest hold in milliseconds, and edits of pycrdt."""
        is_over = threading.Event()
        waits = [0.0]
        taker = threading.Thread(target=_take_lock, args=(is_over, waits))
        ticker = asyncio.create_task(_tick(is_over))
        taker.start()
        await asyncio.sleep(0.05)
        self.edits, began = 0, time.process_time()
        await shape()
        spent = time.process_time() - began
        is_over.set()
        held = await ticker
        await asyncio.to_thread(taker.join)
        return spent, held * 1000, max(waits) * 1000, self.edits


async def _tick(is_over: threading.Event) -> float:
    longest = 0.0
    while not is_over.is_set():
        asked = time.perf_counter()
        await asyncio.sleep(TICK_SECONDS)
        longest = max(longest, time.perf_counter() - asked - TICK_SECONDS)
    return longest


def _take_lock(is_over: threading.Event, waits: list[float]) -> None:
    while not is_over.is_set():
        asked = time.perf_counter()
        with transaction.atomic():
            waits.append(time.perf_counter() - asked)
        time.sleep(TICK_SECONDS)
    connection.close()


def new_session(owner: User, text: str) -> CodeSession:
    return actions.create_session(owner, language=PYTHON, content=text)


def add(session: CodeSession, *updates: bytes) -> None:
    update_log.append({session.pk: [Entry(update, session.owner_id, "socket") for update in updates]})


def fragments(session: CodeSession, count: int) -> bytes:
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc.apply_update(update_log.load(session.pk).update)
    made: list[bytes] = []
    subscription = doc.observe(lambda event: made.append(event.update))
    text = doc.get("main", type=pycrdt.Text)
    with doc.transaction():
        for _ in range(count):
            text.insert(0, "a")
    doc.unobserve(subscription)
    return merge(made)


def scattered(count: int, text_bytes: int) -> bytes:
    """A letter at each of so many places of a seed, from the end to the beginning."""

    def number(value: int) -> bytes:
        found = bytearray()
        while value >= 0x80:
            found.append(value & 0x7F | 0x80)
            value >>= 7
        return bytes([*found, value])

    step = text_bytes // count
    made = bytearray(b"".join(map(number, (1, count, 7, 0))))
    for at in range(2 + (count - 1) * step, 1, -step):
        made += b"\xc4" + b"".join(map(number, (1, at, 1, at + 1, 1))) + b"q"
    return bytes(made) + b"\0"


def table_of_contents() -> io.BytesIO:
    count = (8 * 1024 * 1024 - 200) // 47
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a"
    listed = (struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, *[0] * 6) + b"a") * count
    few = count & 0xFFFF
    return io.BytesIO(local + listed + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, few, few, len(listed), 21, 0))


def archive(files: int) -> io.BytesIO:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        for number in range(files):
            made.writestr(f"{number}.py" if number else "main.py", "line of text\n" * 12_000)
    return packed


def in_thread(work: Callable[..., object], *args: Any) -> Shape:
    def run() -> None:
        try:
            work(*args)
        finally:
            connection.close()

    return lambda: asyncio.to_thread(run)


def refused(work: Callable[..., object], *args: Any) -> Shape:
    def run() -> None:
        try:
            work(*args)
        except Exception as error:
            assert type(error).__module__ == "sessions_app.errors", error

    return in_thread(run)


async def joined(session: CodeSession, *, is_plain: bool = False) -> tuple[Any, Any]:
    room = await registry.current().open(session.pk)
    member = open_connection(Identity.of(session.owner), "owner", SignIn(""), is_plain=is_plain)
    room.join(member, "")
    return room, member


async def frame_of(session: CodeSession, update: bytes) -> None:
    room, member = await joined(session)
    await room.edits.take(member, SyncUpdate(update))


async def plain_changes(session: CodeSession, count: int) -> None:
    room, member = await joined(session, is_plain=True)
    plain = room.plain
    plain.join(member, "code_points", {"title": "", "language": "python"})
    for _ in range(count):
        at = len(room.edits.watch_text()) - 400
        delta: list[dict[str, Any]] = [{"retain": at}]
        for _ in range(149):
            delta += [{"insert": "q"}, {"retain": 1}]
        version = plain.line.version
        plain.change(member, messages.ChangeCode(delta, version, "r"))
        await asyncio.sleep(0)


def shapes(owner: User, sessions: int) -> dict[str, Callable[[], tuple[Shape, CodeSession | None]]]:
    """By name: what prepares a round, and gives what is measured and the session whose blocks are counted."""
    blanks, tabs = " ".join(WORDS), "\t".join(WORDS)

    def patch(before: str, after: str, fragmented: int = 0) -> Callable[[], tuple[Shape, CodeSession]]:
        def prepare() -> tuple[Shape, CodeSession]:
            session = new_session(owner, before)
            if fragmented:
                add(session, fragments(session, fragmented))
            return in_thread(contents.replace_entry_text, session.pk, after, owner.pk), session

        return prepare

    def on_loop(
        text: str, act: Callable[[CodeSession], Awaitable[object]], *more: Callable[[CodeSession], bytes]
    ) -> Any:
        def prepare() -> tuple[Shape, CodeSession]:
            session = new_session(owner, text)
            add(session, *(make(session) for make in more))
            return lambda: act(session), session

        return prepare

    def fork() -> tuple[Shape, CodeSession]:
        session = new_session(owner, "")
        add(session, fragments(session, 100_000))
        return in_thread(actions.fork_session, access_to(owner, session.pk, Action.FORK), owner), session

    def deletion() -> tuple[Shape, None]:
        other = User.objects.create_user(f"u{time.monotonic_ns()}", f"{time.monotonic_ns()}@example.org")
        for number in range(sessions):
            new_session(other, f"{number}\n")
        return in_thread(delete_account, other, {}), None

    return {
        "one word of 480 KB": patch(blanks, blanks.replace(" 8000 ", " x ")),
        "92,000 words, tabs for blanks": patch(blanks, tabs),
        "alternating deletions": patch("ab" * 250_000, "a" * 250_000),
        "one long line, two places": patch("ab" * 250_000, "ab" * 9 + "c" + "ab" * 200_000 + "d"),
        "100,000 blocks of one letter": patch("", "ab" * 50_000, 100_000),
        "500,000 blocks of one letter": patch("", "ab" * 250_000, 500_000),
        "a page's frame, 30,000 letters": on_loop("x" * 450_000, lambda s: frame_of(s, scattered(30_000, 450_000))),
        "opening 500,000 blocks": on_loop("", joined, lambda s: fragments(s, 500_000)),
        "30 plain changes of 149 letters": on_loop("", lambda s: plain_changes(s, 30), lambda s: fragments(s, 60_000)),
        "zip, 8 MB table of contents": lambda: (refused(actions.import_session, owner, table_of_contents()), None),
        "zip, 50 files of 156 KB": lambda: (in_thread(actions.import_session, owner, archive(50)), None),
        "fork of 100,000 blocks": fork,
        f"deletion of {sessions} sessions": deletion,
    }


async def main(rounds: int, sessions: int) -> None:
    await asyncio.to_thread(call_command, "migrate", verbosity=0)
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    owner = User.objects.create_user("owner", "owner@example.org")
    meter = Meter()
    print(machine())
    print("Processor seconds, and the longest that loop and write lock were held in ms, each (times that of one word)")
    print("| shape | processor | loop | lock | edits | blocks |\n|---|---|---|---|---|---|")
    baseline: tuple[float, ...] = ()
    for name, prepare in shapes(owner, sessions).items():
        taken = []
        for _ in range(rounds):
            shape, session = await asyncio.to_thread(prepare)
            taken.append(await meter.measure(shape))
        *costs, edits = (statistics.median(column) for column in zip(*taken, strict=True))
        baseline = baseline or tuple(costs)
        parts = f"{blocks.read(update_log.load(session.pk).update)[1].parts:,}" if session is not None else ""
        cells = [f"{cost:.3g} ({cost / one:.1f})" for cost, one in zip(costs, baseline, strict=True)]
        print(f"| {name} | {' | '.join(cells)} | {edits:.0f} | {parts} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sessions", type=int, default=2000)
    given = parser.parse_args()
    asyncio.run(main(given.rounds, given.sessions))
