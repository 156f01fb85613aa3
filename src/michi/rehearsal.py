"""Runs pending statements on a shadow of the schema and looks at what they lock and rewrite there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, cast

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from michi.attempt import CLEAN, Script
from michi.database import Connection, Server, session_settings
from michi.effects import STRENGTH, Effect, Effects, Name
from michi.locks import find_effects
from michi.mentions import Mode
from michi.sql import Statement, first_line

# Roles, databases and their like belong to the whole server: what is run on a shadow would be real for them. COPY and programs
# reach the server's files.
BEYOND_THE_DATABASE = re.compile(
    r"\b(?:create|alter|drop|comment\s+on)\s+(?:role|user|group|database|tablespace|subscription|system|server)\b"
    r"|\b(?:reassign|drop)\s+owned\b|\bgrant\s+[\w\", ]+\s+to\b|\brevoke\s+[\w\", ]+\s+from\b|\bsecurity\s+label\b"
    r"|\bcopy\b[^;]*\b(?:to|from)\s+(?:program\s+)?'|\bdblink|\bpg_(?:terminate|cancel)_backend\b|\bpg_switch_wal\b|\blo_export\b",
    re.IGNORECASE | re.DOTALL,
)
# What outside a transaction may run on a shadow all the same; CREATE DATABASE and its like may not.
HARMLESS_ALONE = re.compile(r"\s*(?:vacuum|reindex|cluster|alter\s+table)\b", re.IGNORECASE)
# ALTER TABLE says at this level, and never translated, whether it goes through the rows: a NOT NULL that a valid CHECK proves, or a
# partition whose CHECK implies its bounds, takes no look at them.
TELL_SCANS = "SET client_min_messages = debug1"
SCANNED = re.compile(
    r'(?:verifying|rewriting) table "(?P<table>.*)"|building index .* on table "(?P<indexed>.*)"|validating foreign key'
)
STATEMENT_TIMEOUT = "SET statement_timeout = '30s'"

RELATIONS = """
SELECT c.oid::bigint, n.nspname::text, c.relname::text, c.relkind::text, c.relfilenode::bigint, i.indrelid::bigint
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_index i ON i.indexrelid = c.oid
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'i', 'I', 'f')
"""
HELD = """
SELECT relation::bigint, replace(mode, 'Lock', '') FROM pg_locks
WHERE pid = pg_backend_pid() AND locktype = 'relation' AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
RESOLVE = """
SELECT coalesce(i.indrelid, c.oid)::bigint FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid
WHERE c.oid = to_regclass(%s)
"""


@dataclass(frozen=True)
class Touched:
    """A relation that a statement locks. `name` is the one it has in the real database now; None for one that is new by then."""

    name: Name | None
    shown: str
    mode: Mode
    rewrites: bool | None
    scans: bool
    index_locked: bool = False


@dataclass(frozen=True)
class Outcome:
    """What one statement does. `measured` is False where it was not run, or failed there; `note` says why.

    `known` is False where it may do more than is told here.
    """

    touched: tuple[Touched, ...]
    measured: bool
    known: bool
    changes_rows: bool
    note: str | None = None
    failed: bool = False


