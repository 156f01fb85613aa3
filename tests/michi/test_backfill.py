"""Backfills: batches along the primary key, remembered in the ledger, that a kill does not undo."""

from __future__ import annotations

import json
import random
import signal
import threading
from functools import partial

import psycopg
import pytest

from tests.michi.chaos import say
from tests.support.operator import Operator, finish, holding, kill, wait_until

patiently = partial(wait_until, seconds=60.0)  # a backfill on a busy machine
TABLE = "20260101000000_words"
BACKFILL = "20260102000000_fill_reading"
ROWS = 20_000


@pytest.fixture
def words(operator: Operator) -> Operator:
    """A table of 20,000 words without a reading."""
    operator.write(
        TABLE, "CREATE TABLE words (id bigint PRIMARY KEY, word text NOT NULL, reading text, times int DEFAULT 0);"
    )
    operator.sum()
    assert operator.deploy().exit_code == 0
    operator.execute(f"INSERT INTO words SELECT n, 'word ' || n FROM generate_series(1, {ROWS}) n; ANALYZE words")
    return operator


def backfill(operator: Operator, up: str, *, batch: int = 1000, pause: str = "0s", verify: str | None = None) -> None:
    operator.write(BACKFILL, f"-- michi: backfill = {batch}\n-- michi: backfill_pause = {pause}\n{up}", verify=verify)
    operator.sum()


def count(operator: Operator, condition: str) -> int:
    return int(operator.query(f"SELECT count(*) FROM words WHERE {condition}")[0][0])


def progress(operator: Operator) -> dict[str, object]:
    found: dict[str, object] = operator.query("SELECT error -> 'backfill' FROM _michi_ledger ORDER BY id DESC LIMIT 1")[
        0
    ][0]
    return found


def rows_done(operator: Operator) -> int:
    """0 before the first batch."""
    return int(str((progress(operator) or {}).get("rows_done", 0)))


def test_every_row_is_changed_once_in_batches_that_each_commit(words: Operator) -> None:
    backfill(
        words, "UPDATE words SET times = times + 1, reading = lower(word);",
        verify="SELECT bool_and(times = 1 AND reading IS NOT NULL) FROM words;",
    )  # fmt: skip
    answer = words.deploy()
    assert answer.exit_code == 0, answer.stderr
    (started,) = answer.named("backfill_started")
    assert (started["rows_done"], started["rows_total"]) == (0, ROWS)
    assert count(words, "times = 1") == ROWS
    assert len(words.query("SELECT DISTINCT xmin::text FROM words")) >= ROWS // 1000
    last = progress(words)
    assert (last["rows_done"], last["rows_changed"], last["finished"]) == (ROWS, ROWS, True)
    assert words.ledger() == [(TABLE, "applied"), (BACKFILL, "applied")]
    again = words.deploy()
    assert (again.exit_code, again.named("done")[0]["applied"]) == (0, 0)


