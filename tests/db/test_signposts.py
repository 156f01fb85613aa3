"""Far pages: the same words as a list read from its beginning, whatever the filter, the depth and the changes meanwhile."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import psycopg
import pytest

from kotobamichi.db import Database
from kotobamichi.errors import Busy
from kotobamichi.freshness import Freshness
from kotobamichi.words import queries
from kotobamichi.words.queries import filter_of
from kotobamichi.words.schemas import WordItem, WordQuery
from kotobamichi.words.signposts import FIRST, MOST_AT_ONCE, MOST_WAITING, STEP, SignpostBook
from tests.db.conftest import Connection
from tests.db.test_word_changes import use

# More than the first, and no multiple of a step. Many share an instant, as the words of one import do.
WORDS = 2 * FIRST + 3 * STEP + 17
FILL = f"""
INSERT INTO words (id, hiragana, english, level, topic, part_of_speech, content_hash, created_at, deleted_at)
SELECT gen_random_uuid(), 'あ' || n, CASE WHEN n %% 2 = 0 THEN 'even' ELSE 'odd' END || n, CASE WHEN n %% 3 = 0 THEN 'N5' END,
    CASE WHEN n %% 5 = 0 THEN 'five' END, CASE WHEN n %% 7 = 0 THEN 'seven' END, encode(sha256(n::text::bytea), 'hex'),
    '2026-01-01'::timestamptz + (n / 700) * interval '1 second', CASE WHEN n %% 11 = 0 THEN now() END
