"""/progress: unpack, call, return."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, Router, get

from kotobamichi.accounts.identity import asker, signed_in
from kotobamichi.db import Database
from kotobamichi.http import json_answer
from kotobamichi.openapi import describe, integer, text
from kotobamichi.reviews import service
from kotobamichi.reviews.schemas import MOST_PER_PAGE, Progress, read_progress_query

ListProgress = describe(
    integer("limit", f"Words per page, at most {MOST_PER_PAGE}.", default=MOST_PER_PAGE),
    text("after", "The id of the last entry already seen. The Link header of an answer that is not the end has it."),
    answer=list[Progress],
    errors=(400,),
    signed_in=True,
)


@get(
    operation_class=ListProgress,
    guards=[signed_in],
    summary="List how well one knows each word, newest first",
    description="A word is there from the first time it was answered. Each level is reviewed half as often as the one before.",
)
async def list_progress(request: Request[Any, Any, Any], database: Database) -> Response[bytes]:
    query = read_progress_query(request.query_params)
    return json_answer(await service.list_progress(database, asker(request), query))


router = Router(path="/progress", route_handlers=[list_progress], tags=["Users"])
