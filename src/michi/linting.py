"""`michi lint`: which migrations are looked at, and what the database knows of their tables. The rules are in lint.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from michi.attempt import Script, read_script
from michi.database import connect, connection_lost
from michi.effects import Name
from michi.errors import FolderInvalid, UsageError
from michi.folder import Folder, Migration
from michi.lint import Finding, lint, names_in, worst
from michi.live import Relation, find_relations
from michi.plan import compare
from michi.runner import read_ledger
from michi.settings import Target


@dataclass(frozen=True)
class Linted:
    """The findings, and against what their severity was measured."""

    migrations: tuple[str, ...]
    findings: tuple[Finding, ...]
    server: str | None

    @property
    def exit_code(self) -> int:
        return FolderInvalid.exit_code if worst(self.findings) == "error" else 0

    @property
    def where(self) -> str:
        number = len(self.migrations)
        against = "by the live sizes of tables" if self.server else "without a database, every table counts as large"
        return f"{number} migration{'' if number == 1 else 's'}, {against}"

    def as_dict(self) -> dict[str, Any]:
        return {
            "server": self.server,
            "migrations": list(self.migrations),
            "exit_code": self.exit_code,
            "findings": [finding.as_dict() for finding in self.findings],
        }


def lint_folder(folder: Folder, target: Target | None, names: Sequence[str], *, everything: bool) -> Linted:
    """Lints the named migrations, all, or those pending; without a database nobody can say what is pending, so all.

    Raises UsageError for a name that is none or several, and where squawk is missing.
    """
    if names and everything:
        raise UsageError("Both names and --all are given.", "Keep one of them.")
    chosen = [_find(folder, name) for name in names] if names else list(folder.migrations)
    if target is None:
        scripts = [read_script(migration) for migration in chosen]
        return _linted(scripts, lint(scripts, None, None), None)
    server = connect(target)
    with server.connection:
        try:
            if not names and not everything:
                chosen = list(compare(folder, read_ledger(server)).pending)
            scripts = [read_script(migration) for migration in chosen]
            live: dict[Name, Relation] = find_relations(server.connection, names_in(scripts))
        except psycopg.OperationalError as error:
            raise connection_lost(error, server) from None
    return _linted(scripts, lint(scripts, live, server.version), server.describe())


def _linted(scripts: Sequence[Script], findings: Sequence[Finding], server: str | None) -> Linted:
    return Linted(tuple(script.migration.name for script in scripts), tuple(findings), server)


def _find(folder: Folder, part: str) -> Migration:
    found = [m for m in folder.migrations if m.name == part] or [m for m in folder.migrations if part in m.name]
    if len(found) != 1:
        how_many = "no migration has" if not found else f"{len(found)} migrations have"
        raise UsageError(f"In {folder.path} {how_many} {part} in their name.", "Give the name of one.")
    return found[0]
