"""Who keeps a session waiting for a lock, as facts and as a sentence. When to ask is watch.py's business."""

from __future__ import annotations

from typing import Any

from michi.database import Connection

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


def find_blockers(connection: Connection, pid: int) -> list[dict[str, Any]]:
    """Who blocks the backend `pid` now: pid, application, host, user, age of their transaction in seconds, query."""
    return [dict(zip(NAMES, row, strict=True)) for row in connection.execute(BLOCKERS, (pid,)).fetchall()]


def blockers_text(blockers: list[dict[str, Any]]) -> str:
    """`pid 4711 (psql from local, for 12 s): LOCK TABLE words`; several are joined."""
    return "; ".join(
        f"pid {blocker['pid']} ({blocker['application'] or 'no application name'} from {blocker['host']}, "
        f"for {blocker['age_seconds']} s): {one_line(str(blocker['query']))}"
        for blocker in blockers
    )


def one_line(text: str) -> str:
    """Without line breaks and control characters: another session's query must not steer a person's terminal."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
