import glob
import os
import stat

for root in ("/var", "/run", "/tmp", "/dev", "/etc", "/opt", "/srv", "/mnt", "/media", "/home", "/root"):
    for folder, _names, files in os.walk(root):
        for name in files:
            path = os.path.join(folder, name)
            if stat.S_ISSOCK(os.lstat(path).st_mode):
                print("a socket", path)
for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/.dockerenv-secret"):
    if os.path.exists(path):
        print("there is", path)
if glob.glob("/dev/sd*") + glob.glob("/dev/vd*") + glob.glob("/dev/nvme*") + glob.glob("/dev/kvm"):
    print("a device of the host")
# Three small files of the container's own, which the engine keeps in its folder.
OWN = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf")
with open("/proc/self/mountinfo") as mounts:
    for line in mounts:
        _number, _parent, _device, inner, place, options = line.split()[:6]
        # Some runtimes leave the folder above the cgroups to root; rows 21 and 32 try to write into it.
        own = place.startswith(("/work", "/tmp", "/dev", "/proc")) or place == "/sys/fs/cgroup"
        writable = "rw" in options.split(",") and not own
        if writable or "docker.sock" in line or (inner.startswith(("/root", "/home")) and place not in OWN) or "/var/lib/" in place:
            print("a mount", line.strip())
print("end")
