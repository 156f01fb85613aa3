"""The SQL that reads words: functions that take the database and give rows as structs."""

from __future__ import annotations

from typing import Any, LiteralString

import msgspec

from kotobamichi.db import Database
from kotobamichi.pipeline import Row, Statement
from kotobamichi.words.content import normalise
from kotobamichi.words.schemas import Example, ImportStats, Word, WordItem, WordQuery
from kotobamichi.words.signposts import Filter, Key, SignpostBook

ITEM: LiteralString = (
    "w.id, w.hiragana, w.katakana, w.kanji, w.romaji, w.english, w.english, w.pronunciation_url, w.pronunciation_url,"
    " w.level, w.topic, w.part_of_speech, w.created_at"
)
ORDER: LiteralString = "ORDER BY w.created_at, w.id"
LIKE_SIGNS = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})

# So many words are passed over faster than signposts are set up after a change.
FARTHEST_BY_OFFSET = 1000
THERE: LiteralString = "w.deleted_at IS NULL"
PAGE = Statement(
    f"SELECT {ITEM}, (SELECT sum(total)::bigint FROM word_totals) FROM words w WHERE {THERE} {ORDER} LIMIT $1 OFFSET $2"
)
PAGE_OF_LEVEL = Statement(
    f"SELECT {ITEM}, (SELECT total FROM word_totals WHERE level = $3) FROM words w"
    f" WHERE w.level = $3 AND {THERE} {ORDER} LIMIT $1 OFFSET $2"
)
AFTER: LiteralString = "(w.created_at, w.id) > ($3::timestamptz, $4::uuid)"
PAGE_AFTER = Statement(f"SELECT {ITEM} FROM words w WHERE {THERE} AND {AFTER} {ORDER} LIMIT $1 OFFSET $2")
PAGE_AFTER_OF_LEVEL = Statement(
    f"SELECT {ITEM} FROM words w WHERE w.level = $5 AND {THERE} AND {AFTER} {ORDER} LIMIT $1 OFFSET $2"
)
KNOWN_PAGE = Statement(f"SELECT {ITEM} FROM words w WHERE w.id = ANY ($1::uuid[]) AND {THERE} {ORDER}")
TOTAL = Statement("SELECT sum(total)::bigint FROM word_totals")
TOTAL_OF_LEVEL = Statement("SELECT total FROM word_totals WHERE level = $1")
# Also of a word that was hidden since: what comes after it is the same.
PLACE = Statement("SELECT created_at, id FROM words WHERE id = $1")
WHOLE: LiteralString = f"{ITEM}, w.updated_at, w.content_hash, w.examples"
WORD = Statement(f"SELECT {WHOLE} FROM words w WHERE w.id = $1 AND w.deleted_at IS NULL")
# Each from an index alone, or from the kept totals.
STATS: LiteralString = (
    "SELECT (SELECT coalesce(sum(total), 0)::bigint FROM word_totals),"
    " (SELECT count(*) FROM words WHERE deleted_at IS NULL AND created_at > now() - interval '24 hours'),"
    " (SELECT max(created_at) FROM words WHERE deleted_at IS NULL)"
)


class WordGone(Exception):
    """The word that a cursor names is not there."""


async def list_words(database: Database, book: SignpostBook, query: WordQuery) -> tuple[list[WordItem], int]:
    """One page, oldest first, and how many words match in all. Raises WordGone where `after` names a word that is gone."""
    if query.after is not None:
        return await _list_after(database, book, query, query.after)
    offset = (query.page - 1) * query.limit
    if not query.filtered and offset <= FARTHEST_BY_OFFSET:
        level = (query.level,) if query.level else ()
        rows = await database.read(PAGE_OF_LEVEL if level else PAGE, query.limit, offset, *level)
        if not rows:
            return [], await _total(database, book, query)
        return [WordItem(*row[:-1]) for row in rows], int(rows[0][-1])
    signposts = await book.find(filter_of(query))
    if offset >= signposts.total:
        return [], signposts.total
    ids = signposts.page(offset, query.limit)
    if ids is not None:
        rows = await database.read(KNOWN_PAGE, "{" + ",".join(ids) + "}")
    else:
        key, passed_over = signposts.before(offset)
        rows = await _read_after(database, query, key, passed_over, signposts.after(offset + query.limit))
    return [WordItem(*row) for row in rows], signposts.total


