import errno

try:
    with open("/tmp/hostile-big", "wb", 0) as file:
        while file.write(b"x" * (1 << 20)):
            pass
except OSError as error:
    print(errno.errorcode[error.errno])
