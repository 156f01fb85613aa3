"""The migrations as a whole: they make what the models say, and each can be taken back."""

from __future__ import annotations

from typing import Any

import psycopg
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, create_engine
from sqlalchemy.pool import NullPool

from kotobamichi import schema
from kotobamichi.settings import MIGRATIONS
from michi.folder import Migration, read_folder
from michi.sql import split
from tests.db.conftest import Connection

CATALOGUE = """
SELECT 'column', table_name, column_name, data_type, is_nullable FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT 'index', tablename, indexname, indexdef, '' FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), '' FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid), '' FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'function', proname, '', prosrc, '' FROM pg_proc WHERE pronamespace = 'public'::regnamespace
ORDER BY 1, 2, 3, 4
"""


def test_the_migrations_make_what_the_models_say(schema_url: str) -> None:
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(schema_url), poolclass=NullPool)

    def is_ours(name: str | None, kind: str, _parents: Any) -> bool:
        return not (kind == "table" and name is not None and name.startswith("_michi"))

    options = {"compare_type": True, "compare_server_default": True, "include_name": is_ours}
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, schema.metadata) == []


def test_checks_and_comments_of_the_models_are_those_of_the_database(connection: Connection) -> None:
    """What Alembic does not compare."""
    rows = connection.execute(
        "SELECT conname FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace"
        " AND conrelid <> '_michi_ledger'::regclass"
    ).fetchall()
    columns = [column for table in schema.metadata.tables.values() for column in table.columns]
    of_columns = {check.name for column in columns for check in column.constraints}
    of_tables = {
        check.name
        for table in schema.metadata.tables.values()
        for check in table.constraints
        if isinstance(check, CheckConstraint)
    }
    assert {name for (name,) in rows} == of_columns | of_tables
    comments = connection.execute(
        "SELECT attrelid::regclass::text, attname, col_description(attrelid, attnum) FROM pg_attribute"
        " WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r')"
        " AND attnum > 0 AND col_description(attrelid, attnum) IS NOT NULL"
    ).fetchall()
    assert set(comments) == {(column.table.name, column.name, column.comment) for column in columns if column.comment}


def test_every_migration_can_be_taken_back_and_applied_again(connection: Connection) -> None:
    before = connection.execute(CATALOGUE).fetchall()
    migrations = read_folder(MIGRATIONS).migrations
    for migration in reversed(migrations):
        run(connection, migration, "down.sql")
    left = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
    ).fetchall()
    assert left == [("_michi_ledger",)]
    for migration in migrations:
        run(connection, migration, "up.sql")
    assert connection.execute(CATALOGUE).fetchall() == before


def run(connection: Connection, migration: Migration, name: str) -> None:
    """One statement after the other, as what is concurrent needs it."""
    for statement in split(migration.files[name].decode(), migration.path / name):
        connection.execute(statement.text.encode())
