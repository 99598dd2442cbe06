"""What compilers made, kept by everything they were given: the same program is compiled once. Bounded, thread safe."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from execution.sandbox.job import Step

Files = Mapping[str, tuple[int, bytes]]
MAX_BYTES = 256 * 1024 * 1024
# One program must not push out all others.
LARGEST_SHARE = 4
ENTRY_OVERHEAD_BYTES = 1024


@dataclass(frozen=True)
class Compiled:
    """A compilation that succeeded: the files it left, and what the compiler said."""

    artifact: Files
    output: bytes = b""
    truncated: bool = False
    wall_ms: int = 0
    from_cache: bool = False

    @property
    def size(self) -> int:
        files = sum(len(path) + len(content) for path, (_mode, content) in self.artifact.items())
        return files + len(self.output) + ENTRY_OVERHEAD_BYTES


class CompileCache:
    """The least recently used go first when `max_bytes` are exceeded. Failures are never kept."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[str, Compiled] = OrderedDict()
        self._lock = threading.Lock()
        self.size = 0
        self.hits = 0
        self.misses = 0

    def get(self, key: str) -> Compiled | None:
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                self.misses += 1
                return None
            self.hits += 1
            self._entries.move_to_end(key)
            return found

    def put(self, key: str, compiled: Compiled) -> None:
        if compiled.size > self._max_bytes // LARGEST_SHARE:
            return
        with self._lock:
            if (old := self._entries.pop(key, None)) is not None:
                self.size -= old.size
            self._entries[key] = compiled
            self.size += compiled.size
            while self.size > self._max_bytes:
                _key, oldest = self._entries.popitem(last=False)
                self.size -= oldest.size


@dataclass(frozen=True)
class PersonalCache:
    """One person's part of a cache. A hit, by its time alone, tells that this very text was compiled before."""

    cache: CompileCache
    person: str

    def get(self, key: str) -> Compiled | None:
        return self.cache.get(f"{self.person} {key}")

    def put(self, key: str, compiled: Compiled) -> None:
        self.cache.put(f"{self.person} {key}", compiled)


def key_of(toolset: str, step: Step, files: Files) -> str:
    """sha256 over all that a compilation can depend on; `toolset` names the installed tools, exactly."""
    digest = hashlib.sha256()

    def add(*words: str | bytes) -> None:
        # With its length before each word, no two lists of words read the same.
        digest.update(len(words).to_bytes(4, "big"))
        for word in words:
            raw = word.encode("utf-8", "surrogateescape") if isinstance(word, str) else word
            digest.update(len(raw).to_bytes(8, "big"))
            digest.update(raw)

    add(toolset)
    add(*step.argv)
    add(*(word for pair in sorted(step.environment.items()) for word in pair))
    add(repr(step.limits))
    for path, (mode, content) in sorted(files.items()):
        add(path, repr(mode), content)
    return digest.hexdigest()
