"""Takes migrations back with their down.sql, newest first, each in one transaction with its row in the ledger."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.pq import TransactionStatus

from michi import ledger
from michi.database import Server, connection_lost, session_settings
from michi.errors import DownMissing, HistoryError, MichiError, SqlNotInTransaction, UsageError
from michi.events import Emit
from michi.failure import RETRYABLE, describe_failure, failure_error
from michi.folder import Folder, Migration, decode
from michi.ledger import Origin
from michi.lock import deploy_lock
from michi.plan import Standing, compare
from michi.sql import Statement, runs_in_transaction, split

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 5.0


@dataclass(frozen=True)
class Down:
    """A down.sql, read and split; without statements where there is nothing to take back."""

    migration: Migration
    statements: tuple[Statement, ...]

    @property
    def path(self) -> Path:
        return self.migration.path / "down.sql"


def read_down(migration: Migration) -> Down:
    """Raises DownMissing, and SqlNotInTransaction for what cannot run together with its row in the ledger."""
    path = migration.path / "down.sql"
    if "down.sql" not in migration.files:
        raise DownMissing(
            f"{migration.name} has no down.sql, so it cannot be taken back.",
            "Write one, or go forward: a new migration that puts things right.",
            migration=migration.name,
        )
    statements = split(decode(migration.files["down.sql"], path), path)
    try:
        runs_in_transaction(statements, True, path)
    except SqlNotInTransaction as error:
        raise SqlNotInTransaction(
            error.message, "A down.sql runs in one transaction: write it without CONCURRENTLY.", **error.details
        ) from None
    return Down(migration, tuple(statements))


def roll_back(
    server: Server,
    folder: Folder,
    origin: Origin,
    *,
    steps: int | None,
    to: str | None,
    lock_timeout_seconds: float,
    lock_retry_seconds: float,
    emit: Emit,
) -> list[str]:
    """Takes back the newest `steps` migrations, or all that are newer than `to`; their names, newest first.

    Nothing runs where one of them has no down.sql. Raises HistoryError, UsageError, MigrationFailed, LockBusy.
    """
    schema = server.target.schema
    try:
        with deploy_lock(server, lock_timeout_seconds, emit):
            found = ledger.read_ledger(server.connection, schema)
            standing = compare(folder, found)
            downs = [read_down(migration) for migration in _select(standing, steps, to)]
            if downs:
                ledger.check_writable(server.connection, schema)
            for down in downs:
                run_down(server, down, origin, lock_retry_seconds, emit)
    except psycopg.OperationalError as error:
        if server.connection.broken or server.connection.closed:
            raise connection_lost(error, server) from None
        raise
    return [down.migration.name for down in downs]


def _select(standing: Standing, steps: int | None, to: str | None) -> Sequence[Migration]:
    in_database = sorted(
        [*standing.applied, *standing.missing, *(attempt.migration for attempt in standing.unknown_newer)],
        key=str.encode,
    )
    if to is not None and to not in in_database:
        raise UsageError(f"The database has no migration {to}.", "`michi history` lists what it has.")
    chosen = [name for name in in_database if name > to] if to is not None else in_database[-(steps or 1) :]
    if standing.partial:
        raise HistoryError(
            f"{standing.partial[0].migration} stopped half-way, and nobody can say what taking it back would do.",
            "Let `michi deploy` finish it, or settle it with `michi resolve`.",
        )
    if absent := [name for name in chosen if standing.folder.find(name) is None]:
        raise DownMissing(
            f"{absent[-1]} is in the database but not in this folder, so it cannot be taken back from here.",
            "Use the folder that has it, such as that of the newer image.",
            migration=absent[-1],
        )
    found = [standing.folder.find(name) for name in reversed(chosen)]
    return [migration for migration in found if migration is not None]


def run_down(server: Server, down: Down, origin: Origin, lock_retry_seconds: float, emit: Emit) -> None:
    """One down.sql and its row, or nothing of it. Tries again while others hold a table."""
    connection, started = server.connection, time.monotonic()
    deadline, pause = started + lock_retry_seconds, FIRST_PAUSE_SECONDS
    current: list[Statement | None] = [None]
    while True:
        try:
            _run_once(server, down, origin, started, current)
        except psycopg.Error as error:
            if connection.broken or connection.closed:
                raise
            connection.execute("ROLLBACK")
            left = deadline - time.monotonic()
            facts = describe_failure(error, down.path, current[0])
            if not isinstance(error, RETRYABLE) or left <= 0:
                raise _failure(error, down, facts) from None
            time.sleep(wait := min(pause * random.uniform(0.5, 1.5), left))  # noqa: S311 -- jitter, not a secret
            emit(
                "lock_timeout_retry", migration=down.migration.name, line=facts["line"], statement=facts["statement"],
                sqlstate=error.sqlstate, blockers=[], retry_in_seconds=round(wait, 2), seconds_left=round(left, 1),
            )  # fmt: skip
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        else:
            break
        finally:
            if not (connection.broken or connection.closed):
                _leave_clean_session(server)
    emit(
        "migration_rolled_back", migration=down.migration.name, statements=len(down.statements),
        duration_ms=round((time.monotonic() - started) * 1000),
    )  # fmt: skip


def _run_once(server: Server, down: Down, origin: Origin, started: float, current: list[Statement | None]) -> None:
    connection = server.connection
    connection.execute("BEGIN")
    for statement in down.statements:
        current[0] = statement
        connection.execute(statement.text.encode())
    connection.execute("RESET SESSION AUTHORIZATION; RESET ROLE")
    total = len(down.statements)
    ledger.insert_attempt(
        connection, server.target.schema, down.migration, origin, verdict="rolled_back", total=total, done=total,
        duration_ms=round((time.monotonic() - started) * 1000),
    )  # fmt: skip
    current[0] = None
    connection.execute("COMMIT")


def _leave_clean_session(server: Server) -> None:
    if server.connection.info.transaction_status != TransactionStatus.IDLE:
        server.connection.execute("ROLLBACK")
    server.connection.execute(session_settings(server.target.schema))


def _failure(error: psycopg.Error, down: Down, facts: dict[str, object]) -> MichiError:
    found = failure_error(error, down.migration.name, facts, undone=True)
    if not isinstance(error, RETRYABLE):
        found.remedy = (
            "Nothing of this down.sql happened; what was taken back before it stays so. Mend the file and try again."
        )
    return found
