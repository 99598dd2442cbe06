# Argument: the name of an abstract unix socket on which the host listens.
import contextlib
import socket
import sys

with contextlib.suppress(OSError):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + sys.argv[1])
    print("reached the host by an abstract name")
KINDS = {
    "AF_VSOCK": (40, socket.SOCK_STREAM, 0),
    "AF_PACKET": (17, socket.SOCK_RAW, 3),
    "AF_ALG": (38, socket.SOCK_SEQPACKET, 0),
    "AF_BLUETOOTH": (31, socket.SOCK_RAW, 1),
    "AF_INET raw": (2, socket.SOCK_RAW, 6),
}
for name, (family, kind, protocol) in KINDS.items():
    with contextlib.suppress(OSError):
        socket.socket(family, kind, protocol).close()
        print("made", name)
with contextlib.suppress(OSError):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("\0own")
    print("an abstract name of its own")
print("end")
