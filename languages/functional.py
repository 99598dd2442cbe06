"""Lisps, the ML family, Erlang's virtual machine, and logic programming."""

from languages.language import MIB, PROGRAM, SCRATCH, Language

# One scheduler of each kind. By default, Erlang starts a thread for every processor of the host.
ERLANG_FLAGS = "+S 1:1 +SDcpu 1:1 +SDio 1 +A 1 +sbwt none"

ROWS = (
    Language(
        key="commonlisp",
        name="Common Lisp",
        aliases=("lisp", "sbcl"),
        family="lisp",
        file_name="main.lisp",
        suffixes=(".lisp", ".lsp", ".cl"),
        version_argv=("sbcl", "--version"),
        run=("sbcl", "--dynamic-space-size", "192MB", "--script", "{entry}"),
        run_limits={"memory_bytes": 256 * MIB},
        error_line=r"starting at line: (?P<line>\d+)",
        hello="""\
(dolist (name '("Ada" "Grace" "Linus"))
  (format t "Hello, ~a!~%" name))
""",
    ),
    Language(
        key="scheme",
        name="Scheme",
        aliases=("guile", "scm"),
        family="lisp",
        file_name="main.scm",
        suffixes=(".scm", ".ss"),
        version_argv=("guile", "--version"),
        run=("guile", "--no-auto-compile", "{entry}"),
        environment={"GUILE_AUTO_COMPILE": "0"},
        error_line=r"(?:/work/)?(?P<file>[^\s:]+\.scm):(?P<line>\d+):\d+: (?!In procedure)",
        hello="""\
(for-each
  (lambda (name)
    (display (string-append "Hello, " name "!"))
    (newline))
  '("Ada" "Grace" "Linus"))
""",
    ),
    Language(
        key="elisp",
        name="Emacs Lisp",
        aliases=("emacs", "el"),
        family="lisp",
        file_name="main.el",
        suffixes=(".el",),
        version_argv=("emacs", "--version"),
        run=("emacs", "--quick", "--script", "{entry}"),
        hello="""\
(dolist (name '("Ada" "Grace" "Linus"))
  (princ (format "Hello, %s!\\n" name)))
""",
    ),
    Language(
        key="racket",
        name="Racket",
        aliases=("rkt",),
        family="racket",
        file_name="main.rkt",
        suffixes=(".rkt",),
        version_argv=("racket", "--version"),
        run=("racket", "{entry}"),
        error_line=r"^(?P<file>[^\s:]+):(?P<line>\d+):\d+:",
        hello="""\
#lang racket/base

(for ([name '("Ada" "Grace" "Linus")])
  (printf "Hello, ~a!\\n" name))
""",
    ),
    Language(
        key="prolog",
        name="Prolog",
        aliases=("swipl",),
        family="logic",
        file_name="main.pl",
        suffixes=(".pl", ".pro"),
        version_argv=("swipl", "--version"),
        # `main` is the goal. A file that does not load ends the run first.
        run=("swipl", "--quiet", "--on-error=halt", "-g", "main", "-t", "halt", "{entry}"),
        error_line=r"^(?:ERROR: +)?(?:/work/)?(?P<file>[^\s:]+):(?P<line>\d+):\d+:",
        hello="""\
person('Ada').
person('Grace').
person('Linus').

main :-
    forall(person(Name), format("Hello, ~w!~n", [Name])).
""",
    ),
    Language(
        key="erlang",
        name="Erlang",
        aliases=("erl", "escript"),
        family="beam",
        file_name="main.erl",
        suffixes=(".erl",),
        version_argv=("erl", "-noshell", "-eval", "io:put_chars(erlang:system_info(otp_release)), halt()."),
        run=("escript", "{entry}"),
        environment={"ERL_FLAGS": ERLANG_FLAGS},
        error_line=r"^(?P<file>[^\s:]+):(?P<line>\d+):(?:\d+:)? ",
        hello="""\
%% Run by escript: main/1 gets the arguments.
-module(main).
-export([main/1]).

main(_Arguments) ->
    [io:format("Hello, ~s!~n", [Name]) || Name <- ["Ada", "Grace", "Linus"]].
""",
    ),
    Language(
        key="elixir",
        name="Elixir",
        aliases=("ex", "exs"),
        family="beam",
        file_name="main.exs",
        suffixes=(".exs", ".ex"),
        version_argv=("elixir", "--short-version"),
        run=("elixir", "{entry}"),
        environment={"ERL_FLAGS": ERLANG_FLAGS},
        error_line=r"(?P<file>[^\s:()]+):(?P<line>\d+):",
        hello="""\
for name <- ["Ada", "Grace", "Linus"] do
  IO.puts("Hello, #{name}!")
end
""",
    ),
    Language(
        key="ocaml",
        name="OCaml",
        aliases=("ml",),
        family="ml",
        file_name="main.ml",
        suffixes=(".ml",),
        version_argv=("ocamlopt", "-version"),
        compile=("ocamlopt", "-g", "-o", PROGRAM, "{entry}"),
        run=(PROGRAM,),
        error_line=r'^File "(?P<file>[^"]+)", lines? (?P<line>\d+)',
        hello="""\
let greet name = Printf.printf "Hello, %s!\\n" name

let () = List.iter greet [ "Ada"; "Grace"; "Linus" ]
""",
    ),
    Language(
        key="sml",
        name="Standard ML",
        aliases=("polyml",),
        family="ml",
        file_name="main.sml",
        suffixes=(".sml",),
        version_argv=("poly", "-v"),
        run=("poly", "--script", "{entry}"),
        error_line=r"^(?P<file>[^\s:]+):(?P<line>\d+): error",
        hello="""\
fun greet name = print ("Hello, " ^ name ^ "!\\n");

val () = List.app greet ["Ada", "Grace", "Linus"];
""",
    ),
    Language(
        key="haskell",
        name="Haskell",
        aliases=("hs", "ghc"),
        family="haskell",
        file_name="main.hs",
        suffixes=(".hs",),
        version_argv=("ghc", "--version"),
        compile=("ghc", "-v0", "-O0", "-outputdir", SCRATCH, "-o", PROGRAM, "{entry}"),
        run=(PROGRAM,),
        error_line=r"^(?P<file>[^\s:]+):(?P<line>\d+):\d+: error",
        hello="""\
main :: IO ()
main = mapM_ greet ["Ada", "Grace", "Linus"]
  where
    greet name = putStrLn ("Hello, " ++ name ++ "!")
""",
    ),
)
