"""The most popular languages, in the order in which they are offered."""

from languages.language import ARTIFACT_FOLDER, GNU_ERROR, JVM, MIB, PROGRAM, Language

ROWS = (
    Language(
        key="python",
        name="Python",
        aliases=("python3", "py"),
        file_name="main.py",
        suffixes=(".py",),
        version_argv=("python3", "--version"),
        run=("python3", "{entry}"),
        environment={"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONIOENCODING": "utf-8"},
        error_line=r'File "(?:/work/)?(?P<file>[^"]+)", line (?P<line>\d+)',
        hello="""\
names = ["Ada", "Grace", "Linus"]

for name in names:
    print(f"Hello, {name}!")
""",
    ),
    Language(
        key="javascript",
        name="JavaScript",
        aliases=("js", "node", "nodejs"),
        file_name="main.js",
        suffixes=(".js", ".mjs", ".cjs"),
        version_argv=("node", "--version"),
        # Node itself takes 45 MB. A heap of nearly the limit lets the sandbox, not Node, report that memory ran out.
        run=("node", "--max-old-space-size=224", "--max-semi-space-size=4", "{entry}"),
        environment={"UV_THREADPOOL_SIZE": "2"},
        run_limits={"memory_bytes": 256 * MIB},
        error_line=r"(?:/work/)?(?P<file>[^\s:(]+):(?P<line>\d+)(?::\d+)?\)?$",
        hello="""\
const names = ["Ada", "Grace", "Linus"];

for (const name of names) {
  console.log(`Hello, ${name}!`);
}
""",
    ),
    Language(
        key="c",
        name="C",
        file_name="main.c",
        suffixes=(".c",),
        version_argv=("gcc", "--version"),
        compile=("gcc", "-std=gnu17", "-O1", "-g", "-Wall", "-pipe", "-o", PROGRAM, "{sources}", "-lm"),
        run=(PROGRAM,),
        error_line=GNU_ERROR,
        hello="""\
#include <stdio.h>

int main(void) {
    const char *names[] = {"Ada", "Grace", "Linus"};
    for (int i = 0; i < 3; i++) {
        printf("Hello, %s!\\n", names[i]);
    }
    return 0;
}
""",
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
        error_line=GNU_ERROR,
        hello="""\
#include <iostream>
#include <string>
#include <vector>

int main() {
    std::vector<std::string> names = {"Ada", "Grace", "Linus"};
    for (const auto &name : names) {
        std::cout << "Hello, " << name << "!\\n";
    }
}
""",
    ),
    Language(
        key="java",
        name="Java",
        family="java",
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
            *JVM,
            "-Dfile.encoding=UTF-8",
            "-cp",
            f"{ARTIFACT_FOLDER}:.",
            "{stem}",
        ),
        # The heap, the class data and the machine's own threads do not fit in 128 MB together.
        run_limits={"memory_bytes": 256 * MIB},
        error_line=r"(?P<file>[^\s:(]+):(?P<line>\d+)(?:: error|\))",
        hello="""\
import java.util.List;

public class Main {
    public static void main(String[] args) {
        for (String name : List.of("Ada", "Grace", "Linus")) {
            System.out.println("Hello, " + name + "!");
        }
    }
}
""",
    ),
    Language(
        key="rust",
        name="Rust",
        aliases=("rs",),
        family="rust",
        file_name="main.rs",
        suffixes=(".rs",),
        version_argv=("rustc", "--version"),
        compile=("rustc", "--edition=2021", "-C", "opt-level=1", "-C", "strip=debuginfo", "-o", PROGRAM, "{entry}"),
        run=(PROGRAM,),
        compile_limits={"memory_bytes": 1024 * MIB},
        error_line=r"(?:--> |, )(?P<file>[^\s:]+\.rs):(?P<line>\d+)",
        hello="""\
fn main() {
    for name in ["Ada", "Grace", "Linus"] {
        println!("Hello, {name}!");
    }
}
""",
    ),
    Language(
        key="ruby",
        name="Ruby",
        aliases=("rb",),
        file_name="main.rb",
        suffixes=(".rb",),
        version_argv=("ruby", "--version"),
        run=("ruby", "{entry}"),
        error_line=r"^(?:\s+from )?(?P<file>[^\s:]+):(?P<line>\d+):",
        hello="""\
%w[Ada Grace Linus].each do |name|
  puts "Hello, #{name}!"
end
""",
    ),
    Language(
        key="go",
        name="Go",
        aliases=("golang",),
        family="go",
        file_name="main.go",
        suffixes=(".go",),
        version_argv=("go", "version"),
        compile=("go", "build", "-o", PROGRAM, "{sources}"),
        run=(PROGRAM,),
        # Without a module, and writing everything to the work folder, which is larger than /tmp.
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
        error_line=r"^(?:\./|\s+/work/)?(?P<file>[^\s:]+):(?P<line>\d+)(?::\d+:| )",
        hello="""\
package main

import "fmt"

func main() {
	for _, name := range []string{"Ada", "Grace", "Linus"} {
		fmt.Printf("Hello, %s!\\n", name)
	}
}
""",
    ),
    Language(
        key="php",
        name="PHP",
        file_name="main.php",
        suffixes=(".php",),
        version_argv=("php", "--version"),
        run=("php", "-d", "display_errors=stderr", "-d", "memory_limit=-1", "{entry}"),
        error_line=r" in (?:/work/)?(?P<file>\S+?)(?: on line |:)(?P<line>\d+)",
        hello="""\
<?php
foreach (["Ada", "Grace", "Linus"] as $name) {
    echo "Hello, $name!\\n";
}
""",
    ),
    Language(
        key="perl",
        name="Perl",
        aliases=("pl",),
        file_name="main.pl",
        suffixes=(".pl", ".pm"),
        version_argv=("perl", "-e", "print $^V"),
        run=("perl", "{entry}"),
        error_line=r" at (?P<file>\S+) line (?P<line>\d+)",
        hello="""\
use strict;
use warnings;

for my $name (qw(Ada Grace Linus)) {
    print "Hello, $name!\\n";
}
""",
    ),
    Language(
        key="lua",
        name="Lua",
        file_name="main.lua",
        suffixes=(".lua",),
        version_argv=("lua5.4", "-v"),
        run=("lua5.4", "{entry}"),
        error_line=r"^lua5\.4: (?P<file>[^\s:]+):(?P<line>\d+):",
        hello="""\
for _, name in ipairs({"Ada", "Grace", "Linus"}) do
  print("Hello, " .. name .. "!")
end
""",
    ),
    Language(
        key="bash",
        name="Bash",
        aliases=("sh", "shell"),
        file_name="main.sh",
        suffixes=(".sh",),
        version_argv=("bash", "--version"),
        run=("bash", "{entry}"),
        error_line=r"^(?P<file>[^\s:]+): line (?P<line>\d+):",
        hello="""\
for name in Ada Grace Linus; do
  echo "Hello, $name!"
done
""",
    ),
)
