import contextlib
import glob
import os

SECRETS = ["/proc/1/environ", "/proc/1/mem", "/proc/1/maps", "/proc/1/stack", "/proc/1/syscall", "/proc/kcore"]
SECRETS += ["/proc/kmsg", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/dev/mem", "/dev/kmsg", "/dev/sda"]
SECRETS += ["/proc/1/root/etc/passwd", "/proc/1/cwd/main.py", "/proc/1/fd/0", "/sys/kernel/debug/tracing/trace"]
for path in SECRETS:
    with contextlib.suppress(OSError), open(path, "rb", 0) as file:
        if file.read(64):
            print("read", path)
CONTROLS = ["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/vm/drop_caches", "/proc/1/oom_score_adj"]
CONTROLS += ["/proc/sys/kernel/modprobe", "/proc/irq/0/smp_affinity", "/proc/1/mem", "/sys/power/state"]
CONTROLS += glob.glob("/sys/fs/cgroup/**/memory.limit_in_bytes", recursive=True)
CONTROLS += glob.glob("/sys/fs/cgroup/**/pids.max", recursive=True)
CONTROLS += glob.glob("/sys/fs/cgroup/**/memory.max", recursive=True)
CONTROLS += glob.glob("/sys/fs/cgroup/**/release_agent", recursive=True)
CONTROLS += glob.glob("/sys/fs/cgroup/**/cgroup.procs", recursive=True)
for path in CONTROLS:
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_WRONLY))
        print("opened for writing", path)
with contextlib.suppress(OSError):
    os.mkdir("/sys/fs/cgroup/hostile")
    print("made a cgroup")
print("processes", sorted(int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()))
print("environment", sorted(set(os.environ) - {"LC_CTYPE"}))
