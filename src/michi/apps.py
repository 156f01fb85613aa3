"""The apps that are connected now, by the schema version they announce, and which of them a contract migration would break.

An app announces itself as `application_name = '<name>/<its newest migration>'`. PostgreSQL cuts names at 63 bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from michi import ledger
from michi.database import Connection
from michi.errors import AppsTooOld
from michi.folder import Migration

LONGEST_NAME_BYTES = 63
ANNOUNCED = re.compile(r"(?P<app>[^/]+)/(?P<head>\d{14}(?:_[a-z0-9_]*)?|none)")
OWN_NAME = "michi/"

# What a role may not see of other roles' sessions is null there; the name is always shown.
SESSIONS = """
SELECT coalesce(application_name, ''), array_agg(pid ORDER BY pid)
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND coalesce(backend_type, 'client backend') = 'client backend'
GROUP BY 1 ORDER BY 1
"""


@dataclass(frozen=True)
class App:
    """Sessions of one app version. `head` is its newest migration, perhaps cut by PostgreSQL; empty for an app that has none."""

    name: str
    head: str
    cut: bool
    pids: tuple[int, ...]

    def survives(self, migration: Migration) -> bool:
        """Whether an app of this age goes on working once the migration is applied."""
        if migration.directives.phase == "expand":
            return True
        oldest = migration.directives.safe_from or migration.name
        return self.head >= (oldest[: len(self.head)] if self.cut else oldest)

    def describe(self) -> str:
        """`kotobamichi at 20261123030200_create_vocabulary_loads (2 sessions: pid 17, 18)`."""
        noun = "session" if len(self.pids) == 1 else "sessions"
        shown = ", ".join(map(str, self.pids[:5])) + (", …" if len(self.pids) > 5 else "")
        return f"{self.name} at {self.head or 'no migration'} ({len(self.pids)} {noun}: pid {shown})"

    def as_dict(self) -> dict[str, Any]:
        return {
            "app": self.name,
            "head": self.head or None,
            "cut": self.cut,
            "sessions": len(self.pids),
            "pids": list(self.pids),
        }


@dataclass(frozen=True)
class Connected:
    """Everybody else on the database. `others` maps the names of sessions that announce no version to their number."""

    apps: tuple[App, ...] = ()
    others: tuple[tuple[str, int], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "apps": [app.as_dict() for app in self.apps],
            "other_sessions": [{"application": name, "sessions": number} for name, number in self.others],
        }


def parse_name(application_name: str, pids: Sequence[int]) -> App | None:
    """The app version that a session's name announces, if it does."""
    match = ANNOUNCED.fullmatch(application_name)
    if match is None or application_name.startswith(OWN_NAME):
        return None
    head = "" if match["head"] == "none" else match["head"]
    return App(match["app"], head, len(application_name.encode()) >= LONGEST_NAME_BYTES, tuple(pids))


def list_connected(connection: Connection) -> Connected:
    """Who is connected now, michi's own sessions left out."""
    apps, others = [], []
    rows: list[Any] = connection.execute(SESSIONS).fetchall()
    for name, pids in rows:
        app = parse_name(name, pids)
        if app is not None:
            apps.append(app)
        elif not name.startswith(OWN_NAME):
            others.append((name, len(pids)))
    return Connected(tuple(apps), tuple(others))


def find_too_old(connected: Connected, migration: Migration) -> list[App]:
    return [app for app in connected.apps if not app.survives(migration)]


def refuse_older_apps(connection: Connection, migration: Migration) -> None:
    """Raises AppsTooOld while an app is connected that the contract migration would break."""
    if found := find_too_old(list_connected(connection), migration):
        raise too_old(found, migration)


def lock_ledger_to_commit(connection: Connection, schema: str) -> None:
    """Before the last look inside the migration's transaction, so that no older app can slip in before it ends.

    An app first connects and then reads the ledger to see whether it fits. From here on its reading waits for our commit and finds
    this migration; one that has read before is connected, and seen.
    """
    connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(ledger.table(schema)))
    connection.execute("SELECT pg_stat_clear_snapshot()")


def too_old(found: Sequence[App], migration: Migration) -> AppsTooOld:
    oldest = migration.directives.safe_from or migration.name
    return AppsTooOld(
        f"{migration.name} breaks apps that are connected now: {'; '.join(app.describe() for app in found)}.",
        f"Let them end, or replace them with apps that know {oldest}, and deploy again; --even-if-connected goes on all the same.",
        migration=migration.name,
        safe_from=oldest,
        apps=[app.as_dict() for app in found],
    )
