"""What can be done with words one by one, and with all of them."""

from __future__ import annotations

from typing import Any

from kotobamichi.db import Database
from kotobamichi.errors import BadRequest
from kotobamichi.ids import parse_id
from kotobamichi.words import changes, queries
from kotobamichi.words.schemas import ImportStats, Pagination, Word, WordPage, WordQuery
from kotobamichi.words.signposts import SignpostBook


async def list_words(database: Database, book: SignpostBook, query: WordQuery) -> WordPage:
    """A page and how many words match in all. Raises BadRequest where `after` names a word that is gone."""
    try:
        words, total = await queries.list_words(database, book, query)
    except queries.WordGone:
        raise BadRequest(["after must be the id of a word"]) from None
    return WordPage(words, Pagination(query.page, query.limit, total, -(-total // query.limit)))


async def get_word(database: Database, word_id: str) -> Word:
    """Raises NotFound, also for what is no id."""
    word = await queries.find_word(database, word_id) if parse_id(word_id) else None
    if word is None:
        raise changes.not_found(word_id)
    return word


async def add_word(database: Database, columns: dict[str, Any]) -> Word:
    """Raises Conflict where there is a word of this content. One that was deleted while in use comes back under its id."""
    async with database.transaction() as connection:
        return await changes.insert_word(connection, columns)


async def change_word(database: Database, word_id: str, columns: dict[str, Any]) -> Word:
    """Raises NotFound, Conflict."""
    _refuse_no_id(word_id)
    async with database.transaction() as connection:
        return await changes.update_word(connection, word_id, columns)


async def delete_word(database: Database, word_id: str) -> Word:
    """The word as it was. Raises NotFound."""
    _refuse_no_id(word_id)
    async with database.transaction() as connection:
        return await changes.delete_word(connection, word_id)


async def clear_words(database: Database) -> int:
    """Deletes every word; how many there were. No quiz loses a question, no learner a past answer."""
    async with database.transaction() as connection:
        return await changes.clear_words(connection)


async def get_import_stats(database: Database) -> ImportStats:
    return await queries.get_import_stats(database)


def _refuse_no_id(word_id: str) -> None:
    if parse_id(word_id) is None:
        raise changes.not_found(word_id)
