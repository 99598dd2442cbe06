"""Languages on a shared virtual machine: Java's, .NET's or Neko."""

from languages.language import ARTIFACT_FOLDER, JVM, MIB, PROGRAM, Language

GROOVY = "/usr/share/java/groovy-all.jar"
CLOJURE = "/usr/share/java/clojure.jar:/usr/share/java/spec.alpha.jar:/usr/share/java/core.specs.alpha.jar"
SCALA = "/usr/share/java/scala-library.jar"
COMPILER_JVM = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
)

ROWS = (
    Language(
        key="csharp",
        name="C#",
        aliases=("cs", "c#", "mono"),
        family="mono",
        file_name="main.cs",
        suffixes=(".cs",),
        version_argv=("mcs", "--version"),
        compile=("mcs", "-nologo", "-debug", f"-out:{PROGRAM}.exe", "{sources}"),
        run=("mono", "--debug", f"{PROGRAM}.exe"),
        error_line=r"^(?P<file>[^\s(]+)\((?P<line>\d+),\d+\): error",
        hello="""\
using System;

class Program
{
    static void Main()
    {
        foreach (var name in new[] { "Ada", "Grace", "Linus" })
            Console.WriteLine($"Hello, {name}!");
    }
}
""",
    ),
    Language(
        key="kotlin",
        name="Kotlin",
        aliases=("kt",),
        family="jvm",
        file_name="main.kt",
        suffixes=(".kt",),
        version_argv=("kotlinc", "-version"),
        compile=(
            "kotlinc",
            "-J-Xmx400m",
            *(f"-J{word}" for word in COMPILER_JVM),
            "-nowarn",
            "-include-runtime",
            "-d",
            f"{PROGRAM}.jar",
            "{sources}",
        ),
        run=("java", "-Xmx144m", *JVM, "-jar", f"{PROGRAM}.jar"),
        run_limits={"memory_bytes": 256 * MIB},
        compile_limits={"memory_bytes": 768 * MIB, "cpu_ms": 40_000, "wall_ms": 60_000, "cpus": 2},
        error_line=r"^(?P<file>[^\s:]+):(?P<line>\d+):\d+: error",
        hello="""\
fun main() {
    for (name in listOf("Ada", "Grace", "Linus")) {
        println("Hello, $name!")
    }
}
""",
    ),
    Language(
        key="scala",
        name="Scala",
        family="jvm",
        file_name="Main.scala",
        suffixes=(".scala",),
        version_argv=("scalac", "-version"),
        compile=(
            "scalac",
            "-J-Xmx400m",
            *(f"-J{word}" for word in COMPILER_JVM),
            "-d",
            ARTIFACT_FOLDER,
            "{sources}",
        ),
        run=("java", "-Xmx144m", *JVM, "-cp", f"{ARTIFACT_FOLDER}:{SCALA}", "{stem}"),
        run_limits={"memory_bytes": 256 * MIB},
        compile_limits={"memory_bytes": 768 * MIB, "cpu_ms": 40_000, "wall_ms": 60_000, "cpus": 2},
        error_line=r"^(?P<file>[^\s:]+):(?P<line>\d+): error",
        hello="""\
object Main {
  def main(args: Array[String]): Unit =
    for (name <- List("Ada", "Grace", "Linus")) {
      println(s"Hello, $name!")
    }
}
""",
    ),
    Language(
        key="groovy",
        name="Groovy",
        family="jvm",
        file_name="main.groovy",
        suffixes=(".groovy",),
        version_argv=("java", "-cp", GROOVY, "groovy.ui.GroovyMain", "--version"),
        compile=(
            "java",
            "-Xmx256m",
            *COMPILER_JVM,
            "-cp",
            GROOVY,
            "org.codehaus.groovy.tools.FileSystemCompiler",
            "-d",
            ARTIFACT_FOLDER,
            "{sources}",
        ),
        run=("java", "-Xmx144m", *JVM, "-cp", f"{ARTIFACT_FOLDER}:{GROOVY}", "{stem}"),
        run_limits={"memory_bytes": 256 * MIB},
        error_line=r"^(?P<file>[^\s:]+): (?P<line>\d+): ",
        hello="""\
for (name in ["Ada", "Grace", "Linus"]) {
    println "Hello, $name!"
}
""",
    ),
    Language(
        key="clojure",
        name="Clojure",
        aliases=("clj",),
        family="jvm",
        file_name="main.clj",
        suffixes=(".clj",),
        version_argv=("java", "-cp", CLOJURE, "clojure.main", "-e", "(clojure-version)"),
        run=("java", "-Xmx144m", *JVM, "-cp", f"{CLOJURE}:.", "clojure.main", "{entry}"),
        run_limits={"memory_bytes": 256 * MIB},
        error_line=r"\((?P<file>[^\s:()]+):(?P<line>\d+)(?::\d+)?\)",
        hello="""\
(doseq [name ["Ada" "Grace" "Linus"]]
  (println (str "Hello, " name "!")))
""",
    ),
    Language(
        key="haxe",
        name="Haxe",
        aliases=("hx",),
        family="haxe",
        file_name="Main.hx",
        suffixes=(".hx",),
        version_argv=("haxe", "--version"),
        compile=("haxe", "--main", "{stem}", "--neko", f"{PROGRAM}.n"),
        run=("neko", f"{PROGRAM}.n"),
        error_line=r"^(?P<file>[^\s:]+):(?P<line>\d+): ",
        hello="""\
class Main {
  static function main() {
    for (name in ["Ada", "Grace", "Linus"]) {
      Sys.println('Hello, $name!');
    }
  }
}
""",
    ),
)
