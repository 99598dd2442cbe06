import errno
import os


def attempt(make):
    try:
        with open("hostile-sparse", "wb") as file:
            make(file.fileno())
        print("made")
    except OSError as error:
        print(errno.errorcode[error.errno])


attempt(lambda descriptor: os.truncate(descriptor, 1 << 50))
attempt(lambda descriptor: os.posix_fallocate(descriptor, 0, 200 << 20))
