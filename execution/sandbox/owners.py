"""Which process a container belongs to, written so that another process of this machine can tell that it is gone."""

import os
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def this_process() -> str:
    """Boot, PID namespace, pid and start time: together they name one process for ever."""
    pid = os.getpid()
    return f"{_machine()}:{pid}:{_started(pid)}"


def is_gone(owner: str) -> bool:
    """True only where it can be known: a process that would be visible from here, and is not there."""
    machine, _, process = owner.partition(":")
    pid, _, started = process.partition(":")
    return machine == _machine() and pid.isdigit() and _started(int(pid)) != started


def _machine() -> str:
    return f"{BOOT_ID.read_text().strip()}/{os.readlink('/proc/self/ns/pid')}".replace(":", "")


def _started(pid: int) -> str:
    """Field 22 of proc(5)'s stat, counted behind the name; a zombie counts as gone."""
    try:
        fields = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
