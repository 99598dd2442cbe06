"""Writes frontend/src/messages.ts from sessions_app/messages.py: `make messages`. A test says whether it was forgotten.

It has what a page hears: text messages that a page sends, and those of clients without a CRDT, are not in it.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from sessions_app import messages  # noqa: E402

TARGET = ROOT / "frontend" / "src" / "messages.ts"
HEAD = "// The text messages of a session's socket. Made from sessions_app/messages.py: `make messages`.\n"
BARE = {str: "string", int: "number", float: "number", bool: "boolean", type(None): "null", Any: "unknown"}
# Unions that have a name of their own in TypeScript too.
UNIONS = ("AnyNotice", "PageMessage")


def shown(hint: Any) -> str:
    """A type of Python in TypeScript."""
    if hint in BARE:
        return BARE[hint]
    if typing.is_typeddict(hint):
        return str(hint.__name__)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is NotRequired:
        return shown(arguments[0])
    if origin is Annotated:
        assert hint == messages.Permission, hint
        return "Permission"
    if origin is Literal:
        return " | ".join(f'"{value}"' for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(shown, arguments))
    if origin is list:
        return f"{shown(arguments[0])}[]"
    if origin is dict:
        # A value that is described elsewhere.
        return "unknown"
    raise TypeError(hint)


def parts(hint: Any) -> list[type]:
    """The named types that a type is made of, those first that others need."""
    if typing.is_typeddict(hint):
        inside = [part for member in members(hint).values() for part in parts(member)]
        return [*inside, hint]
    return [part for argument in typing.get_args(hint) for part in parts(argument)]


def members(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


def interface(kind: type) -> str:
    own = kind.__dict__.get("__doc__")
    comment = f"/** {' '.join(inspect.cleandoc(own).split())} */\n" if own else ""
    lines = [
        f"  {name}{'?' if typing.get_origin(hint) is NotRequired else ''}: {shown(hint)};"
        for name, hint in members(kind).items()
    ]
    return "\n".join([f"{comment}export interface {kind.__name__} {{", *lines, "}"])


def typescript() -> str:
    roots = [getattr(messages, name) for name in UNIONS]
    kinds = list(dict.fromkeys(part for root in roots for part in parts(root)))
    values = typing.get_args(messages.Permission)[1]
    permission = f"export type Permission = {' | '.join(f'{chr(34)}{value}{chr(34)}' for value in values)};"
    unions = [
        f"export type {name} =\n" + "\n".join(f"  | {kind.__name__}" for kind in typing.get_args(root)) + ";"
        for name, root in zip(UNIONS, roots, strict=True)
    ]
    return "\n\n".join([HEAD + permission, *map(interface, kinds), *unions]) + "\n"


if __name__ == "__main__":
    TARGET.write_text(typescript())
