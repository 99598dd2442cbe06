"""What the agent does with files: unpacks a job, collects what a compiler left, and empties the sandbox for the next.

A program may have touched every path here, so none is opened through a link.
"""

import contextlib
import itertools
import os
import stat
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING or __package__:
    from execution.sandbox import protocol
else:
    import protocol

WORK = "/work"
SCRATCH = ("/tmp", "/dev/shm")  # noqa: S108 - the sandbox's own
NO_FOLLOW = os.O_NOFOLLOW | os.O_CLOEXEC
RESET_SECONDS = 0.2
RESET_ENTRIES = 10_000
RESET_BATCH = 1_000


class Failed(Exception):
    """The program never ran; becomes an ERROR frame."""

    def __init__(self, code: str, number: int | None = None, detail: str = "") -> None:
        super().__init__(code)
        self.report = {"code": code, "errno": number, "detail": detail[:500]}


def read_text(path: str) -> str | None:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(65536).decode("ascii", "replace")
    except OSError:
        return None


class Unpacker(protocol.RecordSink):
    """Writes records below a folder, one path part at a time, never through a link."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._file = -1

    def begin(self, path: str, mode: int, size: int) -> None:
        *folders, name = path.encode("utf-8", "surrogateescape").split(b"/")
        folder = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | NO_FOLLOW)
        try:
            for part in folders:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=folder)
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | NO_FOLLOW, dir_fd=folder)
                os.close(folder)
                folder = inner
            self._file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW, mode, dir_fd=folder)
        finally:
            os.close(folder)

    def data(self, piece: bytes) -> None:
        write_all(self._file, piece)

    def end(self) -> None:
        os.close(self._file)
        self._file = -1


def write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def first_names(folder: int, count: int) -> list[str]:
    """At most `count` names in a folder, which may hold more than should be read."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in itertools.islice(entries, count)]


class Refused(Exception):
    """What the compiler left cannot leave the sandbox."""


def artifact_files(root: str) -> list[tuple[str, int]]:
    """(path below WORK, open descriptor) of every file under `root`: regular files with one name only, bounded."""
    found: list[tuple[str, int]] = []
    total = seen = 0

    def walk(folder: int, prefix: str, depth: int) -> None:
        nonlocal total, seen
        if depth > protocol.MAX_DEPTH:
            raise Refused(f"{prefix} is too deep")
        names = first_names(folder, protocol.MAX_FILES)
        seen += len(names)
        if seen >= protocol.MAX_FILES:
            raise Refused("it has too many files")
        for name in sorted(names):
            path = f"{prefix}/{name}"
            try:
                protocol.check_path(path)
                descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | NO_FOLLOW, dir_fd=folder)
            except (OSError, ValueError) as error:
                raise Refused(f"{path} is not a regular file") from error
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                walk(descriptor, path, depth + 1)
                os.close(descriptor)
                continue
            if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
                raise Refused(f"{path} is not a regular file")
            total += status.st_size
            if total > protocol.MAX_ARTIFACT_BYTES or len(found) >= protocol.MAX_FILES // 2:
                raise Refused("it is too large")
            found.append((path, descriptor))

    try:
        top = os.open(f"{WORK}/{root}", os.O_RDONLY | os.O_DIRECTORY | NO_FOLLOW)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Refused(f"{root} is not a folder") from error
    walk(top, root, 1)
    os.close(top)
    return found


def reset() -> None:
    """Make the sandbox as it was before the last job: that job's processes are gone already, now its files go.

    Raises Failed when there is too much to remove, it takes too long, or something stays that cannot be removed.
    """
    deadline = time.monotonic() + RESET_SECONDS
    removed = 0

    def empty(folder: int) -> None:
        nonlocal removed
        while names := first_names(folder, RESET_BATCH):
            for name in names:
                removed += 1
                if removed > RESET_ENTRIES or time.monotonic() > deadline:
                    raise Failed("reset", detail="too many files were left")
                try:
                    os.unlink(name, dir_fd=folder)
                    continue
                except (IsADirectoryError, PermissionError):
                    # A folder, no link, and nobody is left to change that.
                    os.chmod(name, 0o700, dir_fd=folder)
                    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | NO_FOLLOW, dir_fd=folder)
                try:
                    empty(inner)
                finally:
                    os.close(inner)
                os.rmdir(name, dir_fd=folder)

    try:
        for root in (WORK, *SCRATCH):
            folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | NO_FOLLOW)
            try:
                if os.fstat(folder).st_uid == os.geteuid():
                    os.fchmod(folder, 0o755 if root == WORK else 0o1777)
                # The folder itself stays, and could carry a note.
                for name in os.listxattr(folder):
                    if name.startswith(("user.", "system.")):
                        os.removexattr(folder, name)
                empty(folder)
                os.utime(folder)
            finally:
                os.close(folder)
        for kind in ("shm", "msg", "sem"):
            # Its first line is the heading.
            if len((read_text(f"/proc/sysvipc/{kind}") or "").splitlines()) > 1:
                raise Failed("reset", detail=f"a System V {kind} was left")
    except (OSError, RecursionError) as error:
        raise Failed("reset", getattr(error, "errno", None), str(error)) from error
