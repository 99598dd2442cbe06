"""A sandbox as a container engine is asked for it. docker.py sends this request, deploy/engine_proxy.py rebuilds it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from execution.sandbox import seccomp
from execution.sandbox.backends import START_ARGV, start_environment
from execution.sandbox.limits import Limits

USER_ID = 65534
CPU_PERIOD_US = 1_000_000
BLOCK_BYTES = 4096
SECCOMP = f"seccomp={seccomp.PROFILE.read_text()}"
JOB_LABEL = "codecrafter.job"
DEADLINE_LABEL = "codecrafter.deadline"
OWNER_LABEL = "codecrafter.owner"
# A container that carries all of them is a sandbox; images carry others that begin the same.
LABELS = frozenset((JOB_LABEL, DEADLINE_LABEL, OWNER_LABEL))


@dataclass(frozen=True)
class Container:
    """What one sandbox's container may have different from another's."""

    image: str
    runtime: str
    environment: tuple[str, ...]
    labels: Mapping[str, str]
    memory_bytes: int
    cpu_quota_us: int
    pids: int
    disk_bytes: int
    scratch_bytes: int

    @classmethod
    def of(cls, image: str, runtime: str, limits: Limits, language: str, labels: Mapping[str, str]) -> "Container":
        return cls(
            image=image,
            runtime=runtime,
            environment=environment_of(language),
            labels=labels,
            memory_bytes=limits.memory_bytes,
            cpu_quota_us=round(limits.cpus * CPU_PERIOD_US),
            # The agent is a process too.
            pids=limits.processes + 1,
            disk_bytes=limits.disk_bytes,
            scratch_bytes=limits.scratch_bytes,
        )

    @classmethod
    def read(cls, body: Any) -> "Container":
        """The container that a create request asks for; ValueError unless `body` is what `create_body` would make.

        The types of the varying parts are the caller's to check.
        """
        try:
            host = body["HostConfig"]
            asked = cls(
                image=body["Image"],
                runtime=host["Runtime"],
                environment=tuple(body["Env"]),
                labels=dict(body["Labels"]),
                memory_bytes=host["Memory"],
                cpu_quota_us=host["CpuQuota"],
                pids=host["PidsLimit"],
                disk_bytes=_tmpfs_bytes(host["Tmpfs"]["/work"]),
                scratch_bytes=host["ShmSize"],
            )
            different = _difference(body, asked.create_body())
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a sandbox: {error}") from error
        if different:
            raise ValueError(f"{different} is not a sandbox's")
        return asked

    def create_body(self) -> dict[str, Any]:
        """The body of POST /containers/create, API 1.41 and later."""
        return {
            "Image": self.image,
            "Entrypoint": list(START_ARGV[:1]),
            "Cmd": list(START_ARGV[1:]),
            "Env": list(self.environment),
            "Labels": dict(self.labels),
            "User": f"{USER_ID}:{USER_ID}",
            "Hostname": "sandbox",
            "NetworkDisabled": True,
            "OpenStdin": True,
            "StdinOnce": True,
            "AttachStdin": True,
            "AttachStdout": True,
            "AttachStderr": True,
            "HostConfig": {
                "Runtime": self.runtime,
                "ReadonlyRootfs": True,
                "NetworkMode": "none",
                "IpcMode": "private",
                "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges", SECCOMP],
                "LogConfig": {"Type": "none"},
                "Memory": self.memory_bytes,
                "MemorySwap": self.memory_bytes,
                "CpuPeriod": CPU_PERIOD_US,
                "CpuQuota": self.cpu_quota_us,
                "PidsLimit": self.pids,
                "ShmSize": self.scratch_bytes,
                "Tmpfs": {
                    "/work": _tmpfs("0755", self.disk_bytes),
                    "/tmp": _tmpfs("1777", self.scratch_bytes),  # noqa: S108 - the sandbox's own
                },
            },
        }


def environment_of(language: str) -> tuple[str, ...]:
    return tuple(f"{name}={value}" for name, value in start_environment(language).items())


def _tmpfs(mode: str, size: int) -> str:
    """Mount options. Without `exec` a compiled program could not be started; without a limit of their own, empty files
    would fill the memory and not the disk."""
    inodes = size // BLOCK_BYTES
    return f"rw,exec,mode={mode},size={size},nr_inodes={inodes},uid={USER_ID},gid={USER_ID},nosuid,nodev"


def _tmpfs_bytes(options: str) -> int:
    found = re.search(r",size=([0-9]{1,15}),", options)
    return int(found[1]) if found else 0


def _difference(asked: Any, made: Any, name: str = "") -> str:
    """The path of the first part in which two JSON values differ, types and all; empty when they are the same."""
    if isinstance(asked, dict) and isinstance(made, dict):
        parts = (
            _difference(asked.get(key), made.get(key), f"{name}.{key}".lstrip("."))
            for key in sorted(asked.keys() | made.keys())
        )
        return next(filter(None, parts), "")
    return "" if json.dumps(asked) == json.dumps(made) else name or "the body"
