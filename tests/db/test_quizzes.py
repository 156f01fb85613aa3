"""Quizzes in PostgreSQL: order, lists, what is kept of them, and how many statements a request takes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import msgspec
import psycopg
import pytest

from kotobamichi.accounts.identity import Identity
from kotobamichi.db import Database, Parameter
from kotobamichi.errors import BadRequest, NotFound
from kotobamichi.freshness import Answers, Freshness
from kotobamichi.ids import new_ids
from kotobamichi.pipeline import Row, Statement
from kotobamichi.quizzes import service
from kotobamichi.quizzes.known import new_shelf
from kotobamichi.quizzes.queries import ATTEMPTS_OF_QUIZ, OWNS_PUBLIC, QUIZ
from kotobamichi.quizzes.schemas import GivenAnswer, NewQuiz, QuizQuery, Submission
from michi.settings import parse_url
from tests.support.accounts import account

NOW = datetime(2026, 11, 25, 8, tzinfo=UTC)


class CountingDatabase(Database):
    """The real thing, and how many statements it was given. Revisions are shared by all requests and counted apart."""

    statements = 0

    async def read(self, statement: Statement, *parameters: Parameter) -> list[Row]:
        self.statements += "revisions" not in statement.sql
        return await super().read(statement, *parameters)

    async def write(self, *steps: tuple[Statement, Sequence[Parameter]]) -> list[Row]:
        self.statements += 1
        return await super().write(*steps)

    async def fetch_all(self, statement: LiteralString, parameters: dict[str, Any] | None = None) -> list[Row]:
        self.statements += 1
        return await super().fetch_all(statement, parameters)


class Scene:
    def __init__(self, url: str, database: CountingDatabase) -> None:
        self.url = url
        self.database = database
        freshness = Freshness(database)
        self.answers = Answers(freshness)
        self.shelf = new_shelf(freshness)
        self.maker, self.other = (
            Identity(account(url), f"{name}@example.org", "USER", 0) for name in ("maker", "other")
        )
        self.words = new_ids(60)
        with psycopg.connect(url) as connection:
            connection.cursor().executemany(
                "INSERT INTO words (id, hiragana, english, content_hash)"
                " VALUES (%s, 'あ' || %s, 'word', encode(sha256(%s::bytea), 'hex'))",
                [(word, number, word) for number, word in enumerate(self.words)],
            )

    async def make(self, title: str = "t", words: list[str] | None = None, *, public: bool = True, at: int = 0) -> str:
        new = NewQuiz(title=title, is_public=public, word_ids=words or self.words[:3])
        return (await service.create_quiz(self.database, self.maker, new, NOW + timedelta(seconds=at))).id

    async def show(self, quiz_id: str, viewer: Identity | None = None) -> Any:
        answer = await service.show_quiz(self.database, self.answers, self.shelf, quiz_id, viewer)
        return msgspec.json.decode(answer.body)

    async def list(self, viewer: Identity | None = None, **query: Any) -> tuple[Any, str | None]:
        answer = await service.list_quizzes(self.database, self.answers, QuizQuery(**query), viewer)
        return msgspec.json.decode(answer.body), answer.link

    async def submit(self, quiz_id: str, words: list[str]) -> None:
        submission = Submission([GivenAnswer(word, "あ0") for word in words])
        await service.submit_quiz(self.database, self.shelf, quiz_id, self.other, submission, NOW)

    def change(self, statement: LiteralString, *values: Any) -> None:
        """As another process would, an administrator's."""
        with psycopg.connect(self.url) as connection:
            connection.execute(statement, values)


def use(url: str, work: Callable[[Scene], Awaitable[None]]) -> None:
    async def main() -> None:
        database = CountingDatabase(parse_url(url, "test"), 4, "kotobamichi/test")
        await database.open()
        try:
            async with asyncio.timeout(60):
                await work(Scene(url, database))
        finally:
            await database.close()

    asyncio.run(main())


