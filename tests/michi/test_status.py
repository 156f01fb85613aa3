"""Contract of michi, table "Status, check, resolve", the rows S: what `status` and `check` say, in JSON and in words."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.operator import Answer, Operator, holding, kill, wait_until

ONE = "20260101000000_one"
TWO = "20260102000000_two"
THREE = "20260103000000_three"


def apply_one(operator: Operator) -> None:
    operator.write(ONE, "CREATE TABLE one (id int);")
    operator.sum()
    answer = operator.deploy()
    assert answer.exit_code == 0, answer.stderr


def read_text(operator: Operator) -> str:
    """What a person sees."""
    command = [part for part in operator.command("status") if part != "--json"]
    done = subprocess.run(
        command, env=operator.clean_environment, capture_output=True, text=True, timeout=30, check=False
    )
    return done.stdout


def assert_status(answer: Answer, exit_code: int, **facts: object) -> None:
    assert answer.exit_code == exit_code, answer.stderr
    document = answer.document
    assert {key: document[key] for key in facts} == facts
    assert document["exit_code"] == exit_code


def test_s01_all_applied(operator: Operator) -> None:
    apply_one(operator)
    assert_status(operator.run("status"), 0, state="up_to_date", applied=[ONE], pending=[], database_head=ONE)
    assert operator.run("check").exit_code == 0
    assert "Up to date." in read_text(operator)


def test_s02_pending_ones_are_named(operator: Operator) -> None:
    apply_one(operator)
    operator.write(TWO, "SELECT 1;")
    operator.write(THREE, "SELECT 1;")
    assert_status(operator.run("status"), 3, state="pending", applied=[ONE], pending=[TWO, THREE], failed={})
    check = operator.run("check")
    assert (check.exit_code, check.error["code"]) == (3, "schema.pending")
    assert check.error["details"]["migrations"] == [TWO, THREE]
    assert (check.error["details"]["expected"], check.error["details"]["actual"]) == (THREE, ONE)
    text = read_text(operator)
    assert "2 migrations pending." in text
    assert TWO in text
    assert THREE in text


def test_s02_an_empty_database_has_all_pending_and_nothing_is_created_by_looking(operator: Operator) -> None:
    operator.write(ONE, "SELECT 1;")
    assert_status(operator.run("status"), 3, state="pending", pending=[ONE], database_head=None)
    assert operator.run("check").exit_code == 3
    assert not operator.exists("_michi_ledger")


def test_s05_the_error_of_the_last_attempt_stands_beside_the_pending_one(operator: Operator) -> None:
    apply_one(operator)
    operator.write(TWO, "CREATE TABLE two (id int);\nINSERT INTO nowhere VALUES (1);")
    operator.sum()
    assert operator.deploy().exit_code == 7
    answer = operator.run("status")
    assert_status(answer, 3, state="pending", pending=[TWO])
    assert answer.document["failed"][TWO]["sqlstate"] == "42P01"
    assert answer.document["failed"][TWO]["line"] == 2
    text = read_text(operator)
    assert 'relation "nowhere" does not exist' in text
    assert "undone" in text


def test_s06_a_partial_one_shows_where_it_stopped_and_what_comes_next(operator: Operator) -> None:
    apply_one(operator)
    operator.write(TWO, "-- michi: transaction = off\nINSERT INTO one VALUES (1);\nSELECT 1 / 0;\nSELECT 2;")
    operator.write(THREE, "SELECT 1;")
    operator.sum()
    assert operator.deploy().exit_code == 7
    answer = operator.run("status")
    assert_status(answer, 7, state="partial", pending=[TWO, THREE])
    (partial,) = answer.document["partial"]
    assert (partial["statements_done"], partial["statements_total"]) == (1, 3)
    assert answer.document["failed"][TWO]["sqlstate"] == "22012"
    text = read_text(operator)
    assert "stopped after statement 1 of 3: division by zero" in text
    assert "the next deploy goes on there" in text
    assert THREE in text


def test_s06_a_killed_one_is_shown_as_interrupted(operator: Operator) -> None:
    apply_one(operator)
    operator.write(TWO, "-- michi: transaction = off\nINSERT INTO one VALUES (1);\nLOCK TABLE one;")
    operator.sum()
    with holding(operator, "LOCK TABLE one IN ACCESS SHARE MODE"):
        process = operator.start("deploy")
        operator.wait_for_session("%LOCK TABLE one%")
        kill(process)
        wait_until(lambda: not operator.sessions("%LOCK TABLE one%"), "the end of the orphaned statement")
    answer = operator.run("status")
    assert_status(answer, 7, state="partial", failed={})
    told = "stopped after statement 1 of 2: interrupted; the next deploy sees whether the next one took effect, and goes on"
    assert told in read_text(operator)


def test_s08_a_diverged_history_lists_last_common_pending_and_missing(operator: Operator) -> None:
    operator.write(TWO, "SELECT 1;")
    apply_one(operator)
    (operator.folder / TWO / "up.sql").unlink()
    (operator.folder / TWO).rmdir()
    operator.write(THREE, "SELECT 1;")
    answer = operator.run("status")
    assert_status(answer, 7, state="diverged", last_common=ONE, missing=[TWO], pending=[THREE])
    text = read_text(operator)
    assert f"the last common migration is {ONE}" in text
    assert f"missing       {TWO}" in text
    assert f"pending       {THREE}" in text


def test_s09_a_database_ahead_is_compatible_or_this_folder_is_too_old(operator: Operator) -> None:
    newer = Operator(operator.url, operator.folder.with_name("newer"))
    apply_one(operator)
    newer.write(ONE, "CREATE TABLE one (id int);")
    newer.write(TWO, "ALTER TABLE one ADD note text;")
    newer.sum()
    assert newer.deploy().exit_code == 0
    assert_status(operator.run("status"), 0, state="ahead", ahead=[TWO], not_survived=[], database_head=TWO)
    assert operator.run("check").exit_code == 0
    assert "ahead of this folder, and compatible" in read_text(operator)
    newer.write(THREE, "-- michi: phase = contract\nALTER TABLE one DROP COLUMN id;")
    newer.sum()
    assert newer.deploy().exit_code == 0
    assert_status(operator.run("status"), 4, state="too_old", ahead=[TWO, THREE], not_survived=[THREE])
    check = operator.run("check")
    assert (check.exit_code, check.error["code"]) == (4, "schema.too_old")
    assert "too old" in read_text(operator)


def test_s10_an_edited_file_is_shown(operator: Operator) -> None:
    apply_one(operator)
    operator.write(ONE, "CREATE TABLE one (id bigint);")
    assert_status(operator.run("status"), 7, state="diverged", edited=[ONE], pending=[])
    assert f"edited        {ONE}" in read_text(operator)


def test_a_disk_that_is_full_is_one_sentence(operator: Operator) -> None:
    apply_one(operator)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            operator.command("status"), env=operator.clean_environment, stdout=full, stderr=subprocess.PIPE, text=True,
            timeout=30, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "michi: cannot write: No space left on device. [internal]\n")
