"""Asks PostgreSQL what text alone does not show: whether two expressions mean the same, what a change would cost.

It answers on a shadow, in transactions that are rolled back. Without one, only equal text is equal.
"""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from michi.catalogue import Column
from michi.database import Connection
from michi.ddl import quote

NAME = "michi_judges"
ROUNDS = 4


class Judge:
    """`connection` is a session where the tables that are asked about exist, or None."""

    def __init__(self, connection: Connection | None = None) -> None:
        self.connection = connection

    def same_check(self, table: str, first: str, second: str) -> bool:
        """Of constraints' definitions. What PostgreSQL prints is read and printed again until it stays the same.

        That is needed because it is not always what it would print for its own text: `x IN ('a')` of a varchar is one thing when
        typed and another when restored.
        """
        add = f"ALTER TABLE {quote(table)} ADD CONSTRAINT {NAME} {{}} NOT VALID"
        read = f"SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = '{NAME}'"
        return self._same(first, second, lambda text: self._print(add, read, text.removesuffix(" NOT VALID")))

    def same_expression(self, table: str, first: str, second: str) -> bool:
        return self.same_check(table, f"CHECK ((({first}) IS NOT NULL))", f"CHECK ((({second}) IS NOT NULL))")

    def same_default(self, table: str, column: str, first: str, second: str) -> bool:
        alter = f"ALTER TABLE {quote(table)} ALTER COLUMN {quote(column)} SET DEFAULT {{}}"
        read = (
            "SELECT pg_get_expr(f.adbin, f.adrelid) FROM pg_attrdef f JOIN pg_attribute a ON a.attrelid = f.adrelid"
            " AND a.attnum = f.adnum WHERE a.attrelid = %(table)s::regclass AND a.attname = %(column)s"
        )
        facts = {"table": quote(table), "column": column}
        return self._same(first, second, lambda text: self._print(alter, read, text, facts))

    def same_index(self, first: str, second: str) -> bool:
        """Of what follows ON in their definitions."""
        read = f"SELECT pg_get_indexdef('{NAME}'::regclass)"
        return self._same(first, second, lambda text: self._print(f"CREATE INDEX {NAME} ON {{}}", read, text))

    def _same(self, first: str, second: str, printed: Callable[[str], str | None]) -> bool:
        if first == second:
            return True
        return (
            self.connection is not None and self._settled(first, printed) == self._settled(second, printed) is not None
        )

    def _settled(self, text: str, printed: Callable[[str], str | None]) -> str | None:
        for _ in range(ROUNDS):
            again = printed(text)
            if again is None or again == text:
                return again
            text = again
        return text

    def _print(self, statement: str, read: str, text: str, facts: dict[str, str] | None = None) -> str | None:
        """What the catalogue has after the statement with this text; None where it is not taken."""
        assert self.connection is not None
        try:
            with self.connection.transaction(force_rollback=True):
                self.connection.execute(statement.replace("{}", text).encode())
                row = self.connection.execute(read.encode(), facts).fetchone()
        except psycopg.Error:
            return None
        if row is None:
            return None
        found = str(row[0]).removesuffix(" NOT VALID")
        return found.split(f" {NAME} ON ", 1)[-1]

    def fills_at_once(self, column: Column) -> bool:
        """Whether a new column with its default needs no rewrite of the table: PostgreSQL keeps a constant once, beside it."""
        if column.serial or column.identity or column.generated:
            return False
        if column.default is None:
            return True
        if self.connection is None:
            return "(" not in column.default.exact or column.default.exact == "now()"
        read = f"SELECT atthasmissing FROM pg_attribute WHERE attrelid = '{NAME}'::regclass AND attname = 'c'"
        statement = f"CREATE TABLE {NAME} (); ALTER TABLE {NAME} ADD COLUMN c {column.type} DEFAULT {{}}"
        return self._print(statement, read, column.default.exact) in {"True", None} or column.default.exact == "NULL"

    def converts_by_itself(self, old: str, new: str) -> bool:
        """Whether ALTER COLUMN TYPE needs no USING."""
        if self.connection is None:
            return True
        statement = f"CREATE TABLE {NAME} (c {old}); ALTER TABLE {NAME} ALTER COLUMN c TYPE {{}}"
        return self._print(statement, "SELECT 'yes'", new) is not None
