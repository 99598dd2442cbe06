"""The README's commands are run as they stand."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text()


def test_the_curl_tour_works(server):
    server.wait_for_languages()
    tour = next(block for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) if "curl" in block)
    script = tour.replace("http://127.0.0.1:8000", server.url).replace("curl -s", "echo; curl -s")
    # The substitutions read curl's output, so there no line may come before it.
    script = script.replace("$(echo; curl", "$(curl")
    done = subprocess.run(["bash", "-e", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines() if line]
    registered, session, python, c, javascript, last = answers
    assert registered["user"]["username"] == "ada"
    assert session["title"] == "First light"
    assert python["stdout"] == "Hello from Python, Ada\n"
    assert c["stdout"] == "C says 42\n"
    assert javascript["stdout"] == "JavaScript says ADA\n"
    assert (last["status"], last["stdout"]) == ("completed", "42\n")


def test_every_link_and_picture_of_the_documents_exists():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        text = page.read_text()
        targets = re.findall(r"\]\(([^)#]+)[^)]*\)", text) + re.findall(r'(?:src|srcset)="([^"]+)"', text)
        for target in targets:
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} points at {target}"


def test_every_make_target_of_the_readme_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)", README)) - {"up"} <= targets


def test_the_files_that_the_architecture_names_exist():
    text = (ROOT / "docs" / "architecture.md").read_text()
    for name in re.findall(r"`((?:[a-z_]+/)+[A-Za-z_.]+\.(?:py|ts|css|md))`", text):
        assert (ROOT / name).exists(), name