class Rehearsal:
    """The shadow while the pending statements run on it, one after the other, each committed for the next one to build on."""

    def __init__(self, server: Server) -> None:
        self.connection: Connection = server.connection
        self.schema = server.target.schema
        self.origin: dict[int, Name] = {}
        self.notices: list[str] = []
        self.connection.add_notice_handler(lambda notice: self.notices.append(notice.message_primary or ""))

    def replay(self, scripts: Iterable[Script]) -> str | None:
        """Brings the shadow to where the real database is; gives what went wrong, if anything did."""
        self._begin_clean()
        self.connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(self.schema)))
        for script in scripts:
            current = script.statements[0] if script.statements else None
            try:
                with self.connection.transaction() if script.in_transaction else nullcontext():
                    for current in filter(may_run, script.statements):
                        self.connection.execute(current.text.encode())
            except psycopg.Error as error:
                line = f", line {current.line}," if current is not None else ""
                return f"{script.migration.name}{line} fails on a shadow: {_primary(error)}"
            self._begin_clean()
        self.origin = {
            oid: Name(schema, name) for oid, (schema, name, kind, *_) in self._relations().items() if kind not in "iI"
        }
        return None

    def measure(self, script: Script) -> list[Outcome]:
        """Runs a pending migration as a deploy does, in one transaction or statement by statement; an outcome for each statement.

        One that fails is taken back alone, and the next ones are tried all the same.
        """
        if not script.in_transaction:
            outcomes = [self._run(statement, "BEGIN", "COMMIT", "ROLLBACK") for statement in script.statements]
        else:
            self.connection.execute("BEGIN")
            outcomes = [
                self._run(statement, "SAVEPOINT michi", "RELEASE michi", "ROLLBACK TO michi; RELEASE michi")
                for statement in script.statements
            ]
            try:
                self.connection.execute("COMMIT")
            except psycopg.Error as error:
                self._leave_transaction()
                note = f"on a shadow of the schema its transaction fails to commit: {_primary(error)}"
                outcomes[-1:] = [replace(outcomes[-1], note=note, failed=True)]
        self._begin_clean()
        return outcomes

    def _begin_clean(self) -> None:
        """What a script SET is gone for the next one, and nothing runs for long."""
        self.connection.execute(CLEAN + session_settings(self.schema))
        self.connection.execute(STATEMENT_TIMEOUT)

    def _run(self, statement: Statement, begin: str, end: str, undo: str) -> Outcome:
        """What one statement did; what the shadow cannot show is told from the parse tree."""
        effects = find_effects(statement.text)
        foretold = self._foretell(effects.on)
        if not may_run(statement):
            return self._unmeasured(effects, foretold, "it is not run on a shadow")
        alone = statement.kind != "plain" or statement.commits
        try:
            if alone:
                self.connection.execute(statement.text.encode())
                return self._unmeasured(effects, foretold, None)
            self.connection.execute(begin.encode())
            touched = self._measure(statement, foretold)
            self.connection.execute(end.encode())
        except psycopg.Error as error:
            if not alone:
                self.connection.execute(undo.encode())
            note = f"on a shadow of the schema it fails: {_primary(error)}"
            return self._unmeasured(effects, foretold, note, failed=True)
        return Outcome(touched, measured=True, known=True, changes_rows=effects.changes_rows)

    def _measure(self, statement: Statement, foretold: dict[int, Effect]) -> tuple[Touched, ...]:
        """Of locks that the transaction held before in the same mode, only those that the parse tree foretells are told again."""
        before, held_before = self._relations(), set(self.connection.execute(HELD).fetchall())
        self.connection.execute(TELL_SCANS)
        self.notices.clear()
        self.connection.execute(statement.text.encode())
        scanned = self._scanned(statement)
        held: set[Any] = set(self.connection.execute(HELD).fetchall())
        taken = (held - held_before) | (held & {(oid, effect.mode) for oid, effect in foretold.items()})
        after = self._relations()
        modes: dict[int, Mode] = {}
        index_locked = set()
        for oid, mode in taken:
            if oid not in before:
                continue
            _, _, kind, _, table = before[oid]
            if kind in "iI":
                if mode == "AccessExclusive":
                    index_locked.add(table)
                continue
            modes[oid] = max(cast("Mode", mode), modes.get(oid, "AccessShare"), key=STRENGTH.__getitem__)
        empties = statement.text[:8].lower() == "truncate"
        return tuple(
            Touched(
                self.origin.get(oid),
                self._shown(before[oid][0], before[oid][1]),
                mode,
                rewrites=not empties and before[oid][2] in "rm" and oid in after and before[oid][3] != after[oid][3],
                scans=oid in foretold and foretold[oid].scans and (scanned is None or before[oid][1] in scanned),
                index_locked=oid in index_locked,
            )
            for oid, mode in sorted(modes.items(), key=lambda item: -STRENGTH[item[1]])
        )

    def _scanned(self, statement: Statement) -> set[str] | None:
        """The tables that an ALTER TABLE went through; None where the server does not tell, and the parse tree has to."""
        matches = [match for notice in self.notices if (match := SCANNED.match(notice)) is not None]
        told = (
            statement.text[:5].lower() == "alter" and re.search(r"\bvalidate\b", statement.text, re.IGNORECASE) is None
        )
        if not told or any(match["table"] is None and match["indexed"] is None for match in matches):
            return None
        return {match["table"] or match["indexed"] for match in matches}

    def _unmeasured(
        self, effects: Effects, foretold: dict[int, Effect], note: str | None, *, failed: bool = False
    ) -> Outcome:
        touched = tuple(
            Touched(
                self.origin.get(oid), str(effect.name), effect.mode, effect.rewrites, effect.scans, effect.index_locked
            )
            for oid, effect in foretold.items()
        )
        return Outcome(touched, False, effects.known, effects.changes_rows, note, failed)

    def _foretell(self, effects: Sequence[Effect]) -> dict[int, Effect]:
        """By the relation's number on the shadow, as it is called before the statement runs."""
        found = {}
        for effect in effects:
            parts = [part for part in (effect.name.schema, effect.name.relation) if part is not None]
            quoted = sql.Identifier(*parts).as_string(self.connection)
            row = self.connection.execute(RESOLVE, (quoted,)).fetchone()
            if row is not None and isinstance(row[0], int):
                found[row[0]] = effect
        return found

    def _relations(self) -> dict[int, tuple[Any, ...]]:
        return {cast("int", row[0]): row[1:] for row in self.connection.execute(RELATIONS).fetchall()}

    def _shown(self, schema: str, name: str) -> str:
        return name if schema == self.schema else f"{schema}.{name}"

    def _leave_transaction(self) -> None:
        if self.connection.info.transaction_status != TransactionStatus.IDLE:
            self.connection.execute("ROLLBACK")


def may_run(statement: Statement) -> bool:
    """Whether it stays within its database."""
    if BEYOND_THE_DATABASE.search(statement.text):
        return False
    return statement.kind != "alone" or HARMLESS_ALONE.match(statement.text) is not None


def _primary(error: psycopg.Error) -> str:
    return first_line(error.diag.message_primary or str(error), 200)


def from_parse_tree(statement: Statement, made: set[Name]) -> Outcome:
    """Without a shadow. `made` collects what the pending statements create, which is new and in nobody's way."""
    effects = find_effects(statement.text)
    touched = tuple(
        Touched(
            None if effect.name in made else effect.name,
            str(effect.name),
            effect.mode,
            effect.rewrites,
            effect.scans,
            effect.index_locked,
        )
        for effect in effects.on
    )
    made |= effects.creates
    return Outcome(touched, measured=False, known=effects.known, changes_rows=effects.changes_rows)
