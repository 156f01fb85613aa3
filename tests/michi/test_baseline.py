"""`baseline`: an existing database is taken over after proving that it is what the migrations make."""

from __future__ import annotations

import pytest

from tests.support.author import Author

ONE, TWO = "20260101000000_one", "20260102000000_two"
UP_ONE, UP_TWO = "CREATE TABLE one (id int PRIMARY KEY);", "CREATE TABLE two (id int);"


@pytest.fixture
def existing(author: Author) -> Author:
    """Two migrations, and a database that somebody else made."""
    author.write(ONE, UP_ONE)
    author.write(TWO, UP_TWO)
    author.sum()
    author.execute(UP_ONE + UP_TWO)
    assert author.deploy().error["code"] == "baseline.needed"
    return author


def test_a_database_that_equals_the_migrations_is_taken_over(existing: Author) -> None:
    answer = existing.run("baseline")
    assert answer.exit_code == 0, answer.stderr
    assert (answer.document["marked"], answer.document["proved"]) == ([ONE, TWO], True)
    assert existing.ledger() == [(ONE, "baselined"), (TWO, "baselined")]
    assert existing.deploy().exit_code == 0
    assert existing.run("status").document["state"] == "up_to_date"


def test_one_that_differs_is_refused_with_what_differs(existing: Author) -> None:
    existing.execute(
        "ALTER TABLE one ADD COLUMN extra text; DROP TABLE two; CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'"
    )
    answer = existing.run("baseline")
    assert (answer.exit_code, answer.error["code"]) == (7, "baseline.differs")
    assert {change["name"] for change in answer.error["details"]["changes"]} == {"one.extra", "two", "f()"}
    assert not existing.exists("_michi_ledger")


def test_one_that_equals_an_earlier_point_is_told_which(existing: Author) -> None:
    existing.execute("DROP TABLE two")
    answer = existing.run("baseline")
    assert (answer.exit_code, answer.error["details"]["equal_to"]) == (7, ONE)
    assert f"michi baseline --to {ONE}" in answer.error["remedy"]
    assert existing.run("baseline", "--to", ONE).document["marked"] == [ONE]
    assert existing.deploy().exit_code == 0
    assert existing.ledger() == [(ONE, "baselined"), (TWO, "applied")]


def test_trust_skips_the_proof(existing: Author) -> None:
    existing.execute("ALTER TABLE one ADD COLUMN extra text")
    assert existing.run("baseline", "--trust").document["proved"] is False
    assert existing.deploy().exit_code == 0


def test_where_migrations_are_applied_there_is_nothing_to_baseline(author: Author) -> None:
    author.write(ONE, UP_ONE)
    author.sum()
    author.deploy()
    answer = author.run("baseline")
    assert (answer.exit_code, answer.error["code"]) == (8, "refused")
    assert author.run("baseline", "--to", "unknown").exit_code == 2
