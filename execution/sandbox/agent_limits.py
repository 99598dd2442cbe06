"""The limits that the agent sets on processes, itself among them."""

import ctypes
import resource
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from execution.sandbox import usercustomize
else:
    import usercustomize

PR_SET_DUMPABLE = 4
# Of 0 a core_pattern that is a pipe takes no notice; at 1 the kernel starts no program of the host's either.
STANDING_LIMITS = {
    resource.RLIMIT_CORE: (1, 1),
    resource.RLIMIT_NOFILE: (usercustomize.OPEN_FILES, usercustomize.OPEN_FILES),
    resource.RLIMIT_MSGQUEUE: (0, 0),
}


def inherited_limits(job: dict[str, Any], watched: bool) -> dict[int, tuple[int, int]]:
    """What the agent takes on itself, so that the program has it from its first instruction."""
    limits = {resource.RLIMIT_FSIZE: (int(job["disk_bytes"]), int(job["disk_bytes"]))}
    if watched:
        # The agent is one process of this uid; with cgroups the pids controller counts instead.
        limits[resource.RLIMIT_NPROC] = (int(job["processes"]) + 1, int(job["processes"]) + 1)
    return limits


def cpu_limit(job: dict[str, Any]) -> dict[int, tuple[int, int]]:
    """The supervisor counts the whole tree's cpu time; this stops one process should the supervisor be late."""
    seconds = int(job["cpu_ms"]) // 1000 + 2
    return {resource.RLIMIT_CPU: (seconds, seconds + 1)}


def set_limits(pid: int, limits: dict[int, tuple[int, int]]) -> None:
    """Limits of a process, and so of all it will start; none is ever raised."""
    for name, (soft, hard) in limits.items():
        ceiling = resource.prlimit(pid, name)[1]
        if ceiling == resource.RLIM_INFINITY:
            ceiling = hard
        resource.prlimit(pid, name, (min(soft, ceiling), min(hard, ceiling)))


def set_dumpable(value: int) -> None:
    """0 makes /proc/1/mem, /proc/1/fd and ptrace refuse the program, which has the same uid as the agent."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_DUMPABLE")
