"""Families of languages: each has a sandbox image, with these Debian packages on top of the base. Data only."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """A sandbox image. `make images` builds those that are `light`, `make images-all` all of them. `etc` has patterns
    of the files below /etc that the tools read; bubblewrap hides all others of the host from programs."""

    name: str
    packages: tuple[str, ...]
    light: bool = False
    etc: tuple[str, ...] = ()


# In build order: the most popular first, the large and slow ones last.
_ROWS = (
    Family(
        "core",
        (
            *("gcc", "g++", "libc6-dev", "nodejs", "ruby", "perl", "php-cli", "lua5.4"),
            *("sqlite3", "gawk", "jq", "tcl", "binutils", "esbuild", "coffeescript", "dash"),
        ),
        light=True,
        etc=("perl", "php", "lua"),
    ),
    Family("java", ("default-jdk-headless",), light=True, etc=("java", "java-*-openjdk")),
    Family("go", ("golang-go",), light=True),
    Family("rust", ("rustc",), light=True),
    Family("scripting", ("luajit", "zsh", "fish", "yabasic", "regina-rexx", "pike8.0", "beef", "gforth")),
    Family("gnu", ("gfortran", "gnat", "gdc", "gobjc", "gnucobol4")),
    Family(
        "native",
        ("fp-compiler", "fp-units-base", "nim", "crystal", "valac", "gcc", "libc6-dev", "algol68g", "iverilog"),
        etc=("fpc.cfg", "fpc-*.cfg"),
    ),
    Family("lisp", ("sbcl", "guile-3.0", "emacs-nox")),
    Family("logic", ("swi-prolog-nox",)),
    Family("beam", ("erlang-base", "elixir")),
    Family("ml", ("ocaml-nox", "polyml", "gcc", "libc6-dev")),
    Family("mono", ("mono-mcs", "mono-runtime"), etc=("mono",)),
    Family("llvm", ("llvm",)),
    Family("raku", ("rakudo",)),
    Family("racket", ("racket",), etc=("racket",)),
    Family("r", ("r-base-core",), etc=("R",)),
    Family("octave", ("octave",), etc=("octave.conf",)),
    Family("haxe", ("haxe", "neko")),
    Family("jvm", ("default-jdk-headless", "groovy", "clojure", "scala", "kotlin"), etc=("java", "java-*-openjdk")),
    Family("haskell", ("ghc",)),
)

FAMILIES: dict[str, Family] = {row.name: row for row in _ROWS}
