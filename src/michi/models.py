"""Finds the models, SQLAlchemy tables, and writes their DDL into a session. The only place where SQLAlchemy is imported.

SQLAlchemy only says what to create; PostgreSQL then tells in its own words what came of it (catalogue.py). Nothing here connects.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import psycopg
from psycopg import sql

from michi import queries
from michi.catalogue import Catalogue, Column, Constraint, Expression, Table, read_catalogue
from michi.database import Connection
from michi.ddl import quote
from michi.diff import Scope
from michi.errors import AuthoringMissing, ModelsInvalid

if TYPE_CHECKING:
    from sqlalchemy import MetaData

INSTALL = "pip install 'kotobamichi[authoring]'"


@dataclass(frozen=True)
class Models:
    """The desired schema. `where` is the `module:attribute` it was found at."""

    where: str
    metadata: MetaData


def load_models(where: str, here: Path) -> Models:
    """Imports `module:attribute`: a MetaData, or what has one as its `metadata`, such as a declarative base.

    `here` and its `src` are looked in as well. Raises AuthoringMissing without SQLAlchemy, ModelsInvalid, in one sentence, for
    what cannot be imported.
    """
    try:
        from sqlalchemy import MetaData  # noqa: PLC0415 -- only who has models has SQLAlchemy
    except ImportError:
        raise AuthoringMissing(
            "The models are SQLAlchemy tables, and SQLAlchemy is not installed.", f"Install it: {INSTALL}"
        ) from None
    module_name, _, attribute = where.partition(":")
    sys.path[:0] = [path for path in (str(here), str(here / "src")) if path not in sys.path]
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ModelsInvalid(
            f"The models {where} cannot be imported: {error}.", "Write the setting as module:attribute."
        ) from None
    found = getattr(module, attribute or "metadata", None)
    metadata = found if isinstance(found, MetaData) else getattr(found, "metadata", None)
    if not isinstance(metadata, MetaData):
        raise ModelsInvalid(
            f"{where} is neither a MetaData nor has one.",
            "Name the MetaData that holds the tables, as module:attribute.",
        )
    return Models(where, metadata)


@contextmanager
def models_created(connection: Connection, models: Models, schema: str) -> Iterator[Catalogue]:
    """The catalogue that the models make, in a transaction which is rolled back at the end: the tables are there until then.

    Functions, extensions and domains that stand in the schema stay, because a default or a check may use them.
    """
    with connection.transaction(force_rollback=True):
        _remove_tables(connection, schema, models)
        for statement in create_statements(models.metadata, schema):
            try:
                # With parameters, although there are none: SQLAlchemy has doubled the percent signs.
                connection.execute(statement.encode(), {})
            except psycopg.Error as error:
                raise ModelsInvalid(
                    f"PostgreSQL does not take what the models say: {error.diag.message_primary or error}.",
                    f"Mend {models.where}; it was about: {' '.join(statement.split())[:200]}",
                    statement=statement,
                ) from None
        yield _as_written(read_catalogue(connection, schema), models.metadata)


def _remove_tables(connection: Connection, schema: str, models: Models) -> None:
    """And everything else that models can say."""
    rows = connection.execute(
        queries.REMOVALS.encode(),
        {"schema": schema, "domains": _domain_names(models.metadata)},
    ).fetchall()
    connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    connection.execute(sql.SQL("SET LOCAL search_path = {}").format(sql.Identifier(schema)))
    for (statement,) in rows:
        connection.execute(str(statement).encode())


def _domain_names(metadata: MetaData) -> list[str]:
    from sqlalchemy.dialects.postgresql import DOMAIN  # noqa: PLC0415

    columns = (column for table in metadata.tables.values() for column in table.columns)
    return [str(column.type.name) for column in columns if isinstance(column.type, DOMAIN)]


def create_statements(metadata: MetaData, schema: str) -> list[str]:
    """The DDL of `create_all`. Raises ModelsInvalid for tables of another schema."""
    from sqlalchemy import create_mock_engine  # noqa: PLC0415
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    foreign = sorted({table.fullname for table in metadata.tables.values() if table.schema not in (None, schema)})
    if foreign:
        raise ModelsInvalid(
            f"{foreign[0]} is in another schema than the one that is migrated, {schema}.",
            "Leave the schema out of the model, or set it with ?schema= in the URL.",
        )
    statements: list[str] = []

    def record(element: Any, *_arguments: Any, **_options: Any) -> None:
        text = str(element.compile(dialect=engine.dialect)) if hasattr(element, "compile") else str(element)
        statements.append(text.replace(" INDEX CONCURRENTLY ", " INDEX ", 1).strip())

    engine = create_mock_engine("postgresql+psycopg://", record)
    try:
        metadata.create_all(engine, checkfirst=False)
    except SQLAlchemyError as error:
        raise ModelsInvalid(f"SQLAlchemy cannot write the tables: {error}.", "Mend the models.") from None
    return statements


def scope_of(models: Models, side: Literal["before", "after"]) -> Scope:
    """What can be compared with models that are this side."""
    return Scope(side, explicit_names(models), frozenset(map(quote, _domain_names(models.metadata))))


def explicit_names(models: Models) -> frozenset[tuple[str, str]]:
    """(table, name) of the constraints that the models name; the names of all others are PostgreSQL's choice."""
    return frozenset(
        (table.name, str(constraint.name))
        for table in models.metadata.tables.values()
        for constraint in _constraints(table)
        if constraint.name is not None and type(constraint.name).__name__ != "_NoneName"
    )


