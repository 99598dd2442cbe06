import contextlib
import ctypes
import os
import pathlib
import stat
import subprocess

for attempt in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0]), lambda: os.chroot("/tmp")):
    with contextlib.suppress(OSError):
        attempt()
        print("allowed")
libc = ctypes.CDLL(None)
if libc.prctl(38, 0, 0, 0, 0) == 0:  # PR_SET_NO_NEW_PRIVS back to 0
    print("new privileges")
if any(libc.prctl(47, 2, number, 0, 0) == 0 for number in range(41)):  # PR_CAP_AMBIENT_RAISE
    print("a capability")
for folder in ("/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/lib"):
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        with contextlib.suppress(OSError):
            if os.lstat(path).st_mode & (stat.S_ISUID | stat.S_ISGID) and stat.S_ISREG(os.lstat(path).st_mode):
                started = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                uids = pathlib.Path(f"/proc/{started.pid}/status").read_text().split("Uid:")[1].split()[:4]
                if "0" in uids:
                    print("root by", path)
                started.kill()
status = dict(line.split(":\t") for line in pathlib.Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
names = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
print({name: status[name].split() for name in names})
