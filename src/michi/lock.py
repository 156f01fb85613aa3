"""The deploy lock: an advisory lock per database and schema, taken by polling, and who holds it."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from michi.database import Connection, Server
from michi.errors import LockBusy, PoolerDetected
from michi.events import Emit

POLL_SECONDS = 0.2
REMIND_SECONDS = 5.0

# A bigint advisory key is shown by pg_locks as its two halves, with objsubid 1.
HOLDER = """
SELECT a.pid, coalesce(nullif(a.application_name, ''), 'no application name'), coalesce(host(a.client_addr), 'local'), a.usename,
       extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, a.state_change, a.backend_start))::int,
       left(a.query, 200)
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.classid = %s AND l.objid = %s
"""


def lock_key(schema: str) -> int:
    """One key per schema, so that two schemas of a database do not wait for each other."""
    return int.from_bytes(hashlib.sha256(f"michi:{schema}".encode()).digest()[:8], "big", signed=True)


@contextmanager
def deploy_lock(server: Server, timeout_seconds: float, emit: Emit) -> Iterator[None]:
    """Holds the deploy lock. Raises LockBusy, naming the holder, when it is not free within `timeout_seconds`.

    Polls: a blocking pg_advisory_lock keeps a snapshot for which the holder's CREATE INDEX CONCURRENTLY would wait for
    ever.
    """
    connection, key = server.connection, lock_key(server.target.schema)
    deadline = time.monotonic() + timeout_seconds
    reminded = float("-inf")
    while not _try_lock(connection, key):
        now = time.monotonic()
        if now >= deadline:
            raise _busy(server, key, timeout_seconds)
        if now - reminded >= REMIND_SECONDS:
            reminded = now
            emit("waiting_for_lock", holder=find_holder(connection, key), seconds_left=round(deadline - now, 1))
        time.sleep(min(POLL_SECONDS * random.uniform(0.5, 1.5), deadline - now))  # noqa: S311 -- jitter, not a secret
    try:
        _refuse_lock_of_another_backend(server, key)
        yield
    finally:
        with suppress(psycopg.OperationalError):  # a session that is gone holds no lock
            connection.execute("SELECT pg_advisory_unlock(%s)", (key,))


def _try_lock(connection: Connection, key: int) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()
    return bool(row and row[0])


def _refuse_lock_of_another_backend(server: Server, key: int) -> None:
    holder = find_holder(server.connection, key)
    row = server.connection.execute("SELECT pg_backend_pid()").fetchone()
    if holder is None or row is None or holder["pid"] != row[0]:
        raise PoolerDetected(
            f"{server.target.describe()} does not keep this session's lock, as a pooler in transaction mode does not.",
            "Use the address of PostgreSQL itself, or of a pooler in session mode; MIGRATION_DATABASE_URL counts for michi alone.",
        )


def find_holder(connection: Connection, key: int) -> dict[str, Any] | None:
    """Who holds the lock: pid, application, host, user, age in seconds, query; None when it is free."""
    row = connection.execute(HOLDER, ((key >> 32) & 0xFFFFFFFF, key & 0xFFFFFFFF)).fetchone()
    names = ("pid", "application", "host", "user", "age_seconds", "query")
    return dict(zip(names, row, strict=True)) if row else None


def _busy(server: Server, key: int, timeout_seconds: float) -> LockBusy:
    holder = find_holder(server.connection, key)
    if holder is None:
        return LockBusy(f"The deploy lock was not free within {timeout_seconds:g} s.", "Deploy again.")
    return LockBusy(
        f"Another deploy has held the lock for {holder['age_seconds']} s: pid {holder['pid']}, {holder['application']} "
        f"from {holder['host']}.",
        f"Wait for it and deploy again; SELECT pg_terminate_backend({holder['pid']}); would end it.",
        holder=holder,
    )
