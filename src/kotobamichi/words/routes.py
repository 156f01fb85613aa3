"""GET /words and /words/{id}: unpack, call, return."""

from __future__ import annotations

from typing import Any

from litestar import Request, Router, get

from kotobamichi.db import Database
from kotobamichi.openapi import describe, integer, text
from kotobamichi.words import service
from kotobamichi.words.schemas import DEFAULT_LIMIT, LEVELS, MOST_PER_PAGE, Word, WordPage, read_word_query

ListWords = describe(
    integer("page", "The page, from 1.", default=1),
    integer("limit", f"Words per page, at most {MOST_PER_PAGE}.", default=DEFAULT_LIMIT),
    text("search", "A part of any spelling or of the meaning."),
    text("level", "The JLPT level.", one_of=LEVELS),
    text("topic", "Exactly this topic."),
    text("partOfSpeech", "Exactly this part of speech."),
    text("after", "The id of the last word already seen, in place of a page: stays fast however far the list goes."),
    errors=(400,),
)


@get(operation_class=ListWords, summary="List words, oldest first")
async def list_words(request: Request[Any, Any, Any], database: Database) -> WordPage:
    return await service.list_words(database, read_word_query(request.query_params))


@get("/{word_id:str}", operation_class=describe(errors=(404,)), summary="Show a word")
async def show_word(word_id: str, database: Database) -> Word:
    return await service.get_word(database, word_id)


router = Router(path="/words", route_handlers=[list_words, show_word], tags=["Words"])
