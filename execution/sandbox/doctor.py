"""What this host offers for sandboxes, and the one thing to do where something is missing: `manage.py doctor`."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from execution.sandbox.bubblewrap import BubblewrapBackend
from execution.sandbox.cgroups import Cgroups
from execution.sandbox.docker import DockerBackend, engine
from execution.sandbox.errors import SandboxFault

CONNECT_SECONDS = 3
OF_ENGINE = ("sandbox images", "container runtime")


@dataclass(frozen=True)
class Check:
    """One line of the doctor: `remedy` is empty when `ok`. Not every check must be ok for programs to run."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def checks(image: str = "", runtime: str = "") -> list[Check]:
    """Every check, most important first. The first says whether programs can run here at all.

    `image` and `runtime` are what the sandbox will be given (choose.choose_backend).
    """
    engine_check = _engine()
    of_engine = [_images(image), _runtime(runtime)] if engine_check.ok else [_unknown(name) for name in OF_ENGINE]
    parts = [engine_check, *of_engine, _bubblewrap(), _user_namespaces(), _cgroups()]
    by_name = {check.name: check for check in parts}
    docker_works = all(by_name[name].ok for name in (engine_check.name, *OF_ENGINE))
    return [_verdict(docker_works=docker_works, bubblewrap_works=by_name["bubblewrap"].ok), *parts]


def _verdict(*, docker_works: bool, bubblewrap_works: bool) -> Check:
    if docker_works:
        return Check("sandbox", True, "programs run in Docker")
    if bubblewrap_works:
        return Check("sandbox", True, "programs run in bubblewrap")
    return Check("sandbox", False, "programs cannot run here", "Install bubblewrap: apt-get install bubblewrap")


def _attempt(name: str, work: Callable[[], str]) -> Check:
    try:
        return Check(name, True, work())
    except SandboxFault as fault:
        return Check(name, False, fault.detail or fault.code, fault.remedy)


def _unknown(name: str) -> Check:
    return Check(name, False, "not known without an engine", "First repair the engine.")


def _engine() -> Check:
    def ask() -> str:
        version = engine(CONNECT_SECONDS).version()
        return f"{version['Version']}, API {version['ApiVersion']}, {os.environ.get('DOCKER_HOST', 'default socket')}"

    return _attempt("Docker engine", ask)


def _images(image: str) -> Check:
    return _attempt("sandbox images", lambda: DockerBackend(image=image, connect_seconds=CONNECT_SECONDS).describe())


def _runtime(runtime: str) -> Check:
    def ask() -> str:
        info = engine(CONNECT_SECONDS).info()
        known = sorted(info.get("Runtimes", {}))
        wanted = runtime or info.get("DefaultRuntime", "runc")
        if wanted not in known:
            raise SandboxFault(
                "runtime_absent",
                f"Set SANDBOX_RUNTIME to one of: {', '.join(known)}.",
                f"{wanted} is not known to the engine",
            )
        return f"{wanted}, cgroup v{info.get('CgroupVersion', '1')} by {info.get('CgroupDriver', 'unknown')}"

    return _attempt("container runtime", ask)


def _bubblewrap() -> Check:
    return _attempt("bubblewrap", lambda: BubblewrapBackend().describe())


def _user_namespaces() -> Check:
    name = "user namespaces"
    limits = {
        "/proc/sys/user/max_user_namespaces": ("0", "sysctl -w user.max_user_namespaces=15000"),
        "/proc/sys/kernel/unprivileged_userns_clone": ("0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": (
            "1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    }
    for path, (bad, remedy) in limits.items():
        try:
            value = Path(path).read_text().strip()
        except OSError:
            continue
        if value == bad:
            return Check(name, False, f"{path} is {value}", remedy)
    return Check(name, True, "allowed")


def _cgroups() -> Check:
    name = "cgroups for bubblewrap"
    cgroups = Cgroups()
    if cgroups.version:
        return Check(name, True, f"version {cgroups.version}: memory, cpu and processes are held by the kernel")
    detail = (
        f"none can be made ({cgroups.problem}): limits are held by rlimits and a watcher, and cpu is not shared out"
    )
    remedy = "Run as root, or use Docker." if os.geteuid() != 0 else "Use Docker, or mount cgroups writable."
    return Check(name, False, detail, remedy)
