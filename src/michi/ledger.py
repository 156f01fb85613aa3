"""The history table: one row per attempt at a migration. Its own structure is versioned and upgraded here."""

from __future__ import annotations

import functools
import json
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

import psycopg
from psycopg import sql

from michi import settings
from michi.database import Connection
from michi.errors import DatabaseReadOnly, LedgerTooNew, PrivilegeMissing
from michi.folder import Migration

Verdict = Literal["applied", "undone", "partial", "baselined", "rolled_back"]

TABLE = "_michi_ledger"
VERSION = 1
COLUMNS = (
    "id", "migration", "checksum", "phase", "safe_from", "started_at", "finished_at", "duration_ms", "statements_total",
    "statements_done", "verdict", "error", "applied_by", "host", "app_version", "app_name",
)  # fmt: skip

CREATE = """
CREATE TABLE {table} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    migration text NOT NULL,
    checksum text NOT NULL,
    phase text NOT NULL CHECK (phase IN ('expand', 'contract')),
    safe_from text,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    duration_ms bigint,
    statements_total integer NOT NULL,
    statements_done integer NOT NULL,
    verdict text NOT NULL CHECK (verdict IN ('applied', 'undone', 'partial', 'baselined', 'rolled_back')),
    error jsonb,
    applied_by text NOT NULL DEFAULT session_user,
    host text,
    app_version text,
    app_name text
)
"""
EXISTS = "SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s"
# What stands in a schema that michi did not make: relations, types and functions that belong to no extension.
FOREIGN_OBJECTS = """
WITH here AS (SELECT oid FROM pg_namespace WHERE nspname = %(schema)s),
extension_members AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e')
SELECT kind, name FROM (
    SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence'
             ELSE 'table' END AS kind,
           c.relname::text AS name, 'pg_class'::regclass AS class, c.oid
    FROM pg_class c JOIN here ON c.relnamespace = here.oid
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relname <> %(ledger)s
      AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i'))
    UNION ALL
    SELECT 'type', t.typname::text, 'pg_type'::regclass, t.oid FROM pg_type t JOIN here ON t.typnamespace = here.oid
    WHERE t.typtype IN ('e', 'd', 'r')
       OR (t.typtype = 'c' AND EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
    UNION ALL
    SELECT 'function', p.proname::text, 'pg_proc'::regclass, p.oid FROM pg_proc p JOIN here ON p.pronamespace = here.oid
) objects
WHERE NOT EXISTS (SELECT FROM extension_members e WHERE e.classid = objects.class AND e.objid = objects.oid)
ORDER BY kind, name
"""


class Attempt(NamedTuple):
    """One row of the ledger: one attempt at one migration. A tuple, because a deploy makes one of every row."""

    id: int
    migration: str
    checksum: str
    phase: str
    safe_from: str | None
    started_at: datetime
    finished_at: datetime | None
    duration_ms: int | None
    statements_total: int
    statements_done: int
    verdict: Verdict
    error: dict[str, Any] | None
    applied_by: str
    host: str | None
    app_version: str | None
    app_name: str | None

    def as_dict(self) -> dict[str, Any]:
        times = {
            key: value.isoformat() if value else None
            for key in ("started_at", "finished_at")
            for value in (getattr(self, key),)
        }
        return self._asdict() | times


@dataclass(frozen=True)
class Ledger:
    """All attempts, oldest first. `exists` is False where michi has never deployed to the schema."""

    exists: bool
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True)
class Origin:
    """Who applies: written into every row so that a person can ask later. A deploy in production marks the database."""

    host: str
    app_version: str | None
    app_name: str | None
    production: bool = False

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Origin:
        names = (environ.get("MICHI_APP_VERSION"), environ.get("MICHI_APP_NAME"))
        return cls(socket.gethostname(), *names, production=settings.is_production(environ))


def table(schema: str) -> sql.Identifier:
    return sql.Identifier(schema, TABLE)


def select_attempts(schema: str) -> sql.Composed:
    """The statement behind `read_ledger`, for callers with a connection of another kind."""
    return sql.SQL("SELECT {} FROM {} ORDER BY id").format(
        sql.SQL(", ").join(map(sql.Identifier, COLUMNS)), table(schema)
    )


def attempts_from_rows(rows: Iterable[tuple[Any, ...]]) -> tuple[Attempt, ...]:
    return tuple(Attempt(*row) for row in rows)


