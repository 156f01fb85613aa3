"""One attempt at one migration, in a transaction with its ledger row; and what every kind of attempt has in common."""

from __future__ import annotations

import math
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from michi import ledger, pipeline
from michi.database import Server, session_settings
from michi.deploy_options import Options
from michi.errors import MichiError
from michi.events import Emit
from michi.failure import RETRYABLE, VerificationFailed, describe_failure, failure_error
from michi.folder import DEFAULT_LOCK_TIMEOUT_SECONDS, Migration
from michi.ledger import Attempt, Origin
from michi.pipeline import Message
from michi.sql import Statement, first_line, runs_in_transaction, split
from michi.watch import Watch

FIRST_RETRY_SECONDS = 0.25
LONGEST_RETRY_SECONDS = 5.0
RESET_ROLE = ("RESET SESSION AUTHORIZATION", "RESET ROLE")
CLEAN = f"{'; '.join(RESET_ROLE)}; RESET ALL; ".encode()
PARAMETER = re.compile(r"\$\d")
CHANGES_ROLE = re.compile(r"set\s+(?:local\s+|session\s+)?(?:role|session\s+authorization)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Script:
    """A pending migration, read and split: nothing runs before all of them are."""

    migration: Migration
    statements: tuple[Statement, ...]
    verification: tuple[Statement, ...]
    in_transaction: bool

    @property
    def pipelined(self) -> bool:
        """Whether its statements may be sent together. That takes a protocol in which each message is one statement, and `$1` is a
        parameter: what may be more than one, or holds a `$1`, is sent as psql would send it.
        """
        statements = (*self.statements, *self.verification)
        return all(statement.parsed and not PARAMETER.search(statement.text) for statement in statements)


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
    """One attempt at one migration, in a transaction. Other kinds say in `_carry_out` what they do instead."""

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
        self.clean = False

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
        self._retry_while_locked(self._apply_in_transaction, self._record_undone)

    def _milliseconds(self) -> int:
        return round((time.monotonic() - self.started) * 1000)

    def _timeouts(self, lock_timeout_seconds: float) -> bytes:
        """Both timeouts of this migration, in one message to the server."""
        return "; ".join(self._set_timeouts(lock_timeout_seconds)).encode()

    def _set_timeouts(self, lock_timeout_seconds: float, scope: str = "") -> tuple[str, str]:
        lock_timeout = f"SET {scope}lock_timeout = '{math.ceil(lock_timeout_seconds * 1000)}ms'"
        statement_timeout = math.ceil(self.migration.directives.statement_timeout_seconds * 1000)
        return lock_timeout, f"SET {scope}statement_timeout = '{statement_timeout}ms'"

    def _leave_clean_session(self) -> None:
        """What the script SET is gone for the next one, and no transaction stays open. A dead session needs nothing."""
        if self.connection.info.transaction_status == TransactionStatus.ACTIVE:
            self.connection.close()  # a signal came between a statement and its answer
        if not (self.clean or self.connection.closed or self.connection.broken):
            self._rollback()
            self.connection.execute(CLEAN + session_settings(self.schema))

    def _apply_in_transaction(self) -> None:
        declared = self.migration.directives.lock_timeout_seconds
        patience = DEFAULT_LOCK_TIMEOUT_SECONDS if declared is None else declared
        before = ("BEGIN", *self._set_timeouts(patience, "LOCAL "))
        changes_role = any(CHANGES_ROLE.match(statement.text) for statement in self.script.statements)
        after = RESET_ROLE if changes_role else ()
        if self.script.pipelined:
            self._send_together(before, after)
        else:
            self._send_one_by_one(before, after)
        self.current = None
        self._refuse_older_apps(until_commit=True)
        self.clean = pipeline.commit(self.connection, CLEAN + session_settings(self.schema))

    def _send_together(self, before: tuple[str, ...], after: tuple[str, ...]) -> None:
        """All but the COMMIT, which waits for the answers: whoever is killed before it was sent has done nothing."""
        script = self.script
        watched = [(statement, self.up_sql) for statement in script.statements]
        watched += [(statement, self.verify_sql) for statement in script.verification]
        texts = [*before, *(statement.text for statement, _ in watched), *after]
        messages = [Message(text.encode()) for text in texts]
        messages.append(Message(ledger.insert_statement(self.schema), self._applied()))

        def begin(number: int) -> None:
            self._end_watch()
            if 0 <= number - len(before) < len(watched):
                self._begin_watch(*watched[number - len(before)])

        try:
            results = pipeline.send_together(self.connection, messages, begin)
        finally:
            self._end_watch()
        answers = results[len(before) + len(script.statements) :]
        for statement, result in zip(script.verification, answers, strict=False):
            self._require(pipeline.is_true(result), statement)

    def _send_one_by_one(self, before: tuple[str, ...], after: tuple[str, ...]) -> None:
        self.connection.execute("; ".join(before).encode())
        for statement in self.script.statements:
            self._execute(statement)
        self._verify()
        if after:
            self.connection.execute("; ".join(after).encode())
        psycopg.RawCursor(self.connection).execute(ledger.insert_statement(self.schema), self._applied())

    def _applied(self) -> list[str | None]:
        """The ledger's row of a success. The time since BEGIN is added by the server."""
        total = len(self.script.statements)
        return ledger.attempt_values(
            self.migration, self.origin, verdict="applied", total=total, done=total, duration_ms=self._milliseconds()
        )

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
        self._begin_watch(statement, file)
        try:
            return self.connection.execute(statement.text.encode() if query is None else query)
        finally:
            self._end_watch()

    def _begin_watch(self, statement: Statement, file: Path) -> None:
        self.current = statement
        self.watch.begin(self.migration.name, file, statement, self._patience(statement))

    def _end_watch(self) -> None:
        self.blockers, blocked_seconds = self.watch.end()
        self.lock_wait_seconds += blocked_seconds

    def _verify(self) -> None:
        for statement in self.script.verification:
            rows = self._execute_watched(statement, self.verify_sql).fetchall()
            self._require(bool(rows) and all(value is True for row in rows for value in row), statement)

    def _require(self, answer: bool, statement: Statement) -> None:
        if not answer:
            self.current = statement
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
        self.connection.execute("; ".join(RESET_ROLE).encode())
        ledger.insert_attempt(
            self.connection, self.schema, self.migration, self.origin,
            verdict="undone", total=len(self.script.statements), done=0, duration_ms=self._milliseconds(), error=error,
        )  # fmt: skip
        return True

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
