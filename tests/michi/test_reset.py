"""Contract of michi, table "Dev, reset, diff", the rows X: dropped, rebuilt, seeded; and guarded."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.author import Author
from tests.support.terminals import screen

ONE = "20260101000000_one"


@pytest.fixture
def project(author: Author) -> Author:
    """One migration, applied, with a row, and things that came by hand."""
    author.write(ONE, "CREATE TABLE one (id int);")
    author.sum()
    assert author.deploy().exit_code == 0
    author.execute("INSERT INTO one VALUES (1); CREATE TABLE by_hand (id int)")
    return author


def seed(author: Author, command: str) -> None:
    assert author.home is not None
    path = author.home / "pyproject.toml"
    path.write_text(path.read_text() + f"seed = {command!r}\n")


def test_x01_reset_force_drops_rebuilds_and_seeds(project: Author) -> None:
    seed(project, "psql --quiet --command 'INSERT INTO one VALUES (7)'")
    answer = project.run("reset", "--force")
    assert answer.exit_code == 0, answer.stderr
    assert (answer.document["applied"], answer.document["seeded"]) == (1, True)
    assert project.query("SELECT id FROM one") == [(7,)]
    assert not project.exists("by_hand")
    assert project.ledger() == [(ONE, "applied")]


def test_x01_grants_and_owner_of_the_schema_stay(project: Author) -> None:
    project.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    query = "SELECT nspowner, array_to_string(nspacl, ' ') FROM pg_namespace WHERE nspname = 'public'"
    (before,) = project.query(query)
    assert project.run("reset", "--force").exit_code == 0
    (after,) = project.query(query)
    assert (before[0], sorted(before[1].split())) == (after[0], sorted(after[1].split()))


def test_x01_a_seed_that_fails_is_told(project: Author) -> None:
    seed(project, "false")
    answer = project.run("reset", "--force")
    assert (answer.exit_code, answer.error["code"]) == (7, "seed.failed")
    assert project.query("SELECT count(*) FROM one") == [(0,)]
    assert project.run("reset", "--force", "--no-seed").exit_code == 0


def test_x04_without_a_terminal_and_without_force_nothing_happens(project: Author) -> None:
    answer = project.run("reset")
    assert (answer.exit_code, answer.error["code"]) == (8, "refused")
    assert project.exists("by_hand")


def test_x04_an_absent_database_is_not_created_then(project: Author) -> None:
    there, project.url = project.url, project.url.replace(urlsplit(project.url).path, "/reset_absent")
    assert project.run("reset").exit_code == 8
    project.url = there
    assert project.query("SELECT count(*) FROM pg_database WHERE datname = 'reset_absent'") == [(0,)]


def test_c01_reset_creates_an_absent_database_and_says_so(project: Author) -> None:
    there, project.url = project.url, project.url.replace(urlsplit(project.url).path, "/reset_made")
    answer = project.run("reset", "--force")
    project.url = there
    project.execute("DROP DATABASE reset_made WITH (FORCE)")
    assert answer.exit_code == 0, answer.stderr
    assert "created the database reset_made" in answer.stderr


def test_x04_at_a_terminal_the_name_must_be_typed(project: Author) -> None:
    name = urlsplit(project.url).path.removeprefix("/")
    command = [part for part in project.command("reset") if part != "--json"]
    for typed, code, kept in (("no", 8, True), (name, 0, False)):
        with screen(command, project.clean_environment, 200) as seen:
            seen.wait_for("Type the name of the database to go on:")
            os.write(seen.terminal, f"{typed}\n".encode())
            assert seen.finish() == code
        assert project.exists("by_hand") is kept


def test_x11_app_env_production_is_refused_even_with_force(project: Author) -> None:
    project.environment["APP_ENV"] = "production"
    answer = project.run("reset", "--force")
    assert (answer.exit_code, answer.error["code"]) == (8, "production.protected")
    assert project.exists("by_hand")


def test_x11_a_deploy_in_production_marks_the_database_for_good(author: Author) -> None:
    author.environment["APP_ENV"] = "Production"
    author.write(ONE, "CREATE TABLE one (id int);")
    author.sum()
    assert author.deploy().exit_code == 0
    del author.environment["APP_ENV"]
    for options in (("--force",), ("--force", "--destroy", "another")):
        answer = author.run("reset", *options)
        assert (answer.exit_code, answer.error["code"]) == (8, "production.protected")
        assert f"--destroy {urlsplit(author.url).path.removeprefix('/')}" in answer.error["remedy"]
    assert author.ledger() == [(ONE, "applied")]
    assert author.run("reset", "--destroy", urlsplit(author.url).path.removeprefix("/")).exit_code == 0


def test_x11_the_mark_can_be_set_and_taken_away(project: Author) -> None:
    assert project.run("mark-production").document == {"production": True, "changed": True}
    assert project.run("mark-production").document == {"production": True, "changed": False}
    assert project.run("reset", "--force").exit_code == 8
    assert project.run("mark-production", "--undo").exit_code == 0
    assert project.run("reset", "--force").exit_code == 0
    assert project.deploy().exit_code == 0


def test_a_broken_folder_stops_before_anything_is_dropped(project: Author) -> None:
    (Path(project.folder) / ONE / "up.sql").write_text("-- changed")
    assert project.run("reset", "--force").exit_code == 7
    assert project.exists("by_hand")
