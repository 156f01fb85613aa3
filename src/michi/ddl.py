"""Objects of a catalogue as SQL that a person would write. What has to be done to get from one to another is in steps.py."""

from __future__ import annotations

import re
from collections.abc import Container

from michi.catalogue import SERIALS, Column, Constraint, Enum, Index, Sequence, Table

PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*")
SHORT_TYPES = (
    (re.compile(r"\btimestamp(\(\d\))? with time zone"), r"timestamptz\1"),
    (re.compile(r"\btimestamp(\(\d\))? without time zone"), r"timestamp\1"),
    (re.compile(r"\btime(\(\d\))? with time zone"), r"timetz\1"),
    (re.compile(r"\btime(\(\d\))? without time zone"), r"time\1"),
    (re.compile(r"\bcharacter varying"), "varchar"),
)
FOREIGN_KEY = re.compile(r"FOREIGN KEY \([^)]*\) (REFERENCES .*)", re.DOTALL)
TARGET = re.compile(r"(REFERENCES (?:\"[^\"]*\"|[^\s(\"])+)\(")
LONGEST_NAME_BYTES = 63
WIDEST_LINE = 120


def quote(name: str) -> str:
    """The name as PostgreSQL's quote_ident writes it."""
    from pglast.keywords import COL_NAME_KEYWORDS, RESERVED_KEYWORDS, TYPE_FUNC_NAME_KEYWORDS  # noqa: PLC0415 -- see sql.py

    keyword = name in RESERVED_KEYWORDS or name in COL_NAME_KEYWORDS or name in TYPE_FUNC_NAME_KEYWORDS
    return name if PLAIN_NAME.fullmatch(name) and not keyword else '"' + name.replace('"', '""') + '"'


def literal(text: str | None) -> str:
    return "NULL" if text is None else "'" + text.replace("'", "''") + "'"


def short_type(name: str) -> str:
    """`timestamptz(3)` for `timestamp(3) with time zone`."""
    for pattern, replacement in SHORT_TYPES:
        name = pattern.sub(replacement, name)
    return name


def invented_name(*parts: str) -> str:
    """A name made of others, no longer than PostgreSQL keeps."""
    *front, last = parts
    kept = "_".join(front).encode()[: LONGEST_NAME_BYTES - len(last.encode()) - 1].decode(errors="ignore")
    return f"{kept}_{last}"


# Columns


def column_definition(column: Column, *, inline: str = "", nullable: bool = False, default: bool = True) -> str:
    """`name type NOT NULL DEFAULT ...`. `nullable` and `default` leave out what an existing table gets later."""
    parts = [quote(column.name), column_type(column)]
    if column.not_null and not nullable and not column.serial and "PRIMARY KEY" not in inline and not column.identity:
        parts.append("NOT NULL")
    if column.generated and column.default is not None:
        parts.append(f"GENERATED ALWAYS AS ({column.default.shown}) {column.generated}")
    elif column.identity:
        parts.append(identity(column))
    elif column.default is not None and default:
        parts.append(f"DEFAULT {column.default.shown}")
    return " ".join([*parts, *filter(None, [inline])])


def column_type(column: Column) -> str:
    """With its collation. A serial is written as one."""
    if column.serial:
        return SERIALS.get(column.type, "serial")
    return short_type(column.type) + (f" COLLATE {quote(column.collation)}" if column.collation else "")


def identity(column: Column) -> str:
    options = f" ({column.identity_options})" if column.identity_options else ""
    return f"GENERATED {column.identity} AS IDENTITY{options}"


# Tables


def create_table(table: Table, known: Container[str]) -> list[str]:
    """CREATE TABLE with all constraints whose tables are known, its indexes and comments."""
    return [create_table_alone(table, known), *create_indexes(table), *comments(table)]


def create_table_alone(table: Table, known: Container[str]) -> str:
    kind = "UNLOGGED TABLE" if table.unlogged else "TABLE"
    if table.partition_of:
        return (
            f"CREATE {kind} {quote(table.name)} PARTITION OF {quote(table.partition_of)} {table.bound}{_options(table)}"
        )
    here = [
        c
        for c in table.constraints.values()
        if c.references is None or c.references == table.name or c.references in known
    ]
    inline = _inline(table, here)
    lines = [
        column_definition(column, inline=" ".join(_inlined(item) for item in inline.get(name, ())))
        for name, column in table.columns.items()
    ]
    written = {item.name for items in inline.values() for item in items}
    lines += [f"CONSTRAINT {quote(c.name)} {constraint_text(c)}" for c in here if c.name not in written]
    body = ",\n".join(f"    {line}" for line in lines)
    return (
        f"CREATE {kind} {quote(table.name)} (\n{body}\n){_options(table)}"
        if lines
        else f"CREATE {kind} {quote(table.name)} ()"
    )


