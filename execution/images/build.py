"""Builds the images of the sandboxes, one for each family of languages, and tries each: `make images`.

From the environment: DOCKER_HOST (which engine), BASE_IMAGE, SANDBOX_IMAGE (what the images' names begin with).
Where no registry answers, the base is made by debootstrap and kept under the tag BASE_TAG. Quick when all is there.
"""

import argparse
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from execution.sandbox.docker import DockerBackend
from execution.sandbox.errors import SandboxFault
from execution.sandbox.image_names import (
    AGENT_FILES,
    AGENT_LABEL,
    FAILURES_LABEL,
    SANDBOX,
    agent_digest,
    image_of,
)
from execution.sandbox.selftest import SelfTestResult, run
from languages import LANGUAGES, SELF_TESTS
from languages.families import FAMILIES, Family

HERE = Path(__file__).parent
BASE_IMAGE = "debian:bookworm-slim"
BASE_TAG = "codecrafter/base:bookworm"
SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
RECIPE_LABEL = "codecrafter.recipe"
TRIAL_LABEL = "codecrafter.trial"
FIRST = next(iter(FAMILIES))
PULL_SECONDS = 300
MEGABYTE = 1_000_000


class BuildFailed(Exception):
    """Says what to do about it."""


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
    """What the engine gets: the Dockerfile, and the agent in a folder of its own."""
    packed = io.BytesIO()
    sources = {"Dockerfile": HERE / "Dockerfile"} | {f"agent/{name}": SANDBOX / name for name in AGENT_FILES}
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, path in sources.items():
            content = path.read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def need_engine() -> None:
    if shutil.which("docker") is None:
        raise BuildFailed("The docker command is missing: apt-get install docker.io")
    if not docker("version", "--format", "{{.Server.Version}}", check=False):
        host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
        raise BuildFailed(f"No Docker engine answers at {host}. Start one, or set DOCKER_HOST.")


def build(family: Family, base_image: str, prefix: str) -> bool:
    """Builds the family's image unless it is there and of the same recipe; says whether it did."""
    context = build_context()
    image = image_of(family.name, prefix)
    recipe = hashlib.sha256(repr((context, base_image, family.packages)).encode()).hexdigest()
    if label_of(image, RECIPE_LABEL) == recipe:
        return False
    base = find_base(base_image)
    arguments = ("--network", "host", "--build-arg", f"BASE_IMAGE={base}")
    # The families share this stage: the engine keeps it, and each of them begins with it.
    docker("build", *arguments, "--target", "base", "--tag", image_of("base", prefix), "-", stdin=context)
    docker(
        *("build", *arguments, "--tag", image, "--build-arg", f"PACKAGES={' '.join(family.packages)}"),
        *("--label", f"{RECIPE_LABEL}={recipe}", "--label", f"{AGENT_LABEL}={agent_digest()}"),
        "-",
        stdin=context,
    )
    return True


def trial_digest(family: Family) -> str:
    """Names all that a family's self-tests depend on besides the image, so that a change of it has them run again."""
    digest = hashlib.sha256((SANDBOX / "seccomp.json").read_bytes())
    for language in LANGUAGES.values():
        if language.family == family.name:
            digest.update(repr(language).encode())
            for path in sorted((SELF_TESTS / language.key).iterdir()):
                digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def write_trial(image: str, trial: str, failures: dict[str, str]) -> None:
    """Keeps in the image what its self-tests found, for every worker that uses it."""
    docker(
        *("build", "--network", "none", "--tag", image, "--label", f"{TRIAL_LABEL}={trial}"),
        *("--label", f"{FAILURES_LABEL}={json.dumps(failures, sort_keys=True)}", "-"),
        stdin=f"FROM {image}\n".encode(),
    )


def self_test(family: Family, prefix: str) -> dict[str, str]:
    """Tries every language of a family in its image; returns the reasons of those that failed."""

    def report(result: SelfTestResult) -> None:
        print(f"  {result}", flush=True)

    keys = [key for key, language in LANGUAGES.items() if language.family == family.name]
    try:
        backend = DockerBackend(image=prefix)
    except SandboxFault as fault:
        raise BuildFailed(str(fault)) from fault
    results = run(keys, backend, report)
    return {result.key: result.reason for result in results if not result.ok}


def build_and_try(family: Family, base_image: str, prefix: str) -> bool:
    """One family from packages to a tried image; prints what came of it and says whether all of it is good."""
    image = image_of(family.name, prefix)
    begun = time.monotonic()
    try:
        is_new = build(family, base_image, prefix)
    except (BuildFailed, subprocess.TimeoutExpired) as failure:
        print(f"{family.name}: not built.\n{failure}", file=sys.stderr, flush=True)
        return False
    size = int(docker("image", "inspect", "--format", "{{.Size}}", image)) // MEGABYTE
    seconds = f", built in {time.monotonic() - begun:.0f} s" if is_new else " is up to date"
    print(f"{image} ({size} MB){seconds}", flush=True)
    trial = trial_digest(family)
    if label_of(image, TRIAL_LABEL) == trial and label_of(image, FAILURES_LABEL) == "{}":
        return True
    try:
        failures = self_test(family, prefix)
        write_trial(image, trial, failures)
    except BuildFailed as failure:
        print(f"{family.name}: not tried.\n{failure}", file=sys.stderr, flush=True)
        return False
    return not failures


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build and try the sandbox images.")
    parser.add_argument(
        "family", nargs="*", metavar="FAMILY", help=f"of: {', '.join(FAMILIES)}; the light ones if none"
    )
    parser.add_argument("--all", action="store_true", help="every family")
    arguments = parser.parse_args(words)
    for name in arguments.family:
        if name not in FAMILIES:
            parser.error(f"no family is called {name!r}")
    # The first one always: a worker does not start without it.
    wanted = [
        family
        for family in FAMILIES.values()
        if arguments.all or family.name in (FIRST, *arguments.family) or (family.light and not arguments.family)
    ]
    base_image = os.environ.get("BASE_IMAGE", BASE_IMAGE)
    prefix = os.environ.get("SANDBOX_IMAGE", "")
    try:
        need_engine()
        find_base(base_image)
    except BuildFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    # One family that fails is reported and stops no other.
    good = [build_and_try(family, base_image, prefix) for family in wanted]
    return 0 if all(good) else 1


if __name__ == "__main__":
    raise SystemExit(main())
