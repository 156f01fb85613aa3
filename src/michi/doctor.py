"""Looks at everything outside the migrations that could make a deploy fail or wait, and says what helps. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from michi.database import Connection, Server, connect
from michi.errors import MichiError, MigrationsPending
from michi.folder import read_folder
from michi.ledger import TABLE, read_ledger
from michi.lock import find_holder, lock_key
from michi.plan import compare
from michi.settings import Target

Level = Literal["ok", "warning", "failure"]

LONG_TRANSACTION_SECONDS = 60
LOCAL_HOSTS = ("", "localhost", "127.0.0.1", "::1")

PRIVILEGES = """
SELECT n.oid IS NOT NULL,
       n.oid IS NOT NULL AND has_schema_privilege(n.oid, 'USAGE'),
       n.oid IS NOT NULL AND has_schema_privilege(n.oid, 'CREATE'),
       has_database_privilege(current_database(), 'CREATE'),
       c.oid IS NOT NULL,
       c.oid IS NOT NULL AND has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
           AND has_table_privilege(c.oid, 'UPDATE')
FROM (SELECT %(schema)s::text AS name) asked
LEFT JOIN pg_namespace n ON n.nspname = asked.name
LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = %(ledger)s
"""
COLLATION = """
SELECT datcollversion, pg_database_collation_actual_version(oid) FROM pg_database WHERE datname = current_database()
"""
INVALID_INDEXES = """
SELECT n.nspname || '.' || c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT (i.indisvalid AND i.indisready) AND n.nspname = %s ORDER BY 1
"""
LONG_TRANSACTIONS = """
SELECT pid, coalesce(nullif(application_name, ''), 'no application name'), usename, state,
       extract(epoch FROM clock_timestamp() - xact_start)::int
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
  AND xact_start < clock_timestamp() - %s * interval '1 s'
ORDER BY xact_start
"""
PREPARED = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `remedy` is empty where all is well; `exit_code` is that of a failure."""

    subject: str
    level: Level
    message: str
    remedy: str = ""
    exit_code: int = 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def examine(target: Target, folder: Path) -> list[Finding]:
    """Everything that can be found out. A database that cannot be reached gives one finding, with the reason."""
    try:
        server = connect(target)
    except MichiError as error:
        return [Finding("connection", "failure", error.message, error.remedy, error.exit_code)]
    checks: tuple[Callable[[Server], Iterator[Finding]], ...] = (
        _connection, _tls, _role, _read_only, _collation, _invalid_indexes, _long_transactions, _deploy_lock,
    )  # fmt: skip
    with server.connection:
        findings = [finding for look in checks for finding in look(server)]
        return [*findings, _migrations(server, folder)]


def _connection(server: Server) -> Iterator[Finding]:
    version = f"{server.version // 10000}.{server.version % 10000}"
    yield Finding("connection", "ok", f"{server.target.describe()}, PostgreSQL {version}")
    row = server.connection.execute("SELECT pg_backend_pid()").fetchone()
    if row is not None and row[0] != server.connection.pgconn.backend_pid:
        yield Finding("pooler", "ok", "a pooler stands between, in session mode: michi can work through it")
    else:
        yield Finding("pooler", "ok", "none")


def _tls(server: Server) -> Iterator[Finding]:
    host = server.target.parameters.get("host") or ""
    if server.tls:
        yield Finding("TLS", "ok", "yes")
    elif host.startswith("/") or host in LOCAL_HOSTS:
        yield Finding("TLS", "ok", "no, and the server is on this machine")
    else:
        yield Finding(
            "TLS",
            "warning",
            "no: the password and all data travel in the clear",
            "Add ?sslmode=verify-full to the URL.",
        )


