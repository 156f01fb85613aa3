"""What can be done with words: list them, show one."""

from __future__ import annotations

from kotobamichi.db import Database
from kotobamichi.errors import BadRequest, NotFound
from kotobamichi.ids import parse_id
from kotobamichi.words import queries
from kotobamichi.words.schemas import Pagination, Word, WordPage, WordQuery


async def list_words(database: Database, query: WordQuery) -> WordPage:
    """A page and how many words match in all. Raises BadRequest where `after` names a word that is gone."""
    words, total = await queries.list_words(database, query)
    if query.after is not None and not words and await queries.find_word(database, query.after) is None:
        raise BadRequest(["after must be the id of a word"])
    return WordPage(words, Pagination(query.page, query.limit, total, -(-total // query.limit)))


async def get_word(database: Database, word_id: str) -> Word:
    """Raises NotFound, also for what is no id."""
    word = await queries.find_word(database, word_id) if parse_id(word_id) else None
    if word is None:
        raise NotFound(f"Word with ID {word_id} not found")
    return word
