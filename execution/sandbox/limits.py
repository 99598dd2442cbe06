"""What a program may use, and the defaults (docs/sandbox.md). Plain values: backends and the supervisor read them."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """Ceilings of one sandbox: `cpu_ms` over the whole process tree, `wall_ms` by the supervisor's clock.

    `disk_bytes` is the size of the work folder; /tmp and /dev/shm get a quarter of it each, and all three
    count towards `memory_bytes`. `idle_ms` ends a run that neither reads nor prints for so long.
    """

    cpu_ms: int
    wall_ms: int
    memory_bytes: int
    output_bytes: int
    processes: int
    disk_bytes: int
    idle_ms: int | None = None
    cpus: float = 0.5

    def __post_init__(self) -> None:
        for name in ("cpu_ms", "wall_ms", "memory_bytes", "output_bytes", "processes", "disk_bytes", "cpus"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above zero")
        if self.idle_ms is not None and self.idle_ms <= 0:
            raise ValueError("idle_ms must be above zero")

    @property
    def scratch_bytes(self) -> int:
        """The size of /tmp, and of /dev/shm."""
        return max(self.disk_bytes // 4, MIB)


RUN = Limits(
    cpu_ms=5_000,
    wall_ms=15_000,
    memory_bytes=128 * MIB,
    output_bytes=MIB,
    processes=64,
    disk_bytes=64 * MIB,
)
COMPILE = Limits(
    cpu_ms=20_000,
    wall_ms=30_000,
    memory_bytes=512 * MIB,
    output_bytes=MIB // 4,
    processes=64,
    disk_bytes=128 * MIB,
    cpus=1.0,
)
INTERACTIVE = Limits(
    cpu_ms=5_000,
    wall_ms=600_000,
    memory_bytes=128 * MIB,
    output_bytes=MIB,
    processes=64,
    disk_bytes=64 * MIB,
    idle_ms=60_000,
)
