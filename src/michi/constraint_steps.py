"""Steps for constraints and indexes: on tables that may be large and in use, so that nobody waits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from michi.catalogue import Constraint, Index
from michi.ddl import add_constraint, comment_on, create_index, drop_constraint, invented_name, quote
from michi.diff import Change
from michi.steps import Order, Situation, Stage, Step, step

NOT_VALID = (
    "NOT VALID: the rule holds for rows that come from now on, and the tables are locked for a moment only; the next migration"
    " looks at the rows that are there."
)
MAY_REFUSE = (
    " If an app that still runs may write rows against the rule, give this file the directive `phase = contract`."
)
VALIDATE = "Reads the whole table while others read and write it."
CONCURRENTLY = "Built while the table is read and written."
NOTHING = "Nothing to take back: that the constraint holds does no harm."


def constraint_steps(change: Change, situation: Situation) -> Iterator[Step]:
    table = change.table or ""
    if change.action == "add":
        yield from _add(table, change.after, situation)
    elif change.action == "drop":
        yield from _drop(table, change.before, situation)
    else:
        rename = f"ALTER TABLE {quote(table)} RENAME CONSTRAINT"
        old, new = quote(change.before.name), quote(change.after.name)
        yield step(Stage.EXPAND, Order.RENAMES, f"{rename} {old} TO {new}", f"{rename} {new} TO {old}")


def constraint_aspect_steps(change: Change, _situation: Situation) -> Iterator[Step]:
    table, constraint = change.table or "", change.after
    name = f"{quote(constraint.name)} ON {quote(table)}"
    if change.kind == "comment of constraint":
        up, down = (comment_on("CONSTRAINT", name, c.comment) for c in (change.after, change.before))
        yield step(Stage.EXPAND, Order.COMMENTS, up, down)
    elif change.after.valid:
        yield _validate(table, constraint)
    else:
        again = [drop_constraint(table, constraint), add_constraint(table, constraint, ending=" NOT VALID")]
        yield step(Stage.EXPAND, Order.CONSTRAINTS, again, why="No longer known to hold.", down_why=NOTHING)


def _validate(table: str, constraint: Constraint) -> Step:
    up = f"ALTER TABLE {quote(table)} VALIDATE CONSTRAINT {quote(constraint.name)}"
    return step(Stage.VALIDATE, Order.CONSTRAINTS, up, why=VALIDATE, down_why=NOTHING)


def _comment(table: str, constraint: Constraint) -> list[str]:
    name = f"{quote(constraint.name)} ON {quote(table)}"
    return [comment_on("CONSTRAINT", name, constraint.comment)] if constraint.comment else []


def _add(table: str, constraint: Constraint, situation: Situation) -> Iterator[Step]:
    drop = drop_constraint(table, constraint)
    if situation.waits_for_type(table, constraint.columns):
        order = Order.FOREIGN_KEYS if constraint.references else Order.CONSTRAINTS
        up = [add_constraint(table, constraint), *_comment(table, constraint)]
        yield step(Stage.CONTRACT, order, up, drop, "For the new type.")
    elif not situation.careful(table) or constraint.kind == "exclusion":
        why = (
            "There is no way to build it while the table is written: writers wait." if situation.careful(table) else ""
        )
        order = Order.FOREIGN_KEYS if constraint.references else Order.CONSTRAINTS
        yield step(Stage.EXPAND, order, [add_constraint(table, constraint), *_comment(table, constraint)], drop, why)
    elif constraint.kind in {"unique", "primary key"}:
        yield from _attach(table, constraint)
    else:
        what = "the tables are" if constraint.references else "the table is"
        yield step(
            Stage.CONSTRAINTS, Order.FOREIGN_KEYS if constraint.references else Order.CONSTRAINTS,
            [add_constraint(table, constraint, ending=" NOT VALID"), *_comment(table, constraint)], drop,
            NOT_VALID.replace("the tables are", what) + MAY_REFUSE,
        )  # fmt: skip
        yield _validate(table, constraint)


def _attach(table: str, constraint: Constraint) -> Iterator[Step]:
    """A unique index first, built concurrently; it then becomes the constraint in no time."""
    name, on = quote(constraint.name), (constraint.index or "").replace(" USING btree ", " ", 1)
    words = "PRIMARY KEY" if constraint.kind == "primary key" else "UNIQUE"
    deferred = constraint.definition.exact.partition(" DEFERRABLE")
    later = f" DEFERRABLE{deferred[2]}" if deferred[1] else ""
    yield step(
        Stage.INDEXES, Order.INDEXES, f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON {on}", f"DROP INDEX {name}",
        CONCURRENTLY + " Fails where two rows have the same.", alone=True,
    )  # fmt: skip
    yield step(
        Stage.ATTACH, Order.CONSTRAINTS,
        [f"ALTER TABLE {quote(table)} ADD CONSTRAINT {name} {words} USING INDEX {name}{later}", *_comment(table, constraint)],
        [drop_constraint(table, constraint), f"CREATE UNIQUE INDEX {name} ON {on}"],
        "The index is there already, so this takes no time.",
    )  # fmt: skip


def _drop(table: str, constraint: Constraint, situation: Situation) -> Iterator[Step]:
    if any((table, column) in situation.recreated_columns for column in constraint.columns):
        return
    late = situation.loses_column(table, constraint.columns) or constraint.references not in {
        None,
        *situation.after.tables,
    }
    early = situation.comes_back(table, constraint.name) or situation.frees_column(table, constraint.columns)
    order = Order.DROP_FOREIGN_KEYS if constraint.references else Order.DROP_CONSTRAINTS
    ending = "" if constraint.valid else " NOT VALID"
    yield step(
        Stage.CONTRACT if late and not early else Stage.EXPAND, order,
        drop_constraint(table, constraint), [add_constraint(table, constraint, ending=ending), *_comment(table, constraint)],
    )  # fmt: skip


# Indexes


def index_steps(change: Change, situation: Situation) -> Iterator[Step]:
    table = change.table or ""
    if change.action == "rename":
        old, new = quote(change.before.name), quote(change.after.name)
        yield step(
            Stage.EXPAND, Order.RENAMES, f"ALTER INDEX {old} RENAME TO {new}", f"ALTER INDEX {new} RENAME TO {old}"
        )
    elif change.action == "add":
        yield from _add_index(table, change.after, situation)
    else:
        yield from _drop_index(table, change.before, situation)


def index_aspect_steps(change: Change, _situation: Situation) -> Iterator[Step]:
    if change.kind == "comment of index":
        up, down = (comment_on("INDEX", quote(change.name), index.comment) for index in (change.after, change.before))
        yield step(Stage.EXPAND, Order.COMMENTS, up, down)
    elif change.after.valid:
        up = f"REINDEX INDEX CONCURRENTLY {quote(change.name)}"
        yield step(Stage.INDEXES, Order.INDEXES, up, why="A build that failed left it invalid.", alone=True)


def _commented(index: Index) -> list[str]:
    return [comment_on("INDEX", quote(index.name), index.comment)] if index.comment else []


def _add_index(table: str, index: Index, situation: Situation) -> Iterator[Step]:
    replaced = _replaced(table, index, situation)
    name = quote(index.name)
    if situation.waits_for_type(table, index.columns):
        up = [create_index(index), *_commented(index)]
        yield step(Stage.CONTRACT, Order.INDEXES, up, f"DROP INDEX {name}", "For the new type.")
    elif not situation.careful(table):
        yield step(Stage.EXPAND, Order.INDEXES, [create_index(index), *_commented(index)], f"DROP INDEX {name}")
    elif replaced is None:
        yield step(
            Stage.INDEXES, Order.INDEXES, [create_index(index, concurrently=True), *_commented(index)], f"DROP INDEX {name}",
            CONCURRENTLY, alone=True,
        )  # fmt: skip
    else:
        new = invented_name(index.name, "new")
        yield step(
            Stage.INDEXES, Order.INDEXES,
            [
                create_index(index, name=new, concurrently=True), f"DROP INDEX CONCURRENTLY {name}",
                f"ALTER INDEX {quote(new)} RENAME TO {name}", *_commented(index),
            ],
            [f"DROP INDEX {name}", create_index(replaced), *_commented(replaced)],
            CONCURRENTLY + " The old one serves until the new one is there.", alone=True,
        )  # fmt: skip


def _replaced(table: str, index: Index, situation: Situation) -> Index | None:
    """The old index of that name, where it can serve until this one is built beside it and takes its place."""
    old: Index | None = situation.find("drop", "index", index.name, table)
    stays = situation.careful(table) and not situation.waits_for_type(table, index.columns)
    return old if old is not None and stays and situation.keeps_columns(table, old.columns) else None


def _drop_index(table: str, index: Index, situation: Situation) -> Iterator[Step]:
    name = quote(index.name)
    if any((table, column) in situation.recreated_columns for column in index.columns):
        return
    new: Index | None = situation.find("add", "index", index.name, table)
    if new is not None and _replaced(table, new, situation) is not None:
        return
    again = [create_index(index), *_commented(index)]
    now = step(Stage.EXPAND, Order.DROP_CONSTRAINTS, f"DROP INDEX {name}", again)
    if situation.comes_back(table, index.name) or situation.frees_column(table, index.columns):
        yield now
    elif situation.loses_column(table, index.columns):
        yield replace(now, stage=Stage.CONTRACT)
    elif situation.waits_for_type(table, index.columns) or not situation.careful(table):
        yield now
    else:
        up = f"DROP INDEX CONCURRENTLY {name}"
        yield step(
            Stage.INDEXES,
            Order.DROP_INDEXES,
            up,
            again,
            alone=True,
            down_why="Writers of the table wait while it is built.",
        )
