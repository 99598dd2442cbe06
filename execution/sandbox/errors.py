"""What can go wrong here that is not a user's broken program (that is an Outcome).

SandboxError
|- InvalidJob     the caller asked for something no sandbox can run: a bad path, too many files, a NUL in an argument
|- SandboxFault   the host's fault: no engine, no image, a sandbox that died; carries a stable code and the remedy
"""

# The code of the fault that means: no more sandboxes may exist now. It passes by itself.
FULL = "sandboxes_full"


class SandboxError(Exception):
    """The root of this package's errors."""


class InvalidJob(SandboxError, ValueError):
    """The job itself is wrong; the message says where and may be shown to its author."""


class SandboxFault(SandboxError):
    """A host fault. `code` is stable, `remedy` is the one thing to do about it, `detail` is for the log."""

    def __init__(self, code: str, remedy: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail or remedy}")
        self.code = code
        self.remedy = remedy
        self.detail = detail
