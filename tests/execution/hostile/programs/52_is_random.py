import os
import time

print(os.urandom(8).hex(), time.time_ns())
