"""From one release to the next and back: images of the previous source, databases that are ahead, a migration that is killed."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.containers.compose import Stack, docker, wait_until
from tests.containers.conftest import IMAGES
from tests.containers.releases import later_migrations, names, previous_source, with_migrations

EXPAND = "CREATE TABLE from_a_later_release (id int);\n"
CONTRACT = "-- michi: phase = contract\nDROP TABLE from_a_later_release;\n"
SLOW = "CREATE TABLE half_done (id int);\nSELECT pg_sleep(5);\nINSERT INTO half_done VALUES (1);\n"


@pytest.fixture(scope="module")
def previous(tag: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Both images of the release before this one's last migration."""
    name = f"0.0.0-previous.{uuid.uuid4().hex[:8]}"
    source = previous_source(tmp_path_factory.mktemp("previous"))
    Stack([source / "docker-compose.yml"], {"IMAGE_TAG": name}).compose("build")
    yield name
    docker("rmi", "--force", *(f"{image}:{name}" for image in IMAGES), check=False)


def query(stack: Stack, sql: str) -> str:
    answer = stack.compose("exec", "--no-TTY", "db", "psql", "-U", "kotobamichi", "-Atqc", sql)
    return answer.stdout.strip()


def test_an_upgrade_from_the_previous_release_and_back_to_its_image(
    new_stack: Callable[..., Stack], tag: str, previous: str
) -> None:
    stack = new_stack()
    stack.settings |= {"IMAGE_TAG": previous, "VOCABULARY": "none"}
    stack.up()
    stack.wait_until_ready()
    assert names()[-1] not in query(stack, "SELECT migration FROM _michi_ledger")
    query(stack, "CREATE TABLE keepsake AS SELECT 42 AS answer")

    stack.settings["IMAGE_TAG"] = tag
    stack.up()
    stack.wait_until_ready()
    assert f"Applied 1 migration; the database is at {names()[-1]}" in stack.logs("migration")
    assert query(stack, "SELECT answer FROM keepsake") == "42"

    # The image is rolled back, the database stays: its last migration does not trouble an app that never heard of it.
    stack.settings["IMAGE_TAG"] = previous
    stack.up()
    assert stack.state("migration")["ExitCode"] == 0
    stack.wait_until_ready()
    status = stack.compose("run", "--rm", "--no-deps", "migration", "status", check=False)
    assert status.code == 0
    assert names()[-1] in status.output


def test_an_older_image_survives_an_expand_migration_and_refuses_a_contract_one(
    new_stack: Callable[..., Stack], tmp_path: Path
) -> None:
    stack = new_stack()
    stack.settings["VOCABULARY"] = "none"
    expand = later_migrations(tmp_path / "expand", _99980101000000_later=EXPAND)
    stack.up(files=[with_migrations(expand)])
    stack.wait_until_ready()
    stack.up()
    assert stack.state("migration")["ExitCode"] == 0
    stack.compose("restart", "app")
    stack.wait_until_ready()

    stack.compose("stop", "app")
    contract = later_migrations(tmp_path / "contract", _99980101000000_later=EXPAND, _99990101000000_removes=CONTRACT)
    stack.up("migration", files=[with_migrations(contract)])
    wait_until(lambda: stack.state("migration")["Status"] == "exited", "the end of the migration")
    assert stack.state("migration")["ExitCode"] == 0

    refused = stack.up(check=False)
    assert refused.code != 0
    assert 'service "migration" didn\'t complete successfully: exit 4' in refused.output
    assert "schema.too_old" in stack.logs("migration")
    # Without Compose's order, too: the app looks for itself, says why, and ends.
    app = stack.compose("run", "--rm", "--no-deps", "app", check=False)
    assert app.code == 4
    assert "schema.too_old" in app.output


def test_the_old_app_serves_on_while_and_although_an_upgrade_fails(
    new_stack: Callable[..., Stack], tmp_path: Path
) -> None:
    """The order of the guide: first the new migrations by themselves, then the new app."""
    stack = new_stack()
    stack.settings["VOCABULARY"] = "none"
    stack.up()
    stack.wait_until_ready()
    app = stack.container("app")
    broken = with_migrations(later_migrations(tmp_path / "broken", _99990101000000_broken="SELECT 1 / 0;\n"))
    answer = stack.compose("run", "--rm", "migration", check=False, files=[broken])
    assert answer.code == 7
    assert "[migration.failed]" in answer.output
    assert stack.container("app") == app
    assert stack.get("/health/ready").status_code == 200


def test_a_migration_that_is_killed_is_undone_and_the_next_up_applies_it(
    new_stack: Callable[..., Stack], tmp_path: Path
) -> None:
    stack = new_stack()
    stack.settings["VOCABULARY"] = "none"
    files = [with_migrations(later_migrations(tmp_path / "slow", _99990101000000_slow=SLOW))]
    starting = threading.Thread(target=lambda: stack.up(check=False, files=files))
    starting.start()
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(5)%'"
    wait_until(lambda: stack.container("db") and stack.is_healthy("db"), "a healthy database")
    wait_until(lambda: query(stack, sleeping) == "1", "the slow statement")
    docker("kill", "--signal", "KILL", stack.container("migration"))
    starting.join()
    assert stack.state("migration")["ExitCode"] == 137
    assert stack.state("app")["Status"] == "created"
    assert query(stack, "SELECT to_regclass('half_done') IS NULL") == "t"

    stack.up(files=files)
    assert stack.state("migration")["ExitCode"] == 0
    assert query(stack, "SELECT count(*) FROM half_done") == "1"
    verdicts = "SELECT string_agg(verdict, ',') FROM _michi_ledger WHERE migration = '99990101000000_slow'"
    assert query(stack, verdicts) == "applied"
    stack.wait_until_ready()
