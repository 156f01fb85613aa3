"""Who keeps a session waiting for a table: seen from a second session while the first one waits. Changes nothing."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any, Self

import psycopg

from michi.database import Server, open_connection
from michi.errors import MichiError

TICK_SECONDS = 0.05
LONGEST_PATIENCE_SECONDS = 0.5

BLOCKERS = """
SELECT DISTINCT b.pid, b.application_name, coalesce(host(b.client_addr), 'local'), b.usename::text,
       extract(epoch FROM clock_timestamp() - coalesce(b.xact_start, b.backend_start))::int, left(b.query, 200)
FROM pg_stat_activity waiting
CROSS JOIN LATERAL unnest(pg_blocking_pids(waiting.pid)) AS blocking(pid)
JOIN pg_stat_activity b ON b.pid = blocking.pid
WHERE waiting.pid = %s AND waiting.wait_event_type = 'Lock'
ORDER BY b.pid
"""
NAMES = ("pid", "application", "host", "user", "age_seconds", "query")


class BlockerWatch:
    """Looks now and then, on a connection of its own, who blocks the session of `server` during a statement.

    After a lock timeout it is too late to ask: PostgreSQL names the blockers of a session only while it waits. The
    connection is opened at the first statement that takes long; a deploy of quick statements never needs it.
    """

    def __init__(self, server: Server) -> None:
        self._target = server.target
        self._pid = server.connection.info.backend_pid
        self._began: float | None = None
        self._patience = LONGEST_PATIENCE_SECONDS
        self._blockers: list[dict[str, Any]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_until_over, name="michi-blockers", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()

    def begin(self, lock_timeout_seconds: float) -> None:
        """A statement begins that may wait for locks this long; 0 is for ever."""
        self._patience = min(lock_timeout_seconds / 3 or LONGEST_PATIENCE_SECONDS, LONGEST_PATIENCE_SECONDS)
        self._blockers = []
        self._began = time.monotonic()

    def end(self) -> list[dict[str, Any]]:
        """The statement is over: who was last seen blocking it: pid, application, host, user, age in seconds, query."""
        self._began = None
        return self._blockers

    def _look_until_over(self) -> None:
        connection = None
        looked = 0.0
        try:
            while not self._over.wait(TICK_SECONDS):
                began, now = self._began, time.monotonic()
                if began is None or now - max(began, looked) < self._patience:
                    continue
                looked = now
                connection = connection or open_connection(self._target)
                rows = connection.execute(BLOCKERS, (self._pid,)).fetchall()
                if rows and self._began == began:
                    self._blockers = [dict(zip(NAMES, row, strict=True)) for row in rows]
        except (MichiError, psycopg.Error):
            return  # no second session to be had: the deploy goes on, its messages just name nobody
        finally:
            if connection is not None:
                connection.close()


def blockers_text(blockers: list[dict[str, Any]]) -> str:
    """`pid 4711 (psql from local, for 12 s): LOCK TABLE words`; several are joined."""
    return "; ".join(
        f"pid {blocker['pid']} ({blocker['application'] or 'no application name'} from {blocker['host']}, "
        f"for {blocker['age_seconds']} s): {' '.join(str(blocker['query']).split())}"
        for blocker in blockers
    )
