"""Many statements in flight on one connection: every request gets its own answer, whatever happens to the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
import pytest

from kotobamichi.db import WRITERS, Database, array_of
from kotobamichi.pipeline import Statement
from michi.settings import parse_url

SIZE = 8
ECHO = Statement("SELECT $1::int, $2::text")
DIVIDE = Statement("SELECT 10 / $1::int")
BROKEN = Statement("SELECT nothing FROM nowhere WHERE id = $1::int")


def use(url: str, work: Callable[[Database], Awaitable[None]]) -> None:
    async def main() -> None:
        database = Database(parse_url(url, "test"), SIZE, "kotobamichi/test")
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


async def prepare_table(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(
            "CREATE TABLE entries (value int PRIMARY KEY CHECK (value < 100), pid int DEFAULT pg_backend_pid())"
        )


ADD = Statement("INSERT INTO entries (value) VALUES ($1) RETURNING value")
COUNT = Statement("SELECT count(*) FROM entries")
LOCK = Statement("SELECT pg_advisory_xact_lock($1::bigint)")


def test_a_write_is_committed_when_it_is_answered(database_url: str) -> None:
    async def work(database: Database) -> None:
        await prepare_table(database)
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
            for number in range(20):
                assert await database.write((ADD, (number,))) == [(number,)]
                row = await (await other.execute("SELECT count(*) FROM entries")).fetchone()
                assert row == (number + 1,)

    use(database_url, work)


def test_the_steps_of_a_write_are_one_transaction(database_url: str) -> None:
    async def work(database: Database) -> None:
        await prepare_table(database)
        assert await database.write((ADD, (1,)), (ADD, (2,)), (COUNT, ())) == [(2,)]
        for wrong in (
            ((ADD, (3,)), (ADD, (100,))),
            ((ADD, (100,)), (ADD, (3,))),
            ((ADD, (3,)), (BROKEN, (1,)), (ADD, (4,))),
        ):
            with pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.UndefinedTable)):
                await database.write(*wrong)
            assert await database.read(COUNT) == [(2,)]
        assert await database.write((ADD, (3,)), (COUNT, ())) == [(3,)]

    use(database_url, work)


def test_writes_that_fail_at_their_commit_are_errors(database_url: str) -> None:
    async def work(database: Database) -> None:
        async with database.transaction() as connection:
            await connection.execute("CREATE TABLE entries (value int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        assert await database.write((ADD, (1,))) == [(1,)]
        with pytest.raises(psycopg.errors.UniqueViolation):
            await database.write((ADD, (1,)))
        assert await database.read(COUNT) == [(1,)]

    use(database_url, work)


def test_many_writes_at_once_share_few_connections_and_each_is_stored_once(database_url: str) -> None:
    async def work(database: Database) -> None:
        await prepare_table(database)
        answers = await asyncio.gather(*(database.write((ADD, (number,))) for number in range(100)))
        assert answers == [[(number,)] for number in range(100)]
        row = await database.fetch_one("SELECT count(*), count(DISTINCT pid) FROM entries")
        assert row is not None
        assert row[0] == 100
        assert row[1] <= WRITERS

    use(database_url, work)


def test_a_write_waits_for_a_lock_and_holds_up_nobody_else(database_url: str) -> None:
    async def work(database: Database) -> None:
        await prepare_table(database)
        async with await psycopg.AsyncConnection.connect(database_url) as other:
            await other.execute("SELECT pg_advisory_xact_lock(7)")
            waiting = asyncio.create_task(database.write((LOCK, (7,)), (ADD, (1,))))
            assert await database.write((LOCK, (8,)), (ADD, (2,))) == [(2,)]
            assert not waiting.done()
            await other.commit()
        assert await waiting == [(1,)]

    use(database_url, work)


def test_clients_that_go_away_while_they_wait_leave_every_connection_usable(database_url: str) -> None:
    async def work(database: Database) -> None:
        await prepare_table(database)
        async with await psycopg.AsyncConnection.connect(database_url) as other:
            await other.execute("SELECT pg_advisory_xact_lock(7)")
            waiting = [asyncio.create_task(database.write((LOCK, (7,)), (COUNT, ()))) for _ in range(3 * WRITERS)]
            await asyncio.sleep(0.2)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            await other.commit()
        assert database.writers.lent == 0
        answers = await asyncio.gather(*(database.write((ADD, (number,))) for number in range(50)))
        assert answers == [[(number,)] for number in range(50)]

    use(database_url, work)


def test_a_write_on_a_cut_connection_is_an_error_and_is_not_sent_again(database_url: str) -> None:
    async def work(database: Database) -> None:
        await prepare_table(database)
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
            await other.execute("SELECT pg_advisory_lock(7)")
            cut = asyncio.create_task(database.write((LOCK, (7,)), (ADD, (1,))))
            for _ in range(200):
                cursor = await other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE query LIKE '%advisory_xact%' AND wait_event = 'advisory'"
                )
                if await cursor.fetchone():
                    break
                await asyncio.sleep(0.05)
            with pytest.raises(psycopg.OperationalError):
                await cut
            await other.execute("SELECT pg_advisory_unlock(7)")
        assert await database.write((ADD, (2,)), (COUNT, ())) == [(1,)]

    use(database_url, work)


def test_a_write_whose_plan_a_migration_outdates_is_done_once(database_url: str) -> None:
    add_all = Statement("INSERT INTO entries (value) VALUES ($1) RETURNING *")

    async def work(database: Database) -> None:
        await prepare_table(database)
        assert len(await database.write((add_all, (1,)))) == 1
        async with database.transaction() as connection:
            await connection.execute("ALTER TABLE entries ADD COLUMN more int DEFAULT 2")
        assert (await database.write((add_all, (2,))))[0][2] == 2
        assert await database.read(COUNT) == [(2,)]

    use(database_url, work)


def test_plans_that_a_migration_outdates_on_every_connection_fail_nobody(database_url: str) -> None:
    read_all = Statement("SELECT * FROM tallies")
    count_up = Statement("UPDATE tallies SET total = total + 1 WHERE id = $1 RETURNING *")

    async def work(database: Database) -> None:
        async def use_all_at_once() -> None:
            await asyncio.gather(*(database.write((count_up, (number,))) for number in range(50)))
            await asyncio.gather(*(database.read(read_all) for _ in range(200)))

        async with database.transaction() as connection:
            await connection.execute("CREATE TABLE tallies AS SELECT n AS id, 0 AS total FROM generate_series(0, 49) n")
        await use_all_at_once()
        assert len(database.writers.idle) == min(WRITERS, SIZE)
        for change in ("ADD COLUMN more int", "DROP COLUMN more"):
            async with database.transaction() as connection:
                await connection.execute(f"ALTER TABLE tallies {change}".encode())
            await use_all_at_once()
        assert await database.fetch_all("SELECT DISTINCT total FROM tallies") == [(3,)]

    use(database_url, work)


TEXTS = ["", "a", '"', "\\", '\\"', "{}", ",", "NULL", "null", " ", "\n\t", "あう", "'", "{a,b}", "\\\\x41", "😀"]


def test_texts_travel_in_arrays_as_they_are(database_url: str) -> None:
    echo = Statement("SELECT $1::text[], $2::boolean[]")

    async def work(database: Database) -> None:
        assert await database.read(echo, array_of(TEXTS), array_of([True, False])) == [(TEXTS, [True, False])]
        assert await database.read(echo, array_of([]), array_of([])) == [([], [])]

    use(database_url, work)
