"""What a schema holds, as plain values: the facts of PostgreSQL's catalogue. How two of them differ is in diff.py.

PostgreSQL itself writes every definition and expression (pg_get_constraintdef and its like), so what was typed in different
ways reads the same. michi's own tables and what belongs to extensions are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from michi import queries
from michi.database import Connection

CONSTRAINT_KINDS = {"p": "primary key", "u": "unique", "c": "check", "f": "foreign key", "x": "exclusion"}
IDENTITIES = {"a": "ALWAYS", "d": "BY DEFAULT"}
GENERATED = {"s": "STORED", "v": "VIRTUAL"}
SERIALS = {"smallint": "smallserial", "integer": "serial", "bigint": "bigserial"}
LARGEST = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}


@dataclass(frozen=True)
class Expression:
    """SQL as PostgreSQL's catalogue has it (`exact`, for comparing) and as a person would rather read it (`shown`)."""

    exact: str
    shown: str = field(compare=False)


@dataclass(frozen=True)
class Column:
    """`identity` is ALWAYS, BY DEFAULT or empty; `generated` is STORED, VIRTUAL or empty; then `default` is the expression.

    A serial column has neither default nor identity here: its sequence belongs to it. `uses` names the columns that a
    generated one is computed from, `sequence` the sequence of a serial or an identity, which nobody chose.
    """

    name: str
    type: str
    not_null: bool
    default: Expression | None
    generated: str
    identity: str
    identity_options: str
    serial: bool
    collation: str | None
    comment: str | None
    uses: frozenset[str] = frozenset()
    sequence: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Constraint:
    """`definition` is what follows its name. `valid` is False for what was added NOT VALID and never validated.

    `index` is, for primary keys and unique constraints, what follows ON in the definition of the index behind it.
    """

    name: str
    kind: str
    definition: Expression
    columns: frozenset[str]
    valid: bool
    comment: str | None
    references: str | None = None
    index: str | None = None


@dataclass(frozen=True)
class Index:
    """One that stands for no constraint. `definition` is what follows ON."""

    name: str
    unique: bool
    definition: Expression
    columns: frozenset[str]
    valid: bool
    comment: str | None


@dataclass(frozen=True)
class Table:
    """Columns in their order. `options` is what CREATE TABLE says after them; `partition_of` names the parent of a partition."""

    name: str
    columns: Mapping[str, Column]
    constraints: Mapping[str, Constraint]
    indexes: Mapping[str, Index]
    comment: str | None
    unlogged: bool = False
    options: str = ""
    partition_of: str | None = None
    bound: str = ""


@dataclass(frozen=True)
class Enum:
    name: str
    labels: tuple[str, ...]
    comment: str | None


@dataclass(frozen=True)
class Sequence:
    """One that is no identity's and no serial's."""

    name: str
    options: str
    owned_by: str | None
    comment: str | None


@dataclass(frozen=True)
class Other:
    """What models cannot say: functions, triggers, views and the like. `create` and `drop` are statements."""

    kind: str
    name: str
    create: str
    drop: str


@dataclass(frozen=True)
class Catalogue:
    """One schema. `others` is keyed by (kind, name)."""

    schema: str = "public"
    tables: Mapping[str, Table] = field(default_factory=dict)
    enums: Mapping[str, Enum] = field(default_factory=dict)
    sequences: Mapping[str, Sequence] = field(default_factory=dict)
    others: Mapping[tuple[str, str], Other] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        return not (self.tables or self.enums or self.sequences or self.others)


Rows = dict[Any, list[dict[str, Any]]]


def read_catalogue(connection: Connection, schema: str) -> Catalogue:
    """Reads the schema; what is in it is named without the schema, because the session's search path is set to it."""
    connection.execute(sql.SQL("SET search_path = {}").format(sql.Identifier(schema)))
    columns = _by_table(_rows(connection, queries.COLUMNS, schema))
    constraints = _by_table(_rows(connection, queries.CONSTRAINTS, schema))
    indexes = _by_table(_rows(connection, queries.INDEXES, schema))
    tables = [_table(row, columns, constraints, indexes) for row in _rows(connection, queries.TABLES, schema)]
    enums = _rows(connection, queries.ENUMS, schema)
    sequences = _rows(connection, queries.SEQUENCES, schema)
    others = [_other(row, schema) for row in _rows(connection, queries.OTHERS, schema)]
    return Catalogue(
        schema,
        {table.name: table for table in tables},
        {row["name"]: Enum(row["name"], tuple(row["labels"]), row["comment"]) for row in enums},
        {
            row["name"]: Sequence(row["name"], _sequence_options(row), row["owned_by"], row["comment"])
            for row in sequences
        },
        {(other.kind, other.name): other for other in others},
    )


