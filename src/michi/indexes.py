"""What the catalogue says of an index that a statement builds or drops concurrently. When to ask is attempt.py's business."""

from __future__ import annotations

from psycopg import sql

from michi.database import Connection
from michi.sql import Statement


def validity(connection: Connection, schema: str, statement: Statement) -> bool | None:
    """True for a valid index, False for what a killed build left behind, None for none. `schema` is where unqualified names are."""
    row = connection.execute(
        "SELECT i.indisvalid AND i.indisready FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " WHERE c.relname = %(name)s AND c.relnamespace = to_regnamespace(quote_ident(%(schema)s))",
        {"name": statement.index_name, "schema": statement.schema or schema},
    ).fetchone()
    return bool(row[0]) if row else None


def drop_if_invalid(connection: Connection, schema: str, statement: Statement) -> bool:
    """Whether there was one to drop."""
    if validity(connection, schema, statement) is not False:
        return False
    name = sql.Identifier(statement.schema or schema, statement.index_name or "")
    connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(name))
    return True