@pytest.mark.parametrize(
    ("statement", "left", "changed"),
    [
        ("DELETE FROM words WHERE id % 2 = 0 -- the even ones", "id % 2 = 0", ROWS // 2),
        (
            "UPDATE public.words AS w SET reading = '言葉 {}% %s' WHERE w.id > 5 OR w.id < 3",
            "reading IS NULL AND id NOT IN (3, 4, 5)",
            ROWS - 3,
        ),
        (
            "WITH small AS (SELECT 10 AS n WHERE true)"
            " UPDATE words SET reading = 'x' FROM small WHERE words.id <= small.n RETURNING id",
            "id <= 10 AND reading IS NULL",
            10,
        ),
        ("DELETE FROM ONLY words w USING (SELECT 7 AS id WHERE true) seven WHERE w.id = seven.id", "id = 7", 1),
    ],
)  # fmt: skip
def test_the_statement_keeps_its_meaning(words: Operator, statement: str, left: str, changed: int) -> None:
    backfill(words, statement)
    answer = words.deploy()
    assert answer.exit_code == 0, answer.stderr
    assert count(words, left) == 0
    assert progress(words)["rows_changed"] == changed


def test_a_key_of_several_columns_of_any_type(operator: Operator) -> None:
    operator.write(
        TABLE,
        'CREATE TABLE "Odd Words" (day timestamptz, "the key" varchar(20) COLLATE "C", n int, done boolean,'
        ' PRIMARY KEY ("the key", day));',
    )
    operator.sum()
    operator.deploy()
    operator.execute(
        "INSERT INTO \"Odd Words\" SELECT '2026-01-01'::timestamptz + n % 7 * interval '1.000001 s', 'it''s ' || n / 7, n"
        " FROM generate_series(1, 5000) n"
    )
    backfill(operator, 'UPDATE "Odd Words" SET done = coalesce(done, false) IS NOT TRUE AND done IS NULL;', batch=100)
    assert operator.deploy().exit_code == 0
    assert operator.query('SELECT count(*) FROM "Odd Words" WHERE done')[0][0] == 5000


@pytest.mark.parametrize(
    ("up", "part"),
    [
        ("UPDATE words SET reading = ''; UPDATE words SET times = 1;", "2 statements"),
        ("INSERT INTO words VALUES (0, '');", "neither UPDATE nor DELETE"),
        ("UPDATE words SET id = id + 1;", "it changes id"),
        ("UPDATE bare SET n = 1;", "no primary key"),
    ],
)
def test_what_is_no_backfill_is_refused_with_the_line(words: Operator, up: str, part: str) -> None:
    words.execute("CREATE TABLE bare (n int)")
    backfill(words, up)
    answer = words.deploy()
    assert (answer.exit_code, answer.error["code"]) == (7, "sql.backfill")
    assert "line 3" in answer.error["message"]
    assert part in answer.error["message"]
    assert words.ledger() == [(TABLE, "applied")]


def test_a_table_that_is_not_there_is_the_servers_error(operator: Operator) -> None:
    backfill(operator, "UPDATE nowhere SET n = 1 WHERE n = 2;")
    answer = operator.deploy()
    assert (answer.exit_code, answer.named("migration_failed")[0]["sqlstate"]) == (7, "42P01")
    assert operator.ledger() == [(BACKFILL, "undone")]


def test_killed_again_and_again_it_goes_on_where_it_was_and_changes_no_row_twice(words: Operator) -> None:
    seed = random.SystemRandom().randrange(1_000_000)
    say(f"seed {seed}")
    chance = random.Random(seed)
    backfill(
        words,
        "UPDATE words SET times = times + 1;",
        batch=500,
        pause="20ms",
        verify="SELECT bool_and(times = 1) FROM words;",
    )
    reached, kills = 0, 0
    while kills < 4:
        process = words.start("deploy")
        at_least = reached + chance.randrange(500, 2500)
        patiently(lambda at_least=at_least: rows_done(words) >= at_least, f"{at_least} rows")
        if chance.random() < 0.5:
            kill(process)
        else:
            words.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'michi/%'"
                " AND datname = current_database()"
            )
            assert finish(process).exit_code == 6
        kills += 1
        patiently(lambda: not _michi_sessions(words), "that the session is gone")
        reached = rows_done(words)
        assert count(words, "times = 1") == reached
        assert count(words, "times > 1") == 0
    answer = words.deploy()
    assert answer.exit_code == 0, answer.stderr
    assert answer.named("backfill_started")[0]["rows_done"] == reached
    assert count(words, "times = 1") == ROWS
    assert [verdict for _, verdict in words.ledger()] == ["applied"] + ["partial"] * 4 + ["applied"]


def _michi_sessions(operator: Operator) -> list[tuple[object, ...]]:
    return operator.query(
        "SELECT FROM pg_stat_activity WHERE application_name LIKE 'michi/%' AND datname = current_database()"
    )


