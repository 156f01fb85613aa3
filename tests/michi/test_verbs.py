"""history, show, new, rebase, doctor: what they say, and what they leave alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from michi.authoring import new_migration
from michi.database import connect
from michi.doctor import _role
from michi.folder import read_folder
from michi.settings import parse_url
from tests.support.operator import Operator, holding

ONE, TWO, THREE = "20260101000000_one", "20260102000000_two", "20260103000000_three"


@pytest.fixture
def deployed(operator: Operator) -> Operator:
    operator.write(ONE, "CREATE TABLE one (id int);")
    operator.write(THREE, "-- michi: phase = contract\nALTER TABLE one ADD COLUMN b int NOT NULL;")
    operator.sum()
    assert operator.deploy().exit_code == 0
    return operator


def test_history_has_one_attempt_a_row_oldest_first(deployed: Operator) -> None:
    deployed.write("20260104000000_four", "SELECT 1 / 0;")
    deployed.sum()
    deployed.deploy()
    attempts = deployed.run("history").document["attempts"]
    assert [(attempt["migration"], attempt["verdict"]) for attempt in attempts] == [
        (ONE, "applied"), (THREE, "applied"), ("20260104000000_four", "undone"),
    ]  # fmt: skip
    assert attempts[-1]["error"]["sqlstate"] == "22012"
    assert len(deployed.run("history", "--limit", "1").document["attempts"]) == 1


def test_history_of_a_database_that_michi_never_saw_is_empty(operator: Operator) -> None:
    assert operator.run("history").document["attempts"] == []


def test_show_tells_a_migration_whole(deployed: Operator) -> None:
    shown = deployed.run("show", "three").document
    assert (shown["migration"], shown["state"], shown["phase"]) == (THREE, "applied", "contract")
    assert shown["files"]["up.sql"].endswith("NOT NULL;")
    assert [attempt["verdict"] for attempt in shown["attempts"]] == ["applied"]


def test_show_finds_one_that_only_the_database_knows(deployed: Operator) -> None:
    shutil.rmtree(deployed.folder / THREE)
    shown = deployed.run("show", THREE).document
    assert shown["state"] == "applied, not in the folder"
    assert "files" not in shown


@pytest.mark.parametrize(("part", "words"), [("nothing", "no migration nothing"), ("2026", "2 migrations have 2026")])
def test_show_of_none_or_of_several_is_a_usage_error(deployed: Operator, part: str, words: str) -> None:
    answer = deployed.run("show", part)
    assert answer.exit_code == 2
    assert words in answer.error["message"]


def test_new_makes_a_migration_that_deploys_as_it_is(operator: Operator) -> None:
    made = operator.run("new", "Add Review Cards!").document["migration"]
    assert made[14:] == "_add_review_cards"
    assert operator.deploy().exit_code == 0
    assert operator.ledger() == [(made, "applied")]


def test_new_names_the_folder_as_a_person_would_type_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "michi", "new", "--migrations", str(tmp_path / "migrations"), "Add cards"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    (made,) = (tmp_path / "migrations").glob("*_add_cards")
    assert done.stdout.startswith(f"migrations/{made.name}: write up.sql and down.sql")


def test_new_is_later_than_every_other_though_clocks_disagree(tmp_path: Path) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    names = [new_migration(read_folder(tmp_path), name, now).name for name in ("b", "a", "c")]
    assert names == ["20260101000000_b", "20260101000001_a", "20260101000002_c"]


@pytest.mark.parametrize("name", ["", "言葉", "!?"])
def test_new_needs_a_name_that_can_be_a_folder(operator: Operator, name: str) -> None:
    assert operator.run("new", name).exit_code == 2
    assert list(operator.folder.iterdir()) == []


def test_d16_rebase_mends_what_is_out_of_order(deployed: Operator) -> None:
    deployed.write(TWO, "CREATE TABLE two (id int);")
    later = "20270101000000_later"
    deployed.write(later, f"-- michi: phase = contract\n-- michi: safe-from = {TWO}\nDROP TABLE two;")
    deployed.sum()
    assert deployed.deploy().error["code"] == "history.out_of_order"
    renamed = deployed.run("rebase").document["renamed"]
    assert list(renamed) == [TWO]
    assert renamed[TWO][14:] == "_two"
    assert renamed[TWO] > later
    assert not (deployed.folder / TWO).exists()


def test_rebase_lets_the_deploy_go_on_with_michi_sum_right(deployed: Operator) -> None:
    deployed.write(TWO, "CREATE TABLE two (id int);")
    deployed.sum()
    (new_name,) = deployed.run("rebase").document["renamed"].values()
    assert deployed.deploy().exit_code == 0
    assert deployed.ledger()[-1] == (new_name, "applied")
    assert deployed.run("rebase").document["renamed"] == {}


def findings(operator: Operator) -> dict[str, dict[str, object]]:
    return {finding["subject"]: finding for finding in operator.run("doctor").document["findings"]}


def test_doctor_finds_nothing_wrong_with_a_sound_database(deployed: Operator) -> None:
    answer = deployed.run("doctor")
    assert answer.exit_code == 0
    assert {finding["level"] for finding in answer.document["findings"]} == {"ok"}


def test_doctor_names_an_invalid_index_and_what_would_remove_it(deployed: Operator) -> None:
    deployed.execute("CREATE INDEX broken ON one (id)")
    deployed.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken'::regclass")
    found = findings(deployed)["index"]
    assert found["level"] == "warning"
    assert "DROP INDEX CONCURRENTLY public.broken" in str(found["remedy"])


def test_doctor_prints_the_missing_grant_and_it_helps(deployed: Operator) -> None:
    server = connect(parse_url(deployed.url, "test"))
    with server.connection as connection:
        connection.execute("BEGIN; CREATE ROLE doctor_plain; SET LOCAL ROLE doctor_plain")
        (found,) = list(_role(server))
        assert (found.level, found.exit_code) == ("failure", 2)
        assert "GRANT USAGE, CREATE ON SCHEMA" in found.remedy
        assert "GRANT SELECT, INSERT, UPDATE ON" in found.remedy
        grants = found.remedy.replace(server.user, "doctor_plain")
        connection.execute(f"RESET ROLE; {grants} SET LOCAL ROLE doctor_plain".encode())
        (found,) = list(_role(server))
        connection.execute("ROLLBACK")
    assert found.level == "ok"


def test_doctor_sees_a_deploy_at_work(deployed: Operator) -> None:
    deployed.write("20260104000000_slow", "SELECT pg_sleep(30);")
    deployed.sum()
    process = deployed.start("deploy")
    deployed.wait_for_session("%pg_sleep%")
    assert "a deploy is running" in str(findings(deployed)["deploy lock"]["message"])
    process.terminate()
    process.communicate(timeout=10)


def test_doctor_of_an_unreachable_database_says_why(operator: Operator) -> None:
    away = Operator("postgresql://u:s3cretpw@127.0.0.1:1/x", operator.folder)
    answer = away.run("doctor")
    assert answer.exit_code == 6
    assert "s3cretpw" not in answer.stdout + answer.stderr


def test_doctor_changes_nothing(operator: Operator) -> None:
    operator.write(ONE, "CREATE TABLE one (id int);")
    with holding(operator, "SELECT 1"):
        operator.run("doctor")
    assert not operator.exists("_michi_ledger")
