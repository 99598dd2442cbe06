"""The wire: vectors of y-protocols, round trips, limits, and noise."""

from __future__ import annotations

import contextlib
import json

import pycrdt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.wire import protocol
from realtime.wire.protocol import (
    Awareness,
    AwarenessEntry,
    ProtocolError,
    QueryAwareness,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    decode,
)
from tests.realtime import yjs

numbers = st.integers(0, protocol.MAX_NUMBER)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3),
)
entries = st.builds(
    AwarenessEntry, numbers, numbers, st.none() | st.dictionaries(st.text(max_size=10), json_values, max_size=4)
)


@pytest.mark.parametrize(
    ("frame", "messages"),
    [
        ("00 00 01 00", [SyncStep1(b"\x00")]),
        ("00 01 02 00 00", [SyncStep2(b"\x00\x00")]),
        ("00 02 02 00 00", [SyncUpdate(b"\x00\x00")]),
        ("03", [QueryAwareness()]),
        ("01 01 00", [Awareness(())]),
        ("00 02 02 00 00 03", [SyncUpdate(b"\x00\x00"), QueryAwareness()]),
    ],
)
def test_vectors_of_y_protocols_are_understood(frame, messages):
    assert decode(bytes.fromhex(frame)) == messages


def test_what_is_written_is_what_pycrdt_writes():
    update = pycrdt.Doc({"main": pycrdt.Text("é" * 200)}).get_update()
    assert protocol.encode_update(update) == pycrdt.create_update_message(update)
    doc = pycrdt.Doc()
    assert protocol.encode_step1(doc.get_state()) == pycrdt.create_sync_message(doc)
    assert pycrdt.handle_sync_message(protocol.encode_step2(update)[1:], doc) is None
    assert str(doc.get("main", type=pycrdt.Text)) == "é" * 200


def test_denied_carries_bytes_not_characters():
    assert protocol.encode_denied("é") == b"\x02\x00\x02\xc3\xa9"


@given(st.binary(max_size=300))
def test_updates_come_back_as_they_went(update):
    assert decode(protocol.encode_update(update) + protocol.encode_step2(update)) == [
        SyncUpdate(update),
        SyncStep2(update),
    ]


@given(st.lists(entries, max_size=5))
def test_awareness_comes_back_as_it_went(listed):
    assert decode(protocol.encode_awareness(listed)) == [Awareness(tuple(listed))]


@given(st.binary(max_size=200))
def test_noise_is_understood_or_refused_and_nothing_else(frame):
    with contextlib.suppress(ProtocolError):
        decode(frame)


@given(st.lists(entries, min_size=1, max_size=3), st.data())
def test_mutated_frames_are_understood_or_refused(listed, data):
    frame = bytearray(protocol.encode_awareness(listed))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    try:
        messages = decode(bytes(frame))
    except ProtocolError:
        return
    for message in messages:
        if isinstance(message, Awareness):
            assert decode(protocol.encode_awareness(message.entries)) == [message]


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x00",
        b"\x00\x03\x00",
        b"\x04",
        b"\x02\x00\x00",
        b"\x00\x02" + b"\xff" * 8 + b"\x01",
        b"\x00\x02\xff\xff\xff\xff\xff\xff\xff\x1f",
        b"\x00\x00\x01\x05",
        b"\x00\x00\x02\x00\x00",
        b"\x01\x02\x00\x00",
        b"\x03" * (protocol.MAX_MESSAGES + 1),
    ],
    ids=lambda frame: frame[:12].hex() or "empty",
)
def test_frames_past_a_limit_or_cut_off_are_refused(frame):
    with pytest.raises(ProtocolError):
        decode(frame)


@pytest.mark.parametrize(
    "state", [b"[]", b"1", b"nul", b"\xff", b'{"a":NaN}', b'{"a":1e999}', b"[" * 4000, b'{"a":"' + b"x" * 5000 + b'"}']
)
def test_awareness_states_that_a_browser_could_not_read_are_refused(state):
    body = b"\x01\x05\x01" + yjs.number(len(state)) + state
    with pytest.raises(ProtocolError):
        decode(b"\x01" + yjs.number(len(body)) + body)


def test_lone_surrogate_in_a_state_does_not_break_the_frame():
    state = json.loads(b'{"name":"\\ud800"}')
    assert decode(protocol.encode_awareness([AwarenessEntry(1, 1, state)])) == [
        Awareness((AwarenessEntry(1, 1, state),))
    ]
