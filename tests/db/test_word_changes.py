"""Changing words: one content once, and nothing that quizzes or learners need is ever lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import psycopg
import pytest

from kotobamichi.db import Database
from kotobamichi.errors import Conflict, NotFound
from kotobamichi.freshness import Freshness
from kotobamichi.ids import new_id
from kotobamichi.words import service
from kotobamichi.words.content import content_hash
from kotobamichi.words.schemas import WordPage, WordQuery
from kotobamichi.words.signposts import SignpostBook
from michi.settings import parse_url
from tests.db.conftest import Connection

Result = TypeVar("Result")
AO = {"hiragana": "あお", "english": "blue"}


async def listed(database: Database, query: WordQuery) -> WordPage:
    return await service.list_words(database, SignpostBook(database, Freshness(database)), query)


def use(url: str, work: Callable[[Database], Awaitable[Result]]) -> Result:
    async def main() -> Result:
        database = Database(parse_url(url, "test"), 4, "kotobamichi/test")
        await database.open()
        try:
            async with asyncio.timeout(60):
                return await work(database)
        finally:
            await database.close()

    return asyncio.run(main())


def add_quiz(connection: Connection, *word_ids: str) -> None:
    """A quiz of these words, by a new account."""
    user_id, quiz_id = new_id(), new_id()
    connection.execute("INSERT INTO users (id, email) VALUES (%s, %s)", (user_id, f"{user_id}@example.org"))
    connection.execute(
        "INSERT INTO quizzes (id, title, created_by_id, words_total) VALUES (%s, 'Q', %s, %s)",
        (quiz_id, user_id, len(word_ids)),
    )
    for position, word_id in enumerate(word_ids):
        connection.execute("INSERT INTO quiz_words VALUES (%s, %s, %s, %s)", (new_id(), quiz_id, word_id, position))


def totals_are_right(connection: Connection) -> bool:
    row = connection.execute(
        "SELECT (SELECT sum(total) FROM word_totals) = (SELECT count(*) FROM words WHERE deleted_at IS NULL)"
    ).fetchone()
    return row == (True,)


def test_the_content_hash_follows_every_change(schema_url: str) -> None:
    async def work(database: Database) -> None:
        word = await service.add_word(database, AO)
        assert word.content_hash == content_hash("あお", None, "blue")
        changed = await service.change_word(database, word.id, {"kanji": "青"})
        assert changed.content_hash == content_hash("あお", "青", "blue")
        back = await service.change_word(database, word.id, {"kanji": None, "romaji": "ao"})
        assert (back.content_hash, back.romaji) == (word.content_hash, "ao")
        assert back.updated_at >= word.updated_at
        other = await service.add_word(database, AO | {"english": "green"})
        with pytest.raises(Conflict):
            await service.change_word(database, other.id, {"english": "BLUE "})
        with pytest.raises(Conflict):
            await service.add_word(database, AO)

    use(schema_url, work)


def test_of_many_who_add_the_same_word_one_does(schema_url: str, connection: Connection) -> None:
    async def work(database: Database) -> list[Any]:
        return await asyncio.gather(*(service.add_word(database, AO) for _ in range(8)), return_exceptions=True)

    results = use(schema_url, work)
    assert sum(isinstance(result, Conflict) for result in results) == 7
    assert connection.execute("SELECT count(*) FROM words").fetchone() == (1,)


def test_a_word_in_use_is_hidden_and_its_content_brings_it_back(schema_url: str, connection: Connection) -> None:
    async def work(database: Database) -> None:
        word = await service.add_word(database, AO | {"level": "N5", "topic": "Colours"})
        other = await service.add_word(database, {"hiragana": "あか", "english": "red", "level": "N5"})
        add_quiz(connection, word.id)
        deleted = await service.delete_word(database, word.id)
        assert deleted.content_hash == word.content_hash
        for query in (
            WordQuery(),
            WordQuery(level="N5"),
            WordQuery(page=2, limit=1000),
            WordQuery(search="b"),
            WordQuery(search="red"),
            WordQuery(topic="Colours"),
            WordQuery(level="N5", after=word.id),
        ):
            page = await listed(database, query)
            assert word.id not in {item.id for item in page.words}, query
            assert page.pagination.total == len(
                {"b": [], "red": [1]}.get(query.search or "", [1] if not query.topic else [])
            )
        for refused in (
            service.get_word(database, word.id),
            service.delete_word(database, word.id),
            service.change_word(database, word.id, {"romaji": "ao"}),
        ):
            with pytest.raises(NotFound):
                await refused
        assert connection.execute("SELECT count(*) FROM quiz_words").fetchone() == (1,)
        assert totals_are_right(connection)

        revived = await service.add_word(database, {"hiragana": " あお", "english": "Blue"})
        assert revived.id == word.id
        assert (revived.english, revived.level, revived.topic) == ("Blue", None, None)
        assert revived.created_at > word.created_at
        assert [item.id for item in (await listed(database, WordQuery())).words] == [other.id, word.id]
        assert totals_are_right(connection)

    use(schema_url, work)


def test_a_hidden_word_gives_its_content_to_one_that_is_there(schema_url: str, connection: Connection) -> None:
    async def work(database: Database) -> None:
        hidden = await service.add_word(database, AO)
        add_quiz(connection, hidden.id)
        await service.delete_word(database, hidden.id)
        word = await service.add_word(database, {"hiragana": "あお", "english": "green"})
        changed = await service.change_word(database, word.id, {"english": "blue"})
        assert changed.content_hash == content_hash("あお", None, "blue")
        with pytest.raises(Conflict):
            await service.add_word(database, AO)
        assert connection.execute("SELECT english FROM words WHERE id = %s", (hidden.id,)).fetchone() == ("blue",)

    use(schema_url, work)


def test_a_word_that_nothing_needs_is_gone_for_good(schema_url: str, connection: Connection) -> None:
    async def work(database: Database) -> None:
        word = await service.add_word(database, AO)
        await service.delete_word(database, word.id)
        with pytest.raises(NotFound):
            await service.delete_word(database, word.id)

    use(schema_url, work)
    assert connection.execute("SELECT count(*) FROM words").fetchone() == (0,)
    assert totals_are_right(connection)


def test_clearing_empties_the_lists_and_takes_no_question_from_a_quiz(schema_url: str, connection: Connection) -> None:
    async def work(database: Database) -> None:
        words = [await service.add_word(database, {"hiragana": f"あ{n}", "english": "a"}) for n in range(5)]
        add_quiz(connection, words[0].id, words[1].id)
        user = connection.execute("SELECT id FROM users").fetchone()
        assert user is not None
        connection.execute(
            "INSERT INTO progress (id, user_id, word_id, mastery_level, last_reviewed_at, next_review_at)"
            " VALUES (%s, %s, %s, 1, now(), now())",
            (new_id(), user[0], words[2].id),
        )
        await service.delete_word(database, words[1].id)
        assert await service.clear_words(database) == 4
        assert (await listed(database, WordQuery())).pagination.total == 0
        assert await service.clear_words(database) == 0

    use(schema_url, work)
    assert connection.execute("SELECT count(*), count(deleted_at) FROM words").fetchone() == (3, 3)
    assert connection.execute("SELECT count(*) FROM quiz_words").fetchone() == (2,)
    assert totals_are_right(connection)


def test_a_word_that_a_quiz_takes_while_it_is_deleted_stays(schema_url: str, connection: Connection) -> None:
    """The quiz holds the word's row; the deletion waits for it, is refused by the foreign key, and hides the word instead."""

    async def work(database: Database) -> None:
        one = await service.add_word(database, AO)
        two = await service.add_word(database, {"hiragana": "あか", "english": "red"})
        for taken, delete in (
            (one, lambda: service.delete_word(database, one.id)),
            (two, lambda: service.clear_words(database)),
        ):
            with psycopg.connect(schema_url) as quiz_maker:
                add_quiz(quiz_maker, taken.id)
                waiting = asyncio.create_task(delete())
                while not await _waits_for_a_lock(connection):
                    assert not waiting.done()
                    await asyncio.sleep(0.01)
            await waiting

    use(schema_url, work)
    assert connection.execute("SELECT count(*), count(deleted_at) FROM words").fetchone() == (2, 2)
    assert connection.execute("SELECT count(*) FROM quiz_words").fetchone() == (2,)
    assert totals_are_right(connection)


