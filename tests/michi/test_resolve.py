"""Group *Status, check, resolve* of the contract: the ledger is repaired by what a person says, and remembers who said it."""

from __future__ import annotations

import pytest

from tests.support.operator import Operator, finish, kill

ONE, TWO = "20260101000000_one", "20260102000000_two"


@pytest.fixture
def failed(operator: Operator) -> Operator:
    """One is applied; the second failed and was undone."""
    operator.write(ONE, "CREATE TABLE one (id int);")
    operator.write(TWO, "CREATE TABLE two (id int); SELECT 1 / 0;")
    assert operator.deploy().exit_code == 7
    return operator


@pytest.fixture
def stopped(operator: Operator) -> Operator:
    """A migration outside a transaction was killed in its second statement: its row says partial."""
    operator.write(ONE, "-- michi: transaction = off\nCREATE TABLE one (id int);\nSELECT pg_sleep(30);\n")
    process = operator.start("deploy")
    operator.wait_for_session("%pg_sleep%")
    kill(process)
    assert operator.ledger() == [(ONE, "partial")]
    return operator


@pytest.mark.parametrize(
    "options", [(), ("--applied", ONE, "--rolled-back", ONE), ("--applied", ONE, "--accept-edit", ONE)]
)
def test_r01_resolve_without_or_with_two_flags(failed: Operator, options: tuple[str, ...]) -> None:
    before = failed.ledger()
    assert failed.run("resolve", *options).exit_code == 2
    assert failed.ledger() == before


def test_r03_applied_of_a_migration_that_is_not_in_the_folder(failed: Operator) -> None:
    answer = failed.run("resolve", "--applied", "20260103000000_three")
    assert answer.exit_code == 2
    assert "20260103000000_three" in answer.error["message"]


def test_r04_applied_of_one_that_is_applied(failed: Operator) -> None:
    answer = failed.run("resolve", "--applied", ONE)
    assert (answer.exit_code, answer.error["code"]) == (8, "refused")


def test_r05_applied_of_a_partial_one(stopped: Operator) -> None:
    assert stopped.run("resolve", "--applied", ONE).exit_code == 0
    assert stopped.ledger() == [(ONE, "partial"), (ONE, "baselined")]
    (finished,) = stopped.query("SELECT finished_at IS NOT NULL FROM _michi_ledger WHERE verdict = 'partial'")
    assert finished == (True,)
    assert stopped.run("status").exit_code == 0


@pytest.mark.parametrize("name", ["20260103000000_three", "nonsense"])
def test_r07_rolled_back_of_an_unknown_one(failed: Operator, name: str) -> None:
    answer = failed.run("resolve", "--rolled-back", name)
    assert (answer.exit_code, answer.error["code"]) == (2, "usage")


def test_r07_rolled_back_without_a_ledger(operator: Operator) -> None:
    operator.write(ONE, "SELECT 1;")
    answer = operator.run("resolve", "--rolled-back", ONE)
    assert answer.exit_code == 2
    assert "never deployed" in answer.error["message"]
    assert not operator.exists("_michi_ledger")


def test_r08_rolled_back_of_one_that_was_undone_by_hand(failed: Operator) -> None:
    failed.execute("DROP TABLE one")
    assert failed.run("resolve", "--rolled-back", ONE).exit_code == 8
    assert failed.run("resolve", "--rolled-back", ONE, "--force").exit_code == 0
    assert failed.ledger()[-1] == (ONE, "rolled_back")
    failed.write(TWO, "CREATE TABLE two (id int);")
    assert failed.deploy().exit_code == 0
    assert failed.exists("one")


def test_r10_twice_is_a_no_op(failed: Operator) -> None:
    assert failed.run("resolve", "--applied", TWO).document["changed"] is True
    rows = failed.ledger()
    again = failed.run("resolve", "--applied", TWO)
    assert (again.exit_code, again.document["changed"]) == (0, False)
    assert failed.ledger() == rows
    assert failed.run("resolve", "--rolled-back", TWO, "--force").document["changed"] is True
    rows = failed.ledger()
    assert failed.run("resolve", "--rolled-back", TWO).document["changed"] is False
    assert failed.ledger() == rows


def test_d13_accept_edit_clears_an_edited_migration(operator: Operator) -> None:
    operator.write(ONE, "CREATE TABLE one (id int);")
    assert operator.deploy().exit_code == 0
    operator.write(ONE, "CREATE TABLE one (id int); -- said better")
    operator.write(TWO, "CREATE TABLE two (id int);")
    assert operator.deploy().error["code"] == "history.edited"
    assert operator.run("resolve", "--accept-edit", ONE).exit_code == 0
    assert operator.deploy().exit_code == 0
    assert operator.ledger() == [(ONE, "applied"), (ONE, "baselined"), (TWO, "applied")]
    assert operator.run("resolve", "--accept-edit", ONE).document["changed"] is False


def test_accept_edit_of_a_pending_one_is_refused(failed: Operator) -> None:
    assert failed.run("resolve", "--accept-edit", TWO).exit_code == 8


def test_resolve_waits_for_the_deploy_lock(stopped: Operator) -> None:
    """A deploy that is at work may not be contradicted."""
    process = stopped.start("deploy")
    stopped.wait_for_session("%pg_sleep%")
    answer = stopped.run("resolve", "--rolled-back", ONE, "--lock-timeout", "300ms")
    assert (answer.exit_code, answer.error["code"]) == (5, "lock.busy")
    process.terminate()
    assert finish(process).exit_code == 143


def test_c01_resolve_on_an_absent_database_creates_nothing(operator: Operator) -> None:
    operator.write(ONE, "SELECT 1;")
    absent = Operator(operator.url.replace("/test_", "/absent_"), operator.folder)
    answer = absent.run("resolve", "--applied", ONE)
    assert (answer.exit_code, answer.error["code"]) == (6, "database.absent")
    assert operator.query("SELECT FROM pg_database WHERE datname LIKE 'absent_%%'") == []
