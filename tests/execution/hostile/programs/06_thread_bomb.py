import os
import threading
import time

count = 0
try:
    while True:
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
        count += 1
except RuntimeError:
    print("refused", count < 64, flush=True)
    os._exit(3)
