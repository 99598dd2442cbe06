"""What the host's /proc says of the processes of sandboxes, for when nobody else does. Used by bubblewrap.py."""

import contextlib
import os
import signal
from collections import deque
from collections.abc import Callable
from pathlib import Path

from execution.sandbox.agent_meters import TICKS, memory_of
from execution.sandbox.backends import Usage
from execution.sandbox.owners import is_gone

# In the environment of bubblewrap's own processes, which no sandbox inherits: the worker that started them.
OWNER_VARIABLE = "CODECRAFTER_SANDBOX_OWNER"


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


def end_orphans(may_be_ours: Callable[[int], bool]) -> int:
    """Kill what bubblewrap left of workers that are gone, among processes whose uid `may_be_ours`; return how many.

    bubblewrap dies with its worker, but for a child that was killed off its parent before its uid map was written:
    that one waits for the map on an eventfd, and nothing else would ever end it.
    """
    ended = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if not may_be_ours(os.stat(f"/proc/{pid}").st_uid):
                continue
            # Opened before the look, so that the signal cannot meet a process that got this pid afterwards.
            process = os.pidfd_open(int(pid))
            try:
                if is_gone(_owner(pid)):
                    signal.pidfd_send_signal(process, signal.SIGKILL)
                    ended += 1
            finally:
                os.close(process)
    return ended


def _owner(pid: str) -> str:
    name = f"{OWNER_VARIABLE}=".encode()
    words = Path("/proc", pid, "environ").read_bytes().split(b"\0")
    return next((word.removeprefix(name).decode("utf-8", "replace") for word in words if word.startswith(name)), "")
