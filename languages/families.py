"""The families of languages: one sandbox image each, with these Debian packages on top of the base. Data only."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """`light`: built by plain `make images`; the others by `make images-all`. `etc`: what the tools read below /etc,
    as patterns; of a host, bubblewrap shows programs no other files there."""

    name: str
    packages: tuple[str, ...]
    light: bool = False
    etc: tuple[str, ...] = ()


# In the order they are built: what most people want first, the large and slow last.
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
