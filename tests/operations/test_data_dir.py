"""What the embedded default writes is for its owner alone."""

from __future__ import annotations

import stat

import pytest

from codecrafter.server import Taken, hold_data_dir
from tests.live import DATABASE_FILE, collected_static, migrated_database


def open_to_others(*paths):
    return [path for path in paths if stat.S_IMODE(path.stat().st_mode) & 0o077]


def test_what_the_server_keeps_is_for_its_owner_alone(server):
    """Its database and its log were there before, open to everybody."""
    server.person("alice")
    kept = [path for path in server.data_dir.iterdir() if path.is_file()]
    assert {DATABASE_FILE, f"{DATABASE_FILE}-wal", f"{DATABASE_FILE}-shm"} <= {path.name for path in kept}
    assert not open_to_others(server.data_dir, *kept)


def test_what_commands_make_is_for_its_owner_alone():
    folder = migrated_database().parent
    assert not open_to_others(migrated_database(), *(path for path in folder.iterdir() if path.is_file()))


def test_static_files_may_be_served_by_somebody_else():
    static = collected_static()
    # What begins with a dot is the server's own note of what it has collected.
    for path in static.rglob("[!.]*"):
        assert path.stat().st_mode & (0o055 if path.is_dir() else 0o044), path


def test_folder_that_others_share_is_refused(tmp_path, settings):
    settings.DATA_DIR = tmp_path / "shared"
    settings.DATA_DIR.mkdir()
    settings.DATA_DIR.chmod(0o1777)
    with pytest.raises(Taken, match="DATA_DIR="):
        hold_data_dir()
    assert stat.S_IMODE(settings.DATA_DIR.stat().st_mode) == 0o1777
