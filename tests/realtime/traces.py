"""Editing traces as Yjs updates: real ones (github.com/josephg/editing-traces) when they lie near, and a made one."""

from __future__ import annotations

import gzip
import json
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pycrdt
import pytest

from tests.live import ROOT


@dataclass
class Trace:
    """`steps` are (agent, update) in an order in which each update's dependencies come before it."""

    agents: int
    steps: list[tuple[int, bytes]]
    end: str


def real_trace(name: str) -> dict[str, Any]:
    folders = [Path(os.environ["EDITING_TRACES"])] if "EDITING_TRACES" in os.environ else []
    folders += sorted(ROOT.parent.glob("*/data/editing-traces"))
    for folder in folders:
        if (path := folder / f"{name}.json.gz").is_file():
            return json.loads(gzip.decompress(path.read_bytes()))
    pytest.skip(f"the editing trace {name} is not on this machine (EDITING_TRACES names its folder)")


class _Agent:
    def __init__(self, seed: bytes, client_id: int) -> None:
        self.doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=client_id)
        if seed:
            self.doc.apply_update(seed)
        self.text: pycrdt.Text = self.doc.get("main", type=pycrdt.Text)
        self.updates: list[bytes] = []
        self.known: set[int] = set()
        self.doc.observe(lambda event: self.updates.append(event.update))

    def edit(self, patches: list[tuple[int, int, str]]) -> bytes:
        self.updates.clear()
        with self.doc.transaction():
            for position, deleted, inserted in patches:
                if deleted:
                    del self.text[position : position + deleted]
                if inserted:
                    self.text.insert(position, inserted)
        return pycrdt.merge_updates(*self.updates) if self.updates else b"\x00\x00"


def concurrent(seed: bytes, raw: dict[str, Any], limit: int | None = None) -> Trace:
    """A trace of people who type at once: each edit is made on the merge of its parents."""
    assert raw["endContent"].isascii(), "positions are code points; pycrdt counts bytes"
    agents = [_Agent(seed, index + 10) for index in range(raw["numAgents"])]
    steps: list[tuple[int, bytes]] = []
    for number, transaction in enumerate(raw["txns"][:limit]):
        agent = agents[transaction["agent"]]
        missing: list[int] = []
        waiting = list(transaction["parents"])
        while waiting:
            parent = waiting.pop()
            if parent not in agent.known:
                agent.known.add(parent)
                missing.append(parent)
                waiting.extend(raw["txns"][parent]["parents"])
        for parent in sorted(missing):
            agent.doc.apply_update(steps[parent][1])
        steps.append((transaction["agent"], agent.edit(transaction["patches"])))
        agent.known.add(number)
    return Trace(len(agents), steps, raw["endContent"])


def sequential(seed: bytes, raw: dict[str, Any], limit: int | None = None) -> Trace:
    agent = _Agent(seed, 10)
    if raw["startContent"]:
        agent.edit([(0, 0, raw["startContent"])])
    steps = [(0, agent.edit(transaction["patches"])) for transaction in raw["txns"][:limit]]
    return Trace(1, steps, str(agent.text))


def made_trace(seed: bytes, *, agents: int = 3, steps: int = 600, number: int = 1) -> Trace:
    """People who edit at once with random latency, non-ASCII text included."""
    chance = random.Random(number)
    people = [_Agent(seed, chance.randrange(10, 2**53)) for _ in range(agents)]
    log: list[tuple[int, bytes]] = []
    for _ in range(steps):
        index = chance.randrange(agents)
        person = people[index]
        for step in range(len(log)):
            if step not in person.known and chance.random() < 0.9:
                person.doc.apply_update(log[step][1])
                person.known.add(step)
        text = str(person.text)
        at = chance.randint(0, len(text))
        patches: list[tuple[int, int, str]] = []
        if text and chance.random() < 0.3:
            last = min(len(text), at + chance.randint(1, 5))
            patches.append((len(text[:at].encode()), len(text[at:last].encode()), ""))
        else:
            patches.append((len(text[:at].encode()), 0, chance.choice(["a", "if ", "\n", "é", "😀", "word"])))
        person.known.add(len(log))
        log.append((index, person.edit(patches)))
    merged: pycrdt.Doc[Any] = pycrdt.Doc()
    if seed:
        merged.apply_update(seed)
    for _, update in log:
        merged.apply_update(update)
    return Trace(agents, log, str(merged.get("main", type=pycrdt.Text)))
