"""`rollback`: down.sql, newest first, each in one transaction with its row in the ledger."""

from __future__ import annotations

import pytest

from tests.support.operator import Operator, holding

NAMES = ["20260101000000_one", "20260102000000_two", "20260103000000_three"]


@pytest.fixture
def three(operator: Operator) -> Operator:
    for name in NAMES:
        write_down(operator, operator.write(name, f"CREATE TABLE {name[15:]} (id int);"), f"DROP TABLE {name[15:]};")
    operator.sum()
    assert operator.deploy().exit_code == 0
    return operator


def write_down(operator: Operator, name: str, down: str) -> None:
    (operator.folder / name / "down.sql").write_text(down)


def tables(operator: Operator) -> list[str]:
    return [name[15:] for name in NAMES if operator.exists(name[15:])]


def test_the_newest_is_taken_back_and_applied_again_by_the_next_deploy(three: Operator) -> None:
    answer = three.run("rollback")
    assert answer.exit_code == 0, answer.stderr
    assert answer.document["rolled_back"] == [NAMES[2]]
    assert tables(three) == ["one", "two"]
    assert three.ledger()[-1] == (NAMES[2], "rolled_back")
    assert three.run("status").document["pending"] == [NAMES[2]]
    assert three.deploy().exit_code == 0
    assert tables(three) == ["one", "two", "three"]


@pytest.mark.parametrize("options", [("--steps", "2"), ("--to", NAMES[0])])
def test_several_go_newest_first(three: Operator, options: tuple[str, str]) -> None:
    assert three.run("rollback", *options).document["rolled_back"] == [NAMES[2], NAMES[1]]
    assert tables(three) == ["one"]


def test_more_than_there_are_is_all_of_them_and_then_nothing(three: Operator) -> None:
    assert len(three.run("rollback", "--steps", "9").document["rolled_back"]) == 3
    answer = three.run("rollback")
    assert (answer.exit_code, answer.document["rolled_back"]) == (0, [])


def test_nothing_runs_where_one_of_them_has_no_down(three: Operator) -> None:
    (three.folder / NAMES[1] / "down.sql").unlink()
    three.sum()
    answer = three.run("rollback", "--steps", "2")
    assert (answer.exit_code, answer.error["code"]) == (7, "rollback.no_down")
    assert NAMES[1] in answer.error["message"]
    assert tables(three) == ["one", "two", "three"]


def test_a_down_that_fails_is_undone_whole_and_names_the_line(three: Operator) -> None:
    write_down(three, NAMES[2], "DROP TABLE three;\nSELECT 1 / 0;")
    answer = three.run("rollback")
    assert (answer.exit_code, answer.error["code"]) == (7, "migration.failed")
    assert "down.sql, line 2: division by zero (SQLSTATE 22012)" in answer.error["message"]
    assert tables(three) == ["one", "two", "three"]
    assert three.ledger()[-1] == (NAMES[2], "applied")


def test_a_down_may_have_nothing_to_do(three: Operator) -> None:
    write_down(three, NAMES[2], "-- Nothing to take back.\n")
    assert three.run("rollback").document["rolled_back"] == [NAMES[2]]


def test_what_cannot_run_in_a_transaction_is_refused_with_the_line(three: Operator) -> None:
    write_down(three, NAMES[2], "SELECT 1;\nDROP INDEX CONCURRENTLY three_idx;")
    answer = three.run("rollback")
    assert (answer.exit_code, answer.error["code"]) == (7, "sql.not_in_transaction")
    assert "line 2" in answer.error["message"]


def test_a_migration_of_a_newer_folder_is_not_taken_back_from_here(three: Operator) -> None:
    for file in (three.folder / NAMES[2]).iterdir():
        file.unlink()
    (three.folder / NAMES[2]).rmdir()
    three.sum()
    answer = three.run("rollback")
    assert (answer.exit_code, answer.error["code"]) == (7, "rollback.no_down")
    assert tables(three) == ["one", "two", "three"]


def test_a_held_table_is_waited_for_and_then_given_up(three: Operator) -> None:
    with holding(three, "LOCK TABLE three"):
        answer = three.run("rollback", "--lock-retry", "1s")
    assert (answer.exit_code, answer.error["code"]) == (5, "lock.table")
    assert tables(three) == ["one", "two", "three"]
    assert three.run("rollback").exit_code == 0


@pytest.mark.parametrize("options", [("--steps", "1", "--to", NAMES[0]), ("--steps", "0"), ("--to", "unknown")])
def test_what_makes_no_sense_is_a_usage_error(three: Operator, options: tuple[str, ...]) -> None:
    assert three.run("rollback", *options).exit_code == 2
    assert tables(three) == ["one", "two", "three"]
