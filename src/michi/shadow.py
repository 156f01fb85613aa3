"""Throw-away databases, on which migrations and models are tried: never left behind, and never the database of a person.

A shadow has a name that says so, and its owner holds an advisory lock made of that name in a session of its own. Whoever finds a
shadow whose lock nobody holds may drop it: its owner was killed, because the lock is taken before the database is made.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from michi.catalogue import Catalogue, read_catalogue
from michi.database import MAINTENANCE_DATABASES, Connection, Server, connect, open_connection
from michi.deploy_options import Options
from michi.errors import DatabaseAbsent, LockBusy, MichiError, Refused, ShadowFailed
from michi.events import EventName
from michi.folder import Folder, Migration
from michi.ledger import Origin
from michi.rollback import read_down, run_down
from michi.runner import deploy
from michi.settings import Target, parse_url, read_secret

NAME = re.compile(r"michi_shadow_[0-9a-f]{16}")
COMMENT = "A throw-away database of michi. It may be dropped when no michi runs."
# Its comment, and one thing that stands in it, where anything does.
IS_SHADOW = """
SELECT shobj_description((SELECT oid FROM pg_database WHERE datname = current_database()), 'pg_database'),
       (SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1 LIMIT 1)
"""
ORIGIN = Origin("shadow", None, None)
TURN_SECONDS = 60.0
TURN_PAUSE_SECONDS = 0.2
OPTIONS = Options(allow_out_of_order=True, allow_unfinished=True)


class Shadow:
    """An empty database to try things on. Everything in it is lost."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.schema = server.target.schema

    @property
    def connection(self) -> Connection:
        return self.server.connection

    def replay(self, folder: Folder) -> None:
        """Applies the migrations that it does not have yet, as a deploy does.

        Raises ShadowFailed with what a deploy would have said.
        """
        try:
            deploy(self.server, replace(folder, sum_lines=None), ORIGIN, OPTIONS, _silence)
        except MichiError as error:
            raise ShadowFailed(
                f"On a shadow database: {error.message}",
                "No other database was touched. " + error.remedy,
                **error.details,
            ) from None

    def take_back(self, migration: Migration) -> None:
        """Runs its down.sql, as a rollback does."""
        try:
            run_down(self.server, read_down(migration), ORIGIN, OPTIONS.lock_retry_seconds, _silence)
        except MichiError as error:
            raise ShadowFailed(f"On a shadow database: {error.message}", error.remedy, **error.details) from None

    def catalogue(self) -> Catalogue:
        return read_catalogue(self.connection, self.schema)

    def wipe(self) -> None:
        """Empties it: every schema that is not PostgreSQL's own, and the extensions."""
        row = self.connection.execute(
            "SELECT array_agg(nspname::text) FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
        ).fetchone()
        names = row[0] if row and isinstance(row[0], list) else []
        with self.connection.transaction():
            for name in names:
                self.connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))
            self.connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(self.schema)))


@contextmanager
def shadow_database(target: Target, environ: Mapping[str, str] = os.environ) -> Iterator[Shadow]:
    """A shadow of the server that holds `target`; gone afterwards whatever happens, an interrupt included.

    With SHADOW_DATABASE_URL set, that database is emptied and used. Raises Refused where it is the target itself, and where the
    role may not create databases.
    """
    if url := read_secret(environ, "SHADOW_DATABASE_URL"):
        with _given(parse_url(url, "SHADOW_DATABASE_URL"), target) as shadow:
            yield shadow
        return
    with _maintenance(target) as keeper:
        _drop_stale(keeper)
        name = f"michi_shadow_{secrets.token_hex(8)}"
        keeper.execute("SELECT pg_advisory_lock(%s)", (lock_key(name),))
        server: Server | None = None
        try:
            _create(keeper, name)
            server = connect(replace(target.with_database(name), source="the shadow database"))
            yield Shadow(server)
        finally:
            with _undisturbed():
                if server is not None:
                    server.connection.close()
                _drop(keeper, name)


