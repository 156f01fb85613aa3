"""The transaction of an attempt: all it changes agrees, whoever submits at the same time, and follows the rule of reviews."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from kotobamichi.accounts.identity import Identity
from kotobamichi.db import Database
from kotobamichi.errors import NotFound, Unauthenticated
from kotobamichi.freshness import Freshness
from kotobamichi.ids import new_id, new_ids
from kotobamichi.pipeline import Statement
from kotobamichi.quizzes.attempts import STORE_ATTEMPT, insert_attempt
from kotobamichi.quizzes.grading import score_of
from kotobamichi.quizzes.known import KnownQuiz
from kotobamichi.quizzes.queries import delete_quiz, find_quiz, insert_quiz
from kotobamichi.quizzes.schemas import NewQuiz
from kotobamichi.reviews.queries import list_progress
from kotobamichi.reviews.scheduling import LEARNED_LEVEL, Standing, review
from kotobamichi.reviews.schemas import ProgressQuery
from kotobamichi.users.queries import EARLY_PAGE, ME, STATS, WHOLE_ATTEMPT, get_stats, list_attempts
from kotobamichi.users.schemas import AttemptQuery
from michi.settings import parse_url
from tests.support.accounts import account

NOW = datetime(2026, 11, 25, 8, tzinfo=UTC)
# What is kept, and what counting gives.
AGREE = {
    "attempts": (
        "SELECT user_id, attempts, score_sum, highest_score, lowest_score, quizzes_taken FROM learner_totals ORDER BY 1",
        "SELECT user_id, count(*), sum(score), max(score), min(score), count(DISTINCT quiz_id) FROM attempts GROUP BY 1 ORDER BY 1",
    ),
    "quizzes": (
        "SELECT quiz_id, sum(total) FROM quiz_attempt_totals GROUP BY 1 ORDER BY 1",
        "SELECT quiz_id, count(*) FROM attempts GROUP BY 1 ORDER BY 1",
    ),
    "words": (
        "SELECT user_id, words_learned FROM learner_totals ORDER BY 1",
        f"SELECT user_id, count(*) FILTER (WHERE mastery_level >= {LEARNED_LEVEL}) FROM progress GROUP BY 1 ORDER BY 1",
    ),
}  # fmt: skip

Work = Callable[[Database, "Scene"], Awaitable[None]]


class Scene:
    """Learners and quizzes over the same forty words."""

    def __init__(self, url: str, learners: int) -> None:
        self.learners = [Identity(account(url), "somebody@example.org", "USER", 0) for _ in range(learners)]
        self.words = new_ids(40)
        with psycopg.connect(url) as connection:
            connection.cursor().executemany(
                "INSERT INTO words (id, hiragana, english, content_hash) VALUES (%s, 'あ', 'a', encode(sha256(%s::bytea), 'hex'))",
                [(word, word) for word in self.words],
            )

    async def quiz(self, database: Database, words: list[str]) -> KnownQuiz:
        maker = self.learners[0]
        new = NewQuiz(title="t", is_public=True, word_ids=words)
        quiz = await find_quiz(database, await insert_quiz(database, maker, new, words, NOW))
        assert quiz is not None
        return quiz


def use(url: str, work: Work, learners: int = 1) -> None:
    async def main() -> None:
        database = Database(parse_url(url, "test"), 4, "kotobamichi/test")
        await database.open()
        try:
            async with asyncio.timeout(120):
                await work(database, Scene(url, learners))
        finally:
            await database.close()

    asyncio.run(main())


async def submit(
    database: Database, learner: Identity, quiz: KnownQuiz, correct: list[bool], now: datetime = NOW
) -> str:
    answers = ["right" if right else "wrong" for right in correct]
    return await insert_attempt(database, learner, quiz, answers, correct, score_of(sum(correct), len(correct)), now)


async def levels(database: Database, learner: Identity) -> dict[str, tuple[int, str]]:
    entries, _ = await list_progress(database, learner.id, ProgressQuery())
    return {entry.word_id: (entry.mastery_level, entry.next_review_at) for entry in entries}


async def check_totals(database: Database) -> None:
    for kept, counted in AGREE.values():
        assert await database.fetch_all(kept) == await database.fetch_all(counted)


def instant(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.000Z"


def test_progress_follows_the_rule_and_totals_agree_over_any_history(schema_url: str) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 -- pytest shows it where the test fails
    chance = random.Random(seed)

    async def work(database: Database, scene: Scene) -> None:
        quizzes = [await scene.quiz(database, chance.sample(scene.words, 12)) for _ in range(3)]
        learner, standings, now = scene.learners[0], dict[str, Standing](), NOW
        for _ in range(60):
            now += timedelta(hours=chance.choice([0, 1, 24, 48, 24 * 10, 24 * 300]))
            quiz = chance.choice(quizzes)
            correct = [chance.random() < 0.9 for _ in quiz.questions]
            await submit(database, learner, quiz, correct, now)
            for question, right in zip(quiz.questions, correct, strict=True):
                standings[question.word_id] = review(standings.get(question.word_id), right, now)
            expected = {word: (standing.level, instant(standing.due)) for word, standing in standings.items()}
            assert await levels(database, learner) == expected
            await check_totals(database)
        assert max(standing.level for standing in standings.values()) >= LEARNED_LEVEL

    use(schema_url, work)


def test_attempts_of_many_learners_at_once_all_count_once(schema_url: str) -> None:
    """On quizzes that share words, by more learners and more attempts at once than there are connections."""

    async def work(database: Database, scene: Scene) -> None:
        quizzes = [await scene.quiz(database, words) for words in (scene.words[:20], scene.words[34:14:-1])]
        jobs = [
            submit(database, learner, quizzes[turn % 2], [(turn + place) % 3 > 0 for place in range(20)])
            for turn in range(10)
            for learner in scene.learners
        ]  # fmt: skip
        attempts = await asyncio.gather(*jobs)
        assert len(set(attempts)) == 60
        assert await database.fetch_one("SELECT count(*) FROM attempts") == (60,)
        await check_totals(database)
        assert await database.fetch_all("SELECT count(*) FROM progress GROUP BY user_id") == [(35,)] * 6

    use(schema_url, work, learners=6)


def test_of_two_attempts_at_once_the_second_sees_what_the_first_made_of_a_word(schema_url: str) -> None:
    """Right answers at the same moment count once for the level: after the first the word is not due."""

    async def work(database: Database, scene: Scene) -> None:
        quiz = await scene.quiz(database, scene.words[:5])
        for day in range(4):
            now = NOW + timedelta(days=2**day * 3)
            await asyncio.gather(*(submit(database, scene.learners[0], quiz, [True] * 5, now) for _ in range(20)))
            assert {level for level, _ in (await levels(database, scene.learners[0])).values()} == {day + 1}
        await check_totals(database)

    use(schema_url, work)


def test_an_attempt_that_cannot_be_stored_leaves_nothing(schema_url: str) -> None:
    async def work(database: Database, scene: Scene) -> None:
        quiz = await scene.quiz(database, scene.words[:5])
        stranger = Identity(str(new_id()), "nobody@example.org", "USER", 0)
        before = await Freshness(database).look()
        with pytest.raises(Unauthenticated):
            await submit(database, stranger, quiz, [True] * 5)
        gone = KnownQuiz(str(new_id()), *list(vars(quiz).values())[1:10])
        with pytest.raises(NotFound):
            await submit(database, scene.learners[0], gone, [True] * 5)
        for table in ("attempts", "progress", "learner_totals", "quiz_attempt_totals"):
            assert await database.fetch_one(f"SELECT count(*) FROM {table}") == (0,)
        assert await Freshness(database).look() == before

    use(schema_url, work)


def test_an_attempt_changes_the_revision_of_attempts_alone(schema_url: str) -> None:
    async def work(database: Database, scene: Scene) -> None:
        quiz = await scene.quiz(database, scene.words[:5])
        before = await Freshness(database).look()
        await submit(database, scene.learners[0], quiz, [True] * 5)
        assert await Freshness(database).look() == before | {"attempts": before["attempts"] + 1}

    use(schema_url, work)


def test_attempts_are_paged_newest_first_beyond_the_hot_path_too(schema_url: str) -> None:
    async def work(database: Database, scene: Scene) -> None:
        quiz = await scene.quiz(database, scene.words[:1])
        learner = scene.learners[0]
        made = [await submit(database, learner, quiz, [True], NOW + timedelta(seconds=n // 2)) for n in range(25)]
        for page, ids in ((1, made[:-11:-1]), (2, made[14:4:-1]), (3, made[4::-1]), (4, [])):
            items, total = await list_attempts(database, learner.id, AttemptQuery(page, 10))
            assert ([item.id for item in items], total) == (ids, 25)
        assert await list_attempts(database, learner.id, AttemptQuery(2000, 10)) == ([], 25)

    use(schema_url, work)


AVERAGES: list[tuple[list[int], float]] = [
    ([0], 0), ([100, 100], 100), ([67, 66], 66.5), ([67, 67, 66], 66.67), ([33, 33, 34], 33.33),
]  # fmt: skip


def test_the_average_has_two_decimals_at_most(schema_url: str) -> None:
    async def work(database: Database, scene: Scene) -> None:
        quiz = await scene.quiz(database, scene.words[:1])
        for learner, (scores, average) in zip(scene.learners, AVERAGES, strict=True):
            for score in scores:
                await insert_attempt(database, learner, quiz, ["x"], [False], score, NOW)
            stats = await get_stats(database, learner.id)
            assert (stats.average_score, stats.highest_score, stats.lowest_score) == (average, max(scores), min(scores))
            assert type(stats.average_score) is type(average)

    use(schema_url, work, learners=len(AVERAGES))


def test_a_deleted_quiz_keeps_its_attempts(schema_url: str) -> None:
    async def work(database: Database, scene: Scene) -> None:
        quiz = await scene.quiz(database, scene.words[:2])
        await submit(database, scene.learners[0], quiz, [True, False])
        assert await delete_quiz(database, quiz.id, NOW)
        assert not await delete_quiz(database, quiz.id, NOW)
        assert await find_quiz(database, quiz.id) is None
        items, total = await list_attempts(database, scene.learners[0].id, AttemptQuery())
        assert (items[0].quiz.title, total) == ("t", 1)

    use(schema_url, work)


def test_what_is_read_and_written_of_a_learner_is_found_in_indexes(schema_url: str) -> None:
    """On the app's own connections and with empty tables, where a scan would cost least: the plan has to last."""

    async def work(database: Database, scene: Scene) -> None:
        me, one, no = str(new_id()), "1", "{}"
        attempt = (me, me, me, one, no, no, no, no, no, NOW.isoformat())
        reads = [(STATS, [me]), (EARLY_PAGE, [me, one, one]), (WHOLE_ATTEMPT, [me, me]), (ME, [me])]
        plans = [await database.read(Statement(f"EXPLAIN (COSTS off) {read.sql}"), *values) for read, values in reads]
        plans.append(await database.write((Statement(f"EXPLAIN (COSTS off) {STORE_ATTEMPT.sql}"), attempt)))
        for rows in plans:
            plan = "\n".join(row[0] for row in rows)
            assert "Seq Scan" not in plan, plan
            assert "Hash Join" not in plan, plan
            assert "Index" in plan

    use(schema_url, work)
