"""The table of languages: how each is compiled, run and greeted. Data only, no Django; whoever runs code reads it.

In an argv, a word `{entry}` becomes the entry file, `{stem}` its name without folder and suffix, and the word
`{sources}` becomes every file with one of the language's suffixes, the entry first. Compilers leave the program in
ARTIFACT_FOLDER, and only that folder travels from the compiling sandbox to the running one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

ARTIFACT_FOLDER = ".build"
PROGRAM = f"{ARTIFACT_FOLDER}/program"
MIB = 1024 * 1024


@dataclass(frozen=True)
class Language:
    """One row. `run_limits` and `compile_limits` replace fields of the default limits of the same name."""

    key: str
    name: str
    file_name: str
    version_argv: tuple[str, ...]
    run: tuple[str, ...]
    hello: str
    compile: tuple[str, ...] | None = None
    aliases: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    compile_environment: Mapping[str, str] = field(default_factory=dict)
    run_limits: Mapping[str, int] = field(default_factory=dict)
    compile_limits: Mapping[str, int] = field(default_factory=dict)

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
                words.append(word.replace("{stem}", PurePosixPath(entry).stem))
        return tuple(words)


def _as_operand(path: str) -> str:
    """A file whose name begins with a dash must not be taken for an option."""
    return f"./{path}" if path.startswith("-") else path


_ROWS = (
    Language(
        key="python",
        name="Python",
        aliases=("python3", "py"),
        file_name="main.py",
        suffixes=(".py",),
        version_argv=("python3", "--version"),
        run=("python3", "{entry}"),
        environment={"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONIOENCODING": "utf-8"},
        hello='names = ["Ada", "Grace", "Linus"]\n\nfor name in names:\n    print(f"Hello, {name}!")\n',
    ),
    Language(
        key="javascript",
        name="JavaScript",
        aliases=("js", "node", "nodejs"),
        file_name="main.js",
        suffixes=(".js", ".mjs", ".cjs"),
        version_argv=("node", "--version"),
        # Node alone takes 45 MB; a heap a little below the limit leaves the verdict to the sandbox.
        run=("node", "--max-old-space-size=224", "--max-semi-space-size=4", "{entry}"),
        environment={"UV_THREADPOOL_SIZE": "2"},
        run_limits={"memory_bytes": 256 * MIB},
        hello=(
            'const names = ["Ada", "Grace", "Linus"];\n\n'
            "for (const name of names) {\n  console.log(`Hello, ${name}!`);\n}\n"
        ),
    ),
    Language(
        key="c",
        name="C",
        file_name="main.c",
        suffixes=(".c",),
        version_argv=("gcc", "--version"),
        compile=("gcc", "-std=gnu17", "-O1", "-g", "-Wall", "-pipe", "-o", PROGRAM, "{sources}", "-lm"),
        run=(PROGRAM,),
        hello=(
            "#include <stdio.h>\n\nint main(void) {\n"
            '    const char *names[] = {"Ada", "Grace", "Linus"};\n'
            '    for (int i = 0; i < 3; i++) {\n        printf("Hello, %s!\\n", names[i]);\n    }\n'
            "    return 0;\n}\n"
        ),
    ),
    Language(
        key="cpp",
        name="C++",
        aliases=("c++", "cc", "cxx"),
        file_name="main.cpp",
        suffixes=(".cpp", ".cc", ".cxx"),
        version_argv=("g++", "--version"),
        compile=("g++", "-std=gnu++17", "-O1", "-g", "-Wall", "-pipe", "-o", PROGRAM, "{sources}"),
        run=(PROGRAM,),
        hello=(
            "#include <iostream>\n#include <string>\n#include <vector>\n\nint main() {\n"
            '    std::vector<std::string> names = {"Ada", "Grace", "Linus"};\n'
            '    for (const auto &name : names) {\n        std::cout << "Hello, " << name << "!\\n";\n    }\n}\n'
        ),
    ),
    Language(
        key="java",
        name="Java",
        file_name="Main.java",
        suffixes=(".java",),
        version_argv=("java", "-version"),
        compile=(
            "javac",
            "-J-Xmx256m",
            "-J-XX:+UseSerialGC",
            "-J-XX:TieredStopAtLevel=1",
            "-J-XX:-UsePerfData",
            "-encoding",
            "UTF-8",
            "-d",
            ARTIFACT_FOLDER,
            "{sources}",
        ),
        run=(
            "java",
            "-Xmx144m",
            "-Xss1m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-XX:-UsePerfData",
            "-XX:ReservedCodeCacheSize=24m",
            "-Dfile.encoding=UTF-8",
            "-cp",
            f"{ARTIFACT_FOLDER}:.",
            "{stem}",
        ),
        # The heap, the class data and the machine's own threads do not fit in 128 MB together.
        run_limits={"memory_bytes": 256 * MIB},
        hello=(
            "import java.util.List;\n\npublic class Main {\n    public static void main(String[] args) {\n"
            '        for (String name : List.of("Ada", "Grace", "Linus")) {\n'
            '            System.out.println("Hello, " + name + "!");\n        }\n    }\n}\n'
        ),
    ),
    Language(
        key="rust",
        name="Rust",
        aliases=("rs",),
        file_name="main.rs",
        suffixes=(".rs",),
        version_argv=("rustc", "--version"),
        compile=("rustc", "--edition=2021", "-C", "opt-level=1", "-C", "strip=debuginfo", "-o", PROGRAM, "{entry}"),
        run=(PROGRAM,),
        compile_limits={"memory_bytes": 1024 * MIB},
        hello=(
            'fn main() {\n    for name in ["Ada", "Grace", "Linus"] {\n        println!("Hello, {name}!");\n    }\n}\n'
        ),
    ),
    Language(
        key="ruby",
        name="Ruby",
        aliases=("rb",),
        file_name="main.rb",
        suffixes=(".rb",),
        version_argv=("ruby", "--version"),
        run=("ruby", "{entry}"),
        hello='%w[Ada Grace Linus].each do |name|\n  puts "Hello, #{name}!"\nend\n',
    ),
    Language(
        key="go",
        name="Go",
        aliases=("golang",),
        file_name="main.go",
        suffixes=(".go",),
        version_argv=("go", "version"),
        compile=("go", "build", "-o", PROGRAM, "{sources}"),
        run=(PROGRAM,),
        # Without a module, and with everything it writes in the work folder, which is larger than /tmp.
        compile_environment={
            "GO111MODULE": "off",
            "GOFLAGS": "-p=1",
            "GOMAXPROCS": "1",
            "GOTELEMETRY": "off",
            "GOTOOLCHAIN": "local",
            "CGO_ENABLED": "0",
            "GOCACHE": "/work/.cache/go-build",
            "GOTMPDIR": "/work",
            "GOPATH": "/work/.cache/go",
        },
        compile_limits={"memory_bytes": 1024 * MIB, "disk_bytes": 384 * MIB},
        environment={"GOMAXPROCS": "1"},
        hello=(
            'package main\n\nimport "fmt"\n\nfunc main() {\n'
            '\tfor _, name := range []string{"Ada", "Grace", "Linus"} {\n'
            '\t\tfmt.Printf("Hello, %s!\\n", name)\n\t}\n}\n'
        ),
    ),
    Language(
        key="php",
        name="PHP",
        file_name="main.php",
        suffixes=(".php",),
        version_argv=("php", "--version"),
        run=("php", "-d", "display_errors=stderr", "-d", "memory_limit=-1", "{entry}"),
        hello='<?php\nforeach (["Ada", "Grace", "Linus"] as $name) {\n    echo "Hello, $name!\\n";\n}\n',
    ),
    Language(
        key="perl",
        name="Perl",
        aliases=("pl",),
        file_name="main.pl",
        suffixes=(".pl", ".pm"),
        version_argv=("perl", "-e", "print $^V"),
        run=("perl", "{entry}"),
        hello='use strict;\nuse warnings;\n\nfor my $name (qw(Ada Grace Linus)) {\n    print "Hello, $name!\\n";\n}\n',
    ),
    Language(
        key="lua",
        name="Lua",
        file_name="main.lua",
        suffixes=(".lua",),
        version_argv=("lua5.4", "-v"),
        run=("lua5.4", "{entry}"),
        hello='for _, name in ipairs({"Ada", "Grace", "Linus"}) do\n  print("Hello, " .. name .. "!")\nend\n',
    ),
    Language(
        key="bash",
        name="Bash",
        aliases=("sh", "shell"),
        file_name="main.sh",
        suffixes=(".sh",),
        version_argv=("bash", "--version"),
        run=("bash", "{entry}"),
        hello='for name in Ada Grace Linus; do\n  echo "Hello, $name!"\ndone\n',
    ),
)

LANGUAGES: dict[str, Language] = {row.key: row for row in _ROWS}
_NAMES: dict[str, Language] = {name: row for row in _ROWS for name in (row.key, *row.aliases)}


def get(key_or_alias: str) -> Language:
    """The language of that key or alias, in any case; KeyError when there is none."""
    return _NAMES[key_or_alias.lower()]
