"""Languages whose source is interpreted directly: shells, query languages, mathematics and others."""

from languages.language import MIB, PROGRAM, Language

ROWS = (
    Language(
        key="typescript",
        name="TypeScript",
        aliases=("ts",),
        file_name="main.ts",
        suffixes=(".ts", ".mts"),
        version_argv=("esbuild", "--version"),
        # Types are stripped, not checked: checking takes seconds, and a run should not.
        compile=(
            "esbuild",
            "--bundle",
            "--platform=node",
            "--format=esm",
            "--target=node18",
            "--sourcemap=inline",
            "--log-level=warning",
            "--color=false",
            f"--outfile={PROGRAM}.mjs",
            "{entry}",
        ),
        run=(
            "node",
            "--enable-source-maps",
            "--max-old-space-size=224",
            "--max-semi-space-size=4",
            f"{PROGRAM}.mjs",
        ),
        environment={"UV_THREADPOOL_SIZE": "2"},
        compile_environment={"GOMAXPROCS": "1"},
        run_limits={"memory_bytes": 256 * MIB},
        error_line=r"(?:/work/)?(?P<file>[^\s:(]+):(?P<line>\d+):\d+",
        hello="""\
const names: string[] = ["Ada", "Grace", "Linus"];

for (const name of names) {
  console.log(`Hello, ${name}!`);
}
""",
    ),
    Language(
        key="coffeescript",
        name="CoffeeScript",
        aliases=("coffee",),
        file_name="main.coffee",
        suffixes=(".coffee",),
        version_argv=("coffee", "--version"),
        run=("coffee", "{entry}"),
        environment={"UV_THREADPOOL_SIZE": "2", "NODE_OPTIONS": "--max-old-space-size=224 --max-semi-space-size=4"},
        run_limits={"memory_bytes": 256 * MIB},
        error_line=r"^(?:/work/)?(?P<file>[^\s:]+):(?P<line>\d+):\d+: error",
        hello="""\
names = ["Ada", "Grace", "Linus"]

console.log "Hello, #{name}!" for name in names
""",
    ),
    Language(
        key="sql",
        name="SQL",
        aliases=("sqlite", "sqlite3"),
        file_name="main.sql",
        suffixes=(".sql",),
        version_argv=("sqlite3", "--version"),
        run=("sqlite3", "-batch", "-bail", "-init", "{entry}", ":memory:", ""),
        error_line=r"near line (?P<line>\d+)",
        hello="""\
CREATE TABLE people (name TEXT);
INSERT INTO people VALUES ('Ada'), ('Grace'), ('Linus');

SELECT 'Hello, ' || name || '!' FROM people;
""",
    ),
    Language(
        key="awk",
        name="AWK",
        aliases=("gawk",),
        file_name="main.awk",
        suffixes=(".awk",),
        version_argv=("gawk", "--version"),
        run=("gawk", "-f", "{entry}"),
        error_line=r"^gawk: (?P<file>[^\s:]+):(?P<line>\d+):",
        hello="""\
BEGIN {
    split("Ada Grace Linus", names)
    for (i = 1; i <= 3; i++) {
        printf "Hello, %s!\\n", names[i]
    }
}
""",
    ),
    Language(
        key="jq",
        name="jq",
        file_name="main.jq",
        suffixes=(".jq",),
        version_argv=("jq", "--version"),
        # `input` and `inputs` read JSON values from stdin.
        run=("jq", "--null-input", "--raw-output", "--from-file", "{entry}"),
        error_line=r"at <top-level>, line (?P<line>\d+)",
        hello="""\
["Ada", "Grace", "Linus"]
| .[]
| "Hello, \\(.)!"
""",
    ),
    Language(
        key="tcl",
        name="Tcl",
        file_name="main.tcl",
        suffixes=(".tcl",),
        version_argv=("readlink", "--canonicalize", "/usr/bin/tclsh"),
        run=("tclsh", "{entry}"),
        error_line=r'\(file "(?P<file>[^"]+)" line (?P<line>\d+)\)',
        hello="""\
foreach name {Ada Grace Linus} {
    puts "Hello, $name!"
}
""",
    ),
    Language(
        key="dash",
        name="POSIX shell",
        aliases=("posix",),
        file_name="main.sh",
        suffixes=(".sh",),
        version_argv=("dash", "-c", ":"),
        run=("dash", "{entry}"),
        error_line=r"^(?P<file>[^\s:]+): (?P<line>\d+): ",
        hello="""\
for name in Ada Grace Linus; do
  printf 'Hello, %s!\\n' "$name"
done
""",
    ),
    Language(
        key="zsh",
        name="Zsh",
        family="scripting",
        file_name="main.zsh",
        suffixes=(".zsh",),
        version_argv=("zsh", "--version"),
        run=("zsh", "--no-rcs", "{entry}"),
        error_line=r"^(?P<file>[^\s:]+):(?P<line>\d+): ",
        hello="""\
names=(Ada Grace Linus)

for name in $names; do
  print "Hello, $name!"
done
""",
    ),
    Language(
        key="fish",
        name="Fish",
        family="scripting",
        file_name="main.fish",
        suffixes=(".fish",),
        version_argv=("fish", "--version"),
        run=("fish", "--no-config", "{entry}"),
        error_line=r"^(?P<file>[^\s:]+) \(line (?P<line>\d+)\)",
        hello="""\
for name in Ada Grace Linus
    echo "Hello, $name!"
end
""",
    ),
    Language(
        key="luajit",
        name="LuaJIT",
        family="scripting",
        file_name="main.lua",
        suffixes=(".lua",),
        version_argv=("luajit", "-v"),
        run=("luajit", "{entry}"),
        error_line=r"^luajit: (?P<file>[^\s:]+):(?P<line>\d+):",
        hello="""\
for _, name in ipairs({"Ada", "Grace", "Linus"}) do
  print("Hello, " .. name .. "!")
end
""",
    ),
    Language(
        key="basic",
        name="BASIC",
        aliases=("yabasic",),
        family="scripting",
        file_name="main.bas",
        suffixes=(".bas",),
        version_argv=("yabasic", "--version"),
        run=("yabasic", "{entry}"),
        error_line=r"in (?P<file>[^\s,]+), line (?P<line>\d+)",
        hello="""\
for i = 1 to 3
    read name$
    print "Hello, ", name$, "!"
next i

data "Ada", "Grace", "Linus"
""",
    ),
    Language(
        key="rexx",
        name="Rexx",
        family="scripting",
        file_name="main.rexx",
        suffixes=(".rexx", ".rex"),
        version_argv=("regina", "-v"),
        run=("regina", "{entry}"),
        error_line=r'(?:running "(?:/work/)?(?P<file>[^"]+)", line |error at line )(?P<line>\d+)',
        hello="""\
/* Greets each of them. */
names = 'Ada Grace Linus'

do i = 1 to words(names)
  say 'Hello,' word(names, i)'!'
end
""",
    ),
    Language(
        key="pike",
        name="Pike",
        family="scripting",
        file_name="main.pike",
        suffixes=(".pike", ".pmod"),
        version_argv=("pike8.0", "--version"),
        run=("pike8.0", "{entry}"),
        error_line=r"^(?P<file>[^\s:]+):(?P<line>\d+):",
        hello="""\
int main() {
    foreach (({ "Ada", "Grace", "Linus" }), string name) {
        write("Hello, %s!\\n", name);
    }
    return 0;
}
""",
    ),
    Language(
        key="brainfuck",
        name="Brainfuck",
        aliases=("bf",),
        family="scripting",
        file_name="main.bf",
        suffixes=(".bf", ".b"),
        version_argv=("beef", "--help"),
        run=("beef", "{entry}"),
        exits=False,
        hello="""\
Ten times over: letters near their place
++++++++++[>+++>+++++++>++++++++++>+++++++++++>+<<<<<-]

Greet each one
>>++.>+.>--..+++.<<<++++++++++++++.------------.>-------.>-.---.<<+.>>>>.
<<<+++++++.>++++.>---..+++.<<<+++++++++++.------------.>-.>>+++.<----.++.++.<<+.>>>>.
<<<+.>.+++++++..+++.<<+++++++++++.------------.>++++.>------.+++++.>+++.--.<<<+.>>>>.
""",
    ),
    Language(
        key="forth",
        name="Forth",
        aliases=("gforth",),
        family="scripting",
        file_name="main.fs",
        suffixes=(".fs", ".fth", ".4th"),
        version_argv=("gforth", "--version"),
        run=("gforth", "{entry}", "-e", "bye"),
        error_line=r"^(?P<file>[^\s:]+):(?P<line>\d+):",
        hello="""\
: greet ( addr len -- ) ." Hello, " type ." !" cr ;

s" Ada" greet
s" Grace" greet
s" Linus" greet
""",
    ),
    Language(
        key="raku",
        name="Raku",
        aliases=("perl6",),
        family="raku",
        file_name="main.raku",
        suffixes=(".raku", ".rakumod"),
        version_argv=("rakudo", "--version"),
        run=("rakudo", "{entry}"),
        environment={"RAKU_ERROR_COLOR": "0"},
        run_limits={"memory_bytes": 256 * MIB},
        error_line=r"(?:at |in .* at )(?:/work/)?(?P<file>[^\s:]+)(?::| line )(?P<line>\d+)",
        hello="""\
for <Ada Grace Linus> -> $name {
    say "Hello, $name!";
}
""",
    ),
    Language(
        key="r",
        name="R",
        aliases=("rscript",),
        family="r",
        file_name="main.R",
        suffixes=(".R", ".r"),
        version_argv=("Rscript", "--version"),
        run=("Rscript", "--vanilla", "{entry}"),
        hello="""\
names <- c("Ada", "Grace", "Linus")

for (name in names) {
  cat("Hello, ", name, "!\\n", sep = "")
}
""",
    ),
    Language(
        key="octave",
        name="Octave",
        aliases=("matlab",),
        family="octave",
        file_name="main.m",
        suffixes=(".m",),
        version_argv=("octave-cli", "--version"),
        run=("octave-cli", "--quiet", "--no-init-file", "--no-history", "{entry}"),
        error_line=r"near line (?P<line>\d+)",
        hello="""\
names = {"Ada", "Grace", "Linus"};

for i = 1:numel(names)
  printf("Hello, %s!\\n", names{i});
end
""",
    ),
    Language(
        key="algol68",
        name="ALGOL 68",
        aliases=("a68",),
        family="native",
        file_name="main.a68",
        suffixes=(".a68",),
        version_argv=("a68g", "--version"),
        run=("a68g", "{entry}"),
        exits=False,
        error_line=r"^(?P<line>\d+) {2,}\S",
        hello="""\
BEGIN
  [] STRING names = ("Ada", "Grace", "Linus");
  FOR i TO UPB names DO
    print (("Hello, ", names[i], "!", new line))
  OD
END
""",
    ),
)
