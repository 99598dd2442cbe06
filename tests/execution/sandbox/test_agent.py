"""The agent's reading of both cgroup versions, and its unpacking."""

from __future__ import annotations

import os

import pytest

from execution.sandbox.agent_files import Unpacker
from execution.sandbox.agent_meters import Cgroup
from execution.sandbox.protocol import RecordReader, record_header

VERSION_2 = {
    "memory.max": "134217728\n",
    "memory.current": "5000\n",
    "memory.peak": "9000\n",
    "memory.events": "low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\noom_group_kill 0\n",
    "cpu.stat": "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n",
    "pids.current": "3\n",
    "pids.events": "max 4\n",
}
VERSION_1 = {
    "memory/memory.limit_in_bytes": "134217728\n",
    "memory/memory.usage_in_bytes": "5000\n",
    "memory/memory.max_usage_in_bytes": "9000\n",
    "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
    "cpuacct/cpuacct.usage": "1500000000\n",
    "pids/pids.current": "3\n",
    "pids/pids.events": "max 4\n",
}


@pytest.mark.parametrize("files", [VERSION_1, VERSION_2], ids=["version 1", "version 2"])
def test_both_cgroup_versions_read_the_same(tmp_path, files):
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    found = Cgroup(str(tmp_path))
    assert found.limit == 134217728
    assert (found.memory_bytes(), found.peak_bytes(), found.oom_kills()) == (5000, 9000, 1)
    assert (found.cpu_seconds(), found.processes(), found.refused_forks()) == (1.5, 3, 4)


def test_a_cgroup_without_a_limit_or_a_peak_is_no_hold(tmp_path):
    for path, text in {**VERSION_2, "memory.max": "max\n"}.items():
        (tmp_path / path).write_text(text)
    (tmp_path / "memory.peak").unlink()
    found = Cgroup(str(tmp_path))
    assert found.limit is None
    assert found.peak_bytes() == 5000
    assert Cgroup(str(tmp_path / "none")).limit is None


@pytest.mark.parametrize("plant", ["folder", "file", "dangling"])
def test_unpacking_never_follows_a_link(tmp_path, plant):
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    (outside / "kept").write_text("kept")
    if plant == "folder":
        (root / "a").symlink_to(outside)
        record = record_header("a/kept", 0o644, 1)
    else:
        (root / "a").symlink_to(outside / ("kept" if plant == "file" else "new"))
        record = record_header("a", 0o644, 1)
    with pytest.raises(OSError):
        RecordReader(Unpacker(str(root)), max_bytes=10).feed(record + b"x")
    assert os.listdir(outside) == ["kept"]
    assert (outside / "kept").read_text() == "kept"
