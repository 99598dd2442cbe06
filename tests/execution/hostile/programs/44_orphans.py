import contextlib
import os
import time

made = 0
while made < 1000:
    with contextlib.suppress(BlockingIOError):
        if os.fork() == 0:
            with contextlib.suppress(BlockingIOError):
                os.fork()
            os._exit(0)
        made += 1
        os.wait()
for _ in range(100):
    left = sum(name.isdigit() for name in os.listdir("/proc"))
    if left == 2:
        break
    time.sleep(0.01)
print("left", left)
