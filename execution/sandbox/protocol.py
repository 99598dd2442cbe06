"""Frames between the supervisor and the agent, used by both; it stands alone, because it is shipped beside agent.py.

A frame is one byte kind, four bytes length (big endian), then the payload, at most MAX_PAYLOAD bytes.

    to the agent      1 JOB     JSON: argv, environment, interactive, artifact (folder or null), memory_bytes,
                                processes, cpu_ms, disk_bytes, reset (empty the sandbox first), keep (a JOB with reset
                                may follow the RESULT)
                      2 FILES   a piece of the record stream
                      3 START   empty; the record stream is complete
                      4 STDIN   bytes for the program
                      5 EOF     empty; the program's stdin ends after what was sent
                      6 SIGNAL  one byte: signal number for the program; 9 ends the run
    from the agent   16 READY   one byte: VERSION
                     17 STARTED empty; the program runs, the clocks start
                     18 STDOUT  bytes the program printed
                     19 STDERR  bytes the program printed
                     20 STATS   JSON: start (fork or exec) and what agent.Meter.report says
                     21 ARTIFACT a piece of a record stream
                     22 RESULT  JSON: STATS and exit_code, signal, refused (why the artifact was, or null); last
                                unless keep
                     23 ERROR   JSON: code (bad_frame, reset, unpack, exec), errno, detail; the program never ran; last

A record stream is files one after the other: two bytes path length, two bytes mode, four bytes size (all big endian),
the path (UTF-8, surrogateescape), the content. Both sides check every path and both bound number and size.
"""

import json
import struct
from enum import IntEnum
from typing import Any

VERSION = 2
HEADER = struct.Struct(">BI")
RECORD = struct.Struct(">HHI")
MAX_PAYLOAD = 256 * 1024
CHUNK_BYTES = 64 * 1024
MAX_PATH_BYTES = 512
MAX_NAME_BYTES = 200
MAX_DEPTH = 16
MAX_FILES = 1_000
MAX_ARTIFACT_BYTES = 48 * 1024 * 1024
FILE_MODES = (0o644, 0o755)


class Kind(IntEnum):
    JOB = 1
    FILES = 2
    START = 3
    STDIN = 4
    EOF = 5
    SIGNAL = 6
    READY = 16
    STARTED = 17
    STDOUT = 18
    STDERR = 19
    STATS = 20
    ARTIFACT = 21
    RESULT = 22
    ERROR = 23


class ProtocolError(ValueError):
    """The other side sent something that is not in this page."""


def frame(kind: Kind, payload: bytes = b"") -> bytes:
    if len(payload) > MAX_PAYLOAD:
        raise ProtocolError(f"{kind.name} of {len(payload)} bytes")
    return HEADER.pack(kind, len(payload)) + payload


def json_frame(kind: Kind, value: dict[str, Any]) -> bytes:
    # ASCII JSON carries the lone surrogates of surrogateescape, so any byte survives in an argument.
    return frame(kind, json.dumps(value).encode("ascii"))


def parse_json(payload: bytes) -> dict[str, Any]:
    try:
        value = json.loads(payload)
    except ValueError as error:
        raise ProtocolError("broken JSON") from error
    if not isinstance(value, dict):
        raise ProtocolError("JSON that is not an object")
    return value


class FrameReader:
    """Bytes in, whole frames out. Between calls it holds less than one frame."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[Kind, bytes]]:
        self._buffer += data
        frames = []
        start = 0
        while len(self._buffer) - start >= HEADER.size:
            number, size = HEADER.unpack_from(self._buffer, start)
            if size > MAX_PAYLOAD:
                raise ProtocolError(f"frame of {size} bytes")
            end = start + HEADER.size + size
            if len(self._buffer) < end:
                break
            try:
                kind = Kind(number)
            except ValueError as error:
                raise ProtocolError(f"frame kind {number}") from error
            payload = bytes(self._buffer[start + HEADER.size : end])
            start = end
            frames.append((kind, payload))
        del self._buffer[:start]
        return frames


def check_path(path: str) -> bytes:
    """The path as bytes; ProtocolError unless it is relative, bounded, and stays below its root."""
    try:
        raw = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ProtocolError("a path must be UTF-8") from error
    if not raw or len(raw) > MAX_PATH_BYTES:
        raise ProtocolError(f"a path must have 1 to {MAX_PATH_BYTES} bytes")
    if b"\0" in raw:
        raise ProtocolError("a path must not hold a NUL byte")
    parts = raw.split(b"/")
    if len(parts) > MAX_DEPTH:
        raise ProtocolError(f"a path must not be deeper than {MAX_DEPTH}")
    for part in parts:
        if part in (b"", b".", b".."):
            raise ProtocolError("a path must be relative, without empty parts, '.' or '..'")
        if len(part) > MAX_NAME_BYTES:
            raise ProtocolError(f"a file name must not be longer than {MAX_NAME_BYTES} bytes")
    return raw


def record_header(path: str, mode: int, size: int) -> bytes:
    raw = check_path(path)
    return RECORD.pack(len(raw), mode, size) + raw


class RecordSink:
    """What a RecordReader speaks to."""

    def begin(self, path: str, mode: int, size: int) -> None:
        raise NotImplementedError

    def data(self, piece: bytes) -> None:
        raise NotImplementedError

    def end(self) -> None:
        raise NotImplementedError


class RecordReader:
    """Bytes of a record stream in, begin/data/end calls out. Never holds a file's content."""

    def __init__(self, sink: RecordSink, max_bytes: int, max_files: int = MAX_FILES) -> None:
        self._sink = sink
        self._bytes_left = max_bytes
        self._files_left = max_files
        self._head = bytearray()
        self._missing = 0

    def feed(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if self._missing:
                piece = view[: self._missing]
                self._sink.data(bytes(piece))
                self._missing -= len(piece)
                view = view[len(piece) :]
                if not self._missing:
                    self._sink.end()
                continue
            wanted = RECORD.size if len(self._head) < RECORD.size else self._head_bytes()
            piece = view[: wanted - len(self._head)]
            self._head += piece
            view = view[len(piece) :]
            if len(self._head) >= RECORD.size and len(self._head) == self._head_bytes():
                self._begin()

    def finish(self) -> None:
        if self._head or self._missing:
            raise ProtocolError("a record stream ended inside a record")

    def _head_bytes(self) -> int:
        path_bytes, _mode, _size = RECORD.unpack_from(self._head)
        if not 0 < path_bytes <= MAX_PATH_BYTES:
            raise ProtocolError(f"path of {path_bytes} bytes")
        return RECORD.size + int(path_bytes)

    def _begin(self) -> None:
        _path_bytes, mode, size = RECORD.unpack_from(self._head)
        path = bytes(self._head[RECORD.size :]).decode("utf-8", "surrogateescape")
        check_path(path)
        if mode not in FILE_MODES:
            raise ProtocolError(f"file mode {mode:o}")
        self._files_left -= 1
        self._bytes_left -= size
        if self._files_left < 0 or self._bytes_left < 0:
            raise ProtocolError("too many files, or too large")
        self._head.clear()
        self._missing = size
        self._sink.begin(path, mode, size)
        if not size:
            self._sink.end()
