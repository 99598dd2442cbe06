import contextlib
import errno
import os

names = set()
kept = []
for make in (os.pipe, lambda: os.open("/dev/null", os.O_RDONLY), lambda: os.memfd_create("hostile"), os.openpty):
    with contextlib.suppress(OSError):
        for _ in range(100_000):
            kept.append(make())
    try:
        make()
    except OSError as error:
        names.add(errno.errorcode[error.errno])
print(sorted(names))
