"""How large the relations of the real database are, and whose locks and transactions would be in a deploy's way. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import psycopg
from psycopg import sql

from michi.database import Connection
from michi.effects import CONFLICTS, Name
from michi.mentions import Mode

LONG_TRANSACTION_SECONDS = 60
# Asking for a size takes a weak lock: it must not queue behind a table that somebody holds.
PATIENCE = "SET lock_timeout = '200ms'"

# Of an index, its table counts. A partitioned table is as large as its parts. A table that was never analysed has the number of
# rows that the statistics collector has counted.
RELATIONS = """
WITH asked AS (
    SELECT place, coalesce(i.indrelid, c.oid) AS oid
    FROM unnest(%(names)s::text[]) WITH ORDINALITY AS wanted(name, place)
    JOIN pg_class c ON c.oid = to_regclass(wanted.name) LEFT JOIN pg_index i ON i.indexrelid = c.oid
), parts AS (
    SELECT asked.place, coalesce(tree.relid, asked.oid) AS oid
    FROM asked LEFT JOIN LATERAL pg_partition_tree(asked.oid) tree ON tree.isleaf
)
SELECT asked.place::int, asked.oid::bigint, n.nspname::text, c.relname::text, c.relkind::text,
       (SELECT sum({size})::bigint FROM parts JOIN pg_class p ON p.oid = parts.oid WHERE parts.place = asked.place),
       (SELECT sum(CASE WHEN p.reltuples >= 0 THEN p.reltuples ELSE pg_stat_get_live_tuples(p.oid) END)::bigint
        FROM parts JOIN pg_class p ON p.oid = parts.oid WHERE parts.place = asked.place)
FROM asked JOIN pg_class c ON c.oid = asked.oid JOIN pg_namespace n ON n.oid = c.relnamespace
"""
EXACT = "pg_table_size(p.oid)"
LAST_KNOWN = "p.relpages::bigint * current_setting('block_size')::int"

HOLDERS = """
SELECT l.relation::bigint, a.pid,
       CASE a.backend_type WHEN 'autovacuum worker' THEN 'autovacuum, which gives way' ELSE coalesce(a.application_name, '') END,
       a.usename::text, a.state,
       extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, a.query_start))::int, left(a.query, 200),
       replace(l.mode, 'Lock', '')
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.relation = ANY(%s) AND l.granted AND l.locktype = 'relation' AND l.pid <> pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
LONG_TRANSACTIONS = """
SELECT pid, coalesce(application_name, ''), usename::text, state,
       extract(epoch FROM clock_timestamp() - xact_start)::int, left(query, 200), NULL
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND coalesce(backend_type, 'client backend') = 'client backend'
  AND xact_start < clock_timestamp() - %s * interval '1 s'
ORDER BY xact_start
"""


@dataclass(frozen=True)
class Relation:
    """A relation of the real database. `size` is in bytes without indexes; `rows` is an estimate, None where nothing is known."""

    oid: int
    schema: str
    name: str
    kind: str
    size: int
    rows: int | None


@dataclass(frozen=True)
class Holder:
    """A session in the way: its transaction holds `mode` on a relation, or has been open for long (`mode` None)."""

    pid: int
    application: str
    user: str | None
    state: str | None
    age_seconds: int | None
    query: str | None
    mode: str | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def find_relations(connection: Connection, names: Iterable[Name]) -> dict[Name, Relation]:
    """Those of the names that are there; an index's name gives its table. Leaves the session with a short lock timeout."""
    wanted = sorted(set(names), key=str)
    quoted = [
        sql.Identifier(*(part for part in (name.schema, name.relation) if part is not None)).as_string(connection)
        for name in wanted
    ]
    connection.execute(PATIENCE)
    try:
        rows = connection.execute(RELATIONS.format(size=EXACT).encode(), {"names": quoted}).fetchall()
    except psycopg.errors.LockNotAvailable:
        rows = connection.execute(RELATIONS.format(size=LAST_KNOWN).encode(), {"names": quoted}).fetchall()
    return {
        wanted[place - 1]: Relation(oid, schema, name, kind, int(size or 0), int(count) if count is not None else None)
        for place, oid, schema, name, kind, size, count in cast("list[tuple[Any, ...]]", rows)
    }


def find_holders(connection: Connection, oids: Sequence[int]) -> dict[int, list[Holder]]:
    """Who holds which lock on the relations now, by the relation's number."""
    found: dict[int, list[Holder]] = {}
    for row in cast("list[tuple[Any, ...]]", connection.execute(HOLDERS, (list(oids),)).fetchall()):
        found.setdefault(row[0], []).append(Holder(*row[1:]))
    return found


def in_the_way(holders: Iterable[Holder], mode: Mode) -> list[Holder]:
    """Those for whom a statement that needs `mode` would have to wait; each session once."""
    return list({h.pid: h for h in holders if h.mode in CONFLICTS[mode]}.values())


def find_long_transactions(connection: Connection) -> list[Holder]:
    """Open for more than a minute: CREATE INDEX CONCURRENTLY waits for all of them, and vacuum cannot clean behind them."""
    rows = connection.execute(LONG_TRANSACTIONS, (LONG_TRANSACTION_SECONDS,)).fetchall()
    return [Holder(*row) for row in cast("list[tuple[Any, ...]]", rows)]