@contextmanager
def _given(own: Target, target: Target) -> Iterator[Shadow]:
    """A database that was named for this. One run at a time has it."""
    server = connect(replace(own, schema=target.schema))
    with server.connection as connection:
        _refuse_target(server, target)
        _take_turn(server)
        shadow = Shadow(server)
        try:
            shadow.wipe()
            yield shadow
        finally:
            with _undisturbed(), suppress(psycopg.Error):
                if connection.info.transaction_status != TransactionStatus.IDLE:
                    connection.execute("ROLLBACK")
                shadow.wipe()


def _refuse_target(server: Server, target: Target) -> None:
    """A shadow is emptied: it must not be the database that is worked on, by whichever address, nor hold what is not michi's."""
    query = "SELECT current_database(), pg_postmaster_start_time(), inet_server_port()"
    where = server.connection.execute(query).fetchone()
    same = False
    with suppress(MichiError), open_connection(target) as other:
        same = other.execute(query).fetchone() == where
    if same:
        raise Refused(
            "SHADOW_DATABASE_URL is the database that is worked on, and a shadow is emptied.",
            "Name another database there, which holds nothing that is needed.",
        )
    row = server.connection.execute(IS_SHADOW).fetchone()
    marked, holds = row or (None, None)
    if marked != COMMENT and holds is not None:
        raise Refused(
            f"SHADOW_DATABASE_URL is {server.target.describe()}, which holds {holds}; a shadow is emptied, and michi has never used"
            " this one.",
            "Name an empty database there.",
        )
    with suppress(psycopg.errors.InsufficientPrivilege):
        _mark(server.connection, server.database)


def _mark(connection: Connection, name: str) -> None:
    connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(COMMENT)))


def _take_turn(server: Server) -> None:
    deadline = time.monotonic() + TURN_SECONDS
    while True:
        row = server.connection.execute("SELECT pg_try_advisory_lock(%s)", (lock_key("given"),)).fetchone()
        if row and row[0]:
            return
        if time.monotonic() > deadline:
            raise LockBusy(
                f"Another michi works on {server.target.describe()}.", "Wait for it, or give each a shadow of its own."
            )
        time.sleep(TURN_PAUSE_SECONDS)


@contextmanager
def _maintenance(target: Target) -> Iterator[Connection]:
    """A session beside the target: in it, or where it does not exist yet in a database that every server has."""
    missing: MichiError | None = None
    for name in (target.dbname, *MAINTENANCE_DATABASES):
        try:
            connection = open_connection(target.with_database(name))
        except DatabaseAbsent as error:
            missing = missing or error
            continue
        with connection:
            yield connection
        return
    assert missing is not None
    raise missing


def lock_key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"michi shadow:{name}".encode()).digest()[:8], "big", signed=True)


def _create(keeper: Connection, name: str) -> None:
    try:
        keeper.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    except psycopg.errors.InsufficientPrivilege:
        raise Refused(
            f"The role {keeper.info.user} may not create databases, and a shadow database is needed.",
            f'Set SHADOW_DATABASE_URL to a database that may be emptied, or as an administrator: ALTER ROLE "{keeper.info.user}"'
            " CREATEDB;",
        ) from None
    _mark(keeper, name)


def _drop(keeper: Connection, name: str) -> None:
    """A session that is gone cannot: the next run finds the shadow without its lock and drops it."""
    with suppress(psycopg.Error):
        keeper.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _drop_stale(keeper: Connection) -> None:
    """Shadows of this role whose owner is gone. Two runs may do it at once."""
    rows = keeper.execute(
        "SELECT datname::text FROM pg_database d WHERE datname LIKE 'michi\\_shadow\\_%'"
        " AND pg_has_role(d.datdba, 'MEMBER')"
    ).fetchall()
    for (name,) in rows:
        if isinstance(name, str) and NAME.fullmatch(name) and not _held(keeper, lock_key(name)):
            _drop(keeper, name)


def _held(keeper: Connection, key: int) -> bool:
    """Whether any session of the server, in whichever database, holds the lock."""
    row = keeper.execute(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
        " AND classid = %s AND objid = %s)",
        ((key >> 32) & 0xFFFFFFFF, key & 0xFFFFFFFF),
    ).fetchone()
    return bool(row and row[0])


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C does not stop the clean-up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _silence(_name: EventName, /, **_facts: object) -> None:
    """What happens on a shadow interests nobody until it fails."""
