import errno
import os

try:
    with open("/dev/shm/hostile-big", "wb", 0) as file:
        while file.write(b"x" * (1 << 20)):
            pass
except OSError as error:
    print(errno.errorcode[error.errno], os.path.exists("/dev/shm/hostile-big"))
