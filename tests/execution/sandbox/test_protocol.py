"""Frames and file records: what goes in comes out however it is cut, and nothing outside the page is taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.sandbox import protocol
from execution.sandbox.protocol import FrameReader, Kind, ProtocolError, RecordReader, RecordSink

names = st.text(st.characters(exclude_characters="/\0", exclude_categories=()), min_size=1, max_size=20).filter(
    lambda name: name not in {".", ".."}
)
paths = (
    st.lists(names, min_size=1, max_size=4)
    .map("/".join)
    .filter(
        lambda path: (
            len(path.encode("utf-8", "surrogatepass")) < protocol.MAX_PATH_BYTES
            and not any(0xD800 <= ord(letter) <= 0xDFFF for letter in path)
        )
    )
)


class Kept(RecordSink):
    def __init__(self) -> None:
        self.files: list[tuple[str, int, bytes]] = []

    def begin(self, path: str, mode: int, size: int) -> None:
        self._begun = (path, mode)
        self._content = b""

    def data(self, piece: bytes) -> None:
        self._content += piece

    def end(self) -> None:
        self.files.append((*self._begun, self._content))


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@given(st.lists(st.tuples(st.sampled_from(Kind), st.binary(max_size=300))), st.integers(1, 50))
def test_frames_survive_any_cut(frames, size):
    reader = FrameReader()
    stream = b"".join(protocol.frame(kind, payload) for kind, payload in frames)
    assert [whole for piece in pieces(stream, size) for whole in reader.feed(piece)] == frames


@given(
    st.lists(st.tuples(paths, st.sampled_from(protocol.FILE_MODES), st.binary(max_size=100)), max_size=6),
    st.integers(1, 40),
)
def test_records_survive_any_cut(files, size):
    kept = Kept()
    reader = RecordReader(kept, max_bytes=10_000)
    stream = b"".join(protocol.record_header(path, mode, len(data)) + data for path, mode, data in files)
    for piece in pieces(stream, size):
        reader.feed(piece)
    reader.finish()
    assert kept.files == files


@given(st.binary(max_size=400))
def test_noise_is_refused_or_waits_but_never_breaks(noise):
    for read in (FrameReader().feed, RecordReader(Kept(), max_bytes=1000).feed):
        try:
            read(noise)
        except ProtocolError:
            continue


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "..",
        "../x",
        "a/../b",
        "a//b",
        "./a",
        "a/.",
        "a/",
        "a\0b",
        "x" * 201,
        "/".join("a" * 17),
        "é" * 150,
    ],
)
def test_a_path_that_could_leave_its_folder_is_refused(path):
    with pytest.raises(ProtocolError):
        protocol.check_path(path)


def test_sizes_are_bounded():
    with pytest.raises(ProtocolError):
        FrameReader().feed(protocol.HEADER.pack(Kind.STDOUT, protocol.MAX_PAYLOAD + 1))
    with pytest.raises(ProtocolError):
        RecordReader(Kept(), max_bytes=10).feed(protocol.record_header("a", 0o644, 11))
    with pytest.raises(ProtocolError):
        RecordReader(Kept(), max_bytes=10, max_files=1).feed(protocol.record_header("a", 0o644, 0) * 2)
    with pytest.raises(ProtocolError):
        RecordReader(Kept(), max_bytes=10).feed(protocol.record_header("a", 0o4755, 1))


def test_a_record_stream_that_stops_short_is_noticed():
    reader = RecordReader(Kept(), max_bytes=10)
    reader.feed(protocol.record_header("a", 0o644, 2) + b"x")
    with pytest.raises(ProtocolError):
        reader.finish()