def _options(table: Table) -> str:
    return f" {table.options}" if table.options else ""


def _inline(table: Table, constraints: list[Constraint]) -> dict[str, list[Constraint]]:
    """By column, those that a person would write beside it: of one column, under the name PostgreSQL would choose."""
    endings = {"check": "check", "unique": "key", "foreign key": "fkey"}
    found: dict[str, list[Constraint]] = {}
    for constraint in constraints:
        names = [f"{table.name}_pkey"] if constraint.kind == "primary key" else []
        if len(constraint.columns) == 1 and constraint.comment is None:
            (column,) = constraint.columns
            names += [f"{table.name}_{column}_{endings[constraint.kind]}"] if constraint.kind in endings else []
            plain = _inlined(constraint) != "" and " INCLUDE " not in constraint.definition.exact
            if constraint.name in names and len(constraint.name.encode()) < LONGEST_NAME_BYTES and plain:
                found.setdefault(column, []).append(constraint)
    return found


def _inlined(constraint: Constraint) -> str:
    """At a column its name need not be said again; empty where that cannot be written."""
    text = constraint_text(constraint)
    if constraint.kind == "check":
        return text
    if constraint.kind == "foreign key":
        match = FOREIGN_KEY.fullmatch(text)
        return match[1] if match else ""
    return re.sub(r" \([^)]*\)", "", text, count=1)


def constraint_text(constraint: Constraint) -> str:
    return TARGET.sub(r"\1 (", constraint.definition.shown)


def add_constraint(table: str, constraint: Constraint, *, ending: str = "") -> str:
    return f"ALTER TABLE {quote(table)} ADD CONSTRAINT {quote(constraint.name)} {constraint_text(constraint)}{ending}"


def drop_constraint(table: str, constraint: Constraint) -> str:
    return f"ALTER TABLE {quote(table)} DROP CONSTRAINT {quote(constraint.name)}"


def create_indexes(table: Table) -> list[str]:
    return [create_index(index) for index in table.indexes.values()]


def create_index(index: Index, *, name: str | None = None, concurrently: bool = False) -> str:
    unique, how = "UNIQUE " if index.unique else "", "CONCURRENTLY " if concurrently else ""
    return f"CREATE {unique}INDEX {how}{quote(name or index.name)} ON {index.definition.shown}"


# Comments, types, sequences


def comment_on(kind: str, name: str, text: str | None) -> str:
    return f"COMMENT ON {kind} {name} IS {literal(text)}"


def comments(table: Table) -> list[str]:
    """Of the table and of all that is in it."""
    name = quote(table.name)
    return [
        *([comment_on("TABLE", name, table.comment)] if table.comment else []),
        *(comment_on("COLUMN", f"{name}.{quote(c.name)}", c.comment) for c in table.columns.values() if c.comment),
        *(
            comment_on("CONSTRAINT", f"{quote(c.name)} ON {name}", c.comment)
            for c in table.constraints.values()
            if c.comment
        ),
        *(comment_on("INDEX", quote(i.name), i.comment) for i in table.indexes.values() if i.comment),
    ]


def create_enum(enum: Enum) -> list[str]:
    labels = ", ".join(map(literal, enum.labels))
    statement = f"CREATE TYPE {quote(enum.name)} AS ENUM ({labels})"
    if len(statement) > WIDEST_LINE:
        lines = ",\n".join(f"    {literal(label)}" for label in enum.labels)
        statement = f"CREATE TYPE {quote(enum.name)} AS ENUM (\n{lines}\n)"
    return [statement, *([comment_on("TYPE", quote(enum.name), enum.comment)] if enum.comment else [])]


def create_sequence(sequence: Sequence) -> list[str]:
    statement = f"CREATE SEQUENCE {quote(sequence.name)} {sequence.options}".strip()
    owned = [f"ALTER SEQUENCE {quote(sequence.name)} OWNED BY {sequence.owned_by}"] if sequence.owned_by else []
    commented = [comment_on("SEQUENCE", quote(sequence.name), sequence.comment)] if sequence.comment else []
    return [statement, *owned, *commented]
