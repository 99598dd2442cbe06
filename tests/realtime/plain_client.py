"""A client of codecrafter.json.v1 for tests: it keeps a text and a version, and applies what it is told in order."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.realtime.page import Page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.live import Person


_WOMAN = "\N{WOMAN}"


class PlainClient:
    def __init__(self, socket: ClientConnection, unit: str) -> None:
        self.socket = socket
        self.unit = unit
        self.text = ""
        self.version = -1
        self.frames: list[dict[str, Any]] = []
        self.unsaved: set[str] = set()
        self.listener: asyncio.Task[None] | None = None
        self._count = 0
        self._changed = asyncio.Event()

    def units(self, text: str) -> int:
        return len(text) if self.unit == "code_points" else len(text.encode("utf-16-le")) // 2

    async def send(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def change(self, delta: list[dict[str, Any]], version: int | None = None, **more: Any) -> str:
        """Returns the ref of the change."""
        self._count += 1
        ref = more.pop("ref", f"{id(self)}-{self._count}")
        self.unsaved.add(ref)
        version = self.version if version is None else version
        await self.send(type="code-change", delta=delta, version=version, ref=ref, **more)
        return ref

    async def insert(self, at: int, text: str, delete: int = 0) -> str:
        return await self.change(self.insertion(at, text, delete))

    def insertion(self, at: int, text: str, delete: int = 0) -> list[dict[str, Any]]:
        """At a code point of the text that is here now; deletes as many code points behind it."""
        before, gone = self.units(self.text[:at]), self.units(self.text[at : at + delete])
        return [{"retain": before}, {"insert": text}, {"delete": gone}]

    async def listen(self) -> None:
        try:
            async for frame in self.socket:
                assert isinstance(frame, str), frame
                self._take(json.loads(frame))
                self._changed.set()
        except ConnectionClosed:
            pass
        finally:
            asyncio.get_running_loop().call_soon(self._changed.set)

    def _take(self, message: dict[str, Any]) -> None:
        self.frames.append(message)
        match message["type"]:
            case "state":
                self.text, self.version = message["content"], message["version"]
            case "code-change":
                assert message["version"] == self.version + 1, (self.version, message)
                self.text, self.version = self.apply(message["delta"]), message["version"]
            case "refused":
                self.unsaved.discard(message.get("ref", ""))
                if message["code"] == "version_passed":
                    self.text, self.version = message["content"], message["version"]
            case "ack":
                self.unsaved.discard(message.get("ref", ""))

    def apply(self, delta: list[dict[str, Any]]) -> str:
        width = 4 if self.unit == "code_points" else 2
        encoding = "utf-32-le" if width == 4 else "utf-16-le"
        old, new, at = self.text.encode(encoding), b"", 0
        for op in delta:
            if "insert" in op:
                new += op["insert"].encode(encoding)
                continue
            ((kind, length),) = op.items()
            assert length > 0 and at + width * length <= len(old), (delta, self.text)
            new += old[at : at + width * length] if kind == "retain" else b""
            at += width * length
        return (new + old[at:]).decode(encoding)

    async def until(self, condition: Callable[[], Any], seconds: float = 60) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                if self.listener is not None and self.listener.done():
                    self.listener.result()
                    raise AssertionError((self.socket.close_code, self.frames[-3:]))
                self._changed.clear()
                await self._changed.wait()

    async def sees(self, text: str) -> None:
        await self.until(lambda: self.text == text)

    async def saved(self) -> None:
        await self.until(lambda: not self.unsaved)

    def said(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.frames if message["type"] == kind]

    async def next(self, kind: str, after: int = 0) -> dict[str, Any]:
        """The first frame of this kind that follows the `after` first ones."""
        await self.until(lambda: len(self.said(kind)) > after)
        return self.said(kind)[after]


@asynccontextmanager
async def plain_client(
    person: Person, session_id: str, unit: str = "code_points", *, joins: bool = True
) -> AsyncIterator[PlainClient]:
    async with connect(
        person.socket_url(session_id),
        additional_headers=person.headers,
        subprotocols=["codecrafter.json.v1"],  # type: ignore[list-item]
        max_size=None,
    ) as socket:
        assert socket.subprotocol == "codecrafter.json.v1"
        opened = PlainClient(socket, unit)
        opened.listener = asyncio.create_task(opened.listen())
        try:
            if joins:
                await opened.send(type="join-session", unit=unit)
                await opened.next("state")
            yield opened
        finally:
            opened.listener.cancel()


async def type_beside_others(one: PlainClient | Page, name: str, chance: random.Random, count: int) -> None:
    """Append marks to one's own line; between them change anything on a line that everybody changes."""
    for number in range(count):
        mark = f"{number}{'é' if number % 2 else _WOMAN}"
        head = one.text.index(f"<{name}>")
        end = one.text.index("\n", head)
        first = one.text.index("<shared>") + len("<shared>")
        last = one.text.index("\n", first)
        at = chance.randint(first, last)
        gone = chance.randint(0, min(3, last - at))
        if isinstance(one, PlainClient):
            # Both are made for the same version: neither knows of the other, nor of what is on its way.
            version, deltas = one.version, [one.insertion(end, mark), one.insertion(at, "s日", gone)]
            for delta in deltas:
                await one.change(delta, version)
            # The next mark goes behind this one.
            await one.until(lambda mark=mark, head=head: mark in one.text[one.text.index(f"<{name}>") :].split("\n")[0])
            continue
        places = [len(one.text[:place].encode()) for place in (end, at, at + gone)]

        def change(
            main: Any, end: int = places[0], at: int = places[1], last: int = places[2], mark: str = mark
        ) -> None:
            # The shared line stands in front of all others.
            main.insert(end, mark)
            del main[at:last]
            main.insert(at, "p👩")

        await one.edit(change)
        await asyncio.sleep(0)


async def all_at_once(pages: list[Page], clients: list[PlainClient], seed: int, count: int = 12) -> str:
    """The text that all end with, after each has kept its promise."""
    chance = random.Random(seed)
    everybody: list[Page | PlainClient] = [*pages, *clients]
    lines = "".join(f"<{number}>\n" for number in range(len(everybody)))
    await pages[0].edit(lambda main: (main.clear(), main.insert(0, f"<shared>\n{lines}")))
    for one in everybody:
        await one.sees(f"<shared>\n{lines}")
    async with asyncio.TaskGroup() as group:
        for number, one in enumerate(everybody):
            group.create_task(type_beside_others(one, str(number), random.Random(chance.random()), count))
    for one in everybody:
        await one.saved()
    marks = "".join(f"{number}{'é' if number % 2 else _WOMAN}" for number in range(count))
    own = "".join(f"<{number}>{marks}\n" for number in range(len(everybody)))
    for one in everybody:
        await one.until(lambda one=one: one.text == everybody[0].text and one.text.endswith(own), 60)
    assert everybody[0].text.count("\n") == len(everybody) + 1
    return everybody[0].text
