"""Steps for whole tables and for their columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from michi.catalogue import Column, Table
from michi.ddl import (
    add_constraint,
    column_definition,
    column_type,
    comment_on,
    comments,
    create_indexes,
    create_table,
    drop_constraint,
    identity,
    invented_name,
    literal,
    quote,
)
from michi.diff import Change
from michi.folder import FILL_IN
from michi.steps import Order, Situation, Stage, Step, step
from michi.type_steps import all_options

LOST = "Its rows are gone for good: only the empty shape comes back."
LOST_COLUMN = "What was in it is gone for good: only the empty column comes back."


def table_steps(change: Change, situation: Situation) -> Iterator[Step]:
    if change.action == "add":
        yield from _add_table(change.after, situation)
    else:
        yield from _drop_table(change.before, situation)


def _add_table(table: Table, situation: Situation) -> Iterator[Step]:
    names = list(situation.after.tables)
    new = [name for name in names if name not in situation.before.tables]
    known = set(situation.before.tables) | set(new[: new.index(table.name)])
    yield step(Stage.EXPAND, Order.TABLES, create_table(table, known), f"DROP TABLE {quote(table.name)}")
    for constraint in table.constraints.values():
        if constraint.references is not None and constraint.references not in known | {table.name}:
            yield step(
                Stage.EXPAND, Order.LATE_FOREIGN_KEYS,
                add_constraint(table.name, constraint), drop_constraint(table.name, constraint),
            )  # fmt: skip


def _drop_table(table: Table, situation: Situation) -> Iterator[Step]:
    old = [name for name in situation.before.tables if name not in situation.after.tables]
    known = (set(situation.before.tables) - set(old)) | set(old[: old.index(table.name)])
    for constraint in table.constraints.values():
        if constraint.references is not None and constraint.references not in known | {table.name}:
            yield step(
                Stage.CONTRACT, Order.DROP_FOREIGN_KEYS, drop_constraint(table.name, constraint),
                add_constraint(table.name, constraint), contract=True,
            )  # fmt: skip
    yield step(
        Stage.CONTRACT, Order.DROP_TABLES, f"DROP TABLE {quote(table.name)}", create_table(table, known),
        contract=True, down_why=LOST,
    )  # fmt: skip


def table_aspect_steps(change: Change, _situation: Situation) -> Iterator[Step]:
    name = quote(change.name)
    if change.kind == "comment of table":
        up, down = (comment_on("TABLE", name, table.comment) for table in (change.after, change.before))
        yield step(Stage.EXPAND, Order.COMMENTS, up, down)
    elif change.kind == "logging":
        up, down = (
            f"ALTER TABLE {name} SET {'UNLOGGED' if t.unlogged else 'LOGGED'}" for t in (change.after, change.before)
        )
        yield step(Stage.EXPAND, Order.ALTER_COLUMNS, up, down, "Rewrites the table while nobody reads or writes it.")
    else:
        up, down = _storage(change.before, change.after), _storage(change.after, change.before)
        yield step(Stage.EXPAND, Order.ALTER_COLUMNS, up, down)


def _storage(before: Table, after: Table) -> str:
    """Storage parameters. How a table is partitioned cannot be changed: the statement is then none that PostgreSQL takes."""
    old, new = (dict(item.split("=", 1) for item in table.options.partition("WITH (")[2].rstrip(")").split(", ") if item)
                for table in (before, after))  # fmt: skip
    gone = [key for key in old if key not in new]
    parts = [f"SET ({', '.join(f'{key}={value}' for key, value in new.items())})"] if new else []
    parts += [f"RESET ({', '.join(gone)})"] if gone else []
    return f"ALTER TABLE {quote(after.name)} " + ", ".join(parts)


# Columns


def column_steps(change: Change, situation: Situation) -> Iterator[Step]:
    table = change.table or ""
    if change.action == "add":
        yield from _add_column(table, change.after, situation)
    else:
        column = change.before
        yield step(
            Stage.CONTRACT, Order.DROP_COLUMNS, f"ALTER TABLE {quote(table)} DROP COLUMN {quote(column.name)}",
            [f"ALTER TABLE {quote(table)} ADD COLUMN {column_definition(column)}", *_comment(table, column)],
            contract=True, down_why=LOST_COLUMN if not column.generated else "",
        )  # fmt: skip


def _comment(table: str, column: Column) -> list[str]:
    return [comment_on("COLUMN", f"{quote(table)}.{quote(column.name)}", column.comment)] if column.comment else []


def _add_column(table: str, column: Column, situation: Situation) -> Iterator[Step]:
    at_once = situation.judge.fills_at_once(column)
    own_values = bool(column.serial or column.identity or column.generated)
    if situation.careful(table) and not own_values and (not at_once or (column.not_null and column.default is None)):
        yield from _add_column_in_parts(table, column, situation)
        return
    why = ""
    if situation.careful(table) and own_values and column.generated != "VIRTUAL":
        why = "Every row gets its value now: the table is rewritten, and nobody reads or writes it meanwhile."
    yield step(
        Stage.EXPAND, Order.COLUMNS,
        [f"ALTER TABLE {quote(table)} ADD COLUMN {column_definition(column)}", *_comment(table, column)],
        f"ALTER TABLE {quote(table)} DROP COLUMN {quote(column.name)}", why,
    )  # fmt: skip


def _add_column_in_parts(table: str, column: Column, situation: Situation) -> Iterator[Step]:
    """Empty at first, which takes no time; then filled; then, where it must not be null, held to it."""
    name, relation = quote(column.name), quote(table)
    definition = column_definition(column, nullable=True, default=False)
    up = [f"ALTER TABLE {relation} ADD COLUMN {definition}"]
    if column.default is not None:
        up.append(f"ALTER TABLE {relation} ALTER COLUMN {name} SET DEFAULT {column.default.shown}")
    reason = (
        "is computed for each row"
        if column.default is not None
        else "must not be null, and rows that exist have none yet"
    )
    what = "its default" if column.default is not None else "it"
    yield step(
        Stage.EXPAND, Order.COLUMNS, [*up, *_comment(table, column)], f"ALTER TABLE {relation} DROP COLUMN {name}",
        f"{what[:1].upper()}{what[1:]} {reason}: the column is added empty, which takes no time, and filled by the next migration.",
    )  # fmt: skip
    value = "DEFAULT" if column.default is not None else f"NULL {FILL_IN}"
    unfinished = column.default is None
    yield step(
        Stage.BACKFILL, Order.COLUMNS, f"UPDATE {relation} SET {name} = {value} WHERE {name} IS NULL",
        why=f"Say what {table}.{column.name} is in rows that exist, in place of NULL." if unfinished else "",
        unfinished=unfinished, backfill=situation.keeps_key(table),
        down_why="Nothing to take back: the values go with the column.",
    )  # fmt: skip
    if column.not_null:
        yield from set_not_null_in_parts(table, column.name)


def set_not_null_in_parts(table: str, column: str) -> Iterator[Step]:
    relation, name = quote(table), quote(column)
    check = quote(invented_name(table, column, "present"))
    add = f"ALTER TABLE {relation} ADD CONSTRAINT {check} CHECK ({name} IS NOT NULL) NOT VALID"
    drop = f"ALTER TABLE {relation} DROP CONSTRAINT {check}"
    yield step(
        Stage.CONSTRAINTS, Order.CONSTRAINTS, add, drop,
        "From now on no row may come in without it. NOT VALID: rows that are there are looked at by the next migration, while the"
        " table is in use.",
        contract=True,
    )  # fmt: skip
    yield step(
        Stage.VALIDATE, Order.CONSTRAINTS, f"ALTER TABLE {relation} VALIDATE CONSTRAINT {check}",
        down_why="Nothing to take back: that the constraint holds does no harm.",
    )  # fmt: skip
    yield step(
        Stage.NOT_NULL, Order.ALTER_COLUMNS, [f"ALTER TABLE {relation} ALTER COLUMN {name} SET NOT NULL", drop],
        [add, f"ALTER TABLE {relation} ALTER COLUMN {name} DROP NOT NULL"],
        "PostgreSQL believes the validated check and does not read the table again; then the check has done its work.",
        contract=True,
    )  # fmt: skip


def column_aspect_steps(change: Change, situation: Situation) -> Iterator[Step]:
    table, before, after = change.table or "", change.before, change.after
    alter = f"ALTER TABLE {quote(table)} ALTER COLUMN {quote(change.name)}"
    match change.kind:
        case "type":
            yield from _change_type(table, before, after, situation)
        case "default":
            up, down = (f"{alter} {_set_default(column)}" for column in (after, before))
            breaks = after.default is None and after.not_null and not (after.identity or after.serial)
            yield step(
                Stage.CONTRACT if breaks else _stage(before, after), Order.ALTER_COLUMNS, up, down,
                "An app that counts on the default breaks." if breaks else "", contract=breaks,
            )  # fmt: skip
        case "null":
            yield from _change_null(table, change, situation)
        case "identity":
            yield from _identity_steps(table, before, after)
        case "generated":
            yield from _change_generation(table, before, after, situation)
        case _:
            name = f"{quote(table)}.{quote(change.name)}"
            up, down = (comment_on("COLUMN", name, column.comment) for column in (after, before))
            yield step(Stage.EXPAND, Order.COMMENTS, up, down)


def _set_default(column: Column) -> str:
    return "DROP DEFAULT" if column.default is None else f"SET DEFAULT {column.default.shown}"


def _stage(before: Column, after: Column) -> Stage:
    """Where what has to stand around a change of the type goes: into the migration that makes it."""
    return Stage.EXPAND if (before.type, before.collation) == (after.type, after.collation) else Stage.CONTRACT


def _numbers_itself(column: Column) -> bool:
    return bool(column.identity or column.serial)


def _change_null(table: str, change: Change, situation: Situation) -> Iterator[Step]:
    alter = f"ALTER TABLE {quote(table)} ALTER COLUMN {quote(change.name)}"
    before, after = change.before, change.after
    set_it, drop_it = f"{alter} SET NOT NULL", f"{alter} DROP NOT NULL"
    if not after.not_null:
        stage = _stage(before, after) if _numbers_itself(before) else Stage.EXPAND
        yield step(stage, Order.ALTER_COLUMNS, drop_it, set_it)
        return
    key = next((c for c in situation.after.tables[table].constraints.values() if c.kind == "primary key"), None)
    if _numbers_itself(after) or (key and change.name in key.columns):
        yield step(_stage(before, after), Order.ALTER_COLUMNS, set_it, drop_it)
    elif situation.careful(table):
        yield from set_not_null_in_parts(table, change.name)
    else:
        yield step(Stage.CONTRACT, Order.ALTER_COLUMNS, set_it, drop_it, contract=True)


def _change_type(table: str, before: Column, after: Column, situation: Situation) -> Iterator[Step]:
    why = ""
    if situation.careful(table):
        why = (
            "Unless the new type is only wider, the table is rewritten and nobody reads or writes it meanwhile. On a large table"
            " add a new column, fill it, and drop this one later."
        )
    order = Order.LEAVE_ENUMS if _is_enum(before, situation) else Order.ALTER_TYPES
    there, back = _retype(table, before, after, situation), _retype(table, after, before, situation)
    off, old, new = _reworded(table, before.name, situation)
    yield step(Stage.CONTRACT, order, [*off, there, *new], [*off, back, *old], why, contract=True)


def _reworded(table: str, column: str, situation: Situation) -> tuple[list[str], list[str], list[str]]:
    """Checks and indexes that stay but read differently with another type. PostgreSQL would carry the casts of the one type over to
    the other, so they go before and come back after: what drops them, and what makes the old and the new ones."""
    was, now = situation.before.tables[table], situation.after.tables[table]
    touched = {c.name for c in situation.changes if c.table == table and c.action in {"add", "drop", "rename"}}
    checks = [
        (old, replace(new, name=old.name))
        for old in was.constraints.values()
        if old.kind == "check" and column in old.columns and old.name not in touched
        for new in now.constraints.values()
        if new.kind == "check" and new.definition != old.definition and new.columns == old.columns
        and situation.judge.same_check(table, old.definition.exact, new.definition.exact)
    ]  # fmt: skip
    indexes = [
        (index, now.indexes[name])
        for name, index in was.indexes.items()
        if name in now.indexes and name not in touched and column in index.columns
    ]
    indexes = [(old, new) for old, new in indexes if old.definition != new.definition]
    off = [drop_constraint(table, old) for old, _ in checks] + [f"DROP INDEX {quote(old.name)}" for old, _ in indexes]

    def again(position: int) -> list[str]:
        constraints = {pair[position].name: pair[position] for pair in checks}
        whole = replace(
            was,
            columns={},
            comment=None,
            constraints=constraints,
            indexes={p[position].name: p[position] for p in indexes},
        )
        return [*(add_constraint(table, c) for c in constraints.values()), *create_indexes(whole), *comments(whole)]

    return off, again(0), again(1)


def _retype(table: str, old: Column, new: Column, situation: Situation) -> str:
    name = quote(new.name)
    parts = [f"ALTER COLUMN {name} DROP DEFAULT"] if old.default is not None else []
    using = "" if situation.judge.converts_by_itself(old.type, new.type) else f" USING {name}::{new.type}"
    if using and (_is_enum(old, situation) or _is_enum(new, situation)):
        using = f" USING {name}::text::{new.type}"
    parts.append(f"ALTER COLUMN {name} TYPE {column_type(new)}{using}")
    if new.default is not None:
        parts.append(f"ALTER COLUMN {name} SET DEFAULT {new.default.shown}")
    return f"ALTER TABLE {quote(table)}" + (" " if len(parts) == 1 else "\n    ") + ",\n    ".join(parts)


def _is_enum(column: Column, situation: Situation) -> bool:
    return any(column.type == quote(name) for name in [*situation.before.enums, *situation.after.enums])


def _identity_steps(table: str, old: Column, new: Column) -> Iterator[Step]:
    alter = f"ALTER TABLE {quote(table)} ALTER COLUMN {quote(new.name)}"
    if old.identity and new.identity:
        up, down = (f"{alter} {' '.join(_alter_identity(*pair))}" for pair in ((old, new), (new, old)))
        yield step(_stage(old, new), Order.ADD_IDENTITY, up, down)
        return
    if _numbers_itself(old):
        yield step(_stage(old, new), Order.DROP_IDENTITY, _unnumber(table, old), _number(table, old))
    if _numbers_itself(new):
        yield step(_stage(old, new), Order.ADD_IDENTITY, _number(table, new), _unnumber(table, new))


def _alter_identity(old: Column, new: Column) -> Iterator[str]:
    if old.identity != new.identity:
        yield f"SET GENERATED {new.identity}"
    if old.identity_options != new.identity_options:
        yield from (f"SET {option}" for key, option in all_options(new.identity_options).items() if key != "AS")


def _unnumber(table: str, column: Column) -> Iterator[str]:
    alter = f"ALTER TABLE {quote(table)} ALTER COLUMN {quote(column.name)}"
    if column.identity:
        yield f"{alter} DROP IDENTITY"
    else:
        yield f"{alter} DROP DEFAULT"
        yield f"DROP SEQUENCE {_sequence_of(table, column)}"


def _number(table: str, column: Column) -> Iterator[str]:
    """Goes on after the highest number that is there."""
    relation, name = quote(table), quote(column.name)
    alter = f"ALTER TABLE {relation} ALTER COLUMN {name}"
    if column.identity:
        yield f"{alter} ADD {identity(column)}"
    else:
        sequence = _sequence_of(table, column)
        yield f"CREATE SEQUENCE {sequence} AS {column.type} OWNED BY {relation}.{name}"
        yield f"{alter} SET DEFAULT nextval({literal(sequence)})"
    of_column = f"pg_get_serial_sequence({literal(relation)}, {literal(column.name)})"
    yield f"SELECT setval({of_column}, max({name})) FROM {relation} HAVING max({name}) > 0"


def _sequence_of(table: str, column: Column) -> str:
    return quote(column.sequence or invented_name(table, column.name, "seq"))


def _change_generation(table: str, before: Column, after: Column, situation: Situation) -> Iterator[Step]:
    whole = situation.before.tables[table]
    gone = {c.name for c in situation.changes if c.action == "drop" and c.table == table}
    staying = replace(
        whole,
        indexes={name: index for name, index in whole.indexes.items() if name not in gone},
        constraints={name: constraint for name, constraint in whole.constraints.items() if name not in gone},
    )
    if (table, after.name) in situation.freed_columns:
        alter = f"ALTER TABLE {quote(table)} ALTER COLUMN {quote(after.name)}"
        up = [f"{alter} DROP EXPRESSION", *([f"{alter} {_set_default(after)}"] if after.default else [])]
        yield step(Stage.EXPAND, Order.ALTER_COLUMNS, up, list(_recreate(table, after, before, staying)))
        return
    yield step(
        Stage.EXPAND, Order.COLUMNS, list(_recreate(table, before, after, staying)),
        list(_recreate(table, after, before, whole)),
        "What a column is computed from cannot be changed: it is made anew, and while the table is rewritten nobody uses it.",
    )  # fmt: skip


def _recreate(table: str, old: Column, new: Column, whole: Table) -> Iterator[str]:
    """The column anew, and the indexes and constraints that went with it."""
    definition = column_definition(new)
    yield f"ALTER TABLE {quote(table)}\n    DROP COLUMN {quote(old.name)},\n    ADD COLUMN {definition}"
    yield from _comment(table, new)
    with_it = replace(
        whole,
        comment=None,
        columns={},
        indexes={name: index for name, index in whole.indexes.items() if old.name in index.columns},
        constraints={
            name: constraint for name, constraint in whole.constraints.items() if old.name in constraint.columns
        },
    )
    yield from create_indexes(with_it)
    yield from (add_constraint(table, constraint) for constraint in with_it.constraints.values())
    yield from comments(with_it)
