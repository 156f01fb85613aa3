"""Many statements in flight on one connection: every request gets its own answer, whatever happens to the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
import pytest

from kotobamichi.db import Database
from kotobamichi.pipeline import Statement
from michi.settings import parse_url

ECHO = Statement("SELECT $1::int, $2::text")
DIVIDE = Statement("SELECT 10 / $1::int")
BROKEN = Statement("SELECT nothing FROM nowhere WHERE id = $1::int")


def use(url: str, work: Callable[[Database], Awaitable[None]]) -> None:
    async def main() -> None:
        database = Database(parse_url(url, "test"), 2, "kotobamichi/test")
        await database.open()
        try:
            async with asyncio.timeout(20):
                await work(database)
        finally:
            await database.close()

    asyncio.run(main())


def test_each_of_many_requests_at_once_gets_its_own_rows(database_url: str) -> None:
    async def work(database: Database) -> None:
        answers = await asyncio.gather(*(database.read(ECHO, number, f"あ{number}") for number in range(500)))
        assert answers == [[(number, f"あ{number}")] for number in range(500)]

    use(database_url, work)


def test_an_error_reaches_only_the_request_that_caused_it(database_url: str) -> None:
    async def work(database: Database) -> None:
        divisors = [number % 3 for number in range(60)]
        answers = await asyncio.gather(*(database.read(DIVIDE, number) for number in divisors), return_exceptions=True)
        for divisor, answer in zip(divisors, answers, strict=True):
            if divisor == 0:
                assert isinstance(answer, psycopg.errors.DivisionByZero)
            else:
                assert answer == [(10 // divisor,)]

    use(database_url, work)


def test_a_statement_that_cannot_be_prepared_fails_alone_and_again(database_url: str) -> None:
    async def work(database: Database) -> None:
        for _ in range(3):
            with pytest.raises(psycopg.errors.UndefinedTable):
                await database.read(BROKEN, 1)
            assert await database.read(ECHO, 1, None) == [(1, None)]

    use(database_url, work)


def test_a_client_that_goes_away_does_not_shift_the_answers_of_others(database_url: str) -> None:
    async def work(database: Database) -> None:
        requests = [asyncio.create_task(database.read(ECHO, number, "x")) for number in range(50)]
        await asyncio.sleep(0)
        for request in requests[::2]:
            request.cancel()
        answers = await asyncio.gather(*requests, return_exceptions=True)
        assert answers[1::2] == [[(number, "x")] for number in range(1, 50, 2)]

    use(database_url, work)


def test_a_cut_connection_is_told_and_then_made_anew(database_url: str) -> None:
    async def work(database: Database) -> None:
        assert await database.read(ECHO, 1, "a") == [(1, "a")]
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
            await other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'kotobamichi/test'"
            )
        await asyncio.sleep(0.2)
        assert await database.read(ECHO, 2, "b") == [(2, "b")]

    use(database_url, work)


def test_requests_in_flight_on_a_cut_connection_are_told(database_url: str) -> None:
    slow = Statement("SELECT pg_sleep($1::float)::text")

    async def work(database: Database) -> None:
        request = asyncio.create_task(database.read(slow, 30))
        await asyncio.sleep(0.3)
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
            await other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"
            )
        with pytest.raises(psycopg.OperationalError):
            await request

    use(database_url, work)


def test_a_plan_that_a_migration_outdates_is_made_anew(database_url: str) -> None:
    everything = Statement("SELECT * FROM things")

    async def work(database: Database) -> None:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
            await other.execute("CREATE TABLE things AS SELECT 1 AS a")
            assert await database.read(everything) == [(1,)]
            await other.execute("ALTER TABLE things ADD COLUMN b int DEFAULT 2")
        assert await database.read(everything) == [(1, 2)]

    use(database_url, work)


def test_an_answer_larger_than_the_socket_holds_arrives_whole(database_url: str) -> None:
    large = Statement("SELECT repeat('x', $1::int)")

    async def work(database: Database) -> None:
        answers = await asyncio.gather(*(database.read(large, 3_000_000 + number) for number in range(4)))
        assert [len(answer[0][0]) for answer in answers] == [3_000_000 + number for number in range(4)]

    use(database_url, work)


def test_a_parameter_larger_than_the_socket_holds_is_sent_whole(database_url: str) -> None:
    length = Statement("SELECT length($1::text)")

    async def work(database: Database) -> None:
        answers = await asyncio.gather(*(database.read(length, "x" * (4_000_000 + number)) for number in range(4)))
        assert answers == [[(4_000_000 + number,)] for number in range(4)]

    use(database_url, work)