def _role(server: Server) -> Iterator[Finding]:
    schema, user = server.target.schema, server.user
    row = _row(server.connection, PRIVILEGES, {"schema": schema, "ledger": TABLE})
    exists, usage, create, create_schema, has_ledger, ledger_rights = row
    missing = []
    if not exists and not create_schema:
        missing.append(f'GRANT CREATE ON DATABASE "{server.database}" TO "{user}";')
    if exists and not (usage and create):
        missing.append(f'GRANT USAGE, CREATE ON SCHEMA "{schema}" TO "{user}";')
    if has_ledger and not ledger_rights:
        missing.append(f'GRANT SELECT, INSERT, UPDATE ON "{schema}".{TABLE} TO "{user}";')
    if missing:
        yield Finding("role", "failure", f"{user} lacks rights on the schema {schema}", " ".join(missing), 2)
    else:
        yield Finding("role", "ok", f"{user} may create tables in the schema {schema} and write the ledger")


def _read_only(server: Server) -> Iterator[Finding]:
    query = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'"
    standby, read_only = _row(server.connection, query, {})
    if standby or read_only:
        what = "is a standby" if standby else "takes no changes"
        yield Finding("server", "failure", f"the server {what}", "Deploy to the primary.", 6)


def _collation(server: Server) -> Iterator[Finding]:
    recorded, actual = _row(server.connection, COLLATION, {})
    if recorded is not None and recorded != actual:
        yield Finding(
            "collation",
            "warning",
            f"made with version {recorded} of its collation, the system has {actual}: indexes on text may be wrong",
            f'REINDEX DATABASE "{server.database}"; ALTER DATABASE "{server.database}" REFRESH COLLATION VERSION;',
        )
    else:
        yield Finding("collation", "ok", "as recorded")


def _invalid_indexes(server: Server) -> Iterator[Finding]:
    names = [str(row[0]) for row in server.connection.execute(INVALID_INDEXES, (server.target.schema,)).fetchall()]
    for name in names:
        yield Finding(
            "index",
            "warning",
            f"{name} is invalid: it is kept up to date and never used",
            f"If no deploy is building it: DROP INDEX CONCURRENTLY {name};",
        )
    if not names:
        yield Finding("indexes", "ok", "all valid")


def _long_transactions(server: Server) -> Iterator[Finding]:
    rows = server.connection.execute(LONG_TRANSACTIONS, (LONG_TRANSACTION_SECONDS,)).fetchall()
    for pid, application, user, state, seconds in rows:
        yield Finding(
            "transaction",
            "warning",
            f"pid {pid} ({application}, {user}) has been in a transaction for {seconds} s ({state}): DDL on its tables waits",
            f"SELECT pg_terminate_backend({pid}); would end it.",
        )
    for (gid,) in server.connection.execute(PREPARED).fetchall():
        yield Finding(
            "transaction", "warning", f"the prepared transaction {gid} holds its locks", f"ROLLBACK PREPARED '{gid}';"
        )
    if not rows:
        yield Finding("transactions", "ok", f"none older than {LONG_TRANSACTION_SECONDS} s")


def _deploy_lock(server: Server) -> Iterator[Finding]:
    holder = find_holder(server.connection, lock_key(server.target.schema))
    if holder is None:
        yield Finding("deploy lock", "ok", "free")
    else:
        yield Finding("deploy lock", "ok", f"held by pid {holder['pid']}, {holder['application']}: a deploy is running")


def _migrations(server: Server, path: Path) -> Finding:
    """How folder and ledger agree: what `status` says, in one line."""
    try:
        folder = read_folder(path)
        folder.check_sum()
        standing = compare(folder, read_ledger(server.connection, server.target.schema))
    except MichiError as error:
        return Finding("migrations", "failure", error.message, error.remedy, error.exit_code)
    if standing.exit_code in {0, MigrationsPending.exit_code}:
        return Finding("migrations", "ok", f"{standing.state.replace('_', ' ')}, {len(standing.pending)} pending")
    return Finding("migrations", "failure", standing.state.replace("_", " "), "See `michi status`.", standing.exit_code)


def _row(connection: Connection, query: str, parameters: dict[str, Any]) -> tuple[Any, ...]:
    row = connection.execute(query.encode(), parameters).fetchone()
    assert row is not None
    return row
