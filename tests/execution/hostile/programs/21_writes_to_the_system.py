import contextlib
import glob
import os
import sys

PLACES = ["/", "/etc", "/usr", "/usr/bin", "/usr/lib", "/lib", "/opt", "/opt/codecrafter", "/home", "/root", "/var"]
PLACES += ["/run", "/sys", "/sys/fs/cgroup", "/proc", "/dev", os.path.dirname(os.__file__), sys.prefix]
for place in PLACES:
    with contextlib.suppress(OSError):
        with open(f"{place}/hostile-file", "w") as file:
            file.write("x")
        print("wrote into", place)
    with contextlib.suppress(OSError):
        os.mkdir(f"{place}/hostile-folder")
        print("made a folder in", place)
FILES = [sys.executable, "/opt/codecrafter/agent.py", "/etc/passwd", "/etc/hosts", *glob.glob("/dev/[!npsz]*")[:20]]
for path in FILES:
    for attempt in (lambda p: open(p, "r+").close(), os.unlink, lambda p: os.chmod(p, 0o777)):
        with contextlib.suppress(OSError):
            if os.path.isfile(path):
                attempt(path)
                print("changed", path)
print("end")
