import time

print("up", flush=True)
time.sleep(1000)
