"""What learners can learn of themselves."""

from __future__ import annotations

from kotobamichi.accounts.identity import Identity
from kotobamichi.db import Database
from kotobamichi.errors import NotFound, Unauthenticated
from kotobamichi.ids import parse_id
from kotobamichi.users import queries
from kotobamichi.users.schemas import Attempt, AttemptPage, AttemptPagination, AttemptQuery, Me, Stats


async def get_me(database: Database, asker: Identity) -> Me:
    """Raises Unauthenticated where the account was deleted just now."""
    me = await queries.find_me(database, asker.id)
    if me is None:
        raise Unauthenticated
    return me


async def get_stats(database: Database, asker: Identity) -> Stats:
    return await queries.get_stats(database, asker.id)


async def list_attempts(database: Database, asker: Identity, query: AttemptQuery) -> AttemptPage:
    """A page of the asker's attempts; one past the end is empty."""
    attempts, total = await queries.list_attempts(database, asker.id, query)
    pages = -(-total // query.limit)
    pagination = AttemptPagination(
        page=query.page,
        limit=query.limit,
        total=total,
        total_pages=pages,
        current_page=query.page,
        total_count=total,
        has_next_page=query.page < pages,
        has_previous_page=query.page > 1,
    )
    return AttemptPage(attempts, pagination)


async def get_attempt(database: Database, asker: Identity, attempt_id: str) -> Attempt:
    """Raises NotFound, also for what is no id and for the attempts of others."""
    attempt = await queries.find_attempt(database, asker.id, attempt_id) if parse_id(attempt_id) else None
    if attempt is None:
        raise NotFound("Attempt not found")
    return attempt
