"""The names of the sandboxes' images, their labels, and the agent that they carry."""

import hashlib
from pathlib import Path

SANDBOX = Path(__file__).parent
AGENT_FILES = (
    "agent.py",
    "agent_files.py",
    "agent_limits.py",
    "agent_meters.py",
    "protocol.py",
    "usercustomize.py",
)
PREFIX = "codecrafter/sandbox"
AGENT_LABEL = "codecrafter.agent"
# Language key -> why its self-test failed, as JSON; absent until the image was tried.
FAILURES_LABEL = "codecrafter.failures"


def agent_digest() -> str:
    """Name the agent that an image carries; the server refuses an image with another one."""
    digest = hashlib.sha256()
    for name in AGENT_FILES:
        digest.update((SANDBOX / name).read_bytes())
    return digest.hexdigest()


def image_of(family: str, prefix: str = "") -> str:
    """Name the image of a family; `prefix` is SANDBOX_IMAGE, with a tag or without."""
    name, colon, tag = (prefix or PREFIX).rpartition(":")
    if not colon or "/" in tag:
        name, tag = prefix or PREFIX, "latest"
    return f"{name}-{family}:{tag}"
