import os
import resource
import sys

print("no core", 0 <= resource.getrlimit(resource.RLIMIT_CORE)[1] <= 1, flush=True)
if os.fork() == 0:
    os.abort()
os.wait()
print([name for place in ("/work", "/tmp") for name in os.listdir(place) if "core" in name], flush=True)
sys.exit(0)
