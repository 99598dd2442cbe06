"""Templates of a new session: the language's example, a program that reads input, or nothing. Without Django."""

from dataclasses import dataclass

from languages.language import Language

HELLO, INPUT, EMPTY = "hello", "input", "empty"


@dataclass(frozen=True)
class Template:
    key: str
    name: str
    content: str


def templates_of(language: Language) -> tuple[Template, ...]:
    """Return the templates of a language: the example, the program that reads input if it has one, an empty file."""
    found = [Template(HELLO, "Example program", language.hello)]
    if language.key in READS:
        found.append(Template(INPUT, "Program that reads input", READS[language.key]))
    return (*found, Template(EMPTY, "Empty file", ""))


def template_of(language: Language, key: str) -> Template:
    """Return a template by key. Raises KeyError."""
    return {template.key: template for template in templates_of(language)}[key]


# Each reads lines until the input ends, and prints every one with its length.
READS = {
    "python": """\
import sys

for line in sys.stdin:
    word = line.rstrip("\\n")
    print(word, len(word))
""",
    "javascript": """\
const lines = require("node:readline").createInterface({ input: process.stdin });

lines.on("line", (word) => console.log(word, word.length));
""",
    "c": """\
#include <stdio.h>
#include <string.h>

int main(void) {
    char word[1024];
    while (fgets(word, sizeof word, stdin)) {
        word[strcspn(word, "\\n")] = 0;
        printf("%s %zu\\n", word, strlen(word));
        fflush(stdout);
    }
}
""",
    "cpp": """\
#include <iostream>
#include <string>

int main() {
    std::string word;
    while (std::getline(std::cin, word)) {
        std::cout << word << " " << word.size() << std::endl;
    }
}
""",
    "java": """\
import java.util.Scanner;

public class Main {
    public static void main(String[] args) {
        Scanner input = new Scanner(System.in);
        while (input.hasNextLine()) {
            String word = input.nextLine();
            System.out.println(word + " " + word.length());
        }
    }
}
""",
    "rust": """\
use std::io;

fn main() {
    for line in io::stdin().lines() {
        let word = line.unwrap();
        println!("{} {}", word, word.len());
    }
}
""",
    "ruby": """\
$stdout.sync = true

while (line = gets)
  word = line.chomp
  puts "#{word} #{word.length}"
end
""",
    "php": """\
<?php

while (($line = fgets(STDIN)) !== false) {
    $word = rtrim($line, "\\n");
    echo $word, " ", strlen($word), "\\n";
}
""",
    "perl": """\
$| = 1;

while (my $word = <STDIN>) {
    chomp $word;
    print "$word ", length($word), "\\n";
}
""",
    "bash": """\
while IFS= read -r word; do
  echo "$word ${#word}"
done
""",
    "lua": """\
for word in io.lines() do
  print(word .. " " .. #word)
  io.flush()
end
""",
}
