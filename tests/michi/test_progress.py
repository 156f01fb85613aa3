"""What is told of a statement that takes long, on a real PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import michi.watch
from tests.support.operator import Operator, finish, holding, wait_until

ONE = "20260101000000_one"
TWO = "20260102000000_two"


@pytest.fixture
def table(operator: Operator) -> Operator:
    operator.write(ONE, "CREATE TABLE one (id int);\nINSERT INTO one SELECT generate_series(1, 1000);")
    operator.sum()
    assert operator.deploy().exit_code == 0
    return operator


def test_an_index_build_that_waits_names_who_it_waits_for_and_finishes_when_they_do(table: Operator) -> None:
    table.write(TWO, "CREATE INDEX CONCURRENTLY one_id ON one (id);")
    table.sum()
    with holding(table, "INSERT INTO one VALUES (0)") as bystander:
        process = table.start("deploy")
        told = read_progress(process.stdout)
        assert process.poll() is None
        bystander_pid = bystander.info.backend_pid
    answer = finish(process)
    assert answer.exit_code == 0, answer.stderr
    assert (told["migration"], told["line"], told["relation"]) == (TWO, 1, "one")
    assert told["phase"] == "waiting for writers before build"
    assert (told["unit"], told["seconds_left"]) == ("transactions", None)
    (blocker,) = told["blockers"]
    assert (blocker["pid"], blocker["application"]) == (bystander_pid, "bystander")
    assert blocker["query"] == "INSERT INTO one VALUES (0)"
    assert table.query("SELECT indisvalid FROM pg_index WHERE indexrelid = 'one_id'::regclass") == [(True,)]
    assert answer.named("migration_applied")[0]["lock_wait_seconds"] > 0.4


def read_progress(stdout: Any) -> dict[str, Any]:
    """The first statement_progress that a running deploy tells."""
    from tests.support.operator import check_event, json

    for line in stdout:
        event = check_event(json.loads(line))
        if event["event"] == "statement_progress":
            return event
    raise AssertionError("ended without telling of progress")


def test_a_statement_without_a_progress_view_tells_its_time_and_how_the_table_grows(table: Operator) -> None:
    # 2 s of inserting whatever the machine: a hundred sleeps between rows of 2 kB, which do not fit into the first page.
    rows = "SELECT length(pg_sleep(0.02)::text) FROM generate_series(1, 100)"
    table.write(TWO, f"CREATE TABLE two (id int, filler char(2000) DEFAULT 'x');\nINSERT INTO one {rows};")
    table.sum()
    answer = table.deploy()
    assert answer.exit_code == 0, answer.stderr
    told = answer.named("statement_progress")[0]
    assert (told["line"], told["phase"], told["percent"], told["blockers"]) == (2, None, None, [])
    assert (told["relation"], told["growth_bytes"]) == ("one", 0)
    assert 1.0 <= told["elapsed_seconds"] < 2.5


def test_a_table_that_is_locked_exclusively_is_not_measured_and_holds_nobody_up(table: Operator) -> None:
    table.write(TWO, "ALTER TABLE one ADD COLUMN n int;\nUPDATE one SET n = length(pg_sleep(0.0016)::text);")
    table.sum()
    answer = table.deploy()
    assert answer.exit_code == 0, answer.stderr
    told = answer.named("statement_progress")[0]
    assert (told["line"], told["growth_bytes"]) == (2, None)


def test_a_slow_verification_is_told_with_its_file(operator: Operator) -> None:
    operator.write(ONE, "CREATE TABLE one (id int);", verify="SELECT true;\nSELECT pg_sleep(1.4) IS NOT NULL;")
    operator.sum()
    answer = operator.deploy()
    assert answer.exit_code == 0, answer.stderr
    told = answer.named("statement_progress")[0]
    assert (Path(told["file"]).name, told["line"]) == ("verify.sql", 2)


def test_quick_statements_open_no_second_session(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opened = tmp_path / "opened"
    monkeypatch.setattr(michi.watch, "open_connection", lambda target: opened.touch())
    for number in range(20):
        operator.write(f"202601010000{number:02}_t", f"CREATE TABLE t{number} (id int);")
    operator.sum()
    answer = operator.deploy()
    assert answer.exit_code == 0, answer.stderr
    assert not opened.exists()
    assert answer.named("statement_progress") == []


def test_without_a_second_session_the_time_is_told(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    from michi.errors import DatabaseUnreachable

    def refuse(target: object) -> None:
        raise DatabaseUnreachable("too many clients", "")

    monkeypatch.setattr(michi.watch, "open_connection", refuse)
    operator.write(ONE, "SELECT pg_sleep(1.4);")
    operator.sum()
    answer = operator.deploy()
    assert answer.exit_code == 0, answer.stderr
    told = answer.named("statement_progress")[0]
    assert told["elapsed_seconds"] >= 1.0
    assert (told["phase"], told["blockers"]) == (None, [])


def test_nobody_is_left_connected_after_a_deploy_that_was_watched(operator: Operator) -> None:
    operator.write(ONE, "SELECT pg_sleep(1.2);")
    operator.sum()
    assert operator.deploy().exit_code == 0
    count = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'michi/%'"
    )
    wait_until(lambda: operator.query(count) == [(0,)], "the end of michi's sessions")
