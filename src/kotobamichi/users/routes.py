"""/users/me: unpack, call, return."""

from __future__ import annotations

from typing import Any

from litestar import Request, Router, get

from kotobamichi.accounts.identity import asker, signed_in
from kotobamichi.db import Database
from kotobamichi.openapi import describe, integer
from kotobamichi.users import service
from kotobamichi.users.schemas import (
    DEFAULT_LIMIT,
    MOST_PER_PAGE,
    Attempt,
    AttemptPage,
    Me,
    Stats,
    read_attempt_query,
)

AnyRequest = Request[Any, Any, Any]

ShowOwn = describe(signed_in=True)
ShowStats = describe(answer=Stats, signed_in=True)
ShowAttempt = describe(errors=(404,), signed_in=True)
ListAttempts = describe(
    integer("page", "The page, from 1.", default=1),
    integer("limit", f"Attempts per page, at most {MOST_PER_PAGE}.", default=DEFAULT_LIMIT),
    errors=(400,),
    signed_in=True,
)


@get(operation_class=ShowOwn, summary="Show one's own account")
async def show_me(request: AnyRequest, database: Database) -> Me:
    return await service.get_me(database, asker(request))


@get("/stats", operation_class=ShowStats, summary="Show one's own numbers and latest attempts")
async def show_stats(request: AnyRequest, database: Database) -> Stats:
    return await service.get_stats(database, asker(request))


@get("/attempts", operation_class=ListAttempts, summary="List one's own attempts, newest first")
async def list_attempts(request: AnyRequest, database: Database) -> AttemptPage:
    return await service.list_attempts(database, asker(request), read_attempt_query(request.query_params))


@get(
    "/attempts/{attempt_id:str}", operation_class=ShowAttempt, summary="Show one of one's own attempts with its answers"
)
async def show_attempt(attempt_id: str, request: AnyRequest, database: Database) -> Attempt:
    return await service.get_attempt(database, asker(request), attempt_id)


router = Router(
    path="/users/me",
    route_handlers=[show_me, show_stats, list_attempts, show_attempt],
    guards=[signed_in],
    tags=["Users"],
)
