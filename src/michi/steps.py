"""What a step of a migration is, in which order steps run, and what a writer of steps has to know. No SQL is written here."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property
from typing import Any

from michi.catalogue import Catalogue, Column
from michi.diff import Change
from michi.judge import Judge


class Stage(IntEnum):
    """Steps of one stage make one migration; stages run in this order. Most changes are all in EXPAND."""

    RENAMES = 0
    VALUES = 1
    EXPAND = 2
    BACKFILL = 3
    INDEXES = 4
    ATTACH = 5
    CONSTRAINTS = 6
    VALIDATE = 7
    NOT_NULL = 8
    CONTRACT = 9


class Order(IntEnum):
    """Within a stage: what others need comes first, and is taken back last."""

    TYPES = 0
    FUNCTIONS = 1
    TABLES = 2
    LATE_FUNCTIONS = 3
    LATE_FOREIGN_KEYS = 4
    COLUMNS = 5
    DROP_DEPENDENT = 6
    DROP_FOREIGN_KEYS = 7
    DROP_CONSTRAINTS = 8
    DROP_COLUMNS = 9
    DROP_TABLES = 10
    DROP_IDENTITY = 11
    ALTER_COLUMNS = 12
    LEAVE_ENUMS = 13
    REBUILD_ENUMS = 14
    ALTER_TYPES = 15
    ADD_IDENTITY = 16
    CONSTRAINTS = 17
    FOREIGN_KEYS = 18
    INDEXES = 19
    RENAMES = 20
    COMMENTS = 21
    DEPENDENT = 22
    DROP_INDEXES = 23
    DROP_FUNCTIONS = 24
    DROP_TYPES = 25


@dataclass(frozen=True)
class Step:
    """Statements that belong together, without their semicolons, and those that take them back.

    `why` says for the reader of the file what is not plain from the SQL. `contract`: an app that does not know it may break.
    `alone`: PostgreSQL refuses it in a transaction. `unfinished`: a person has to fill something in. `backfill`: one statement that
    goes through its table in batches, in a migration of its own.
    """

    stage: Stage
    order: Order
    up: tuple[str, ...]
    down: tuple[str, ...] = ()
    why: str = ""
    contract: bool = False
    alone: bool = False
    unfinished: bool = False
    backfill: bool = False
    down_why: str = ""


def step(
    stage: Stage,
    order: Order,
    up: str | Iterable[str],
    down: str | Iterable[str] = (),
    why: str = "",
    **more: bool | str,
) -> Step:
    return Step(stage, order, _tuple(up), _tuple(down), why, **more)  # type: ignore[arg-type]


def _tuple(statements: str | Iterable[str]) -> tuple[str, ...]:
    return (statements,) if isinstance(statements, str) else tuple(statements)


def _is_only_freed(change: Change) -> bool:
    before: Column = change.before
    after: Column = change.after
    freed = replace(before, generated="", default=after.default, uses=after.uses)
    return before.generated == "STORED" and freed == after


@dataclass(frozen=True)
class Situation:
    """What a writer of steps has to know: both catalogues, all changes, and which tables need no care.

    `plain` writes the short form everywhere, `small` for the tables named: those that hold no rows in any known database.
    """

    before: Catalogue
    after: Catalogue
    changes: tuple[Change, ...]
    judge: Judge
    plain: bool = False
    small: Container[str] = field(default_factory=frozenset)

    def careful(self, table: str) -> bool:
        """Whether the table may be large and in use: then nothing may hold its lock for long."""
        partitioned = "PARTITION BY" in self.after.tables[table].options if table in self.after.tables else False
        return not (self.plain or partitioned or table in self.small)

    @cached_property
    def dropped_columns(self) -> frozenset[tuple[str, str]]:
        return frozenset((c.table or "", c.name) for c in self.changes if (c.action, c.kind) == ("drop", "column"))

    @cached_property
    def recreated_columns(self) -> frozenset[tuple[str, str]]:
        """Those that go and come as what they are to be; what hangs on them goes with them."""
        changed = frozenset((c.table or "", c.name) for c in self.changes if c.kind == "generated")
        return changed - self.freed_columns

    @cached_property
    def freed_columns(self) -> frozenset[tuple[str, str]]:
        """Those that stay and are computed no more. On the way back they are made anew: nothing else makes a column computed."""
        return frozenset((c.table or "", c.name) for c in self.changes if c.kind == "generated" and _is_only_freed(c))

    @cached_property
    def retyped_columns(self) -> frozenset[tuple[str, str]]:
        return frozenset((c.table or "", c.name) for c in self.changes if c.kind == "type")

    def frees_column(self, table: str, columns: Iterable[str]) -> bool:
        """Whether what goes from these columns goes early: the way back brings it once they have been made anew."""
        return any((table, column) in self.freed_columns for column in columns)

    def waits_for_type(self, table: str, columns: Iterable[str]) -> bool:
        """Whether what hangs on these columns can be made only once they have their new type."""
        return any((table, column) in self.retyped_columns for column in columns)

    def loses_column(self, table: str, columns: Iterable[str]) -> bool:
        return any((table, column) in self.dropped_columns for column in columns)

    def keeps_columns(self, table: str, columns: Iterable[str]) -> bool:
        """Whether all of them stay what they are, so that what hangs on them stays, too."""
        lost = self.dropped_columns | self.recreated_columns | self.freed_columns | self.retyped_columns
        return not any((table, column) in lost for column in columns)

    def keeps_key(self, table: str) -> bool:
        """Whether it has a primary key, before and after, that a backfill can go along."""
        was, now = (
            [c for c in catalogue.tables[table].constraints.values() if c.kind == "primary key"]
            for catalogue in (self.before, self.after)
        )
        return bool(was) and was == now

    def comes_back(self, table: str, name: str) -> bool:
        """Whether a constraint or index of that name is made anew, so that the old one must make room first."""
        return any((c.action, c.table, c.name) == ("add", table, name) for c in self.changes)

    def find(self, action: str, kind: str, name: str, table: str) -> Any:
        """What goes or comes by that change, if there is such a change."""
        found = (c for c in self.changes if (c.action, c.kind, c.name, c.table) == (action, kind, name, table))
        return next((change.after or change.before for change in found), None)
