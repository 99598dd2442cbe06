import time

print("before", flush=True)
time.sleep(10**6)
