"""Steps for enums, sequences, and for what models cannot say: functions, triggers, views and the like."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise

from michi.catalogue import Column, Enum, Other, Table
from michi.ddl import (
    add_constraint,
    comment_on,
    create_enum,
    create_index,
    create_sequence,
    drop_constraint,
    literal,
    quote,
)
from michi.diff import Change
from michi.steps import Order, Situation, Stage, Step, step

FOREMOST = frozenset({"extension", "domain", "composite type", "range type"})
CALLABLE = frozenset({"function", "procedure", "aggregate"})
SEQUENCE_DEFAULTS = {
    "AS": "AS bigint", "INCREMENT": "INCREMENT BY 1", "MINVALUE": "NO MINVALUE", "MAXVALUE": "NO MAXVALUE",
    "CACHE": "CACHE 1", "CYCLE": "NO CYCLE",
}  # fmt: skip
OPTION_KEYS = ("AS", "START", "INCREMENT", "MINVALUE", "MAXVALUE", "CACHE", "CYCLE")


def enum_steps(change: Change, situation: Situation) -> Iterator[Step]:
    if change.action == "add":
        yield step(Stage.EXPAND, Order.TYPES, create_enum(change.after), f"DROP TYPE {quote(change.name)}")
    elif change.action == "drop":
        yield step(
            Stage.CONTRACT,
            Order.DROP_TYPES,
            f"DROP TYPE {quote(change.name)}",
            create_enum(change.before),
            contract=True,
        )
    else:
        yield from _change_values(change.before, change.after, situation)


def _change_values(before: Enum, after: Enum, situation: Situation) -> Iterator[Step]:
    """New values first, where they are wanted already; then, where values go or move, the type anew without them."""
    added, both = _add_values(before, after)
    if added:
        users = [table for table in situation.before.tables.values() if _columns_of(table, before.name)]
        yield step(
            Stage.VALUES, Order.TYPES, added, rebuild_enum(both, before, users),
            "A new value can be used only after the transaction that adds it, so it has a migration of its own.",
            down_why="PostgreSQL cannot take a value away from a type: it is made anew. Fails where a row has the value.",
        )  # fmt: skip
    if both.labels != after.labels:
        users = list(_meanwhile(situation))
        yield step(
            Stage.CONTRACT, Order.REBUILD_ENUMS, rebuild_enum(both, after, users), rebuild_enum(after, both, users),
            "PostgreSQL cannot take a value away from a type or move it: the type is made anew and every table that uses it is"
            " rewritten, while nobody reads or writes it. Fails, and changes nothing, where a row still has a value that goes.",
            contract=True,
        )  # fmt: skip


def comment_steps(change: Change, _situation: Situation) -> Iterator[Step]:
    kind = {"comment of enum": "TYPE", "comment of sequence": "SEQUENCE"}[change.kind]
    up, down = (comment_on(kind, quote(change.name), thing.comment) for thing in (change.after, change.before))
    yield step(Stage.EXPAND, Order.COMMENTS, up, down)


def _add_values(before: Enum, after: Enum) -> tuple[list[str], Enum]:
    """The statements, in order, so that each value can stand after the one before it; and the type that has all values."""
    statements, labels = [], list(before.labels)
    for position, label in enumerate(after.labels):
        if label in labels:
            continue
        previous = after.labels[position - 1] if position else None
        at = labels.index(previous) + 1 if previous is not None else 0
        place = "" if at == len(labels) else f" AFTER {literal(previous)}" if at else f" BEFORE {literal(labels[0])}"
        statements.append(f"ALTER TYPE {quote(before.name)} ADD VALUE {literal(label)}{place}")
        labels.insert(at, label)
    return statements, Enum(before.name, tuple(labels), before.comment)


def _meanwhile(situation: Situation) -> Iterator[Table]:
    """The tables as they are when the contract migration makes a type anew: what goes is gone, and columns that change their type
    have left it, or have not come."""
    for name, now in situation.after.tables.items():
        columns = {key: c for key, c in now.columns.items() if (name, key) not in situation.retyped_columns}
        yield replace(now, columns=columns)


def _columns_of(table: Table, enum: str) -> list[Column]:
    return [column for column in table.columns.values() if column.type in {quote(enum), f"{quote(enum)}[]"}]


def rebuild_enum(old: Enum, new: Enum, tables: Iterable[Table]) -> Iterator[str]:
    """The type anew with other values, and every column of it moved over."""
    name, aside = quote(old.name), quote(f"{old.name}_before")
    users = [(table, columns) for table in tables if (columns := _columns_of(table, old.name))]
    dependent = [
        (table, c) for table, _ in users for c in table.constraints.values() if f"::{name}" in c.definition.exact
    ]
    indexes = [i for table, _ in users for i in table.indexes.values() if f"::{name}" in i.definition.exact]
    yield from (drop_constraint(table.name, constraint) for table, constraint in dependent)
    yield from (f"DROP INDEX {quote(index.name)}" for index in indexes)
    yield f"ALTER TYPE {name} RENAME TO {aside}"
    yield from create_enum(new)
    for table, columns in users:
        yield f"ALTER TABLE {quote(table.name)}\n    " + ",\n    ".join(part for c in columns for part in _move(c))
    yield f"DROP TYPE {aside}"
    yield from (create_index(index) for index in indexes)
    yield from (add_constraint(table.name, constraint) for table, constraint in dependent)


def _move(column: Column) -> Iterator[str]:
    name, through = quote(column.name), "text[]" if column.type.endswith("[]") else "text"
    if column.default is not None:
        yield f"ALTER COLUMN {name} DROP DEFAULT"
    yield f"ALTER COLUMN {name} TYPE {column.type} USING {name}::{through}::{column.type}"
    if column.default is not None:
        yield f"ALTER COLUMN {name} SET DEFAULT {column.default.shown}"


def sequence_steps(change: Change, _situation: Situation) -> Iterator[Step]:
    name = quote(change.name)
    if change.action == "add":
        yield step(Stage.EXPAND, Order.TYPES, create_sequence(change.after), f"DROP SEQUENCE {name}")
    elif change.action == "drop":
        yield step(
            Stage.CONTRACT, Order.DROP_TYPES, f"DROP SEQUENCE {name}", create_sequence(change.before), contract=True,
            down_why="The sequence begins anew.",
        )  # fmt: skip
    else:
        up, down = (
            [
                f"ALTER SEQUENCE {name} {' '.join(all_options(thing.options).values())} OWNED BY {thing.owned_by or 'NONE'}"
            ]
            for thing in (change.after, change.before)
        )
        yield step(Stage.EXPAND, Order.ALTER_COLUMNS, up, down)


def all_options(options: str) -> dict[str, str]:
    """By key word, those that are said and the default of every other: what an ALTER needs to arrive at them."""
    said: dict[str, str] = {}
    words = options.split()
    starts = [number for number, word in enumerate(words) if word in OPTION_KEYS]
    for number, end in pairwise([*starts, len(words)]):
        said[words[number]] = " ".join(words[number:end])
    start = said["MINVALUE"].split()[-1] if "MINVALUE" in said else "1"
    return SEQUENCE_DEFAULTS | {"START": f"START WITH {start}"} | said


def other_steps(change: Change, situation: Situation) -> Iterator[Step]:
    create, drop = _order(change.kind, change.after or change.before, situation)
    if change.action == "add":
        yield step(Stage.EXPAND, create, change.after.create, change.after.drop)
    elif change.action == "drop":
        stage = Stage.CONTRACT if drop > Order.DEPENDENT else Stage.EXPAND
        yield step(stage, drop, change.before.drop, change.before.create, contract=stage is Stage.CONTRACT)
    elif change.kind in CALLABLE:
        yield step(Stage.EXPAND, create, change.after.create, change.before.create)
    else:
        up, down = [change.before.drop, change.after.create], [change.after.drop, change.before.create]
        yield step(Stage.EXPAND, create, up, down)


def _order(kind: str, other: Other, situation: Situation) -> tuple[Order, Order]:
    if kind in FOREMOST:
        return Order.TYPES, Order.DROP_TYPES
    if kind in CALLABLE:
        head = other.create.split("\nAS ")[0]
        takes_rows = any(re.search(rf"\b{re.escape(name)}\b", head) for name in situation.after.tables)
        return (Order.LATE_FUNCTIONS if takes_rows else Order.FUNCTIONS), Order.DROP_FUNCTIONS
    return Order.DEPENDENT, Order.DROP_DEPENDENT
