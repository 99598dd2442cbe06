// Language packages for the editor by language key, each loaded when it is first needed.
import { indentUnit, StreamLanguage } from "@codemirror/language";
import type { Extension } from "@codemirror/state";

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
  ruby: async () => StreamLanguage.define((await import("@codemirror/legacy-modes/mode/ruby")).ruby),
  perl: async () => StreamLanguage.define((await import("@codemirror/legacy-modes/mode/perl")).perl),
  lua: async () => StreamLanguage.define((await import("@codemirror/legacy-modes/mode/lua")).lua),
  bash: async () => StreamLanguage.define((await import("@codemirror/legacy-modes/mode/shell")).shell),
};

const narrow = new Set(["javascript", "typescript", "ruby", "lua", "bash"]);

/** Grammar and indent width; an unknown key is plain text. */
export async function languageSupport(key: string): Promise<Extension> {
  const unit = key === "go" ? "\t" : narrow.has(key) ? "  " : "    ";
  const grammar = loaders[key];
  return [indentUnit.of(unit), grammar ? await grammar() : []];
}
