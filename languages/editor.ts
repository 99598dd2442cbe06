// Language packages for the editor by language key, each loaded when it is first needed.
import { StreamLanguage, type StreamParser } from "@codemirror/language";
import type { Extension } from "@codemirror/state";

type Mode = { [name: string]: unknown };

/** A grammar of CodeMirror's older kind, by the name that its module exports. */
function stream(load: () => Promise<Mode>, name: string): () => Promise<Extension> {
  return async () => StreamLanguage.define((await load())[name] as StreamParser<unknown>);
}

const shell = stream(() => import("@codemirror/legacy-modes/mode/shell"), "shell");
const lua = stream(() => import("@codemirror/legacy-modes/mode/lua"), "lua");

const loaders: Record<string, () => Promise<Extension>> = {
  python: async () => (await import("@codemirror/lang-python")).python(),
  javascript: async () => (await import("@codemirror/lang-javascript")).javascript(),
  typescript: async () => (await import("@codemirror/lang-javascript")).javascript({ typescript: true }),
  c: async () => (await import("@codemirror/lang-cpp")).cpp(),
  cpp: async () => (await import("@codemirror/lang-cpp")).cpp(),
  java: async () => (await import("@codemirror/lang-java")).java(),
  rust: async () => (await import("@codemirror/lang-rust")).rust(),
  go: async () => (await import("@codemirror/lang-go")).go(),
  php: async () => (await import("@codemirror/lang-php")).php(),
  ruby: stream(() => import("@codemirror/legacy-modes/mode/ruby"), "ruby"),
  perl: stream(() => import("@codemirror/legacy-modes/mode/perl"), "perl"),
  lua,
  luajit: lua,
  bash: shell,
  dash: shell,
  fish: shell,
  zsh: shell,
  assembly: stream(() => import("@codemirror/legacy-modes/mode/gas"), "gas"),
  brainfuck: stream(() => import("@codemirror/legacy-modes/mode/brainfuck"), "brainfuck"),
  clojure: stream(() => import("@codemirror/legacy-modes/mode/clojure"), "clojure"),
  cobol: stream(() => import("@codemirror/legacy-modes/mode/cobol"), "cobol"),
  coffeescript: stream(() => import("@codemirror/legacy-modes/mode/coffeescript"), "coffeeScript"),
  commonlisp: stream(() => import("@codemirror/legacy-modes/mode/commonlisp"), "commonLisp"),
  crystal: stream(() => import("@codemirror/legacy-modes/mode/crystal"), "crystal"),
  csharp: stream(() => import("@codemirror/legacy-modes/mode/clike"), "csharp"),
  d: stream(() => import("@codemirror/legacy-modes/mode/d"), "d"),
  elisp: stream(() => import("@codemirror/legacy-modes/mode/commonlisp"), "commonLisp"),
  erlang: stream(() => import("@codemirror/legacy-modes/mode/erlang"), "erlang"),
  forth: stream(() => import("@codemirror/legacy-modes/mode/forth"), "forth"),
  fortran: stream(() => import("@codemirror/legacy-modes/mode/fortran"), "fortran"),
  groovy: stream(() => import("@codemirror/legacy-modes/mode/groovy"), "groovy"),
  haskell: stream(() => import("@codemirror/legacy-modes/mode/haskell"), "haskell"),
  haxe: stream(() => import("@codemirror/legacy-modes/mode/haxe"), "haxe"),
  kotlin: stream(() => import("@codemirror/legacy-modes/mode/clike"), "kotlin"),
  objectivec: stream(() => import("@codemirror/legacy-modes/mode/clike"), "objectiveC"),
  ocaml: stream(() => import("@codemirror/legacy-modes/mode/mllike"), "oCaml"),
  octave: stream(() => import("@codemirror/legacy-modes/mode/octave"), "octave"),
  pascal: stream(() => import("@codemirror/legacy-modes/mode/pascal"), "pascal"),
  pike: stream(() => import("@codemirror/legacy-modes/mode/clike"), "c"),
  r: stream(() => import("@codemirror/legacy-modes/mode/r"), "r"),
  racket: stream(() => import("@codemirror/legacy-modes/mode/scheme"), "scheme"),
  scala: stream(() => import("@codemirror/legacy-modes/mode/clike"), "scala"),
  scheme: stream(() => import("@codemirror/legacy-modes/mode/scheme"), "scheme"),
  sml: stream(() => import("@codemirror/legacy-modes/mode/mllike"), "sml"),
  sql: stream(() => import("@codemirror/legacy-modes/mode/sql"), "sqlite"),
  tcl: stream(() => import("@codemirror/legacy-modes/mode/tcl"), "tcl"),
  vala: stream(() => import("@codemirror/legacy-modes/mode/clike"), "csharp"),
  verilog: stream(() => import("@codemirror/legacy-modes/mode/verilog"), "verilog"),
};

// Two columns; the others take four, and Go a tab.
const narrow = new Set([
  "algol68", "bash", "clojure", "coffeescript", "commonlisp", "crystal", "dash", "elisp", "elixir", "fortran", "haskell",
  "haxe", "javascript", "jq", "llvm", "lua", "luajit", "nim", "ocaml", "octave", "pascal", "r", "racket", "rexx", "ruby",
  "scala", "scheme", "sml", "typescript", "verilog", "zsh",
]);

/** How code of this language is indented where its text does not tell. */
export const usualUnit = (key: string): string => (key === "go" ? "\t" : narrow.has(key) ? "  " : "    ");

/** The grammar; an unknown key is plain text. */
export async function languageSupport(key: string): Promise<Extension> {
  return (await loaders[key]?.()) ?? [];
}
