"""One attempt at one migration: in a transaction with its ledger row, or statement by statement; and what is left of it."""

from __future__ import annotations

import hashlib
import math
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql as pgsql
from psycopg.pq import TransactionStatus

from michi import ledger
from michi.database import Server, session_settings
from michi.errors import MichiError, StatementInDoubt
from michi.events import Emit
from michi.failure import RETRYABLE, VerificationFailed, describe_failure, failure_error
from michi.folder import DEFAULT_LOCK_TIMEOUT_SECONDS, Migration, Phase
from michi.ledger import Attempt, Origin
from michi.sql import Statement, first_line, runs_in_transaction, split
from michi.watch import Watch

FIRST_RETRY_SECONDS = 0.25
LONGEST_RETRY_SECONDS = 5.0
CLEAN = b"RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; "
CHANGES_ROLE = re.compile(r"set\s+(?:local\s+|session\s+)?(?:role|session\s+authorization)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Options:
    """Seconds to wait for the deploy lock and for tables that others hold; what is applied, and in spite of what.

    `phase` None is both. `even_if_connected` applies a contract migration whatever apps are connected.
    """

    lock_timeout_seconds: float = 60.0
    lock_retry_seconds: float = 60.0
    allow_out_of_order: bool = False
    phase: Phase | None = None
    even_if_connected: bool = False


@dataclass(frozen=True)
class Script:
    """A pending migration, read and split: nothing runs before all of them are."""

    migration: Migration
    statements: tuple[Statement, ...]
    verification: tuple[Statement, ...]
    in_transaction: bool


def read_script(migration: Migration) -> Script:
    """Raises FolderInvalid or SqlInvalid, with the line, for what michi will not run."""
    path = migration.path / "up.sql"
    directives = migration.directives
    statements = split(migration.up_sql, path)
    verification = (
        split(migration.verify_sql, migration.path / "verify.sql") if migration.verify_sql is not None else []
    )
    if directives.backfill_rows is not None:
        from michi.keyset import read_sweep  # noqa: PLC0415 -- most deploys have no backfill

        read_sweep(statements, path)
        in_transaction = False
    else:
        in_transaction = runs_in_transaction(statements, directives.transaction, path)
    return Script(migration, tuple(statements), tuple(verification), in_transaction)


class Run:
    """One attempt at one migration."""

    def __init__(
        self,
        server: Server,
        script: Script,
        previous: Attempt | None,
        origin: Origin,
        options: Options,
        emit: Emit,
        watch: Watch,
    ) -> None:
        self.connection = server.connection
        self.schema = server.target.schema
        self.script = script
        self.migration = script.migration
        self.previous = previous if previous is not None and previous.verdict == "partial" else None
        self.origin = origin
        self.options = options
        self.emit = emit
        self.watch = watch
        self.blockers: list[dict[str, Any]] = []
        self.lock_wait_seconds = 0.0
        self.up_sql = self.migration.path / "up.sql"
        self.verify_sql = self.migration.path / "verify.sql"
        self.started = time.monotonic()
        self.current: Statement | None = None

    def apply(self) -> None:
        """Raises MigrationFailed, TableLocked, StatementInDoubt, AppsTooOld, or psycopg.OperationalError when the session dies."""
        self._refuse_older_apps(until_commit=False)
        self.emit(
            "migration_started",
            migration=self.migration.name,
            statements=len(self.script.statements),
            phase=self.migration.directives.phase,
        )
        try:
            self._carry_out()
        finally:
            self._leave_clean_session()
        self.emit(
            "migration_applied",
            migration=self.migration.name,
            statements=len(self.script.statements),
            duration_ms=self._milliseconds(),
            lock_wait_seconds=round(self.lock_wait_seconds, 1),
        )

    def _carry_out(self) -> None:
        if self.script.in_transaction and self.previous is None:
            self._retry_while_locked(self._apply_in_transaction, self._record_undone)
        else:
            self._apply_one_by_one()

    def _milliseconds(self) -> int:
        return round((time.monotonic() - self.started) * 1000)

    def _timeouts(self, lock_timeout_seconds: float, *, local: bool = False) -> bytes:
        """Both timeouts of this migration, in one message to the server."""
        scope = "LOCAL " if local else ""
        lock_timeout = math.ceil(lock_timeout_seconds * 1000)
        statement_timeout = math.ceil(self.migration.directives.statement_timeout_seconds * 1000)
        return f"SET {scope}lock_timeout = '{lock_timeout}ms'; SET {scope}statement_timeout = '{statement_timeout}ms'".encode()

    def _leave_clean_session(self) -> None:
        """What the script SET is gone for the next one, and no transaction stays open. A dead session needs nothing."""
        if self.connection.closed or self.connection.broken:
            return
        if self.connection.info.transaction_status != TransactionStatus.IDLE:
            self.connection.execute("ROLLBACK")
        self.connection.execute(CLEAN + session_settings(self.schema))

    def _apply_in_transaction(self) -> None:
        declared = self.migration.directives.lock_timeout_seconds
        patience = DEFAULT_LOCK_TIMEOUT_SECONDS if declared is None else declared
        self.connection.execute(b"BEGIN; " + self._timeouts(patience, local=True))
        for statement in self.script.statements:
            self._execute(statement)
        self._verify()
        if any(CHANGES_ROLE.match(statement.text) for statement in self.script.statements):
            self.connection.execute("RESET SESSION AUTHORIZATION; RESET ROLE")
        self._refuse_older_apps(until_commit=True)
        total = len(self.script.statements)
        ledger.insert_attempt(
            self.connection, self.schema, self.migration, self.origin,
            verdict="applied", total=total, done=total, duration_ms=self._milliseconds(),
        )  # fmt: skip
        self.current = None
        self.connection.execute("COMMIT")

    def _refuse_older_apps(self, *, until_commit: bool) -> None:
        """Raises AppsTooOld while an app is connected that this migration would break."""
        if self.migration.directives.phase == "expand" or self.options.even_if_connected:
            return
        from michi import apps  # noqa: PLC0415 -- most deploys have no contract migration

        if until_commit:
            apps.lock_ledger_to_commit(self.connection, self.schema)
        apps.refuse_older_apps(self.connection, self.migration)

    def _patience(self, statement: Statement) -> float:
        """How long a statement may wait for others, in seconds; 0 is for ever.

        What runs concurrently keeps nobody waiting, and a lock timeout in its last phase would throw away all its work: it
        waits as long as older transactions take, unless the file says otherwise.
        """
        declared = self.migration.directives.lock_timeout_seconds
        concurrent = statement.kind in {"concurrent_index", "concurrent_drop"}
        return declared if declared is not None else 0.0 if concurrent else DEFAULT_LOCK_TIMEOUT_SECONDS

    def _execute(self, statement: Statement) -> None:
        self._execute_watched(statement, self.up_sql)

    def _execute_watched(
        self, statement: Statement, file: Path, query: bytes | None = None
    ) -> psycopg.Cursor[tuple[object, ...]]:
        """Runs the statement, or in its name the query that was made of it."""
        self.current = statement
        self.watch.begin(self.migration.name, file, statement, self._patience(statement))
        try:
            return self.connection.execute(statement.text.encode() if query is None else query)
        finally:
            self.blockers, blocked_seconds = self.watch.end()
            self.lock_wait_seconds += blocked_seconds

    def _verify(self) -> None:
        for statement in self.script.verification:
            rows = self._execute_watched(statement, self.verify_sql).fetchall()
            if not rows or not all(value is True for row in rows for value in row):
                raise VerificationFailed(f"not true: {first_line(statement.text)}")

    def _retry_while_locked(self, work: Callable[[], None], record: Callable[[dict[str, Any]], bool]) -> None:
        """Tries again, with backoff and jitter, while another session holds a table; `record` notes a final failure."""
        deadline = time.monotonic() + self.options.lock_retry_seconds
        pause = FIRST_RETRY_SECONDS
        while True:
            try:
                work()
            except RETRYABLE as error:
                self._rollback()
                left = deadline - time.monotonic()
                if left <= 0:
                    raise self._record_failure(error, record) from None
                wait = min(pause * random.uniform(0.5, 1.5), left)  # noqa: S311 -- jitter, not a secret
                facts = describe_failure(error, self._file(), self.current)
                self.emit(
                    "lock_timeout_retry", migration=self.migration.name,
                    line=facts["line"], statement=facts["statement"],
                    sqlstate=error.sqlstate, blockers=self.blockers, retry_in_seconds=round(wait, 2),
                    seconds_left=round(left, 1),
                )  # fmt: skip
                time.sleep(wait)
                self.lock_wait_seconds += wait
                pause = min(pause * 2, LONGEST_RETRY_SECONDS)
            except (psycopg.Error, VerificationFailed) as error:
                if self.connection.broken or self.connection.closed:
                    raise
                self._rollback()
                raise self._record_failure(error, record) from None
            else:
                return

    def _rollback(self) -> None:
        if self.connection.info.transaction_status != TransactionStatus.IDLE:
            self.connection.execute("ROLLBACK")

    def _record_undone(self, error: dict[str, Any]) -> bool:
        self.connection.execute("RESET SESSION AUTHORIZATION; RESET ROLE")
        ledger.insert_attempt(
            self.connection, self.schema, self.migration, self.origin,
            verdict="undone", total=len(self.script.statements), done=0, duration_ms=self._milliseconds(), error=error,
        )  # fmt: skip
        return True

    # One statement after the other, each on its own

    def _apply_one_by_one(self) -> None:
        statements = self.script.statements
        done = self._resume_at()
        attempt = ledger.insert_attempt(
            self.connection, self.schema, self.migration, self.origin,
            verdict="partial", total=len(statements), done=done, error={"done_sha256": self._digest(done)},
        )  # fmt: skip

        def record(failure: dict[str, Any]) -> bool:
            verdict: ledger.Verdict = "partial" if done or self.previous else "undone"
            ledger.update_attempt(
                self.connection, self.schema, attempt,
                done=done, verdict=verdict, error=failure | {"done_sha256": self._digest(done)}, duration_ms=self._milliseconds(),
            )  # fmt: skip
            return verdict == "undone"

        for statement in statements[done:]:
            self._retry_while_locked(partial(self._run_one, statement, attempt, done + 1), record)
            done += 1
            self.emit("statement_done", migration=self.migration.name, done=done, total=len(statements))
        self._retry_while_locked(self._verify, record)
        ledger.update_attempt(
            self.connection, self.schema, attempt, done=done, verdict="applied", duration_ms=self._milliseconds()
        )

    def _run_one(self, statement: Statement, attempt: int, done: int) -> None:
        """A plain statement commits together with its progress; the others cannot, and the catalogue tells of them."""
        if statement.kind == "plain" and not statement.commits:
            self.connection.execute(self._timeouts(self._patience(statement)))
            self.connection.execute("BEGIN")
            self._execute(statement)
            self._note_progress(attempt, done)
            self.connection.execute("COMMIT")
        else:
            self._run_alone(statement)
            self._note_progress(attempt, done)

    def _note_progress(self, attempt: int, done: int) -> None:
        ledger.update_attempt(
            self.connection, self.schema, attempt, done=done, error={"done_sha256": self._digest(done)}
        )

    def _digest(self, done: int) -> str:
        """Of the statements that have run: a resumed migration must begin with the same ones."""
        return hashlib.sha256(
            "\0".join(statement.text for statement in self.script.statements[:done]).encode()
        ).hexdigest()

    def _resume_at(self) -> int:
        """How many statements an earlier attempt has done, after looking at the catalogue for the one in doubt."""
        if self.previous is None:
            return 0
        done = self.previous.statements_done
        error = self.previous.error or {}
        if done > len(self.script.statements) or error.get("done_sha256") != self._digest(done):
            raise StatementInDoubt(
                f"{self.migration.name} stopped after statement {done}, and what had run was changed in the file.",
                "Restore those statements, or settle it with `michi resolve --applied` or `--rolled-back`.",
                migration=self.migration.name,
            )
        if (
            "sqlstate" not in error
            and done < len(self.script.statements)
            and self._happened(self.script.statements[done])
        ):
            done += 1
        self.emit("migration_resumed", migration=self.migration.name, done=done, total=len(self.script.statements))
        return done

    def _happened(self, statement: Statement) -> bool:
        """Whether the statement at which an attempt died took effect. Raises StatementInDoubt where nobody can say."""
        if (statement.kind == "plain" and not statement.commits) or statement.repeatable:
            return False  # a plain one commits together with its ledger row; a repeatable one is simply run again
        if statement.kind == "concurrent_index":
            return self._index_validity(statement) is True
        if statement.kind == "concurrent_drop":
            return self._index_validity(statement) is None
        raise StatementInDoubt(
            f"{self.migration.name} was interrupted at line {statement.line}, and michi cannot see whether this took"
            f" effect: {first_line(statement.text)}",
            f"Look, then say `michi resolve --applied {self.migration.name}` or `--rolled-back {self.migration.name}`.",
            migration=self.migration.name,
            line=statement.line,
        )

    def _index_validity(self, statement: Statement) -> bool | None:
        """True for a valid index, False for what a killed build left behind, None for none."""
        row = self.connection.execute(
            "SELECT i.indisvalid AND i.indisready FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
            " WHERE c.relname = %(name)s AND c.relnamespace = to_regnamespace(quote_ident(%(schema)s))",
            {"name": statement.index_name, "schema": statement.schema or self.schema},
        ).fetchone()
        return bool(row[0]) if row else None

    def _run_alone(self, statement: Statement) -> None:
        if statement.kind == "concurrent_index":
            self._drop_invalid_index(statement)
        self.connection.execute(self._timeouts(self._patience(statement)))
        try:
            self._execute(statement)
        except psycopg.Error:
            if statement.kind == "concurrent_index" and not self.connection.broken:
                self._drop_invalid_index(statement)
            raise

    def _drop_invalid_index(self, statement: Statement) -> None:
        if self._index_validity(statement) is not False:
            return
        name = pgsql.Identifier(statement.schema or self.schema, statement.index_name or "")
        self.connection.execute(pgsql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(name))
        self.emit("index_dropped", migration=self.migration.name, index=statement.index_name)

    # What went wrong

    def _record_failure(self, error: Exception, record: Callable[[dict[str, Any]], bool]) -> MichiError:
        """Writes the failure down, tells it, and gives the error to raise."""
        facts = describe_failure(error, self._file(), self.current)
        if isinstance(error, RETRYABLE) and self.blockers:
            facts["blockers"] = self.blockers
        undone = record(facts)
        self.emit(
            "migration_failed",
            migration=self.migration.name,
            undone=undone,
            lock_wait_seconds=round(self.lock_wait_seconds, 1),
            **facts,
        )
        return failure_error(error, self.migration.name, facts, undone=undone)

    def _file(self) -> Path:
        in_verification = any(statement is self.current for statement in self.script.verification)
        return self.verify_sql if in_verification else self.up_sql
