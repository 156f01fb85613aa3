"""Connecting: waiting for the server, creating the database, session settings, telling a pooler. No migrations here."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from psycopg import sql

from michi import __version__
from michi.errors import (
    ConnectionLost,
    CredentialsRejected,
    DatabaseAbsent,
    DatabaseUnreachable,
    MichiError,
    PoolerDetected,
    PrivilegeMissing,
)
from michi.settings import Target

Connection = psycopg.Connection[tuple[object, ...]]

CONNECT_TIMEOUT_SECONDS = 5
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
OLDEST_SERVER = 150000
MAINTENANCE_DATABASES = ("postgres", "template1")


@dataclass(frozen=True)
class Server:
    """What was learnt on connecting. `version` is PostgreSQL's number, 180003 for 18.3."""

    connection: Connection
    target: Target
    version: int
    user: str
    database: str
    tls: bool

    def describe(self) -> str:
        """`user@host:port/db (schema s, TLS yes|no)`; never a URL, never a password."""
        return f"{self.target.describe()} (schema {self.target.schema}, TLS {'yes' if self.tls else 'no'})"


def connect(
    target: Target,
    *,
    wait_seconds: float = 0.0,
    create: bool = False,
    on_wait: Callable[[MichiError, float], None] = lambda _error, _left: None,
    on_create: Callable[[str], None] = lambda _database: None,
) -> Server:
    """A session in autocommit with michi's settings.

    Waits up to `wait_seconds` for a server that is not there yet; a wrong password or a refused TLS is raised at once.
    With `create`, an absent database is created. Raises CredentialsRejected, DatabaseUnreachable, DatabaseAbsent,
    PoolerDetected.
    """
    deadline = time.monotonic() + wait_seconds
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            return _open_session(target)
        except DatabaseAbsent:
            if not create:
                raise
            _create_database(target)
            on_create(target.dbname)
        except DatabaseUnreachable as error:
            left = deadline - time.monotonic()
            if left <= 0:
                raise
            on_wait(error, left)
            time.sleep(min(pause * random.uniform(0.5, 1.5), left))  # noqa: S311 -- jitter, not a secret
            pause = min(pause * 1.6, LONGEST_PAUSE_SECONDS)


def _open_session(target: Target) -> Server:
    connection = open_connection(target)
    try:
        row = connection.execute(
            "SELECT pg_backend_pid(), current_setting('server_version_num')::int, session_user::text,"
            " current_database()::text"
        ).fetchone()
        assert row is not None
        pid, version, user, database = row
        assert isinstance(pid, int)
        assert isinstance(version, int)
        if pid != connection.pgconn.backend_pid:
            _refuse_transaction_pooler(target, connection, pid)
        if version < OLDEST_SERVER:
            raise PrivilegeMissing(
                f"{target.describe()} runs PostgreSQL {version // 10000}; michi needs 15 or newer.",
                "Upgrade the server.",
            )
        connection.execute(session_settings(target.schema))
    except psycopg.OperationalError as error:  # the login was right, so whatever ended the session may pass
        connection.close()
        raise _gone(error, target) from None
    except MichiError:
        connection.close()
        raise
    return Server(connection, target, version, str(user), str(database), bool(connection.pgconn.ssl_in_use))


def open_connection(target: Target) -> Connection:
    """A bare autocommit connection, its failure told as one of michi's errors."""
    parameters = {"connect_timeout": str(CONNECT_TIMEOUT_SECONDS), **target.parameters}
    # Migrations are sent as UTF-8, whatever the encoding of the database or PGCLIENTENCODING; the server converts.
    parameters |= {"application_name": f"michi/{__version__}", "client_encoding": "UTF8"}
    try:
        return psycopg.connect("", autocommit=True, prepare_threshold=None, **parameters)  # type: ignore[arg-type]
    except psycopg.ProgrammingError:
        raise CredentialsRejected(
            f"The connection settings in {target.source or 'the target'} are not valid for libpq.",
            "Check the port, sslmode and other parameters.",
        ) from None
    except psycopg.OperationalError as error:
        from michi.refusals import explain_refusal  # noqa: PLC0415 -- what a connection that succeeds need not import

        raise explain_refusal(error, target, parameters) from None


@functools.cache
def session_settings(schema: str) -> bytes:
    """Plain SET, because a pooler rejects start-up options. The server ends an orphaned statement within a second."""
    composed = sql.SQL(
        "SET client_connection_check_interval = '1s'; SET idle_in_transaction_session_timeout = 0; "
        "SET lock_timeout = '3s'; SET statement_timeout = 0; SET client_min_messages = warning; "
        "SET search_path = {schema}"
    )
    return composed.format(schema=sql.Identifier(schema)).as_bytes(None)


def _refuse_transaction_pooler(target: Target, connection: Connection, pid: int) -> None:
    """The backend's pid is not the one announced at connecting, so a pooler stands between: in which mode?

    In session mode this session keeps its backend. In transaction mode an idle session holds none: a second session is
    given the same backend, or the first one finds itself on another while the second is inside a transaction.
    """
    with open_connection(target) as second:
        second.execute("BEGIN")
        other = second.execute("SELECT pg_backend_pid()").fetchone()
        moved = other is not None and other[0] == pid
        if not moved:
            again = connection.execute("SELECT pg_backend_pid()").fetchone()
            moved = again is not None and again[0] != pid
        second.execute("ROLLBACK")
    if moved:
        raise PoolerDetected(
            f"{target.describe()} is a connection pooler in transaction mode, where a session's lock does not hold.",
            "Use the address of PostgreSQL itself, or of a pooler in session mode; MIGRATION_DATABASE_URL counts for michi alone.",
        )


def _create_database(target: Target) -> None:
    denied: Exception | None = None
    for name in MAINTENANCE_DATABASES:
        try:
            with open_connection(target.with_database(name)) as connection:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(target.dbname)))
            return
        except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            return  # another deploy was faster
        except psycopg.errors.InsufficientPrivilege as error:
            denied = error
            break
        except (DatabaseAbsent, CredentialsRejected, psycopg.errors.ObjectInUse) as error:
            denied = error
        except psycopg.OperationalError as error:
            raise _gone(error, target) from None
    raise DatabaseAbsent(
        f"The database {target.dbname} does not exist and this role may not create it.",
        f'As an administrator: CREATE DATABASE "{target.dbname}" OWNER "{target.parameters.get("user", "")}";',
    ) from denied


def _gone(error: psycopg.Error, target: Target) -> DatabaseUnreachable:
    """A session that was cut before any work began: a wait may go on."""
    from michi.refusals import said  # noqa: PLC0415 -- see open_connection

    return DatabaseUnreachable(
        f"{target.describe()} ended the session: {said(str(error), target)[0]}", "Check that PostgreSQL stays up."
    )


def connection_lost(error: psycopg.Error, server: Server) -> ConnectionLost:
    """For a session that died while michi worked on it."""
    from michi.refusals import said  # noqa: PLC0415 -- see open_connection

    return ConnectionLost(
        f"The connection to {server.target.describe()} was lost: {said(str(error), server.target)[0]}",
        "What was not committed is undone. Run it again: a deploy goes on where this one stopped.",
    )
