"""The one transaction that an attempt is: itself, what it does to the learner's progress, and all totals."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import psycopg

from kotobamichi.accounts.identity import Identity
from kotobamichi.db import Database, array_of
from kotobamichi.errors import NotFound, Unauthenticated
from kotobamichi.ids import new_ids
from kotobamichi.pipeline import Statement
from kotobamichi.quizzes.known import KnownQuiz
from kotobamichi.quizzes.queries import QUIZ_NOT_FOUND
from kotobamichi.reviews.scheduling import INTERVAL_DAYS, LEARNED_LEVEL, LEVEL_AFTER_RIGHT, LEVEL_AFTER_WRONG


def _array(numbers: tuple[int, ...]) -> str:
    return f"'{array_of(map(str, numbers))}'::smallint[]"


# One learner's attempts come one after the other, so that each sees what the one before made of the words.
LOCK_LEARNER = Statement("SELECT pg_advisory_xact_lock($1::bigint)")
# The rule of scheduling.py stands here as its tables, whose places count from 1. Words come in the order of their ids, and of the
# rows that learners share each statement takes one per table, always in the same order of tables: nobody waits in a circle.
STORE_ATTEMPT = Statement(
    f"""
    WITH answered AS MATERIALIZED (
        SELECT g.word_id, g.new_id, g.is_right, p.id, coalesce(p.mastery_level, 0) AS level,
            g.is_right AND coalesce(p.next_review_at > $10::timestamptz, false) AS is_early
        FROM unnest($7::uuid[], $8::boolean[], $9::uuid[]) AS g (word_id, is_right, new_id)
        LEFT JOIN progress p ON p.user_id = $2::uuid AND p.word_id = g.word_id
    ), leveled AS MATERIALIZED (
        SELECT word_id, new_id, id, level, is_early, CASE
            WHEN is_early THEN level
            WHEN is_right THEN ({_array(LEVEL_AFTER_RIGHT)})[level + 1]
            ELSE ({_array(LEVEL_AFTER_WRONG)})[level + 1]
        END AS level_after FROM answered
    ), reviewed AS MATERIALIZED (
        SELECT *, $10::timestamptz + make_interval(days => ({_array(INTERVAL_DAYS)})[level_after + 1]) AS due FROM leveled
    ), attempt AS (
        INSERT INTO attempts (id, user_id, quiz_id, score, answers, correct, completed_at, created_at, updated_at)
        VALUES ($1, $2, $3, $4::smallint, $5::text[], $6::boolean[], $10, $10, $10)
    ), met AS (
        INSERT INTO progress
            (id, user_id, word_id, mastery_level, last_reviewed_at, next_review_at, created_at, updated_at)
        SELECT new_id, $2, word_id, level_after, $10, due, $10, $10 FROM reviewed WHERE id IS NULL ORDER BY word_id
    ), met_again AS (
        UPDATE progress p SET mastery_level = r.level_after, last_reviewed_at = $10, updated_at = $10,
            next_review_at = CASE WHEN r.is_early THEN p.next_review_at ELSE r.due END
        FROM reviewed r WHERE p.id = r.id
    ), outcome AS MATERIALIZED (
        SELECT (NOT EXISTS (SELECT FROM attempts a WHERE a.quiz_id = $3::uuid AND a.user_id = $2))::integer AS quizzes,
            count(*) FILTER (WHERE level < {LEARNED_LEVEL} AND level_after >= {LEARNED_LEVEL})
                - count(*) FILTER (WHERE level >= {LEARNED_LEVEL} AND level_after < {LEARNED_LEVEL}) AS words
        FROM reviewed
    ), learner AS (
        UPDATE learner_totals t SET attempts = t.attempts + 1, score_sum = t.score_sum + $4::smallint,
            highest_score = greatest(t.highest_score, $4::smallint), lowest_score = least(t.lowest_score, $4::smallint),
            quizzes_taken = t.quizzes_taken + o.quizzes, words_learned = t.words_learned + o.words
        FROM outcome o WHERE t.user_id = $2 RETURNING t.user_id
    ), new_learner AS (
        INSERT INTO learner_totals
            (user_id, attempts, score_sum, highest_score, lowest_score, quizzes_taken, words_learned)
        SELECT $2, 1, $4::smallint, $4::smallint, $4::smallint, o.quizzes, o.words
        FROM outcome o WHERE NOT EXISTS (SELECT FROM learner)
    ), taken AS (
        INSERT INTO quiz_attempt_totals AS t (quiz_id, shard, total) VALUES ($3, pg_backend_pid() % 16, 1)
        ON CONFLICT (quiz_id, shard) DO UPDATE SET total = t.total + 1
    ), changed AS (
        UPDATE revisions SET revision = revision + 1 WHERE name = 'attempts' AND shard = pg_backend_pid() % 16
    )
    SELECT count(*) FROM reviewed
    """
)


async def insert_attempt(
    database: Database,
    learner: Identity,
    quiz: KnownQuiz,
    answers: list[str],
    correct: list[bool],
    score: int,
    now: datetime,
) -> str:
    """Stores an attempt with all that it changes and gives its id. `answers` and `correct` are in the quiz's order.

    Raises Unauthenticated or NotFound where the learner's account or the quiz is gone.
    """
    attempt_id, *progress_ids = new_ids(1 + len(answers))
    values = (
        attempt_id, learner.id, quiz.id, score, array_of(answers), array_of(correct), quiz.word_ids,
        array_of(correct[place] for place in quiz.review_order), array_of(progress_ids), now.isoformat(),
    )  # fmt: skip
    try:
        await database.write((LOCK_LEARNER, (lock_of(learner.id),)), (STORE_ATTEMPT, values))
    except psycopg.errors.ForeignKeyViolation as error:
        if (error.diag.constraint_name or "").endswith("user_id_fkey"):
            raise Unauthenticated from None
        raise NotFound(QUIZ_NOT_FOUND) from None
    return attempt_id


def lock_of(user_id: str) -> int:
    """The number of a learner's advisory lock: the random half of their id."""
    return int.from_bytes(UUID(user_id).bytes[8:], signed=True)
