"""Takes over a database that exists: marks migrations as applied after proving that its schema is what they make."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from michi import ledger
from michi.catalogue import read_catalogue
from michi.database import Server
from michi.diff import Change, Scope, differences
from michi.errors import BaselineDiffers, Refused, UsageError
from michi.events import Emit
from michi.folder import Folder, Migration
from michi.judge import Judge
from michi.ledger import Origin
from michi.lock import deploy_lock
from michi.plan import STANDING, compare
from michi.shadow import Shadow, shadow_database

SHOWN_CHANGES = 20


@dataclass(frozen=True)
class Baseline:
    """Which migrations were marked, in order, and whether the schema was proved equal."""

    marked: tuple[str, ...]
    proved: bool


def make_baseline(
    server: Server,
    folder: Folder,
    origin: Origin,
    *,
    to: str | None,
    trust: bool,
    lock_timeout_seconds: float,
    emit: Emit,
) -> Baseline:
    """Marks the migrations up to `to`, or all. Nothing is run on the database.

    Raises Refused where the ledger has applied migrations already, BaselineDiffers with what differs.
    """
    chosen = _choose(folder, to)
    schema = server.target.schema
    with ExitStack() as stack:
        if not trust:
            shadow = stack.enter_context(shadow_database(server.target))
            _prove(server, shadow, folder, chosen)
        stack.enter_context(deploy_lock(server, lock_timeout_seconds, emit))
        found = ledger.read_ledger(server.connection, schema)
        standing = compare(folder, found)
        if any(attempt.verdict in STANDING for attempt in standing.last.values()):
            raise Refused(
                "The ledger has applied migrations already, so there is nothing to baseline.",
                "`michi status` shows what is pending, `michi resolve --applied` marks a single migration.",
            )
        if not found.exists:
            ledger.prepare_ledger(server.connection, schema)
        note = "marked by michi baseline" + (", unproved (--trust)" if trust else ", its schema proved equal")
        with server.connection.transaction():
            for migration in chosen:
                ledger.insert_attempt(
                    server.connection, schema, migration, origin,
                    verdict="baselined", total=0, done=0, duration_ms=0, error={"note": note},
                )  # fmt: skip
    return Baseline(tuple(migration.name for migration in chosen), not trust)


def _choose(folder: Folder, to: str | None) -> tuple[Migration, ...]:
    folder.check_sum()
    if to is not None and folder.find(to) is None:
        raise UsageError(f"There is no migration {to} in the folder.", "Give the whole name of its folder.")
    if not folder.migrations:
        raise UsageError(
            "The folder has no migrations.", "Write the first one: `michi diff --from empty --to database --script`."
        )
    return tuple(migration for migration in folder.migrations if to is None or migration.name <= to)


def _prove(server: Server, shadow: Shadow, folder: Folder, chosen: Sequence[Migration]) -> None:
    """Applies the migrations to a shadow one by one; on the way it sees whether the database equals an earlier point."""
    real = read_catalogue(server.connection, server.target.schema)
    equal: str | None = None
    changes: list[Change] = []
    for number, migration in enumerate(folder.migrations, start=1):
        shadow.replay(replace(folder, migrations=folder.migrations[:number]))
        here = differences(shadow.catalogue(), real, Scope(), Judge(shadow.connection))
        equal = migration.name if not here else equal
        if migration.name == chosen[-1].name:
            changes = here
            if not here:
                return
    raise _differs(changes, chosen[-1].name, equal)


def _differs(changes: Sequence[Change], head: str, equal: str | None) -> BaselineDiffers:
    lines = [change.sentence() for change in changes[:SHOWN_CHANGES]]
    if len(changes) > SHOWN_CHANGES:
        lines.append(f"and {len(changes) - SHOWN_CHANGES} more")
    remedy = (
        "Write what is missing as the first migration (`michi diff --from migrations --to database --script`), or skip the"
        " proof with --trust."
    )
    if equal is not None:
        remedy = f"It equals the migrations up to {equal}: `michi baseline --to {equal}`."
    return BaselineDiffers(
        f"The database is not what the migrations up to {head} make.",
        remedy,
        listing=lines,
        changes=[change.as_dict() for change in changes],
        equal_to=equal,
    )
