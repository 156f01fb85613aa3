"""docs/reference/settings.md against settings.py: all names, and defaults that are what happens when nothing is set."""

from __future__ import annotations

import re
from pathlib import Path

from kotobamichi.settings import SHARED_MEMORY, data_folder, has_database, read_settings

REFERENCE = (Path(__file__).parents[3] / "docs" / "reference" / "settings.md").read_text()
ROWS = {name: default.strip() for name, default in re.findall(r"^\| `([A-Z_]+)` \|([^|]*)\|", REFERENCE, re.MULTILINE)}
URL = "postgresql://nobody@localhost/nothing"
# Read by commands alone, not by read_settings.
BY_COMMANDS = {"ADMIN_EMAIL", "ADMIN_PASSWORD", "MIGRATION_DATABASE_URL"}
# Described in the row of DATABASE_URL.
PARTS = {f"DATABASE_{part}" for part in ("HOST", "PORT", "NAME", "USER", "PASSWORD", "SECRET_DIR")}


class Watched(dict[str, str]):
    """An environment that remembers what it was asked for."""

    def __init__(self, values: dict[str, str]) -> None:
        super().__init__(values)
        self.asked: set[str] = set()

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]
        self.asked.add(name)
        return super().get(name, default)

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return super().__getitem__(name)


def test_every_variable_that_is_read_is_described_and_no_other() -> None:
    google = {"GOOGLE_CLIENT_ID": "x", "GOOGLE_CLIENT_SECRET": "y", "GOOGLE_CALLBACK_URL": "https://x.example"}
    environ = Watched({"DATABASE_URL": URL, "MICHI_MIGRATIONS": "", **google})
    read_settings(environ)
    data_folder(environ, Path("/tmp"))
    has_database(environ)
    names = {name for name in environ.asked if not name.endswith("_FILE")}
    # michi reads a copy of the environment, without what is its own.
    names |= {"DATABASE_URL"}
    assert ROWS.keys() == (names | BY_COMMANDS) - PARTS - {SHARED_MEMORY}
    assert all(f"`{name}`" in REFERENCE for name in PARTS)


def test_secrets_can_be_files_and_are_marked() -> None:
    marked = {match[1] for match in re.finditer(r"^\| `([A-Z_]+)` \|.*\*secret\*", REFERENCE, re.MULTILINE)}
    environ = Watched(
        {"DATABASE_URL": URL, "GOOGLE_CLIENT_ID": "x", "GOOGLE_CLIENT_SECRET": "y", "GOOGLE_CALLBACK_URL": "z"}
    )
    read_settings(environ)
    read = {name.removesuffix("_FILE") for name in environ.asked if name.endswith("_FILE")}
    assert marked - {"ADMIN_PASSWORD", "MIGRATION_DATABASE_URL", "DATABASE_URL"} == read - {"DATABASE_URL"} - PARTS


def test_a_default_that_is_written_down_is_what_happens_when_nothing_is_set() -> None:
    unset = read_settings({"DATABASE_URL": URL})
    checked = 0
    for name, default in ROWS.items():
        if default.startswith("`") and name not in BY_COMMANDS | {"KOTOBAMICHI_DATA"}:
            assert read_settings({"DATABASE_URL": URL, name: default.strip("`")}) == unset, name
            checked += 1
    assert checked >= 25
    assert data_folder({}, Path("/here")) == Path("/here") / ROWS["KOTOBAMICHI_DATA"].strip("`")