def _rows(connection: Connection, query: str, schema: str) -> list[dict[str, Any]]:
    cursor = connection.execute(query.encode(), {"schema": schema})
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _by_table(rows: list[dict[str, Any]]) -> Rows:
    found: Rows = {}
    for row in rows:
        found.setdefault(row["table_oid"], []).append(row)
    return found


def _table(row: dict[str, Any], columns: Rows, constraints: Rows, indexes: Rows) -> Table:
    oid = row["oid"]
    options = f"PARTITION BY {row['partition_key']}" if row["partition_key"] else ""
    if row["storage"]:
        options = f"{options} WITH ({', '.join(row['storage'])})".strip()
    return Table(
        name=row["name"],
        columns={item["name"]: _column(item) for item in columns.get(oid, ())},
        constraints={item["name"]: _constraint(item) for item in constraints.get(oid, ())},
        indexes={item["name"]: _index(item) for item in indexes.get(oid, ())},
        comment=row["comment"],
        unlogged=row["persistence"] == "u",
        options=options,
        partition_of=row["parent"],
        bound=row["bound"] or "",
    )


def _column(row: dict[str, Any]) -> Column:
    serial = row["sequence"] is not None and not row["identity"]
    default = Expression(row["default"], row["default_shown"]) if row["default"] and not serial else None
    return Column(
        name=row["name"],
        type=row["type"],
        not_null=row["not_null"],
        default=default,
        generated=GENERATED.get(row["generated"], ""),
        identity=IDENTITIES.get(row["identity"], ""),
        identity_options=_sequence_options(row["sequence"]) if row["identity"] and row["sequence"] else "",
        serial=serial,
        collation=row["collation"],
        comment=row["comment"],
        uses=frozenset(row["uses"] or ()) - {row["name"]},
        sequence=row["sequence"]["name"] if row["sequence"] else None,
    )


def _constraint(row: dict[str, Any]) -> Constraint:
    exact, shown = (text.removesuffix(" NOT VALID") for text in (row["definition"], row["shown"]))
    return Constraint(
        name=row["name"],
        kind=CONSTRAINT_KINDS[row["kind"]],
        definition=Expression(exact, shown),
        columns=frozenset(row["columns"] or ()),
        valid=row["valid"],
        comment=row["comment"],
        references=row["references"],
        index=_after_name(row["index"], row["index_name"]) if row["index"] else None,
    )


def _index(row: dict[str, Any]) -> Index:
    return Index(
        name=row["name"],
        unique=row["unique"],
        definition=Expression(
            _after_name(row["definition"], row["quoted"]),
            _after_name(row["shown"], row["quoted"]).replace(" USING btree ", " ", 1),
        ),
        columns=frozenset(row["columns"] or ()),
        valid=row["valid"],
        comment=row["comment"],
    )


def _after_name(definition: str, quoted_name: str) -> str:
    """`t USING btree (a)` of `CREATE UNIQUE INDEX name ON t USING btree (a)`."""
    return definition.split(f"INDEX {quoted_name} ON ", 1)[1]


def _other(row: dict[str, Any], schema: str) -> Other:
    """A function's definition names its schema, and so would tie a script to it."""
    create = row["create"].rstrip("\n")
    if row["kind"] in {"function", "procedure"}:
        for name in (schema, '"' + schema.replace('"', '""') + '"'):
            create = create.replace(f"{row['kind'].upper()} {name}.", f"{row['kind'].upper()} ", 1)
    return Other(row["kind"], row["name"], create, row["drop"])


def _sequence_options(row: Mapping[str, Any]) -> str:
    """What a CREATE SEQUENCE would have to say, without what is the default."""
    increment, largest = row["increment"], LARGEST.get(row["data_type"], 2**63 - 1)
    lowest, highest = (1, largest) if increment > 0 else (-largest - 1, -1)
    start = row["minimum"] if increment > 0 else row["maximum"]
    said = [
        (f"AS {row['data_type']}", row["data_type"] != "bigint" and "owned_by" in row),
        (f"START WITH {row['start']}", row["start"] != start),
        (f"INCREMENT BY {increment}", increment != 1),
        (f"MINVALUE {row['minimum']}", row["minimum"] != lowest),
        (f"MAXVALUE {row['maximum']}", row["maximum"] != highest),
        (f"CACHE {row['cache']}", row["cache"] != 1),
        ("CYCLE", row["cycle"]),
    ]
    return " ".join(text for text, differs in said if differs)
