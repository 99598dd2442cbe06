# Stands for every compiler that runs its input; what it finds leaves as its "program".
import contextlib
import os
import pathlib
import socket
import time

found = [f"uid {os.getuid()}"]
for path in ("/etc/shadow", "/root", "/home", "/proc/1/environ", "/proc/1/mem", "/var/run/docker.sock"):
    with contextlib.suppress(OSError):
        content = os.listdir(path) if os.path.isdir(path) else pathlib.Path(path).read_bytes()[:64]
        if content:
            found.append(f"{path} {content}")
for place in ("/usr/bin", "/etc", "/opt/codecrafter", "/"):
    with contextlib.suppress(OSError):
        open(f"{place}/hostile-file", "w").close()
        found.append(f"wrote into {place}")
for address in (("1.1.1.1", 53), ("169.254.169.254", 80), ("172.17.0.1", 22)):
    with contextlib.suppress(OSError):
        socket.create_connection(address, 0.5)
        found.append(f"reached {address}")
if os.fork() == 0:
    os.setsid()
    time.sleep(1000)
with open(".build/report", "w") as report:
    report.write("\n".join(found) + "\n")
