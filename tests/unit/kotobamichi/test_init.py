"""`kotobamichi init`: the secrets of a server, with the right modes, never written twice."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from kotobamichi.errors import StartRefused
from kotobamichi.init import write_secrets

MODES = {"database_password": 0o444, "jwt_secret": 0o444, "smtp_password": 0o644}


def counting() -> Iterator[str]:
    return (f"secret number {number}" for number in itertools.count(1))


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_a_folder_of_the_owner_alone_with_files_that_a_container_can_read(tmp_path: Path, mask: int) -> None:
    folder, source = tmp_path / "deep" / "secrets", counting()
    before = os.umask(mask)
    try:
        made = write_secrets(folder, lambda: next(source))
    finally:
        os.umask(before)
    assert made.written == tuple(MODES)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert modes(folder) == MODES
    assert (folder / "database_password").read_text() == "secret number 1\n"
    assert (folder / "jwt_secret").read_text() == "secret number 2\n"
    assert (folder / "smtp_password").read_text() == ""


def test_what_is_there_is_never_touched(tmp_path: Path) -> None:
    folder, source = tmp_path / "secrets", counting()
    folder.mkdir(mode=0o700)
    (folder / "jwt_secret").write_text("mine")
    (folder / "database_password").symlink_to("nowhere")
    made = write_secrets(folder, lambda: next(source))
    assert (made.written, made.kept) == (("smtp_password",), ("database_password", "jwt_secret"))
    assert (folder / "jwt_secret").read_text() == "mine"
    assert (folder / "database_password").is_symlink()
    assert write_secrets(folder, lambda: next(source)).written == ()


def test_a_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    folder.chmod(0o755)
    with pytest.raises(StartRefused, match="Others on this machine may enter") as refused:
        write_secrets(folder, lambda: "x")
    assert refused.value.remedy == f"Close it: chmod 700 {folder}"
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartRefused, match="is no folder"):
        write_secrets(tmp_path / "file", lambda: "x")
    with pytest.raises(StartRefused, match="cannot be written"):
        write_secrets(tmp_path / "file" / "below", lambda: "x")
