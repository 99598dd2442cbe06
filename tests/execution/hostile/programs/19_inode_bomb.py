import errno
import os

try:
    for number in range(1_000_000):
        os.symlink("x", f"hostile-{number}")
    print("no limit")
except OSError as error:
    print(errno.errorcode[error.errno])
