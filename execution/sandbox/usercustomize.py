"""Where PID 1 of a sandbox begins: Python imports a module of this name at its start, before it opens its program.

A sandbox is started as `python3 main.py`, with this folder as PYTHONPATH, when there is no main.py yet. The process
forks while nothing but Python itself is loaded. The parent becomes the agent and never returns. The child waits; for
`python3 main.py` it leaves here as if this file were absent, so that the Python that has started already opens main.py
like any other. For another program the agent ends it and starts that program itself.
"""

import os
import sys

OPEN_FILES = 1024
FOLDER_VARIABLE = "PYTHONPATH"
RUNNER_VARIABLE = "CODECRAFTER_RUNNER"


class Streams:
    """Three pipes: the agent's ends, and the program's, in the order of their numbers there.

    The agent's ends never block: a program can open the other end of its own pipes and take back what it wrote.
    """

    def __init__(self) -> None:
        child_stdin, self.stdin = os.pipe()
        self.stdout, child_stdout = os.pipe()
        self.stderr, child_stderr = os.pipe()
        self.theirs = [child_stdin, child_stdout, child_stderr]
        for descriptor in (self.stdin, self.stdout, self.stderr):
            os.set_blocking(descriptor, False)

    def let_go(self) -> None:
        """The program has its ends; while the agent held them too, their end would never be seen."""
        while self.theirs:
            os.close(self.theirs.pop())


class Runner:
    """A waiting child that can go on as `python3 main.py`, and the streams that it has, or another program will."""

    def __init__(self, pid: int, orders: int, streams: Streams) -> None:
        self.pid = pid
        self.streams = streams
        self._orders = orders

    def go(self, argv: list[str], environment: dict[str, str], niceness: int) -> None:
        words = [b"%d %d" % (niceness, len(argv)), *map(os.fsencode, argv)]
        words += [os.fsencode(f"{name}={value}") for name, value in environment.items()]
        data = b"\0".join(words)
        data = len(data).to_bytes(4, "big") + data
        while data:
            data = data[os.write(self._orders, data) :]
        os.close(self._orders)

    def dismiss(self) -> None:
        os.kill(self.pid, 9)
        os.close(self._orders)


def hatch() -> Runner | None:
    """Fork a Runner. In the child returns None, and only when it is to go on as the program."""
    child_orders, orders = os.pipe()
    streams = Streams()
    pid = os.fork()
    if pid == 0:
        _wait(child_orders, streams.theirs)
        return None
    os.close(child_orders)
    return Runner(pid, orders, streams)


def _wait(orders: int, streams: list[int]) -> None:
    """In the child: do all that can be done ahead, then what the agent orders. Returns only to be the program."""
    try:
        os.setsid()
        # When memory runs out the kernel must take the program, not the agent.
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
        os.closerange(3, orders)
        os.closerange(orders + 1, OPEN_FILES)
        os.umask(0o022)
        os.chdir("/work")
        argv, environment = _orders(orders)
        os.close(orders)
        _forget_this_file(argv, environment)
    except BaseException:
        # Nothing may go back into the agent's code.
        os._exit(127)


def _orders(orders: int) -> tuple[list[bytes], dict[bytes, bytes]]:
    data = _read(orders, int.from_bytes(_read(orders, 4), "big"))
    head, *words = data.split(b"\0")
    niceness, count = map(int, head.split())
    if niceness:
        os.nice(niceness)
    environment = {}
    for word in words[count:]:
        name, _, value = word.partition(b"=")
        environment[name] = value
    return words[:count], environment


def _read(descriptor: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = os.read(descriptor, size - len(data))
        if not piece:
            # The agent has ended.
            os._exit(127)
        data += piece
    return data


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
    # Whatever the engine or bubblewrap left open is no business of the agent's or the program's.
    os.closerange(3, OPEN_FILES)
    first = None
    if RUNNER_VARIABLE not in os.environ:
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