def read_ledger(connection: Connection, schema: str) -> Ledger:
    """Raises PrivilegeMissing where the role may not read it."""
    try:
        # Asked first: reading a table that is not there would leave an error in the server's log, once for every `wait`.
        if connection.execute(EXISTS, (schema, TABLE)).fetchone() is None:
            return Ledger(False)
        return Ledger(True, attempts_from_rows(connection.execute(select_attempts(schema)).fetchall()))
    except psycopg.errors.InsufficientPrivilege:
        raise PrivilegeMissing(
            f"The role {connection.info.user} may not read {schema}.{TABLE}.",
            f'As its owner: GRANT USAGE ON SCHEMA "{schema}" TO "{connection.info.user}"; '
            f'GRANT SELECT ON "{schema}".{TABLE} TO "{connection.info.user}";',
        ) from None


def prepare_ledger(connection: Connection, schema: str) -> None:
    """Creates schema and ledger where absent, under the deploy lock. PrivilegeMissing holds the GRANT that helps."""
    user, database = connection.info.user, connection.info.dbname
    try:
        found = connection.execute("SELECT to_regnamespace(quote_ident(%s)) IS NOT NULL", (schema,)).fetchone()
        if not (found and found[0]):
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        with connection.transaction():
            connection.execute(sql.SQL(CREATE).format(table=table(schema)))
            connection.execute(
                sql.SQL("COMMENT ON TABLE {} IS {}").format(
                    table(schema), sql.Literal(json.dumps({"michi_ledger": VERSION}))
                )
            )
    except psycopg.errors.ReadOnlySqlTransaction:
        raise DatabaseReadOnly("The server takes no changes.", "Deploy to the primary.") from None
    except psycopg.errors.InsufficientPrivilege:
        raise PrivilegeMissing(
            f"The role {user} may not create tables in the schema {schema} of {database}.",
            f'As its owner: GRANT USAGE, CREATE ON SCHEMA "{schema}" TO "{user}"; '
            f'where the schema does not exist yet: GRANT CREATE ON DATABASE "{database}" TO "{user}";',
        ) from None


def check_writable(connection: Connection, schema: str) -> None:
    """Raises DatabaseReadOnly on a standby, PrivilegeMissing where the role may read the ledger but not write it."""
    name, user = table(schema).as_string(connection), connection.info.user
    row = connection.execute(
        "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on',"
        " has_table_privilege(%(name)s, 'INSERT') AND has_table_privilege(%(name)s, 'UPDATE')",
        {"name": name},
    ).fetchone()
    standby, read_only, writable = row or (False, False, True)
    if standby or read_only:
        kind = "is a standby" if standby else "takes no changes (default_transaction_read_only)"
        raise DatabaseReadOnly(f"The server {kind}.", "Deploy to the primary.")
    if not writable:
        raise PrivilegeMissing(
            f"The role {user} may read {schema}.{TABLE} but not write it.",
            f'As its owner: GRANT INSERT, UPDATE ON {name} TO "{user}";',
        )


def check_version(connection: Connection, schema: str) -> None:
    """Raises LedgerTooNew where a later michi has changed the ledger's structure."""
    name = table(schema).as_string(connection)
    row = connection.execute("SELECT obj_description(to_regclass(%s), 'pg_class')", (name,)).fetchone()
    try:
        version = int(json.loads(str(row[0]))["michi_ledger"]) if row and row[0] else VERSION
    except (ValueError, KeyError, TypeError):
        return  # somebody's own comment; the columns decide
    if version > VERSION:
        raise LedgerTooNew(
            f"The ledger has version {version}; this michi knows {VERSION}.",
            "Use the michi that last deployed, or a newer one.",
        )


def is_production(connection: Connection, schema: str) -> bool:
    """Whether the database was marked as production: `reset` and `dev` leave it alone."""
    return bool(_read_comment(connection, schema).get("production"))


def mark_production(connection: Connection, schema: str, *, production: bool = True) -> bool:
    """Marks the database, or takes the mark away; says whether that changed anything. The ledger's comment holds the mark.

    Raises PrivilegeMissing where the role does not own the ledger.
    """
    facts = _read_comment(connection, schema)
    if bool(facts.get("production")) == production:
        return False
    kept = {"michi_ledger": VERSION, **{key: value for key, value in facts.items() if key != "production"}}
    text = json.dumps(kept | ({"production": True} if production else {}))
    try:
        connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(table(schema), sql.Literal(text)))
    except psycopg.errors.InsufficientPrivilege:
        raise PrivilegeMissing(
            f"The role {connection.info.user} does not own {schema}.{TABLE}, so it cannot mark it.",
            "Use the owner's role.",
        ) from None
    return True


def _read_comment(connection: Connection, schema: str) -> dict[str, Any]:
    """What the ledger's comment says; nothing where there is no ledger, or somebody's own comment stands there."""
    name = table(schema).as_string(connection)
    row = connection.execute("SELECT obj_description(to_regclass(%s), 'pg_class')", (name,)).fetchone()
    try:
        facts = json.loads(str(row[0])) if row and row[0] else {}
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def list_foreign_objects(connection: Connection, schema: str) -> list[tuple[str, str]]:
    """(kind, name) of what stands in the schema though michi has never deployed there."""
    rows = connection.execute(FOREIGN_OBJECTS, {"schema": schema, "ledger": TABLE}).fetchall()
    return [(str(kind), str(name)) for kind, name in rows]


