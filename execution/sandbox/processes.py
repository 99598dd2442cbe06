"""What the host's /proc says of the processes of a sandbox, for when its agent does not. Used by bubblewrap.py."""

import os
from collections import deque
from pathlib import Path

from execution.sandbox.agent import TICKS, memory_of
from execution.sandbox.backends import Usage


def usage_of_tree(pid: int) -> Usage | None:
    """Processor time and private memory of a process and all its descendants; None when it is gone."""
    if not Path("/proc", str(pid)).exists():
        return None
    ticks = memory = 0
    waiting = deque([pid])
    while waiting:
        folder = f"/proc/{waiting.popleft()}"
        try:
            for thread in os.listdir(f"{folder}/task"):
                waiting.extend(map(int, Path(folder, "task", thread, "children").read_text().split()))
            # utime, stime, cutime and cstime of proc(5), counted behind the name.
            fields = Path(folder, "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))
        memory += memory_of(folder).private
    return Usage(ticks * 1000 // TICKS, memory)
