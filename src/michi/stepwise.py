"""An attempt statement by statement: what PostgreSQL refuses in a transaction, and what an earlier attempt left half-way."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Any

import psycopg

from michi import indexes, ledger
from michi.attempt import Run
from michi.errors import StatementInDoubt
from michi.sql import Statement, first_line


class Stepwise(Run):
    """Notes after each statement how far it came, and goes on where an earlier attempt stopped."""

    def _carry_out(self) -> None:
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
            return indexes.validity(self.connection, self.schema, statement) is True
        if statement.kind == "concurrent_drop":
            return indexes.validity(self.connection, self.schema, statement) is None
        raise StatementInDoubt(
            f"{self.migration.name} was interrupted at line {statement.line}, and michi cannot see whether this took"
            f" effect: {first_line(statement.text)}",
            f"Look, then say `michi resolve --applied {self.migration.name}` or `--rolled-back {self.migration.name}`.",
            migration=self.migration.name,
            line=statement.line,
        )

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
        if indexes.drop_if_invalid(self.connection, self.schema, statement):
            self.emit("index_dropped", migration=self.migration.name, index=statement.index_name)
