"""Builds the sandbox image: `make images`. Standard library only; quick when the image is there already.

From the environment: DOCKER_HOST (which engine), BASE_IMAGE, SANDBOX_IMAGE, SANDBOX_PACKAGES (Debian packages).
Where no registry answers, the base is made by debootstrap and kept under the tag BASE_TAG.
"""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
SANDBOX = HERE.parent / "sandbox"
AGENT_FILES = ("agent.py", "protocol.py")
IMAGE = "codecrafter/sandbox:latest"
BASE_IMAGE = "debian:bookworm-slim"
BASE_TAG = "codecrafter/base:bookworm"
SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
RECIPE_LABEL = "codecrafter.recipe"
AGENT_LABEL = "codecrafter.agent"
PULL_SECONDS = 300
CORE_PACKAGES = ("python3", "gcc", "g++", "libc6-dev", "nodejs")
PACKAGES = (
    *CORE_PACKAGES,
    "ruby",
    "perl",
    "php-cli",
    "lua5.4",
    "default-jdk-headless",
    "golang-go",
    "rustc",
)


class BuildFailed(Exception):
    """Says what to do about it."""


def agent_digest(folder: Path = SANDBOX) -> str:
    """Names the agent that an image carries; the server refuses an image with another one."""
    digest = hashlib.sha256()
    for name in AGENT_FILES:
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


def docker(*words: str, check: bool = True, stdin: bytes | None = None, quiet: bool = True, seconds: int = 3600) -> str:
    environment = dict(os.environ)
    if not _has_buildx(environment):
        environment["DOCKER_BUILDKIT"] = "0"
    done = subprocess.run(
        ["docker", *words],
        input=stdin,
        stdin=None if stdin is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.PIPE if quiet else None,
        env=environment,
        timeout=seconds,
        check=False,
    )
    if check and done.returncode != 0:
        raise BuildFailed(f"docker {words[0]} failed: {(done.stderr or b'').decode('utf-8', 'replace').strip()}")
    return (done.stdout or b"").decode("utf-8", "replace").strip() if done.returncode == 0 else ""


def _has_buildx(environment: dict[str, str]) -> bool:
    done = subprocess.run(["docker", "buildx", "version"], capture_output=True, env=environment, check=False)
    return done.returncode == 0


def label_of(image: str, label: str) -> str:
    return docker("image", "inspect", "--format", f'{{{{index .Config.Labels "{label}"}}}}', image, check=False)


def find_base(wanted: str) -> str:
    """A local base image: the wanted one, there or pulled, else one made by debootstrap."""
    if docker("image", "inspect", "--format", "{{.Id}}", wanted, check=False):
        return wanted
    if docker("image", "inspect", "--format", "{{.Id}}", BASE_TAG, check=False):
        return BASE_TAG
    try:
        docker("pull", "--quiet", wanted, seconds=PULL_SECONDS)
    except (BuildFailed, subprocess.TimeoutExpired):
        print(f"No registry answers for {wanted}; making {BASE_TAG} with debootstrap.", flush=True)
        make_base()
        return BASE_TAG
    return wanted


def make_base() -> None:
    debootstrap = shutil.which("debootstrap", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if debootstrap is None or os.geteuid() != 0:
        raise BuildFailed(
            "Without a registry the base image needs debootstrap, as root: "
            "apt-get install debootstrap, then run `make images` as root, or set BASE_IMAGE to an image you have."
        )
    with tempfile.TemporaryDirectory(prefix="codecrafter-base-") as folder:
        root = Path(folder, "root")
        done = subprocess.run(
            [debootstrap, "--variant=minbase", SUITE, str(root), os.environ.get("DEBIAN_MIRROR", MIRROR)],
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            raise BuildFailed(f"debootstrap failed: {done.stdout.decode('utf-8', 'replace')[-500:]}")
        shutil.rmtree(root / "var/cache/apt", ignore_errors=True)
        with subprocess.Popen(
            ["tar", "--directory", str(root), "--numeric-owner", "--one-file-system", "--create", "."],
            stdout=subprocess.PIPE,
        ) as packer:
            imported = subprocess.run(
                ["docker", "import", "-", BASE_TAG], stdin=packer.stdout, capture_output=True, check=False
            )
        if imported.returncode != 0 or packer.returncode != 0:
            raise BuildFailed(f"docker import failed: {imported.stderr.decode('utf-8', 'replace')}")


def build_context() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in (HERE / "Dockerfile", *(SANDBOX / name for name in AGENT_FILES)):
            content = path.read_bytes()
            entry = tarfile.TarInfo(path.name)
            entry.size = len(content)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def build(image: str, base_image: str, packages: tuple[str, ...]) -> str:
    """Builds `image` unless it is there and of the same recipe; returns one line about what was done."""
    if shutil.which("docker") is None:
        raise BuildFailed("The docker command is missing: apt-get install docker.io")
    if not docker("version", "--format", "{{.Server.Version}}", check=False):
        host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
        raise BuildFailed(f"No Docker engine answers at {host}. Start one, or set DOCKER_HOST.")
    context = build_context()
    recipe = hashlib.sha256(repr((context, base_image, packages)).encode()).hexdigest()
    if label_of(image, RECIPE_LABEL) == recipe:
        return f"{image} is up to date."
    base = find_base(base_image)
    docker(
        *("build", "--network", "host", "--tag", image),
        *("--build-arg", f"BASE_IMAGE={base}", "--build-arg", f"PACKAGES={' '.join(packages)}"),
        *("--label", f"{RECIPE_LABEL}={recipe}", "--label", f"{AGENT_LABEL}={agent_digest()}"),
        "-",
        stdin=context,
        quiet=False,
    )
    return f"{image} is built on {base}."


def main() -> int:
    image = os.environ.get("SANDBOX_IMAGE", IMAGE)
    packages = tuple(os.environ.get("SANDBOX_PACKAGES", "").split()) or PACKAGES
    try:
        print(build(image, os.environ.get("BASE_IMAGE", BASE_IMAGE), packages))
    except BuildFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
