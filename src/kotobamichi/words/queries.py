"""The SQL of words: functions that take the database and give rows as structs."""

from __future__ import annotations

from typing import Any, LiteralString

import msgspec

from kotobamichi.db import Database
from kotobamichi.pipeline import Row, Statement
from kotobamichi.words.content import normalise
from kotobamichi.words.schemas import Example, ImportStats, Word, WordItem, WordQuery

ITEM: LiteralString = (
    "w.id, w.hiragana, w.katakana, w.kanji, w.romaji, w.english, w.english, w.pronunciation_url, w.pronunciation_url,"
    " w.level, w.topic, w.part_of_speech, w.created_at"
)
ORDER: LiteralString = "ORDER BY w.created_at, w.id LIMIT %(limit)s OFFSET %(offset)s"
LIKE_SIGNS = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})


# An index finds the rows of an early page at once; a late one has to pass over all before it, and waits in the pool instead.
FARTHEST_ON_HOT_PATH = 1000
PAGE = Statement(
    f"SELECT {ITEM}, (SELECT sum(total)::bigint FROM word_totals) FROM words w"
    " WHERE w.deleted_at IS NULL ORDER BY w.created_at, w.id LIMIT $1 OFFSET $2"
)
PAGE_OF_LEVEL = Statement(
    f"SELECT {ITEM}, (SELECT total FROM word_totals WHERE level = $3) FROM words w"
    " WHERE w.level = $3 AND w.deleted_at IS NULL ORDER BY w.created_at, w.id LIMIT $1 OFFSET $2"
)
WHOLE: LiteralString = f"{ITEM}, w.updated_at, w.content_hash, w.examples"
WORD = Statement(f"SELECT {WHOLE} FROM words w WHERE w.id = $1 AND w.deleted_at IS NULL")
# Each from an index alone, or from the kept totals.
STATS: LiteralString = (
    "SELECT (SELECT coalesce(sum(total), 0)::bigint FROM word_totals),"
    " (SELECT count(*) FROM words WHERE deleted_at IS NULL AND created_at > now() - interval '24 hours'),"
    " (SELECT max(created_at) FROM words WHERE deleted_at IS NULL)"
)


async def list_words(database: Database, query: WordQuery) -> tuple[list[WordItem], int]:
    """One page, oldest first, and how many words match in all, in one statement wherever the page holds a word."""
    offset = (query.page - 1) * query.limit
    if query.plain and offset <= FARTHEST_ON_HOT_PATH:
        level = (query.level,) if query.level else ()
        rows = await database.read(PAGE_OF_LEVEL if level else PAGE, query.limit, offset, *level)
    else:
        conditions, parameters = _conditions(query)
        total = _total(query, conditions)
        if query.after is not None:
            conditions = [*conditions, "(w.created_at, w.id) > (SELECT created_at, id FROM words WHERE id = %(after)s)"]
            offset = 0
        parameters |= {"limit": query.limit, "offset": offset, "after": query.after}
        # The page is found first, from the index where it can be, and only its own words are read whole.
        page: LiteralString = f"SELECT w.id {_from(conditions)} {ORDER}"
        rows = await database.fetch_all(
            f"SELECT {ITEM}, {total} FROM words w WHERE w.id IN ({page}) ORDER BY w.created_at, w.id", parameters
        )
    if rows:
        return [WordItem(*row[:-1]) for row in rows], int(rows[0][-1])
    return [], await _count_words(database, query)


async def _count_words(database: Database, query: WordQuery) -> int:
    conditions, parameters = _conditions(query)
    row = await database.fetch_one(f"SELECT {_total(query, conditions)}", parameters)
    return int(row[0] or 0) if row else 0


def _total(query: WordQuery, conditions: list[LiteralString]) -> LiteralString:
    """Counting reads every matching row on every request; for all words and for a level, triggers keep the number."""
    if query.filtered:
        return f"(SELECT count(*) {_from(conditions)})"
    by_level: LiteralString = " WHERE level = %(level)s" if query.level else ""
    return f"(SELECT sum(total)::bigint FROM word_totals{by_level})"


async def find_word(database: Database, word_id: str) -> Word | None:
    rows = await database.read(WORD, word_id)
    return to_word(rows[0]) if rows else None


def to_word(row: Row) -> Word:
    """A row of the columns WHOLE."""
    values: list[Any] = [*row[:-1], msgspec.convert(row[-1], list[Example])]
    return Word(*values)


def _conditions(query: WordQuery) -> tuple[list[LiteralString], dict[str, Any]]:
    conditions: list[LiteralString] = ["w.deleted_at IS NULL"]
    parameters: dict[str, Any] = {}
    if query.level:
        conditions.append("w.level = %(level)s")
        parameters["level"] = query.level
    if query.topic:
        conditions.append("w.topic = %(topic)s")
        parameters["topic"] = query.topic
    if query.part_of_speech:
        conditions.append("w.part_of_speech = %(part_of_speech)s")
        parameters["part_of_speech"] = query.part_of_speech
    if query.search:
        conditions.append("w.search_text LIKE %(search)s")
        parameters["search"] = f"%{normalise(query.search).translate(LIKE_SIGNS)}%"
    return conditions, parameters


def _from(conditions: list[LiteralString]) -> LiteralString:
    return "FROM words w WHERE " + " AND ".join(conditions)


async def get_import_stats(database: Database) -> ImportStats:
    row = await database.fetch_one(STATS)
    return ImportStats(*row) if row else ImportStats(0, 0, None)
