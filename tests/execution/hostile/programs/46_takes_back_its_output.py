"""Takes back what it printed between the agent's poll and its read, then burns in children that no rlimit ends."""

import array
import fcntl
import os
import termios
import time

FIRST, SECOND = b"x" * 40_000, b"x" * 20_000


def agent_sleeps() -> bool:
    """Whether the agent, which wakes up ten times a second, did not."""

    def count() -> str:
        with open("/proc/1/status") as file:
            return next(line for line in file if line.startswith("voluntary"))

    before = count()
    time.sleep(0.25)
    return count() == before


os.write(1, b"before\n")
# Its own end of the pipe cannot be read, this one can.
back = os.open("/proc/self/fd/2", os.O_RDONLY | os.O_NONBLOCK)
waiting = array.array("i", [1])
for _ in range(60):
    # Both streams are ready when the agent looks; when it has read the first, it is about to read the second.
    os.write(1, FIRST)
    os.write(2, b"e")
    os.write(1, SECOND)
    waiting[0] = 1
    while waiting[0]:
        fcntl.ioctl(1, termios.FIONREAD, waiting)
    try:
        os.read(back, 1)
    except BlockingIOError:
        continue
    if agent_sleeps():
        break
while True:
    child = os.fork()
    if child == 0:
        while time.process_time() < 0.2:
            pass
        os._exit(0)
    os.waitpid(child, 0)
