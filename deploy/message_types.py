"""Writes frontend/src/messages.ts from sessions_app/messages.py: `make messages`. A test says whether it was forgotten.

What a page says and hears is in it; the messages of clients without a CRDT are not.
"""

from __future__ import annotations

import dataclasses
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
UNIONS = ("AnyNotice", "PageMessage", "ClientPageMessage")


def shown(hint: Any) -> str:
    """A type of Python in TypeScript."""
    if hint in BARE:
        return BARE[hint]
    if isinstance(hint, type) and (typing.is_typeddict(hint) or dataclasses.is_dataclass(hint)):
        return hint.__name__
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is NotRequired or origin is typing.ClassVar:
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
        return f"Record<{shown(arguments[0])}, {shown(arguments[1])}>"
    raise TypeError(hint)


def parts(hint: Any) -> list[type]:
    """The named types that a type is made of, those first that others need."""
    if isinstance(hint, type) and (typing.is_typeddict(hint) or dataclasses.is_dataclass(hint)):
        inside = [part for member in members(hint).values() for part in parts(member)]
        return [*inside, hint]
    return [part for argument in typing.get_args(hint) for part in parts(argument)]


def members(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


def is_optional(kind: type, name: str, hint: Any) -> bool:
    """A member that may be missing; in a dataclass one with a default."""
    if typing.get_origin(hint) is NotRequired:
        return True
    fields = {field.name: field for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else {}
    return name in fields and fields[name].default is not dataclasses.MISSING


def interface(kind: type) -> str:
    own = kind.__dict__.get("__doc__") or ""
    # A dataclass without a docstring is given its signature as one.
    comment = (
        f"/** {' '.join(inspect.cleandoc(own).split())} */\n" if own and not own.startswith(f"{kind.__name__}(") else ""
    )
    lines = [
        f"  {name}?: {shown(hint).removesuffix(' | null')};"
        if is_optional(kind, name, hint)
        else f"  {name}: {shown(hint)};"
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
