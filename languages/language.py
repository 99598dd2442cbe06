"""A row of the table of languages, and how its command lines are filled in. Without Django."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

ARTIFACT_FOLDER = ".build"
PROGRAM = f"{ARTIFACT_FOLDER}/program"
SCRATCH = "/tmp"  # noqa: S108 - the sandbox's own
MIB = 1024 * 1024


@dataclass(frozen=True)
class Language:
    """A row of the table.

    In command lines, `{entry}` becomes the entry file, `{stem}` its name without folder and suffix, and the word
    `{sources}` every file with one of the language's suffixes, the entry first. Compilers leave the program in
    ARTIFACT_FOLDER, the only folder that is copied from the compiling sandbox to the running one.
    """

    key: str
    name: str
    file_name: str
    version_argv: tuple[str, ...]
    run: tuple[str, ...]
    # The starter program, which greets Ada, Grace and Linus.
    hello: str
    # The image with its tools (families.py).
    family: str = "core"
    compile: tuple[str, ...] | None = None
    aliases: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    compile_environment: Mapping[str, str] = field(default_factory=dict)
    # Overrides of the default limits, by field name.
    run_limits: Mapping[str, int] = field(default_factory=dict)
    compile_limits: Mapping[str, int] = field(default_factory=dict)
    # Finds locations in the lines of an error message: groups `line` and, if the tool names it, `file`.
    error_line: str | None = None
    # Whether a program can choose its exit code.
    exits: bool = True

    def run_argv(self, entry: str, paths: Iterable[str]) -> tuple[str, ...]:
        return self._expand(self.run, entry, paths)

    def compile_argv(self, entry: str, paths: Iterable[str]) -> tuple[str, ...] | None:
        return None if self.compile is None else self._expand(self.compile, entry, paths)

    def _expand(self, argv: tuple[str, ...], entry: str, paths: Iterable[str]) -> tuple[str, ...]:
        words: list[str] = []
        for word in argv:
            if word == "{sources}":
                words.append(_as_operand(entry))
                words += [_as_operand(path) for path in sorted(paths) if path != entry and path.endswith(self.suffixes)]
            elif word == "{entry}":
                words.append(_as_operand(entry))
            else:
                words.append(word.replace("{stem}", PurePosixPath(entry).stem) if "{stem}" in word else word)
        return tuple(words)


def _as_operand(path: str) -> str:
    """Make sure that a file name beginning with a dash is not taken for an option."""
    return f"./{path}" if path.startswith("-") else path


# Options for every Java virtual machine: small, single-threaded, quick to start.
JVM = (
    "-Xss1m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-XX:ReservedCodeCacheSize=24m",
)
# GCC and most compilers modelled on it: file:line:column: error: ...
GNU_ERROR = r"^(?P<file>[^\s:]+):(?P<line>\d+):(?:\d+:)? (?:fatal |syntax )?error"
