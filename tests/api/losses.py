"""Losing nothing: the whole app is killed under a load of submissions, again and again.

    python -m tests.api.losses --runs 50 --seed 7

Several learners take a quiz, each one attempt after the other, while the server and its workers get SIGKILL at a random moment.
Then the database must hold every attempt that was acknowledged, once, with the id and score that were told; no attempt twice; none
that nobody sent; and progress and totals must be what replaying the stored attempts, by the pure rules, comes to.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import signal
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import psycopg

from kotobamichi import embedded
from kotobamichi.reviews.scheduling import LEARNED_LEVEL, Standing, review
from tests.conftest import url_of_database
from tests.support.accounts import SECRET, SignedIn, administrator, learner
from tests.support.app import App, deploy_app_schema, started
from tests.support.servers import folder_for_server, free_port

WORDS = 6
LEARNERS = 6
WORKERS = "2"
QUIET_SECONDS = 30.0
Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass
class Told:
    """What the clients know. `sent` are the marks of all attempts, `acknowledged` the answer to each that got one."""

    sent: set[str] = field(default_factory=set)
    acknowledged: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Course:
    """A quiz, its words with a right answer for each, and who takes it."""

    quiz_id: str
    answers: tuple[tuple[str, str], ...]
    tokens: tuple[str, ...]


@contextmanager
def new_database() -> Iterator[str]:
    """A database of its own with our schema, on an embedded server that syncs nothing: PostgreSQL is not what is killed."""
    with folder_for_server() as folder, embedded.running(folder / "postgresql") as url:
        name = f"losses_{uuid.uuid4().hex[:12]}"
        new = url_of_database(url, name)
        with psycopg.connect(url_of_database(url, "postgres"), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        deploy_app_schema(new)
        yield new


def prepare(app: App, url: str) -> Course:
    """Makes words, a public quiz of them, and learners."""
    with psycopg.connect(url) as connection:
        words = connection.execute(
            "INSERT INTO words (id, hiragana, english, content_hash)"
            " SELECT gen_random_uuid(), 'ことば', 'thing ' || n, encode(sha256(('loss' || n)::bytea), 'hex')"
            " FROM generate_series(1, %s) n RETURNING id::text, english",
            (WORDS,),
        ).fetchall()
    with administrator(app) as client:
        made = client.post(
            "/v1/quizzes", json={"title": "Losses", "isPublic": True, "wordIds": [word[0] for word in words]}
        )
        assert made.status_code == 201, made.text
    people: list[SignedIn] = [learner(app) for _ in range(LEARNERS)]
    tokens = tuple(person.headers["authorization"] for person in people)
    for person in people:
        person.close()
    return Course(made.json()["id"], tuple(words), tokens)


def take(app: App, course: Course, token: str, told: Told, chance: random.Random, ended: threading.Event) -> None:
    """One learner's attempts, until the server is gone. One word's answer is a mark that no other attempt has."""
    with httpx.Client(base_url=app.url, timeout=30, headers={"Authorization": token}) as client:
        while not ended.is_set():
            mark = uuid.uuid4().hex
            told.sent.add(mark)
            first, *others = course.answers
            answers = [{"wordId": first[0], "answer": mark}]
            answers += [{"wordId": word, "answer": right if chance.random() < 0.6 else "?"} for word, right in others]
            try:
                answer = client.post(f"/v1/quizzes/{course.quiz_id}/submit", json={"answers": answers})
            except httpx.HTTPError:
                return  # killed: nobody knows what became of this one
            if answer.status_code == 201:
                told.acknowledged[mark] = answer.json()
            elif answer.status_code != 503:
                told.refused.append(f"{answer.status_code} {answer.text}")


def kill_under_load(app: App, course: Course, told: Told, chance: random.Random) -> None:
    """Runs learners against the app, and kills its processes at a random moment after the first attempt was acknowledged."""
    ended = threading.Event()
    before = len(told.acknowledged)
    threads = [
        threading.Thread(target=take, args=(app, course, token, told, random.Random(chance.random()), ended))
        for token in course.tokens
    ]
    for thread in threads:
        thread.start()
    try:
        deadline = time.monotonic() + QUIET_SECONDS
        while len(told.acknowledged) == before and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.3))
    finally:
        os.killpg(app.process.pid, signal.SIGKILL)
        ended.set()
    app.process.wait(30)
    for thread in threads:
        thread.join(60)


def wait_until_quiet(connection: Connection) -> None:
    """Until PostgreSQL has ended what the killed processes had asked of it."""
    deadline = time.monotonic() + QUIET_SECONDS
    while time.monotonic() < deadline:
        connection.commit()  # statistics are those of a moment, kept for a transaction
        rows = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'kotobamichi/%'"
        ).fetchone()
        if rows == (0,):
            return
        time.sleep(0.02)
    raise AssertionError("connections of the killed app are still open")


def losses(connection: Connection, course: Course, told: Told) -> list[str]:
    """What is wrong, in words; nothing is what there should be."""
    attempts = connection.execute(
        "SELECT id::text, user_id::text, score, answers, correct, completed_at FROM attempts"
        " WHERE quiz_id = %s ORDER BY completed_at",
        (course.quiz_id,),
    ).fetchall()
    faults = [f"refused: {text}" for text in told.refused]
    stored: Counter[str] = Counter()
    by_mark: dict[str, tuple[Any, ...]] = {}
    for attempt in attempts:
        mark = attempt[3][0]
        stored[mark] += 1
        by_mark[mark] = attempt
        if len(attempt[3]) != WORDS or attempt[2] != math.floor(100 * sum(attempt[4]) / WORDS + 0.5):
            faults.append(f"half an attempt: {attempt}")
    faults += [f"stored {times} times: {mark}" for mark, times in stored.items() if times > 1]
    faults += [f"stored and never sent: {mark}" for mark in stored.keys() - told.sent]
    for mark, answer in told.acknowledged.items():
        attempt = by_mark.get(mark, (None, None, None))
        if attempt[0] != answer["attemptId"] or attempt[2] != answer["score"]:
            faults.append(
                f"acknowledged {answer['attemptId']} with {answer['score']}, stored {attempt[0]} with {attempt[2]}"
            )
    for user_id in {attempt[1] for attempt in attempts}:
        faults += _faults_of_learner(connection, course, user_id, [one for one in attempts if one[1] == user_id])
    total = connection.execute(
        "SELECT sum(total) FROM quiz_attempt_totals WHERE quiz_id = %s", (course.quiz_id,)
    ).fetchone()
    if total != (len(attempts),):
        faults.append(f"the quiz was taken {len(attempts)} times, its total says {total}")
    return faults


def _faults_of_learner(
    connection: Connection, course: Course, user_id: str, attempts: Sequence[tuple[Any, ...]]
) -> Iterator[str]:
    """Progress and totals against what the attempts, one after the other, come to."""
    standings: dict[str, Standing] = {}
    last: dict[str, datetime] = {}
    for attempt in attempts:
        for (word_id, _answer), right in zip(course.answers, attempt[4], strict=True):
            standings[word_id] = review(standings.get(word_id), right, attempt[5])
            last[word_id] = attempt[5]
    wanted = {word: (standing.level, last[word], standing.due) for word, standing in standings.items()}
    rows = connection.execute(
        "SELECT word_id::text, mastery_level, last_reviewed_at, next_review_at FROM progress WHERE user_id = %s",
        (user_id,),
    ).fetchall()
    stored = {row[0]: tuple(row[1:]) for row in rows}
    if stored.keys() != wanted.keys() or any(not _same(stored[word], wanted[word]) for word in wanted):
        yield f"progress of {user_id}: {stored}, and its attempts come to {wanted}"
    scores = [attempt[2] for attempt in attempts]
    learned = sum(standing.level >= LEARNED_LEVEL for standing in standings.values())
    totals = (len(scores), sum(scores), max(scores), min(scores), 1, learned)
    row = connection.execute(
        "SELECT attempts, score_sum, highest_score, lowest_score, quizzes_taken, words_learned FROM learner_totals"
        " WHERE user_id = %s",
        (user_id,),
    ).fetchone()
    if row != totals:
        yield f"totals of {user_id}: {row}, and its attempts come to {totals}"


def _same(stored: tuple[Any, ...], wanted: tuple[int, datetime, datetime]) -> bool:
    """Instants are stored in milliseconds."""
    near = timedelta(milliseconds=2)
    return bool(stored[0] == wanted[0] and abs(stored[1] - wanted[1]) <= near and abs(stored[2] - wanted[2]) <= near)


def run(url: str, runs: int, seed: int) -> tuple[Told, list[str]]:
    """Kills the app so many times. Stops at the first loss."""
    chance = random.Random(seed)
    told = Told()
    course: Course | None = None
    with psycopg.connect(url) as connection:
        for number in range(1, runs + 1):
            settings = {
                "DATABASE_URL": url,
                "JWT_SECRET": SECRET,
                "MAIL": "off",
                "WORKERS": WORKERS,
                "LOG_LEVEL": "warning",
            }
            with started("serve", PORT=str(free_port()), **settings) as app:
                app.wait_until_ready()
                course = course or prepare(app, url)
                kill_under_load(app, course, told, chance)
            wait_until_quiet(connection)
            if faults := losses(connection, course, told):
                return told, [f"seed {seed}, after kill {number}: {fault}" for fault in faults]
    return told, []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with new_database() as url:
        told, faults = run(url, options.runs, options.seed)
    for fault in faults:
        print(fault)
    sent, acknowledged = len(told.sent), len(told.acknowledged)
    print(f"{options.runs} kills, {sent} attempts sent, {acknowledged} acknowledged, {sent - acknowledged} unknown")
    print(f"{len(faults)} lost, half or twice")
    return 1 if faults or not told.acknowledged else 0


if __name__ == "__main__":
    sys.exit(main())
