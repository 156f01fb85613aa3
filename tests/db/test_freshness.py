"""Answers that are kept: never older than the request, made once for all who ask, made again after a change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
import pytest

from kotobamichi.db import Database
from kotobamichi.freshness import Answers, Freshness
from kotobamichi.ids import new_id
from michi.settings import parse_url

ADD_WORD = "INSERT INTO words (id, hiragana, english, content_hash) VALUES (%s, 'あ', 'a', encode(sha256(%s), 'hex'))"


def use(url: str, work: Callable[[Database], Awaitable[None]]) -> None:
    async def main() -> None:
        database = Database(parse_url(url, "test"), 4, "kotobamichi/test")
        await database.open()
        try:
            async with asyncio.timeout(30):
                await work(database)
        finally:
            await database.close()

    asyncio.run(main())


async def add_word(database: Database) -> None:
    word = new_id()
    async with database.transaction() as connection:
        await connection.execute(ADD_WORD, (word, word.bytes))


def test_a_change_is_seen_by_whoever_asks_after_its_commit(schema_url: str) -> None:
    async def work(database: Database) -> None:
        freshness = Freshness(database)
        for _ in range(20):
            before = await freshness.look()
            await add_word(database)
            after = await freshness.look()
            assert after["words"] > before["words"]
            assert after["quizzes"] == before["quizzes"]

    use(schema_url, work)


def test_changes_of_many_writers_at_once_all_count(schema_url: str) -> None:
    async def work(database: Database) -> None:
        freshness = Freshness(database)
        before = (await freshness.look())["words"]
        await asyncio.gather(*(add_word(database) for _ in range(40)))
        assert (await freshness.look())["words"] == before + 40

    use(schema_url, work)


def test_an_answer_is_made_once_for_all_who_ask_and_again_after_a_change(schema_url: str) -> None:
    async def work(database: Database) -> None:
        answers = Answers(Freshness(database))
        made = 0

        async def make() -> bytes:
            nonlocal made
            made += 1
            await asyncio.sleep(0.01)
            row = await database.fetch_one("SELECT count(*) FROM words")
            return str(row).encode()

        first = await asyncio.gather(*(answers.get("all", ("words",), make) for _ in range(50)))
        assert made == 1
        assert len({id(answer) for answer in first}) == 1
        await answers.get("all", ("words",), make)
        assert made == 1
        await add_word(database)
        again = await answers.get("all", ("words",), make)
        assert made == 2
        assert (again.body, first[0].body) == (b"(1,)", b"(0,)")
        assert again.etag != first[0].etag

    use(schema_url, work)


def test_a_failure_reaches_everybody_and_is_not_kept(schema_url: str) -> None:
    async def work(database: Database) -> None:
        answers = Answers(Freshness(database))

        async def fail() -> bytes:
            raise psycopg.OperationalError("away")

        async def succeed() -> bytes:
            return b"here"

        failed = await asyncio.gather(*(answers.get(1, ("words",), fail) for _ in range(5)), return_exceptions=True)
        assert [type(error) for error in failed] == [psycopg.OperationalError] * 5
        assert (await answers.get(1, ("words",), succeed)).body == b"here"

    use(schema_url, work)


def test_a_client_that_goes_away_takes_nothing_from_the_others(schema_url: str) -> None:
    async def work(database: Database) -> None:
        answers = Answers(Freshness(database))
        release = asyncio.Event()

        async def make() -> bytes:
            await release.wait()
            return b"made"

        impatient = asyncio.create_task(answers.get(1, ("words",), make))
        patient = asyncio.create_task(answers.get(1, ("words",), make))
        await asyncio.sleep(0.05)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        release.set()
        assert (await patient).body == b"made"

    use(schema_url, work)


def test_what_was_used_least_recently_goes_first(schema_url: str) -> None:
    async def work(database: Database) -> None:
        answers = Answers(Freshness(database), most_bytes=10_000)

        async def make() -> bytes:
            return b"x" * 1000

        for key in range(6):
            await answers.get(key, ("words",), make)
        await answers.get(0, ("words",), make)
        await answers.get(6, ("words",), make)
        assert list(answers.kept) == [2, 3, 4, 5, 0, 6]
        assert answers.bytes == 6 * 1500

        async def make_big() -> bytes:
            return b"x" * 5000

        await answers.get("big", ("words",), make_big)
        assert "big" not in answers.kept

    use(schema_url, work)
