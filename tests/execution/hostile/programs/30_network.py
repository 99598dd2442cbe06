# Arguments: a port on which the host listens, and the host's own addresses.
import contextlib
import socket
import sys

port, *own = sys.argv[1:]
targets = [(address, int(port)) for address in ("127.0.0.1", "::1", "172.17.0.1", "10.0.2.2", *own)]
targets += [("169.254.169.254", 80), ("1.1.1.1", 53), ("8.8.8.8", 443), ("2606:4700:4700::1111", 443)]
for target in targets:
    try:
        socket.create_connection(target, 0.5).close()
        print("reached", target)
    except OSError:
        pass
for name in ("redis", "rabbitmq", "postgres", "mongo", "mongodb", "worker", "host.docker.internal", "example.org"):
    with contextlib.suppress(OSError):
        print("resolved", name, socket.getaddrinfo(name, 80))
for family, kind, protocol, target in (
    (socket.AF_INET, socket.SOCK_DGRAM, 0, ("8.8.8.8", 53)),
    (socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP, ("1.1.1.1", 0)),
    (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP, ("1.1.1.1", 0)),
    (socket.AF_INET6, socket.SOCK_DGRAM, 0, ("2606:4700:4700::1111", 53)),
):
    try:
        with socket.socket(family, kind, protocol) as sender:
            sender.sendto(b"hostile", target)
        print("sent", kind, target)
    except OSError:
        pass
print("interfaces", sorted({name for _number, name in socket.if_nameindex()} - {"lo", "tunl0", "sit0", "ip6tnl0"}))
