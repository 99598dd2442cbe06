"""What is kept of a flood, and in which order a listener hears it."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from execution.sandbox.output import Delivery, OutputCut

steps = st.lists(st.one_of(st.binary(min_size=1, max_size=90), st.none()), max_size=40)


@given(steps, st.integers(8, 200))
def test_what_fits_is_whole_and_what_does_not_keeps_its_ends(steps, limit):
    """None stands for a quiet moment, in which what waits is passed on."""
    cut = OutputCut(limit)
    passed = b""
    for step in steps:
        if step is None:
            passed += b"".join(data for _stream, data in cut.release())
        else:
            passed += cut.add("stdout", step)
    passed += b"".join(data for _stream, data in cut.release())
    printed = b"".join(step for step in steps if step)
    assert cut.total_bytes == len(printed)
    assert cut.is_over == cut.truncated == (len(printed) > limit)
    if not cut.truncated:
        assert passed == printed
    else:
        assert len(passed) == limit
        head = limit - limit // 4
        assert passed[:head] == printed[:head]
        if None not in steps:
            assert passed[head:] == printed[len(printed) - limit // 4 :]


def test_streams_share_the_limit_and_keep_their_order():
    cut = OutputCut(8)
    passed = [("stdout", cut.add("stdout", b"abcdef"))]
    for stream, data in (("stderr", b"1"), ("stdout", b"2"), ("stderr", b"3")):
        assert cut.add(stream, data) == b""
    assert passed + cut.release() == [("stdout", b"abcdef"), ("stdout", b"2"), ("stderr", b"3")]
    assert cut.truncated


class Slow:
    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.go = threading.Event()

    def started(self) -> None:
        self.heard.append(("started", b""))

    def output(self, stream: str, data: bytes) -> None:
        self.go.wait(30)
        self.heard.append((stream, data))


def test_single_bytes_for_a_slow_listener_are_merged():
    listener = Slow()
    delivery = Delivery(listener, on_failure=lambda: None)
    delivery.started()
    for number in range(20_000):
        delivery.output("stdout" if number % 2 else "stderr", b"%d" % (number % 10))
    listener.go.set()
    delivery.finish()
    assert listener.heard[0] == ("started", b"")
    assert len(listener.heard) < 5_000
    for stream, first in (("stdout", 1), ("stderr", 0)):
        heard = b"".join(data for name, data in listener.heard if name == stream)
        assert heard == b"".join(b"%d" % (number % 10) for number in range(first, 20_000, 2))
