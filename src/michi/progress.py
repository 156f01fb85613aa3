"""How far PostgreSQL has come with a statement of another session, and how long the phase will still take."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

import psycopg

from michi.database import Connection

ESTIMATE_SAMPLES = 30
ESTIMATE_AFTER_SECONDS = 1.0

# One row at most: a backend reports one command at a time. `done` and `total` are NULL where a phase counts nothing; sorting
# would go on to show the finished scan.
PROGRESS = """
SELECT p.phase, p.done, nullif(p.total, 0), p.unit, c.relname::text
FROM (
    SELECT pid, relid, phase,
           CASE WHEN phase LIKE 'waiting%%' THEN lockers_done WHEN phase LIKE '%%sorting%%' THEN NULL
                WHEN blocks_total > 0 THEN blocks_done ELSE tuples_done END,
           CASE WHEN phase LIKE 'waiting%%' THEN lockers_total WHEN phase LIKE '%%sorting%%' THEN NULL
                WHEN blocks_total > 0 THEN blocks_total ELSE tuples_total END,
           CASE WHEN phase LIKE 'waiting%%' THEN 'transactions' WHEN blocks_total > 0 THEN 'blocks' ELSE 'tuples' END
    FROM pg_stat_progress_create_index
    UNION ALL
    SELECT pid, relid, phase,
           CASE phase WHEN 'scanning heap' THEN heap_blks_scanned WHEN 'vacuuming heap' THEN heap_blks_vacuumed END,
           CASE WHEN phase IN ('scanning heap', 'vacuuming heap') THEN heap_blks_total END, 'blocks'
    FROM pg_stat_progress_vacuum
    UNION ALL
    SELECT pid, relid, phase,
           CASE WHEN phase LIKE 'seq scanning%%' THEN heap_blks_scanned ELSE heap_tuples_written END,
           CASE WHEN phase LIKE 'seq scanning%%' THEN heap_blks_total END,
           CASE WHEN phase LIKE 'seq scanning%%' THEN 'blocks' ELSE 'tuples' END
    FROM pg_stat_progress_cluster
    UNION ALL
    SELECT pid, relid, phase, sample_blks_scanned, sample_blks_total, 'blocks' FROM pg_stat_progress_analyze
    UNION ALL
    SELECT pid, relid, 'copying', bytes_processed, bytes_total, 'bytes' FROM pg_stat_progress_copy
) p (pid, relid, phase, done, total, unit)
LEFT JOIN pg_class c ON c.oid = p.relid
WHERE p.pid = %s
LIMIT 1
"""

# The tables a backend writes rows to. Their size is asked for under ACCESS SHARE, which would wait for ever behind an ACCESS
# EXCLUSIVE lock, the backend's own included: such tables are passed over, and the session that asks has a lock timeout.
SIZES = """
WITH locks AS MATERIALIZED (
    SELECT relation, pid, mode, granted FROM pg_locks
    WHERE locktype = 'relation' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
SELECT c.relname::text, pg_table_size(c.oid)
FROM locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE l.pid = %s AND l.granted AND l.mode = 'RowExclusiveLock' AND c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_'
  AND NOT EXISTS (SELECT FROM locks x WHERE x.relation = l.relation AND x.mode = 'AccessExclusiveLock')
LIMIT 20
"""


class Progress:
    """What the looks at one statement add up to."""

    def __init__(self) -> None:
        self._estimate = Estimate()
        self._first_sizes: dict[str, int] = {}

    def look(self, connection: Connection, pid: int, now: float) -> dict[str, Any]:
        """Phase, done, total, unit, percent, seconds left; or, where no view tells, the table that grows most."""
        row = connection.execute(PROGRESS, (pid,)).fetchone()
        if row is None:
            return self._growth(connection, pid)
        found = Counted._make(row)
        counted = found.done is not None and found.total is not None and found.total > 0
        percent = min(100.0, round(100 * found.done / found.total, 1)) if counted else None  # type: ignore[operator]
        left = self._estimate.seconds_left(found, now) if counted else None
        return found._asdict() | {"percent": percent, "seconds_left": left}

    def _growth(self, connection: Connection, pid: int) -> dict[str, Any]:
        try:
            rows: list[Any] = connection.execute(SIZES, (pid,)).fetchall()
        except (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled):
            return {}
        sizes = {name: size for name, size in rows if size is not None}
        self._first_sizes = sizes | self._first_sizes
        growth = {name: size - self._first_sizes[name] for name, size in sizes.items()}
        relation = max(growth, key=lambda name: growth[name], default=None)
        return {"relation": relation, "growth_bytes": growth[relation] if relation is not None else None}


class Counted(NamedTuple):
    """A row of a progress view."""

    phase: str
    done: int | None
    total: int | None
    unit: str
    relation: str | None


class Estimate:
    """The rest of a phase at the rate of the last looks: a build slows down when its table leaves the cache."""

    def __init__(self) -> None:
        self._phase: tuple[str, str] | None = None
        self._samples: deque[tuple[float, int]] = deque(maxlen=ESTIMATE_SAMPLES)

    def seconds_left(self, found: Counted, now: float) -> float | None:
        """None while the rate is not known, and where others decide how long it takes."""
        if found.done is None or found.total is None or found.unit == "transactions":
            return None
        if (found.phase, found.unit) != self._phase:
            self._phase = (found.phase, found.unit)
            self._samples.clear()
        self._samples.append((now, found.done))
        began, done_then = self._samples[0]
        if now - began < ESTIMATE_AFTER_SECONDS or found.done <= done_then:
            return None
        return round(max(0, found.total - found.done) * (now - began) / (found.done - done_then), 1)
