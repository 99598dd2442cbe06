# Argument: a word that only the judge knows, reversed. It must be nowhere in the sandbox.
import glob
import os
import sys

secret = sys.argv[1][::-1].encode()
own = f"/proc/{os.getpid()}/"
paths = glob.glob("/work/**", recursive=True, include_hidden=True) + glob.glob("/tmp/**") + glob.glob("/dev/shm/**")
paths += [f"/proc/{name}/{kind}" for name in os.listdir("/proc") for kind in ("environ", "cmdline", "comm")]
for path in paths:
    try:
        with open(path, "rb") as file:
            if secret in file.read(1 << 20) and not path.startswith(own):
                print("found in", path)
    except OSError:
        pass
print("end", flush=True)
os._exit(0)
