"""The y-websocket wire protocol (lib0 encoding, y-protocols 1.0.7), and the WebSocket frame around a message. Pure.

A frame is varUint type + body: 0 sync (0 step 1, 1 step 2, 2 update, each with a byte string), 1 awareness, 2 auth,
3 query awareness. Clients read one message per frame, so one is written per frame; several are understood.
Every length, count and number is bounded before anything is allocated for it; whatever is wrong is a ProtocolError.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SUBPROTOCOL = "codecrafter.v1"
# For clients without a CRDT: the same text frames, and deltas instead of binary frames.
JSON_SUBPROTOCOL = "codecrafter.json.v1"
# Made once: json.dumps makes one for every call that is not plain.
_JSON = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
MAX_NUMBER = 2**53 - 1
MAX_MESSAGES = 64
# As many as a room may have sockets: a stock client that slept says in one frame whom it takes for gone.
MAX_AWARENESS_ENTRIES = 1000
MAX_AWARENESS_BYTES = 4096
MAX_STATE_CLIENTS = 100_000
# An awareness message about nobody: nothing happens, but y-websocket's 30 s watchdog sees a frame.
KEEP_ALIVE = b"\x01\x01\x00"

_SYNC, _AWARENESS, _AUTH, _QUERY_AWARENESS = range(4)
_STEP1, _STEP2, _UPDATE = range(3)


class ProtocolError(ValueError):
    """The frame is not of this protocol, or past one of its limits."""


@dataclass(frozen=True, slots=True)
class SyncStep1:
    """A state vector, which says what the sender has; the answer is a SyncStep2."""

    state: bytes


@dataclass(frozen=True, slots=True)
class SyncStep2:
    update: bytes


@dataclass(frozen=True, slots=True)
class SyncUpdate:
    update: bytes


@dataclass(frozen=True, slots=True)
class AwarenessEntry:
    """One client's state; None says that it left. Of two entries the one with the higher clock counts."""

    client_id: int
    clock: int
    state: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Awareness:
    entries: tuple[AwarenessEntry, ...]


@dataclass(frozen=True, slots=True)
class QueryAwareness:
    pass


Message = SyncStep1 | SyncStep2 | SyncUpdate | Awareness | QueryAwareness


def encode_websocket_frame(payload: bytes | str) -> bytes:
    """Encode one whole frame from a server (RFC 6455, 5.2): FIN and opcode, length, no mask."""
    if isinstance(payload, str):
        first, data = 0x81, payload.encode()
    else:
        first, data = 0x82, payload
    length = len(data)
    if length < 126:
        return bytes((first, length)) + data
    if length < 1 << 16:
        return bytes((first, 126)) + length.to_bytes(2, "big") + data
    return bytes((first, 127)) + length.to_bytes(8, "big") + data


def decode(frame: bytes, *, state_bytes: int = MAX_AWARENESS_BYTES) -> list[Message]:
    """Decode all messages of one inbound frame, in order. No awareness state may be larger than `state_bytes`."""
    reader = _Reader(frame)
    messages: list[Message] = []
    if reader.is_at_end():
        raise ProtocolError("the frame is empty")
    while not reader.is_at_end():
        if len(messages) == MAX_MESSAGES:
            raise ProtocolError(f"more than {MAX_MESSAGES} messages in one frame")
        messages.append(_decode_message(reader, state_bytes))
    return messages


def encode_step1(state: bytes) -> bytes:
    return b"\x00\x00" + _byte_string(state)


def encode_step2(update: bytes) -> bytes:
    return b"\x00\x01" + _byte_string(update)


def encode_update(update: bytes) -> bytes:
    return b"\x00\x02" + _byte_string(update)


def encode_denied(reason: str) -> bytes:
    return b"\x02\x00" + _byte_string(reason.encode())


def encode_awareness(entries: Iterable[AwarenessEntry]) -> bytes:
    return awareness_of([encode_awareness_entry(entry) for entry in entries])


def awareness_of(entries: Sequence[bytes]) -> bytes:
    """Encode a message of entries that are encoded already."""
    return b"\x01" + _byte_string(_number(len(entries)) + b"".join(entries))


def encode_awareness_entry(entry: AwarenessEntry) -> bytes:
    # ASCII, so that a lone surrogate in a name stays an escape and never becomes broken UTF-8.
    text = _JSON.encode(entry.state).encode("ascii")
    return _number(entry.client_id) + _number(entry.clock) + _byte_string(text)


def decode_awareness_body(body: bytes, state_bytes: int = MAX_AWARENESS_BYTES) -> tuple[AwarenessEntry, ...]:
    reader = _Reader(body)
    count = reader.number()
    if count > MAX_AWARENESS_ENTRIES:
        raise ProtocolError("too many awareness entries")
    entries = tuple(
        AwarenessEntry(reader.number(), reader.number(), _state(reader.byte_string(state_bytes))) for _ in range(count)
    )
    if not reader.is_at_end():
        raise ProtocolError("bytes after the last awareness entry")
    return entries


def _decode_message(reader: _Reader, state_bytes: int) -> Message:
    kind = reader.number()
    if kind == _SYNC:
        step = reader.number()
        body = reader.byte_string()
        if step == _STEP1:
            _check_state_vector(body)
            return SyncStep1(body)
        if step == _STEP2:
            return SyncStep2(body)
        if step == _UPDATE:
            return SyncUpdate(body)
        raise ProtocolError(f"unknown sync message {step}")
    if kind == _AWARENESS:
        return Awareness(decode_awareness_body(reader.byte_string(), state_bytes))
    if kind == _QUERY_AWARENESS:
        return QueryAwareness()
    raise ProtocolError(f"unknown message type {kind}")


def _check_state_vector(state: bytes) -> None:
    reader = _Reader(state)
    count = reader.number()
    if count > MAX_STATE_CLIENTS:
        raise ProtocolError("the state vector has too many clients")
    for _ in range(2 * count):
        reader.number()
    if not reader.is_at_end():
        raise ProtocolError("bytes after the state vector")


def _state(text: bytes) -> dict[str, Any] | None:
    try:
        state = json.loads(text, parse_constant=_refuse_constant)
        # A number such as 1e999 passes the parser and would leave as Infinity, which no browser parses.
        json.dumps(state, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("an awareness state is not JSON") from error
    if state is not None and not isinstance(state, dict):
        raise ProtocolError("an awareness state is neither an object nor null")
    return state


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _number(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _byte_string(data: bytes) -> bytes:
    return _number(len(data)) + data


class _Reader:
    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def is_at_end(self) -> bool:
        return self._at >= len(self._data)

    def number(self) -> int:
        value = shift = 0
        while True:
            if self._at >= len(self._data):
                raise ProtocolError("a number is cut off")
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 49:
                raise ProtocolError("a number has more than 53 bits")
        if value > MAX_NUMBER:
            raise ProtocolError("a number has more than 53 bits")
        return value

    def byte_string(self, limit: int | None = None) -> bytes:
        length = self.number()
        end = self._at + length
        if end > len(self._data):
            raise ProtocolError("a byte string is cut off")
        if limit is not None and length > limit:
            raise ProtocolError(f"a byte string is longer than {limit} bytes")
        data = self._data[self._at : end]
        self._at = end
        return data