def test_words_are_cleared_though_a_quiz_takes_them_in_another_order(schema_url: str, connection: Connection) -> None:
    async def work(database: Database) -> int:
        one = await service.add_word(database, AO)
        two = await service.add_word(database, {"hiragana": "あか", "english": "red"})
        with psycopg.connect(schema_url) as quiz_maker:
            quiz_maker.execute("SET deadlock_timeout = '1min'")  # so that it is not the one who is refused
            add_quiz(quiz_maker, two.id)
            waiting = asyncio.create_task(service.clear_words(database))
            while not await _waits_for_a_lock(connection):
                assert not waiting.done()
                await asyncio.sleep(0.01)
            await asyncio.to_thread(add_quiz, quiz_maker, one.id)
        return await waiting

    assert use(schema_url, work) == 2
    assert connection.execute("SELECT count(*), count(deleted_at) FROM words").fetchone() == (2, 2)
    assert totals_are_right(connection)


def test_words_are_cleared_in_the_order_of_their_ids(schema_url: str, connection: Connection) -> None:
    """The first is held; the clearing that waits for it holds none of the others, wherever they lie in the table."""
    ids = sorted(str(new_id()) for _ in range(5))
    for word in reversed(ids):
        connection.execute(
            "INSERT INTO words (id, hiragana, english, content_hash) VALUES (%s, 'あ', 'a', %s)",
            (word, content_hash(word, None, "a")),
        )

    async def work(database: Database) -> int:
        with psycopg.connect(schema_url) as holder, psycopg.connect(schema_url) as prober:
            holder.execute("SELECT FROM words WHERE id = %s FOR KEY SHARE", (ids[0],))
            waiting = asyncio.create_task(service.clear_words(database))
            while not await _waits_for_a_lock(connection):
                assert not waiting.done()
                await asyncio.sleep(0.01)
            assert prober.execute("SELECT FROM words FOR UPDATE SKIP LOCKED").rowcount == 4
        return await waiting

    assert use(schema_url, work) == 5


