"""Where PID 1 of a sandbox begins: Python imports a module of this name at its start, before it opens its program.

A sandbox is started as `python3 main.py`, with this folder as PYTHONPATH, when there is no main.py yet. The process
forks while nothing but Python itself is loaded. The parent becomes the agent and never returns. The child waits; for
another program it calls exec, and for `python3 main.py` it leaves here as if this file were absent, so that the Python
that has started already opens main.py like any other.
"""

import _signal  # type: ignore[import-not-found]
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

STREAMS = (0, 1, 2)
OPEN_FILES = 1024
FOLDER_VARIABLE = "PYTHONPATH"


class Runner:
    """A waiting child: its pid, and the agent's ends of its pipes."""

    def __init__(self, pid: int, orders: int, failed: int, stdin: int, stdout: int, stderr: int) -> None:
        self.pid = pid
        self.orders = orders
        self.failed = failed
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr

    def order(self, argv: list[str], environment: dict[str, str], *, in_place: bool, niceness: int) -> int:
        """Make it the program; returns 0, or the errno for which it could not be started.

        `in_place`: argv begins with the two words this process was started with, and needs no exec.
        """
        words = [b"%d %d %d" % (in_place, niceness, len(argv)), *map(os.fsencode, argv)]
        words += [os.fsencode(f"{name}={value}") for name, value in environment.items()]
        data = b"\0".join(words)
        data = len(data).to_bytes(4, "big") + data
        while data:
            data = data[os.write(self.orders, data) :]
        os.close(self.orders)
        answer = os.read(self.failed, 4)
        os.close(self.failed)
        return int.from_bytes(answer, "big")

    def close(self) -> None:
        for descriptor in (self.orders, self.failed, self.stdin, self.stdout, self.stderr):
            os.close(descriptor)


def hatch(output: "tuple[int, int] | None" = None, first: "Callable[[], None] | None" = None) -> Runner | None:
    """Fork a Runner. In the child returns None, and only for a program that runs in place.

    `output` replaces the pipe behind its stdout: the agent's end, the program's end. The child calls `first`.
    """
    child_orders, orders = os.pipe()
    failed, child_failed = os.pipe()
    child_stdin, stdin = os.pipe()
    stdout, child_stdout = output or os.pipe()
    stderr, child_stderr = os.pipe()
    pid = os.fork()
    if pid == 0:
        _wait(child_orders, child_failed, (child_stdin, child_stdout, child_stderr), first)
        return None
    for descriptor in (child_orders, child_failed, child_stdin, child_stdout, child_stderr):
        os.close(descriptor)
    os.set_blocking(stdin, False)
    return Runner(pid, orders, failed, stdin, stdout, stderr)


def _wait(orders: int, failed: int, streams: tuple[int, int, int], first: "Callable[[], None] | None") -> None:
    """In the child: do all that can be done ahead, then what the agent orders. Returns only to run in place."""
    try:
        if first is not None:
            first()
        os.setsid()
        # When memory runs out the kernel must take the program, not the agent.
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
        for number, descriptor in zip(STREAMS, streams, strict=True):
            os.dup2(descriptor, number)
        last = max(orders, failed)
        os.closerange(3, min(orders, failed))
        os.closerange(min(orders, failed) + 1, last)
        os.closerange(last + 1, OPEN_FILES)
        os.umask(0o022)
        os.chdir("/work")
        in_place, argv, environment = _orders(orders)
        os.close(orders)
        if in_place:
            _forget_this_file(argv, environment)
            os.close(failed)
            return
        # What Python and the agent ignore would stay ignored in the program.
        for number in (_signal.SIGINT, _signal.SIGPIPE, _signal.SIGXFSZ, _signal.SIGCHLD):
            _signal.signal(number, _signal.SIG_DFL)
        _execute(argv, environment)
    except OSError as error:
        os.write(failed, (error.errno or 5).to_bytes(4, "big"))
    except BaseException:
        # Nothing may go back into the agent's code.
        os.write(failed, (22).to_bytes(4, "big"))
    os._exit(127)


def _orders(orders: int) -> tuple[bool, list[bytes], dict[bytes, bytes]]:
    data = _read(orders, int.from_bytes(_read(orders, 4), "big"))
    head, *words = data.split(b"\0")
    in_place, niceness, count = head.split()
    if niceness != b"0":
        os.nice(int(niceness))
    environment = {}
    for word in words[int(count) :]:
        name, _, value = word.partition(b"=")
        environment[name] = value
    return in_place == b"1", words[: int(count)], environment


def _read(descriptor: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = os.read(descriptor, size - len(data))
        if not piece:
            # The agent has ended.
            os._exit(127)
        data += piece
    return data


def _execute(argv: list[bytes], environment: dict[bytes, bytes]) -> None:
    """execve along PATH; raises the OSError that says most."""
    if b"/" in argv[0]:
        os.execve(argv[0], argv, environment)  # noqa: S606
    worst = FileNotFoundError(2, "not found")
    for folder in environment.get(b"PATH", b"/usr/bin:/bin").split(b":"):
        try:
            os.execve(folder + b"/" + argv[0], argv, environment)  # noqa: S606
        except (FileNotFoundError, NotADirectoryError):
            continue
    raise worst


def _forget_this_file(argv: list[bytes], environment: dict[bytes, bytes]) -> None:
    folder = os.environ[FOLDER_VARIABLE]
    sys.path.remove(folder)
    sys.path_importer_cache.pop(folder, None)
    arguments = [os.fsdecode(word) for word in argv]
    sys.argv[:] = arguments[1:]
    sys.orig_argv[:] = arguments
    os.environb.clear()
    os.environb.update(environment)


def begin() -> None:
    first = hatch()
    if first is None:
        return
    try:
        import agent  # type: ignore[import-not-found]

        agent.main(first)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        # Python must not go on to main.py as PID 1.
        os._exit(1)


if __name__ == "usercustomize":
    begin()
    # What Python itself would have raised without this file; it takes that for granted.
    raise ImportError("No module named 'usercustomize'", name="usercustomize")
