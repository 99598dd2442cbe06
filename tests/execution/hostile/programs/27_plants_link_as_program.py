# Run as a compiler: the program itself is a link.
import os

os.symlink("/etc/passwd", ".build/report")
