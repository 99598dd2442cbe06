import contextlib
import os
import signal
import time

for pid in (1, os.getppid(), -1):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGSEGV, signal.SIGKILL):
        with contextlib.suppress(OSError):
            os.kill(pid, number)
time.sleep(0.05)
print("still here")