def insert_attempt(  # noqa: PLR0913 -- the columns of a row, by name
    connection: Connection,
    schema: str,
    migration: Migration,
    origin: Origin,
    *,
    verdict: Verdict,
    total: int,
    done: int,
    duration_ms: int | None = None,
    error: Mapping[str, Any] | None = None,
) -> int:
    """Writes one row, in the caller's transaction, and gives its id. `duration_ms` None means that it goes on.

    The time since the transaction began is added to `duration_ms`.
    """
    values = attempt_values(
        migration, origin, verdict=verdict, total=total, done=done, duration_ms=duration_ms, error=error
    )
    row = psycopg.RawCursor(connection).execute(insert_statement(schema), values).fetchone()
    assert row is not None
    assert isinstance(row[0], int)
    return row[0]


def attempt_values(
    migration: Migration,
    origin: Origin,
    *,
    verdict: Verdict,
    total: int,
    done: int,
    duration_ms: int | None = None,
    error: Mapping[str, Any] | None = None,
) -> list[str | None]:
    """What insert_statement takes as `$1`, `$2`, ..., as text."""
    directives = migration.directives
    return [
        migration.name, migration.checksum, directives.phase, directives.safe_from,
        str(duration_ms) if duration_ms is not None else None, str(total), str(done), verdict,
        json.dumps(error) if error is not None else None, origin.host, origin.app_version, origin.app_name,
    ]  # fmt: skip


@functools.cache
def insert_statement(schema: str) -> bytes:
    """Composed once: a deploy of a thousand migrations writes a thousand rows."""
    composed = sql.SQL(
        "INSERT INTO {} (migration, checksum, phase, safe_from, started_at, finished_at, duration_ms,"
        " statements_total, statements_done, verdict, error, host, app_version, app_name)"
        " VALUES ($1, $2, $3, $4, now() - coalesce($5::bigint, 0) * interval '1 ms',"
        " CASE WHEN $5::bigint IS NOT NULL THEN clock_timestamp() END,"
        " $5::bigint + round(1000 * extract(epoch FROM clock_timestamp() - now())),"
        " $6, $7, $8, $9::jsonb, $10, $11, $12) RETURNING id"
    )
    return composed.format(table(schema)).as_bytes(None)


def update_attempt(
    connection: Connection,
    schema: str,
    attempt_id: int,
    *,
    done: int,
    verdict: Verdict = "partial",
    error: Mapping[str, Any] | None = None,
    duration_ms: int | None = None,
) -> None:
    """Moves a running attempt on: after each statement of a non-transactional migration, and at its end."""
    connection.execute(
        sql.SQL(
            "UPDATE {} SET statements_done = %(done)s, verdict = %(verdict)s, error = %(error)s::jsonb,"
            " duration_ms = %(duration)s::bigint,"
            " finished_at = CASE WHEN %(duration)s::bigint IS NULL THEN NULL ELSE clock_timestamp() END WHERE id = %(id)s"
        ).format(table(schema)),
        {
            "done": done,
            "verdict": verdict,
            "error": json.dumps(error) if error is not None else None,
            "duration": duration_ms,
            "id": attempt_id,
        },
    )


def close_attempt(connection: Connection, schema: str, attempt_id: int) -> None:
    """An attempt that was left running has an end: somebody else has settled it."""
    connection.execute(
        sql.SQL("UPDATE {} SET finished_at = clock_timestamp() WHERE id = %s AND finished_at IS NULL").format(
            table(schema)
        ),
        (attempt_id,),
    )


def copy_attempt(
    connection: Connection, schema: str, attempt_id: int, origin: Origin, verdict: Verdict, note: str
) -> None:
    """A new row about the migration of another row, which may no longer be in the folder."""
    connection.execute(
        sql.SQL(
            "INSERT INTO {0} (migration, checksum, phase, safe_from, finished_at, duration_ms, statements_total,"
            " statements_done, verdict, error, host, app_version, app_name)"
            " SELECT migration, checksum, phase, safe_from, clock_timestamp(), 0, 0, 0, %(verdict)s,"
            " %(error)s::jsonb, %(host)s, %(app_version)s, %(app_name)s FROM {0} WHERE id = %(id)s"
        ).format(table(schema)),
        {
            "verdict": verdict,
            "error": json.dumps({"note": note}),
            "host": origin.host,
            "app_version": origin.app_version,
            "app_name": origin.app_name,
            "id": attempt_id,
        },
    )
