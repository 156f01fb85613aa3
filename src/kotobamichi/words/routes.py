"""/words: unpack, call, return. Reading is for everybody, changing for administrators."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, Router, delete, get, patch, post
from litestar.exceptions import InternalServerException

from kotobamichi.accounts.identity import administrator
from kotobamichi.bodies import Text, read_body
from kotobamichi.db import Database
from kotobamichi.errors import BadRequest
from kotobamichi.http import json_answer
from kotobamichi.openapi import describe, integer, text
from kotobamichi.shortcut import target_of
from kotobamichi.words import service
from kotobamichi.words.bodies import NewWord, WordChanges, read_new_word, read_word_changes
from kotobamichi.words.importing import Imports
from kotobamichi.words.reading import WordReader
from kotobamichi.words.schemas import (
    DEFAULT_LIMIT,
    LEVELS,
    MOST_PER_PAGE,
    Cleared,
    DeletedWord,
    ImportReport,
    ImportStats,
    Word,
    WordPage,
    read_word_query,
)
from kotobamichi.words.uploads import MOST_BODY_BYTES

AnyRequest = Request[Any, Any, Any]

ListWords = describe(
    integer("page", "The page, from 1.", default=1),
    integer("limit", f"Words per page, at most {MOST_PER_PAGE}.", default=DEFAULT_LIMIT),
    text("search", "A part of any spelling or of the meaning."),
    text("level", "The JLPT level.", one_of=LEVELS),
    text("topic", "Exactly this topic."),
    text("partOfSpeech", "Exactly this part of speech."),
    text("after", "The id of the last word already seen, in place of a page: stays fast however far the list goes."),
    answer=WordPage,
    errors=(400,),
)
ShowWord = describe(answer=Word, errors=(404,))
AddWord = describe(body=NewWord, errors=(400, 403, 409, 413), role="ADMIN")
ChangeWord = describe(body=WordChanges, errors=(400, 403, 404, 409, 413), role="ADMIN")
DeleteWord = describe(errors=(403, 404), role="ADMIN")
UploadWords = describe(
    file="A CSV in UTF-8, at most 20 MiB, with a header: Kanji, Hiragana*, Romaji, English*, Level, PronunciationURL, Topic, "
    "Part of Speech, Katakana.",
    errors=(400, 403, 413),
    role="ADMIN",
)
Administer = describe(errors=(403,), role="ADMIN")


class ImportFile(msgspec.Struct, rename="camel"):
    """A file of the import folder."""

    file_path: Annotated[Text, msgspec.Meta(description="Where the CSV lies, from the import folder on")]


ImportFromFolder = describe(body=ImportFile, errors=(400, 403, 413), role="ADMIN")


@get(operation_class=ListWords, summary="List words, oldest first")
async def list_words(request: AnyRequest, word_reader: WordReader) -> Response[bytes]:
    query = read_word_query(request.query_params)
    return json_answer(await word_reader.list_words(target_of(request.scope), query))


@get("/{word_id:str}", operation_class=ShowWord, summary="Show a word")
async def show_word(request: AnyRequest, word_id: str, word_reader: WordReader) -> Response[bytes]:
    return json_answer(await word_reader.show_word(target_of(request.scope), word_id))


@post(guards=[administrator], operation_class=AddWord, summary="Add a word")
async def add_word(request: AnyRequest, database: Database) -> Word:
    return await service.add_word(database, read_new_word(await request.body()))


@patch("/{word_id:str}", guards=[administrator], operation_class=ChangeWord, summary="Change a word")
async def change_word(word_id: str, request: AnyRequest, database: Database) -> Word:
    return await service.change_word(database, word_id, read_word_changes(await request.body()))


@delete(
    "/{word_id:str}",
    status_code=200,
    guards=[administrator],
    operation_class=DeleteWord,
    summary="Delete a word",
    description="Quizzes and progress that have the word keep it.",
)
async def delete_word(word_id: str, database: Database) -> DeletedWord:
    word = await service.delete_word(database, word_id)
    return DeletedWord(**msgspec.structs.asdict(word), message="Word deleted successfully")


@post(
    "/import/upload",
    guards=[administrator],
    operation_class=UploadWords,
    request_max_body_size=MOST_BODY_BYTES,
    summary="Import words from an uploaded CSV",
    description="Good rows are stored and bad ones reported, all in one transaction.",
)
async def import_upload(request: AnyRequest, imports: Imports) -> ImportReport:
    return await imports.import_upload(request.headers.get("content-type"), _chunks(request))


async def _chunks(request: AnyRequest) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except InternalServerException:  # so the framework says that the client has gone
        raise BadRequest("The upload ended before it was whole") from None


@post(
    "/import/csv",
    guards=[administrator],
    operation_class=ImportFromFolder,
    summary="Import words from a CSV in the server's import folder",
)
async def import_file(request: AnyRequest, imports: Imports) -> ImportReport:
    return await imports.import_from_folder((await read_body(request, ImportFile)).file_path)


@get("/import/stats", guards=[administrator], operation_class=Administer, summary="Count words")
async def show_import_stats(database: Database) -> ImportStats:
    return await service.get_import_stats(database)


@delete(
    "/import/clear-all",
    status_code=200,
    guards=[administrator],
    operation_class=Administer,
    summary="Delete all words",
    description="Quizzes and progress keep the words that they have.",
)
async def clear_words(database: Database) -> Cleared:
    return Cleared(await service.clear_words(database))


router = Router(
    path="/words",
    route_handlers=[
        list_words, show_word, add_word, change_word, delete_word, import_upload, import_file, show_import_stats,
        clear_words,
    ],
    tags=["Words"],
)  # fmt: skip
