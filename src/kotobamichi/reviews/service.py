"""What learners can learn of their progress."""

from __future__ import annotations

from urllib.parse import urlencode

import msgspec

from kotobamichi.accounts.identity import Identity
from kotobamichi.db import Database
from kotobamichi.errors import BadRequest
from kotobamichi.freshness import Answer, answer_of
from kotobamichi.reviews import queries
from kotobamichi.reviews.schemas import ProgressQuery


async def list_progress(database: Database, asker: Identity, query: ProgressQuery) -> Answer:
    """The asker's progress, newest first. Raises BadRequest where `after` is no entry of it."""
    entries, more = await queries.list_progress(database, asker.id, query)
    if query.after and not entries and not await queries.entry_exists(database, asker.id, query.after):
        raise BadRequest(["after must be the id of an entry"])
    fields = {"limit": query.limit, "after": entries[-1].id} if more else {}
    return answer_of(msgspec.json.encode(entries), f'</v1/progress?{urlencode(fields)}>; rel="next"' if more else None)
