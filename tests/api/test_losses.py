"""The short form of `make losses`, and that its judge sees what is lost."""

from __future__ import annotations

import random

import psycopg

from tests.api.losses import Course, Told, losses, run
from tests.support.app import deploy_app_schema


def test_nothing_acknowledged_is_lost_when_the_app_is_killed_under_load(database_url: str) -> None:
    seed = random.randrange(2**31)
    print(f"seed {seed}")
    deploy_app_schema(database_url)
    told, faults = run(database_url, 5, seed)
    print(f"{len(told.sent)} sent, {len(told.acknowledged)} acknowledged")
    assert not faults, faults
    assert len(told.acknowledged) >= 5
    _the_judge_sees_what_is_lost(database_url)


def _the_judge_sees_what_is_lost(url: str) -> None:
    """An attempt taken away, one added, a total changed, progress moved: each is found."""
    with psycopg.connect(url) as connection:
        quiz = connection.execute("SELECT id::text FROM quizzes").fetchone()
        assert quiz is not None
        words = connection.execute(
            "SELECT q.word_id::text, w.english FROM quiz_words q JOIN words w ON w.id = q.word_id ORDER BY q.position"
        ).fetchall()
        course = Course(quiz[0], tuple(words), ())
        rows = connection.execute("SELECT answers[1], id::text, score FROM attempts").fetchall()
        told = Told({row[0] for row in rows}, {row[0]: {"attemptId": row[1], "score": row[2]} for row in rows})
        assert losses(connection, course, told) == []
        for damage, seen in (
            ("DELETE FROM attempts WHERE id = (SELECT id FROM attempts LIMIT 1)", "acknowledged"),
            (
                "INSERT INTO attempts (id, user_id, quiz_id, score, answers, correct)"
                " SELECT gen_random_uuid(), user_id, quiz_id, score, answers, correct FROM attempts LIMIT 1",
                "stored 2 times",
            ),
            ("UPDATE learner_totals SET score_sum = score_sum + 1", "totals of"),
            ("UPDATE progress SET mastery_level = mastery_level + 1", "progress of"),
            ("UPDATE quiz_attempt_totals SET total = total + 1", "the quiz was taken"),
            ("UPDATE attempts SET score = 101 - score WHERE id = (SELECT id FROM attempts LIMIT 1)", "half an attempt"),
        ):
            with connection.transaction(force_rollback=True):
                connection.execute(damage.encode())
                found = losses(connection, course, told)
                assert any(seen in fault for fault in found), (damage, found)