FROM generate_series(1, {WORDS}) n
"""
FILTERS: list[dict[str, Any]] = [
    {},
    {"level": "N5"},
    {"search": "even"},
    {"search": "odd1"},
    {"topic": "five"},
    {"part_of_speech": "seven"},
    {"level": "N5", "search": "even", "topic": "five"},
    {"search": "nothing is like this"},
    {"search": "%"},
]


@pytest.fixture
def filled(schema_url: str, connection: Connection) -> Connection:
    connection.execute(FILL.replace("%%", "%"))  # type: ignore[arg-type]
    return connection


async def page_of(database: Database, book: SignpostBook, **query: Any) -> tuple[list[str], int]:
    words, total = await queries.list_words(database, book, WordQuery(**query))
    assert all(isinstance(word, WordItem) for word in words)
    return [word.id for word in words], total


def all_ids(connection: Connection, query: WordQuery) -> list[str]:
    """The whole list, from the table itself."""
    wanted = filter_of(query)
    rows = connection.execute(
        f"SELECT w.id FROM words w WHERE {wanted.where} ORDER BY w.created_at, w.id", dict(wanted.parameters)
    )
    return [str(row[0]) for row in rows.fetchall()]


def test_every_page_is_a_slice_of_the_list(schema_url: str, filled: Connection) -> None:
    seed = random.randrange(10**6)
    chosen = random.Random(seed)

    async def work(database: Database, given: dict[str, Any]) -> None:
        book = SignpostBook(database, Freshness(database))
        expected = all_ids(filled, WordQuery(**given))
        for limit in (1, 20, STEP, STEP + 1, 1000):
            last = -(-len(expected) // limit)
            pages = {1, 2, last - 1, last, last + 1, 10**12, *(chosen.randint(1, last + 1) for _ in range(8))}
            for page in sorted(page for page in pages if page > 0):
                ids, total = await page_of(database, book, page=page, limit=limit, **given)
                assert (ids, total) == (expected[(page - 1) * limit : page * limit], len(expected)), (
                    given, page, limit, f"seed {seed}",
                )  # fmt: skip

    for given in FILTERS:
        use(schema_url, lambda database, given=given: work(database, given))


def test_a_walk_by_cursor_sees_every_word_once(schema_url: str, filled: Connection) -> None:
    async def work(database: Database, given: dict[str, Any]) -> None:
        book = SignpostBook(database, Freshness(database))
        walked, total = await page_of(database, book, limit=300, **given)
        while walked:
            ids, counted = await page_of(database, book, limit=300, after=walked[-1], **given)
            assert counted == total
            if not ids:
                break
            walked += ids
        assert walked == all_ids(filled, WordQuery(**given)), given

    for given in FILTERS:
        use(schema_url, lambda database, given=given: work(database, given))


def test_far_pages_follow_every_change_at_once(schema_url: str, filled: Connection) -> None:
    async def work(database: Database) -> None:
        book = SignpostBook(database, Freshness(database))
        for change in (
            "DELETE FROM words WHERE hiragana LIKE 'あ1%'",
            "UPDATE words SET deleted_at = now() WHERE hiragana LIKE 'あ2%'",
            "UPDATE words SET deleted_at = NULL",
            "UPDATE words SET english = 'even' WHERE hiragana LIKE 'あ3%'",
            "TRUNCATE words CASCADE",
        ):
            filled.execute(change)
            for given in ({}, {"search": "even"}):
                expected = all_ids(filled, WordQuery(**given))
                page = max(1, len(expected) // 20)
                ids, total = await page_of(database, book, page=page, limit=20, **given)
                assert (ids, total) == (expected[(page - 1) * 20 : page * 20], len(expected)), change

    use(schema_url, work)


def test_signposts_are_set_up_once_for_all_who_ask_and_the_oldest_go_first(schema_url: str, filled: Connection) -> None:
    async def work(database: Database) -> None:
        book = SignpostBook(database, Freshness(database))
        wanted = filter_of(WordQuery(search="even"))
        found = await asyncio.gather(*(book.find(wanted) for _ in range(20)))
        assert len({id(signposts) for signposts in found}) == 1
        assert await book.find(wanted) is found[0]
        book.shelf.most_bytes = 9 * book.shelf.bytes
        for number in range(40):
            await book.find(filter_of(WordQuery(search="even", topic=f"{number}")))
            await book.find(filter_of(WordQuery(search=f"{number}")))
        assert book.shelf.bytes <= book.shelf.most_bytes
        assert wanted not in book.shelf.kept

    use(schema_url, work)


def test_who_would_wait_behind_too_many_searches_is_told_so(schema_url: str, filled: Connection) -> None:
    async def work(database: Database) -> None:
        book = SignpostBook(database, Freshness(database))
        for _ in range(MOST_AT_ONCE):
            await book.turns.acquire()
        searches = [
            asyncio.create_task(book.find(filter_of(WordQuery(search=f"{number}")))) for number in range(MOST_WAITING)
        ]
        while book.waiting < MOST_WAITING:  # noqa: ASYNC110 -- a number, not an event
            await asyncio.sleep(0.01)
        with pytest.raises(Busy):
            await book.find(filter_of(WordQuery(search="one too many")))
        same = asyncio.create_task(book.find(filter_of(WordQuery(search="0"))))
        for _ in range(MOST_AT_ONCE):
            book.turns.release()
        found = await asyncio.gather(*searches, same)
        assert found[-1] is found[0]
        assert (await book.find(filter_of(WordQuery(search="one too many")))).total == 0

    use(schema_url, work)


def test_plans_of_pages_use_indexes_also_when_prepared_for_any_parameter(filled: Connection) -> None:
    """A plan for any parameter must not read or sort the table: pages on the hot path would hold up all others."""
    filled.execute(
        "INSERT INTO words (id, hiragana, english, content_hash, created_at, level)"
        " SELECT gen_random_uuid(), 'か' || n, 'more', encode(sha256(('か' || n)::bytea), 'hex'), now() + n * interval '1 second',"
        " 'N4' FROM generate_series(1, 30000) n"
    )
    filled.execute("VACUUM (ANALYZE) words")
    filled.execute("SET plan_cache_mode = force_generic_plan")
    none = "00000000-0000-0000-0000-000000000000"
    for name, parameters in {
        "PAGE": "(20, 1000)",
        "PAGE_OF_LEVEL": "(20, 1000, 'N5')",
        "PAGE_AFTER": f"(20, 199, '2026-01-01', '{none}')",
        "PAGE_AFTER_OF_LEVEL": f"(20, 199, '2026-01-01', '{none}', 'N5')",
        "KNOWN_PAGE": "('{" + none + "}')",
        "PLACE": f"('{none}')",
        "WORD": f"('{none}')",
    }.items():
        statement = getattr(queries, name).sql
        filled.execute(
            psycopg.sql.SQL("PREPARE {} AS {}").format(psycopg.sql.Identifier(name), psycopg.sql.SQL(statement))
        )
        rows = filled.execute(f'EXPLAIN EXECUTE "{name}" {parameters}').fetchall()
        plan = "\n".join(str(row[0]) for row in rows)
        assert "Seq Scan on words w" not in plan, f"{name}:\n{plan}"
        assert "Sort" not in plan or name == "KNOWN_PAGE", f"{name}:\n{plan}"