async def _list_after(
    database: Database, book: SignpostBook, query: WordQuery, after: str
) -> tuple[list[WordItem], int]:
    place = await database.read(PLACE, after)
    if not place:
        raise WordGone
    total = await _total(database, book, query)
    rows = await _read_after(database, query, Key(*place[0]), 0, None)
    return [WordItem(*row) for row in rows], total


async def _read_after(
    database: Database, query: WordQuery, key: Key, passed_over: int, no_farther: Key | None
) -> list[Row]:
    """A page that begins `passed_over` words after `key`, and does not go beyond `no_farther`."""
    if not query.filtered:
        level = (query.level,) if query.level else ()
        statement = PAGE_AFTER_OF_LEVEL if level else PAGE_AFTER
        return await database.read(statement, query.limit, passed_over, key.created_at, key.id, *level)
    wanted = filter_of(query)
    # What few words match is looked for no farther than it has been found.
    bound: LiteralString = (
        " AND (w.created_at, w.id) <= (%(last_created_at)s, %(last_id)s)" if no_farther is not None else ""
    )
    parameters: dict[str, Any] = {
        **dict(wanted.parameters), "limit": query.limit, "offset": passed_over, "created_at": key.created_at, "id": key.id,
    }  # fmt: skip
    if no_farther is not None:
        parameters |= {"last_created_at": no_farther.created_at, "last_id": no_farther.id}
    return await database.fetch_all(
        f"SELECT {ITEM} FROM words w WHERE {wanted.where} AND (w.created_at, w.id) > (%(created_at)s, %(id)s){bound}"
        f" {ORDER} LIMIT %(limit)s OFFSET %(offset)s",
        parameters,
    )


async def _total(database: Database, book: SignpostBook, query: WordQuery) -> int:
    """Kept by triggers for all words and for a level; counted once between two changes for what is filtered."""
    if query.filtered:
        return (await book.find(filter_of(query))).total
    rows = await database.read(TOTAL_OF_LEVEL, query.level) if query.level else await database.read(TOTAL)
    return int(rows[0][0] or 0) if rows else 0


async def find_word(database: Database, word_id: str) -> Word | None:
    rows = await database.read(WORD, word_id)
    return to_word(rows[0]) if rows else None


def to_word(row: Row) -> Word:
    """A row of the columns WHOLE."""
    values: list[Any] = [*row[:-1], msgspec.convert(row[-1], list[Example])]
    return Word(*values)


def filter_of(query: WordQuery) -> Filter:
    """The conditions of a list, whatever its page."""
    given: list[tuple[LiteralString, str, str | None]] = [
        ("w.level = %(level)s", "level", query.level),
        ("w.topic = %(topic)s", "topic", query.topic),
        ("w.part_of_speech = %(part_of_speech)s", "part_of_speech", query.part_of_speech),
        ("w.search_text LIKE %(search)s", "search", _pattern(query.search)),
    ]
    conditions = tuple(condition for condition, _, value in given if value is not None)
    return Filter(conditions, tuple((name, value) for _, name, value in given if value is not None))


def _pattern(search: str | None) -> str | None:
    """What holds the text, whatever its width and case, and whatever signs are in it."""
    return f"%{normalise(search).translate(LIKE_SIGNS)}%" if search else None


async def get_import_stats(database: Database) -> ImportStats:
    row = await database.fetch_one(STATS)
    return ImportStats(*row) if row else ImportStats(0, 0, None)
