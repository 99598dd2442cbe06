"""Whether this worker's sandbox answers. After a fault that lasts, the worker takes no runs until it answers again."""

from __future__ import annotations

import itertools
import logging
import threading
import time

from django.db import close_old_connections

from execution import availability
from execution.sandbox.errors import FULL, SandboxFault
from execution.sandbox.limits import RUN
from execution.sandbox.pool import await_ready

logger = logging.getLogger(__name__)
# Between two attempts; the last one for as long as it takes.
PAUSES_SECONDS = (0.5, 1, 2, 4, 8, 15)

_lock = threading.Lock()
_down = threading.Event()


def is_down() -> bool:
    return _down.is_set()


def answers() -> bool:
    """Ask the sandbox now, after it failed a run. If it does not answer, the worker says so and takes no more runs."""
    with _lock:
        if _down.is_set():
            return False
        fault = _fault()
        if fault is None:
            return True
        _down.set()
    logger.error("this worker takes no runs until its sandbox answers: %s", fault)
    # First, because the database may be away as well.
    threading.Thread(target=_wait_for_it, name="sandbox-probe", daemon=True).start()
    availability.note_sandbox(fault.remedy)
    return False


def _fault() -> SandboxFault | None:
    try:
        # A parked sandbox may be well though no new one can be made.
        handle = availability.bare_backend().open(RUN, "probe")
        try:
            await_ready(handle)
        finally:
            handle.close()
    except SandboxFault as fault:
        # An engine that says that it has as many sandboxes as it may have is well.
        return None if fault.code == FULL else fault
    return None


def _wait_for_it() -> None:
    for pause in itertools.chain(PAUSES_SECONDS, itertools.repeat(PAUSES_SECONDS[-1])):
        time.sleep(pause)
        try:
            if _fault() is None:
                availability.note_sandbox("")
                break
        except Exception:
            logger.exception("the sandbox could not be asked; it is asked again")
        finally:
            close_old_connections()
    _down.clear()
    logger.warning("the sandbox answers again")
