# Each process alone stays far below the limit; only their sum exceeds it.
import os

print("before", flush=True)
os.fork()
os.fork()
while True:
    pass