def _constraints(table: Any) -> Iterator[Any]:
    """Those of the table, and those that stand at one of its columns."""
    yield from table.constraints
    for column in table.columns:
        yield from column.constraints


# What a person wrote reads better than what PostgreSQL makes of it, and means the same.


def _as_written(catalogue: Catalogue, metadata: MetaData) -> Catalogue:
    tables = {table.name: table for table in metadata.tables.values()}
    return replace(
        catalogue,
        tables={
            name: _table_as_written(table, tables[name]) if name in tables else table
            for name, table in catalogue.tables.items()
        },
    )


def _table_as_written(table: Table, model: Any) -> Table:
    from sqlalchemy import CheckConstraint  # noqa: PLC0415

    checks = {str(c.name): c for c in _constraints(model) if isinstance(c, CheckConstraint) and c.name is not None}
    constraints: Mapping[str, Constraint] = {
        name: replace(c, definition=Expression(c.definition.exact, f"CHECK ({_text(checks[name].sqltext)})"))
        if name in checks and c.kind == "check" and "NO INHERIT" not in c.definition.exact
        else c
        for name, c in table.constraints.items()
    }
    columns: Mapping[str, Column] = {
        name: _column_as_written(column, model.columns.get(name)) for name, column in table.columns.items()
    }
    return replace(table, constraints=constraints, columns=columns)


def _column_as_written(column: Column, model: Any) -> Column:
    if column.default is None or model is None:
        return column
    if column.generated and model.computed is not None:
        return replace(column, default=Expression(column.default.exact, _text(model.computed.sqltext)))
    written = _default_text(model)
    return replace(column, default=Expression(column.default.exact, written)) if written else column


def _default_text(model: Any) -> str | None:
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415

    compiler = postgresql.dialect().ddl_compiler(postgresql.dialect(), None)  # type: ignore[no-untyped-call,arg-type]
    text = compiler.get_column_default_string(model)
    return text.replace("%%", "%") if isinstance(text, str) else None


def _text(clause: Any) -> str:
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415

    dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
    text = str(clause.compile(dialect=dialect, compile_kwargs={"literal_binds": True, "include_table": False}))
    return " ".join(text.split()) if "'" not in text else text.strip()
