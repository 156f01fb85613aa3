"""Databases of any size: our schema with words, learners, quizzes, attempts and progress that agree with each other."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.postgres import Postgres
from benchmarks.process import SCRIPTS, BenchmarkFailed, environment, run

SCRIPT = Path(__file__).parent / "fill.sql"
FILL_SECONDS = 1800.0


@dataclass(frozen=True)
class Size:
    """How much there is. `attempts` are those of each learner; `words` counts the vocabulary of 8,334 words in."""

    words: int
    learners: int
    attempts: int
    quizzes: int
    public_quizzes: int = 200
    words_each: int = 20


SMALL = Size(words=8_334, learners=1_000, attempts=100, quizzes=200)
LARGE = Size(words=1_000_000, learners=100_000, attempts=100, quizzes=20_000)
# Pairs of what is kept and what counting gives.
SAME = (
    ("SELECT sum(total) FROM word_totals", "SELECT count(*) FROM words WHERE deleted_at IS NULL"),
    ("SELECT sum(total) FROM quiz_attempt_totals", "SELECT count(*) FROM attempts"),
    ("SELECT sum(attempts), sum(score_sum) FROM learner_totals", "SELECT count(*), sum(score) FROM attempts"),
    ("SELECT sum(words_learned) FROM learner_totals", "SELECT count(*) FROM progress WHERE mastery_level >= 5"),
)


def fill(postgres: Postgres, size: Size, database: str) -> dict[str, float | str]:
    """Makes the database and fills it. Gives how long it took and how big it is; raises BenchmarkFailed where totals are wrong."""
    began = time.monotonic()
    env = environment(DATABASE_URL=postgres.url(database))
    run([str(SCRIPTS / "michi"), "deploy"], 60, env)
    run([str(SCRIPTS / "kotobamichi"), "words", "load"], 60, env)
    # Otherwise the server would write all its pages to disk every few seconds.
    postgres.execute("ALTER SYSTEM SET max_wal_size = '4GB'", "SELECT pg_reload_conf()", database=database)
    variables = [part for name, value in asdict(size).items() for part in ("-v", f"{name}={value}")]
    run([*postgres.psql, "-d", postgres.url(database), *variables, "-f", str(SCRIPT)], FILL_SECONDS, env)
    # What autovacuum does within minutes; in psql, because it may take longer than other statements.
    run([*postgres.psql, "-d", postgres.url(database), "-c", "VACUUM (ANALYZE)"], FILL_SECONDS, env)
    postgres.execute("ALTER SYSTEM RESET max_wal_size", "SELECT pg_reload_conf()", "CHECKPOINT", database=database)
    for kept, counted in SAME:
        if (said := postgres.execute(kept, database=database)) != postgres.execute(counted, database=database):
            raise BenchmarkFailed(f"{kept} gives {said.strip()}, which is not what counting gives")
    bytes_used = postgres.execute("SELECT pg_size_pretty(pg_database_size(current_database()))", database=database)
    return {"seconds": time.monotonic() - began, "size": bytes_used.strip()}
