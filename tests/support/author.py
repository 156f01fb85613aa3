"""A person who develops: a project folder with models, migrations and pyproject.toml, and the real command run in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy.dialects.postgresql

import michi.baseline
import michi.dev
import michi.reset
import michi.sides
import michi.verification
from michi.folder import read_folder
from tests.support.operator import Answer, Operator

HEAD = """
from sqlalchemy import *
from sqlalchemy.dialects.postgresql import *
metadata = MetaData()
"""
WORDS = 'words = Table("words", metadata, Column("id", BigInteger, primary_key=True, autoincrement=False), {})\n'
PROJECT = '[tool.michi]\nmigrations = "migrations"\nmodels = "models:metadata"\n'
# Imported here once, so that a forked command need not: see Operator.run.
PREPARED = (sqlalchemy, michi.baseline, michi.dev, michi.reset, michi.sides, michi.verification)


@dataclass
class Author(Operator):
    """`home` is the project's folder."""

    @classmethod
    def at(cls, url: str, home: Path) -> Author:
        (home / "migrations").mkdir(parents=True)
        (home / "pyproject.toml").write_text(PROJECT)
        return cls(url, home / "migrations", home=home)

    def models(self, source: str) -> None:
        assert self.home is not None
        (self.home / "models.py").write_text(HEAD + source)

    def words(self, *items: str, more: str = "") -> None:
        """Models with one table that has a key and these columns, and whatever else."""
        self.models(WORDS.format(", ".join(items)) + more)

    def command(self, *arguments: str) -> list[str]:
        command = super().command(*arguments)
        if arguments[0] == "mark-production":  # it needs no folder
            del command[4:6]
        return command

    def dev(self, *options: str) -> Answer:
        return self.run("dev", *options)

    def develop(self, name: str, *options: str) -> dict[str, Any]:
        """Runs `michi dev`, which must go well; its document."""
        answer = self.dev("--name", name, *options)
        assert answer.exit_code == 0, answer.stderr
        return answer.document

    @property
    def migrations(self) -> list[str]:
        return [migration.name for migration in read_folder(self.folder).migrations]

    def up(self, part: str) -> str:
        return self._file(part, "up.sql")

    def down(self, part: str) -> str:
        return self._file(part, "down.sql")

    def _file(self, part: str, file: str) -> str:
        (name,) = [name for name in self.migrations if name.endswith(part)]
        return (self.folder / name / file).read_text()

    @property
    def shadows(self) -> list[str]:
        rows = self.query("SELECT datname::text FROM pg_database WHERE datname LIKE 'michi\\_shadow\\_%' ORDER BY 1")
        return [row[0] for row in rows]

    def headings(self) -> list[str]:
        """The slugs of all migrations, in order."""
        return [name[15:] for name in self.migrations]