def test_a_quiz_that_meets_deadlocks_one_after_another_is_made_all_the_same(schema_url: str) -> None:
    async def work(scene: Scene) -> None:
        one, two, three = scene.words[:3]
        lock = "SELECT FROM words WHERE id = %s FOR UPDATE"
        with psycopg.connect(schema_url) as first, psycopg.connect(schema_url) as second:
            for other, held in ((first, two), (second, three)):
                other.execute("SET deadlock_timeout = '1min'")  # so that it is not the one who is refused
                other.execute(lock, (held,))
            making = asyncio.create_task(scene.make(words=[one, two, three]))
            for other in (first, second):
                while not await asyncio.to_thread(_is_waited_for, schema_url, other.info.backend_pid):
                    assert not making.done()
                    await asyncio.sleep(0.01)
                await asyncio.to_thread(other.execute, lock, (one,))
                other.commit()
        shown = await scene.show(await making)
        assert [question["wordId"] for question in shown["quizWords"]] == [one, two, three]

    use(schema_url, work)


def _is_waited_for(url: str, pid: int) -> bool:
    with psycopg.connect(url) as connection:
        return bool(
            connection.execute(
                "SELECT FROM pg_stat_activity WHERE datname = current_database() AND %s = ANY (pg_blocking_pids(pid))",
                (pid,),
            ).rowcount
        )


def test_quizzes_of_the_same_words_lock_them_in_one_order(schema_url: str) -> None:
    """The first word of all is held; whoever waits for it holds none of the others, in whatever order it asks them."""

    async def work(scene: Scene) -> None:
        ids = sorted(scene.words[:5])
        with psycopg.connect(schema_url) as holder, psycopg.connect(schema_url) as prober:
            holder.execute("SELECT FROM words WHERE id = %s FOR UPDATE", (ids[0],))
            making = asyncio.create_task(scene.make(words=ids[::-1]))
            while not await asyncio.to_thread(_is_waited_for, schema_url, holder.info.backend_pid):
                assert not making.done()
                await asyncio.sleep(0.01)
            found = prober.execute("SELECT FROM words WHERE id = ANY (%s::uuid[]) FOR UPDATE SKIP LOCKED", (ids,))
            assert found.rowcount == 4
            prober.commit()
            holder.commit()
        shown = await scene.show(await making)
        assert [question["wordId"] for question in shown["quizWords"]] == ids[::-1]

    use(schema_url, work)


def test_questions_keep_the_order_in_which_they_were_chosen_and_come_once(schema_url: str) -> None:
    async def work(scene: Scene) -> None:
        chosen = [scene.words[place] for place in (7, 3, 50, 3, 0, 7, 12)]
        quiz = await scene.show(await scene.make(words=[chosen[0].upper(), *chosen[1:]]))
        assert [question["wordId"] for question in quiz["quizWords"]] == list(dict.fromkeys(chosen))
        assert quiz["_count"]["quizWords"] == 5

    use(schema_url, work)


def test_a_quiz_of_a_word_that_is_not_there_is_not_stored_at_all(schema_url: str) -> None:
    async def work(scene: Scene) -> None:
        scene.change("UPDATE words SET deleted_at = now() WHERE id = %s", scene.words[1])
        for wrong in (new_ids(1)[0], scene.words[1], "x", "", scene.words[0] + "0"):
            with pytest.raises(BadRequest, match="One or more words not found"):
                await scene.make(words=[scene.words[0], wrong])
        assert await scene.database.fetch_one("SELECT count(*) FROM quizzes") == (0,)

    use(schema_url, work)


def test_a_deleted_word_empties_no_quiz_and_is_still_graded(schema_url: str) -> None:
    async def work(scene: Scene) -> None:
        quiz = await scene.make()
        before = await scene.show(quiz)
        scene.change("UPDATE words SET deleted_at = now() WHERE id = ANY(%s::uuid[])", scene.words[:3])
        assert await scene.show(quiz) == before
        await scene.submit(quiz, scene.words[:3])
        assert (await scene.database.fetch_one("SELECT correct FROM attempts")) == ([True, False, False],)

    use(schema_url, work)


def test_a_changed_word_is_shown_and_graded_anew_at_once(schema_url: str) -> None:
    async def work(scene: Scene) -> None:
        quiz = await scene.make()
        await scene.show(quiz)
        await scene.submit(quiz, scene.words[:3])
        scene.change("UPDATE words SET hiragana = 'い' WHERE id = %s", scene.words[0])
        assert (await scene.show(quiz))["quizWords"][0]["word"]["hiragana"] == "い"
        await scene.submit(quiz, scene.words[:3])
        rows = await scene.database.fetch_all("SELECT correct[1] FROM attempts ORDER BY id")
        assert rows == [(True,), (False,)]

    use(schema_url, work)


