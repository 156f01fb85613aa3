"""What nobody needs any more is deleted, in small bites, so that no lock is long and no transaction large."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import LiteralString

from kotobamichi.db import Database

ROWS_AT_ONCE = 1000
# Table, the condition, and how old: an index begins with the column of each.
OLD: tuple[tuple[LiteralString, LiteralString, timedelta], ...] = (
    ("outbox", "created_at < %(before)s AND sent_at IS NOT NULL", timedelta(days=2)),
    ("outbox", "created_at < %(before)s AND given_up_at IS NOT NULL", timedelta(days=30)),
    ("mail_requests", "requested_at < %(before)s", timedelta(days=2)),
    ("refresh_tokens", "expires_at < %(before)s", timedelta(days=1)),
    ("email_tokens", "expires_at < %(before)s", timedelta(days=7)),
)


async def clear_old_rows(database: Database, now: datetime) -> int:
    """How many rows are gone. Several may do this at once: each passes over what another has in hand."""
    gone = 0
    for table, condition, age in OLD:
        while True:
            async with database.transaction() as connection:
                cursor = await connection.execute(
                    f"DELETE FROM {table} WHERE id IN"
                    f" (SELECT id FROM {table} WHERE {condition} LIMIT {ROWS_AT_ONCE} FOR UPDATE SKIP LOCKED)",
                    {"before": now - age},
                )
            gone += cursor.rowcount
            if cursor.rowcount < ROWS_AT_ONCE:
                break
    return gone
