"""The types that pages have of the socket's messages are those of the server."""

from __future__ import annotations

from deploy import message_types


def test_messages_of_pages_are_those_of_the_server() -> None:
    assert message_types.TARGET.read_text() == message_types.typescript(), "run `make messages`"