def test_counts_makers_and_deletions_are_seen_at_once(schema_url: str) -> None:
    async def work(scene: Scene) -> None:
        quiz = await scene.make()
        for taken in range(3):
            (listed,), _ = await scene.list()
            assert (listed["_count"]["attempts"], (await scene.show(quiz))["_count"]["attempts"]) == (taken, taken)
            await scene.submit(quiz, scene.words[:3])
        scene.change("UPDATE users SET role = 'ADMIN' WHERE id = %s", scene.maker.id)
        (listed,), _ = await scene.list()
        assert listed["creator"] == (await scene.show(quiz))["creator"] == {"id": scene.maker.id, "role": "ADMIN"}
        await service.delete_quiz(scene.database, scene.shelf, quiz, scene.maker, NOW)
        assert await scene.list() == ([], None)
        with pytest.raises(NotFound):
            await scene.show(quiz)

    use(schema_url, work)


def test_a_list_is_walked_by_its_links_newest_first_whatever_is_deleted_meanwhile(schema_url: str) -> None:
    async def work(scene: Scene) -> None:
        made = [await scene.make(f"quiz {number}", at=number // 2) for number in range(11)]
        await scene.make("private", public=False)
        seen: list[str] = []
        after = None
        for _ in range(4):
            quizzes, link = await scene.list(limit=3, after=after)
            seen += [quiz["id"] for quiz in quizzes]
            after = seen[-1]
            if len(seen) == 6:
                await service.delete_quiz(scene.database, scene.shelf, after, scene.maker, NOW)
            assert link == (f'</v1/quizzes?limit=3&after={after}>; rel="next"' if len(seen) < 11 else None)
        assert seen == made[::-1]
        assert await scene.list(after=made[0]) == ([], None)
        with pytest.raises(BadRequest):
            await scene.list(after=scene.words[0])

    use(schema_url, work)


def test_search_looks_in_title_and_description_and_takes_signs_literally(schema_url: str) -> None:
    async def work(scene: Scene) -> None:
        for title in ("Ｖｅｒｂｓ 100%", "動詞", "nouns_1"):
            await scene.make(title)
        for search, titles in {
            "verbs": ["Ｖｅｒｂｓ 100%"], "動詞": ["動詞"], "%": ["Ｖｅｒｂｓ 100%"], "_": ["nouns_1"], "\\": [], "'": [],
        }.items():  # fmt: skip
            assert [quiz["title"] for quiz in (await scene.list(search=search))[0]] == titles
        assert len(scene.answers.shelf.kept) == 0  # what people search for is not kept

    use(schema_url, work)


def test_a_request_takes_the_same_number_of_statements_however_long_the_list(schema_url: str) -> None:
    async def work(scene: Scene) -> None:
        async def count(request: Awaitable[Any]) -> int:
            before = scene.database.statements
            await request
            return scene.database.statements - before

        small, large = await scene.make(words=scene.words[:2]), await scene.make(words=scene.words)
        for quiz, words in ((small, scene.words[:2]), (large, scene.words)):
            assert await count(scene.show(quiz)) == 2  # the quiz with its words, and how often it was taken
            assert await count(scene.show(quiz)) == 0  # nothing has changed
            assert await count(scene.submit(quiz, words)) == 1
            assert await count(scene.show(quiz)) == 1
        for _ in range(3):
            assert await count(scene.list()) == 1
            assert await count(scene.list()) == 0
            assert await count(scene.list(scene.other)) == 1  # whether one of them is theirs
            await scene.make()

    use(schema_url, work)


def test_what_is_read_of_one_quiz_is_found_in_indexes(schema_url: str) -> None:
    """On the app's own connections and with empty tables, where a scan would cost least: the plan has to last."""

    async def work(scene: Scene) -> None:
        for statement in (QUIZ, ATTEMPTS_OF_QUIZ, OWNS_PUBLIC):
            rows = await scene.database.read(Statement(f"EXPLAIN (COSTS off) {statement.sql}"), *new_ids(1))
            plan = "\n".join(row[0] for row in rows)
            assert "Seq Scan" not in plan, plan
            assert "Hash Join" not in plan, plan
            assert "Index" in plan

    use(schema_url, work)
