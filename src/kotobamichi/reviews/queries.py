"""The SQL of progress. An attempt changes it in its own transaction, in quizzes/queries.py."""

from __future__ import annotations

from typing import Any, LiteralString

from kotobamichi.db import Database
from kotobamichi.pipeline import Row
from kotobamichi.reviews.schemas import Progress, ProgressQuery
from kotobamichi.words.queries import ITEM
from kotobamichi.words.schemas import WordItem

ENTRY: LiteralString = (
    "p.id, p.user_id, p.word_id, p.mastery_level, p.last_reviewed_at, p.next_review_at, p.created_at, p.updated_at"
)
AFTER: LiteralString = (
    " AND (p.created_at, p.id) < (SELECT created_at, id FROM progress WHERE id = %(after)s AND user_id = %(user)s)"
)


async def list_progress(database: Database, user_id: str, query: ProgressQuery) -> tuple[list[Progress], bool]:
    """The learner's progress, newest first, and whether there is more."""
    after: LiteralString = AFTER if query.after else ""
    # The entries are found and ordered first; only those that are shown meet their words.
    page: LiteralString = (
        f"SELECT * FROM progress p WHERE p.user_id = %(user)s{after}"
        " ORDER BY p.created_at DESC, p.id DESC LIMIT %(limit)s"
    )
    rows = await database.fetch_all(
        f"SELECT {ENTRY}, {ITEM} FROM ({page}) p JOIN words w ON w.id = p.word_id ORDER BY p.created_at DESC, p.id DESC",
        {"user": user_id, "after": query.after, "limit": query.limit + 1},
    )
    return [_entry(row) for row in rows[: query.limit]], len(rows) > query.limit


def _entry(row: Row) -> Progress:
    values: list[Any] = [*row[:8], WordItem(*row[8:])]
    return Progress(*values)


async def entry_exists(database: Database, user_id: str, entry_id: str) -> bool:
    row = await database.fetch_one(
        "SELECT 1 FROM progress WHERE id = %(id)s AND user_id = %(user)s", {"id": entry_id, "user": user_id}
    )
    return row is not None
