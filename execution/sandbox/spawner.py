"""Starts the processes of sandboxes, all from one thread.

bubblewrap's --die-with-parent follows the thread that started it, so a worker's thread that ends must not be that one.
"""

import os
import queue
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from execution.sandbox.owners import this_process
from execution.sandbox.processes import OWNER_VARIABLE

# What the worker ignores (SIGHUP under nohup, SIGINT in the background of a shell) a program would ignore as well.
RESET_SIGNALS = ("env", "--default-signal")


@dataclass(frozen=True)
class _Order:
    argv: Sequence[str]
    pass_fds: Sequence[int]
    stdin: int
    stdout: int
    stderr: int
    answer: "Future[subprocess.Popen[bytes]]"


class Spawner:
    """A daemon thread with a queue; made anew in a forked process, where threads do not survive."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0
        self._orders: queue.SimpleQueue[_Order] = queue.SimpleQueue()

    def spawn(
        self, argv: Sequence[str], pass_fds: Sequence[int], stdin: int, stdout: int, stderr: int
    ) -> "subprocess.Popen[bytes]":
        with self._lock:
            if self._pid != os.getpid():
                self._pid = os.getpid()
                self._orders = queue.SimpleQueue()
                threading.Thread(target=self._work, args=(self._orders,), name="sandbox-spawner", daemon=True).start()
        answer: Future[subprocess.Popen[bytes]] = Future()
        self._orders.put(_Order(argv, pass_fds, stdin, stdout, stderr, answer))
        return answer.result()

    @staticmethod
    def _work(orders: "queue.SimpleQueue[_Order]") -> None:
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", OWNER_VARIABLE: this_process()}
        while True:
            order = orders.get()
            try:
                process = subprocess.Popen(
                    (*RESET_SIGNALS, *order.argv),
                    pass_fds=order.pass_fds,
                    stdin=order.stdin,
                    stdout=order.stdout,
                    stderr=order.stderr,
                    env=environment,
                    cwd="/",
                    start_new_session=True,
                )
            except BaseException as error:
                order.answer.set_exception(error)
            else:
                order.answer.set_result(process)


SPAWNER = Spawner()