def test_sigterm_stops_it_after_what_is_committed(words: Operator) -> None:
    backfill(words, "UPDATE words SET times = times + 1;", batch=100, pause="50ms")
    process = words.start("deploy")
    patiently(lambda: count(words, "times = 1") >= 200, "some batches")
    process.send_signal(signal.SIGTERM)
    assert finish(process).exit_code == 143
    status = words.run("status").document
    assert status["state"] == "partial"
    assert count(words, "times = 1") == status["partial"][0]["error"]["backfill"]["rows_done"]


def test_rows_that_others_write_meanwhile_are_neither_lost_nor_overwritten(words: Operator) -> None:
    backfill(
        words, "UPDATE words SET reading = 'filled' WHERE reading IS NULL;", batch=500, pause="10ms",
        verify="SELECT count(*) = 0 FROM words WHERE reading IS NULL;",
    )  # fmt: skip
    over = threading.Event()
    written: list[int] = []

    def write() -> None:
        """As an app that knows the column does: new rows at the end, changes of rows anywhere."""
        chance = random.Random(7)
        with psycopg.connect(words.url, autocommit=True) as connection:
            number = ROWS
            while not over.is_set():
                number += 1
                connection.execute("INSERT INTO words (id, word) VALUES (%s, 'new')", (number,))
                row = chance.randrange(1, ROWS)
                connection.execute("UPDATE words SET reading = 'own' WHERE id = %s", (row,))
                written.append(row)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        # The rows that an app inserts behind its end are the app's; verify.sql would fail on them, so the app stops first.
        process = words.start("deploy")
        patiently(lambda: rows_done(words) > ROWS // 2, "half of the rows")
        over.set()
        answer = finish(process)
    finally:
        over.set()
        writer.join()
    assert answer.exit_code == 0, answer.stderr + answer.stdout
    assert len(written) > 10
    assert count(words, f"reading = 'own' AND id IN ({','.join(map(str, written))})") == len(set(written))
    assert count(words, "reading IS NULL") == 0


def _blocked_since(operator: Operator) -> set[object]:
    """When michi's statement that waits for a lock now began to run."""
    rows = operator.query(
        "SELECT query_start FROM pg_stat_activity WHERE application_name LIKE 'michi/%' AND wait_event_type = 'Lock'"
        " AND datname = current_database()"
    )
    return {row[0] for row in rows}


def test_a_held_row_is_waited_for_batch_by_batch(words: Operator) -> None:
    words.write(
        BACKFILL,
        "-- michi: backfill = 1000\n-- michi: lock_timeout = 200ms\n-- michi: backfill_pause = 0s\nUPDATE words SET times = 1;",
    )
    words.sum()
    with holding(words, "SELECT FROM words WHERE id = 15000 FOR UPDATE"):
        process = words.start("deploy")
        patiently(lambda: count(words, "times = 1") >= 10_000, "the batches before")
        tries: set[object] = set()
        patiently(lambda: tries.update(_blocked_since(words)) or len(tries) > 1, "a second try")
        assert words.query("SELECT times FROM words WHERE id = 15000")[0][0] == 0
    answer = finish(process)
    assert answer.exit_code == 0, answer.stderr
    retries = answer.named("lock_timeout_retry")
    assert retries
    assert retries[0]["sqlstate"] == "55P03"
    assert count(words, "times = 1") == ROWS


def test_a_row_that_cannot_be_changed_keeps_what_was_done_and_names_the_place(words: Operator) -> None:
    backfill(words, "UPDATE words\nSET times = 100 / (id - 15000);")
    answer = words.deploy()
    assert (answer.exit_code, answer.error["code"]) == (7, "migration.failed")
    (failed,) = answer.named("migration_failed")
    assert (failed["sqlstate"], failed["line"], failed["undone"]) == ("22012", 3, False)
    assert "rows before stay changed" in answer.error["remedy"]
    assert count(words, "times <> 0 OR id > 15100 OR id < 14900") > 10_000
    status = words.run("status").document
    assert status["state"] == "partial"
    words.execute("DELETE FROM words WHERE id = 15000")
    assert words.deploy().exit_code == 0
    assert progress(words)["finished"] is True


def test_a_wrong_verification_keeps_the_rows_and_can_begin_anew(words: Operator) -> None:
    backfill(
        words, "UPDATE words SET times = 1 WHERE id <> 3 OR EXISTS (SELECT FROM words w WHERE w.id = 0);",
        verify="SELECT count(*) = 0 FROM words WHERE times = 0;",
    )  # fmt: skip
    answer = words.deploy()
    assert answer.exit_code == 7
    assert "begin anew" in answer.error["remedy"]
    assert count(words, "times = 1") == ROWS - 1
    again = words.deploy()
    assert (again.exit_code, again.named("backfill_started")[0]["rows_done"]) == (7, ROWS)
    assert words.run("resolve", "--rolled-back", BACKFILL).exit_code == 0
    words.execute("INSERT INTO words VALUES (0, '')")
    anew = words.deploy()
    assert (anew.exit_code, anew.named("backfill_started")[0]["rows_done"]) == (0, 0)


def test_another_statement_may_not_go_on_where_the_first_stopped(words: Operator) -> None:
    backfill(words, "UPDATE words SET times = times + 1;", batch=100, pause="50ms")
    process = words.start("deploy")
    patiently(lambda: count(words, "times = 1") >= 200, "some batches")
    kill(process)
    patiently(lambda: not _michi_sessions(words), "that the session is gone")
    backfill(words, "UPDATE words SET times = times + 2;", batch=100)
    answer = words.deploy()
    assert (answer.exit_code, answer.error["code"]) == (7, "migration.in_doubt")
    words.write(BACKFILL, "UPDATE words SET times = times + 1;")
    words.sum()
    answer = words.deploy()
    assert (answer.exit_code, answer.error["code"]) == (7, "migration.in_doubt")
    backfill(words, "UPDATE words SET times = times + 1;")
    assert words.deploy().exit_code == 0
    assert count(words, "times = 1") == ROWS


def test_a_partitioned_table_is_gone_through_whole(operator: Operator) -> None:
    operator.write(
        TABLE,
        "CREATE TABLE words (id bigint PRIMARY KEY, done boolean) PARTITION BY RANGE (id);"
        "CREATE TABLE words_a PARTITION OF words FOR VALUES FROM (0) TO (3000);"
        "CREATE TABLE words_b PARTITION OF words FOR VALUES FROM (3000) TO (9000);",
    )
    operator.sum()
    operator.deploy()
    operator.execute("INSERT INTO words SELECT n FROM generate_series(1, 8000) n; ANALYZE words")
    backfill(operator, "UPDATE words SET done = true;")
    answer = operator.deploy()
    assert answer.exit_code == 0, answer.stderr
    assert answer.named("backfill_started")[0]["rows_total"] == 8000
    assert count(operator, "done") == 8000


def test_the_size_of_batches_follows_the_time_they_take(words: Operator) -> None:
    """The trigger makes 200 rows take 0.4 s: a batch of the size that is allowed would hold its rows for 40 s."""
    words.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_sleep(0.002); RETURN NEW; END';"
        "CREATE TRIGGER slow BEFORE UPDATE ON words FOR EACH ROW WHEN (NEW.id > 18000) EXECUTE FUNCTION slow();"
    )
    backfill(words, "UPDATE words SET times = 1 WHERE id <= 18600;", batch=20_000)
    answer = words.deploy()
    assert answer.exit_code == 0, answer.stderr
    position = progress(words)
    sizes = [
        row[0] for row in words.query("SELECT count(*) FROM words WHERE id BETWEEN 18001 AND 18600 GROUP BY xmin::text")
    ]
    assert position["rows_done"] == ROWS
    assert min(sizes) < 1000, json.dumps(sizes)