async def _waits_for_a_lock(connection: Connection) -> bool:
    row = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    ).fetchone()
    return row is not None and row != (0,)


def test_quizzes_made_while_words_are_cleared_lose_no_word(schema_url: str, connection: Connection) -> None:
    for number in range(300):
        connection.execute(
            "INSERT INTO words (id, hiragana, english, content_hash) VALUES (%s, %s, 'a', %s)",
            (new_id(), f"あ{number}", content_hash(f"あ{number}", None, "a")),
        )
    ids = [str(row[0]) for row in connection.execute("SELECT id FROM words").fetchall()]
    made = 0

    def make_quizzes() -> None:
        nonlocal made
        with psycopg.connect(schema_url, autocommit=True) as own:
            for number in range(100):
                try:
                    with own.transaction():
                        add_quiz(own, *ids[number * 3 : number * 3 + 3])
                    made += 1
                except psycopg.errors.ForeignKeyViolation:  # the words are gone already
                    return
                except psycopg.errors.DeadlockDetected:  # nothing is left of this one
                    continue

    maker = threading.Thread(target=make_quizzes)
    maker.start()
    deleted = use(schema_url, service.clear_words)
    maker.join(60)
    assert deleted == 300
    assert connection.execute("SELECT count(*) FROM quiz_words").fetchone() == (made * 3,)
    assert connection.execute("SELECT count(*) FROM words WHERE deleted_at IS NULL").fetchone() == (0,)
    assert totals_are_right(connection)


def test_statistics_count_what_is_there(schema_url: str, connection: Connection) -> None:
    async def work(database: Database) -> None:
        empty = await service.get_import_stats(database)
        assert (empty.total_words, empty.recent_imports, empty.last_import_time) == (0, 0, None)
        word = await service.add_word(database, AO)
        await service.add_word(database, {"hiragana": "あか", "english": "red"})
        connection.execute("UPDATE words SET created_at = now() - interval '25 hours' WHERE hiragana = 'あか'")
        stats = await service.get_import_stats(database)
        assert (stats.total_words, stats.recent_imports, stats.last_import_time) == (2, 1, word.created_at)

    use(schema_url, work)
