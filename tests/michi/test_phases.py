"""Phases, and the apps that are running: what is told of them, and what is not done to them. Two generations of the real app."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from kotobamichi.settings import MIGRATIONS
from michi.apps import App, parse_name
from michi.folder import Migration, read_folder, write_sum
from tests.support.app import started
from tests.support.operator import ROW, Operator, finish, holding, wait_until

EXPAND = "20260101000000_words"
CONTRACT = "20260102000000_drop_kana"
LATER = "20260103000000_add_level"
OLD = "20251231000000_before"


@pytest.fixture
def phased(operator: Operator) -> Operator:
    """An expand migration, a contract one, an expand one; nothing is applied."""
    operator.write(EXPAND, "CREATE TABLE words (id int, kana text);")
    operator.write(CONTRACT, "-- michi: phase = contract\nALTER TABLE words DROP COLUMN kana;")
    operator.write(LATER, "ALTER TABLE words ADD COLUMN level text;")
    operator.sum()
    return operator


@contextmanager
def connected(operator: Operator, *names: str) -> Iterator[list[psycopg.Connection[ROW]]]:
    """Sessions that announce themselves so."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(psycopg.connect(operator.url, autocommit=True, application_name=name)) for name in names
        ]


def columns(operator: Operator) -> set[str]:
    rows = operator.query(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = 'words'::regclass AND attnum > 0 AND NOT attisdropped"
    )
    return {row[0] for row in rows}


def test_p01_status_lists_the_connected_apps_and_who_survives_what(phased: Operator) -> None:
    assert phased.deploy("--phase", "expand").exit_code == 0
    with connected(phased, f"kotobamichi/{EXPAND}", f"kotobamichi/{EXPAND}", f"kotobamichi/{LATER}", "psql"):
        answer = phased.run("status")
        assert answer.exit_code == 3
        assert [(app["app"], app["head"], app["sessions"]) for app in answer.document["apps"]] == [
            ("kotobamichi", EXPAND, 2),
            ("kotobamichi", LATER, 1),
        ]
        assert {"application": "psql", "sessions": 1} in answer.document["other_sessions"]
        text = _text(phased, "status")
        assert f"kotobamichi at {EXPAND} (2 sessions: pid " in text
        assert text.count(f"does not survive {CONTRACT}") == 1
        assert "a pooler may have lost it" in text


def test_p02_a_contract_migration_waits_for_older_apps_to_end(phased: Operator) -> None:
    with connected(phased, f"kotobamichi/{EXPAND}", f"kotobamichi/{LATER}") as (old, _):
        answer = phased.deploy()
        assert (answer.exit_code, answer.error["code"]) == (8, "apps.too_old")
        assert EXPAND in answer.error["message"]
        assert LATER not in answer.error["message"]
        assert str(old.info.backend_pid) in answer.error["message"]
        assert [app["head"] for app in answer.error["details"]["apps"]] == [EXPAND]
        assert phased.ledger() == [(EXPAND, "applied")], "the expand migration before it is applied, nothing after it"
        old.close()
        wait_until(lambda: _is_gone(phased, f"kotobamichi/{EXPAND}"), "that the old app is gone", 60.0)
        assert phased.deploy().exit_code == 0
    assert columns(phased) == {"id", "level"}


def test_p02_even_if_connected_overrides(phased: Operator) -> None:
    with connected(phased, f"kotobamichi/{EXPAND}"):
        assert phased.deploy("--even-if-connected").exit_code == 0
    assert columns(phased) == {"id", "level"}


def test_p02_safe_from_says_which_apps_survive(operator: Operator) -> None:
    operator.write(EXPAND, "CREATE TABLE words (id int, kana text);")
    operator.write(
        CONTRACT, f"-- michi: phase = contract\n-- michi: safe-from = {EXPAND}\nALTER TABLE words DROP COLUMN kana;"
    )
    operator.sum()
    with connected(operator, f"kotobamichi/{EXPAND}", "some_app/none"):
        answer = operator.deploy()
        assert answer.exit_code == 8
        assert [app["app"] for app in answer.error["details"]["apps"]] == ["some_app"]
    with connected(operator, f"kotobamichi/{EXPAND}", "michi/0.1", "psql", "a/b"):
        assert operator.deploy().exit_code == 0


def test_p02_a_head_that_postgresql_cut_off_is_still_known(operator: Operator) -> None:
    long = "20260102000000_" + "_".join(["drop", "what", "has", "a", "very"] * 3)
    operator.write(EXPAND, "CREATE TABLE words (id int, kana text);")
    operator.write(long, "-- michi: phase = contract\nALTER TABLE words DROP COLUMN kana;")
    operator.sum()
    with connected(operator, f"kotobamichi/{long}", f"kotobamichi/20260101235959_{long[15:]}"):
        answer = operator.deploy()
        assert answer.exit_code == 8
        assert [(app["head"][:14], app["cut"]) for app in answer.error["details"]["apps"]] == [("20260101235959", True)]
    with connected(operator, f"kotobamichi/{long}"):
        assert operator.deploy().exit_code == 0


def test_p02_an_app_that_connects_during_the_deploy_is_noticed_and_nothing_is_changed(phased: Operator) -> None:
    assert phased.deploy("--phase", "expand").exit_code == 0
    phased.write(CONTRACT, "-- michi: phase = contract\nALTER TABLE words DROP COLUMN kana;\nSELECT pg_sleep(1);")
    phased.sum()
    process = phased.start("deploy")
    phased.wait_for_session("%pg_sleep%")
    with connected(phased, f"kotobamichi/{EXPAND}"):
        answer = finish(process)
    assert (answer.exit_code, answer.error["code"]) == (8, "apps.too_old")
    assert columns(phased) == {"id", "kana", "level"}
    assert phased.ledger() == [(EXPAND, "applied"), (LATER, "applied")]


def test_p02_an_app_that_has_read_the_ledger_is_seen_before_the_commit(phased: Operator) -> None:
    """An app reads the ledger while the deploy is about to commit: the deploy waits for it, and then sees the app."""
    assert phased.deploy("--phase", "expand").exit_code == 0
    with holding(phased, "SELECT FROM _michi_ledger"):
        process = phased.start("deploy")
        phased.wait_for_session("LOCK TABLE%_michi_ledger%")
        old = psycopg.connect(phased.url, autocommit=True, application_name=f"kotobamichi/{EXPAND}")
    answer = finish(process)
    old.close()
    assert (answer.exit_code, answer.error["code"]) == (8, "apps.too_old")
    assert "kana" in columns(phased)


def test_p03_only_the_phase_that_is_asked_for_is_applied(phased: Operator) -> None:
    expand = phased.deploy("--phase", "expand")
    assert expand.exit_code == 0
    (done,) = expand.named("done")
    assert (done["applied"], done["state"], done["head"], done["held_back"]) == (2, "pending", LATER, [CONTRACT])
    assert columns(phased) == {"id", "kana", "level"}
    again = phased.deploy("--phase", "expand")
    assert (again.exit_code, again.named("done")[0]["applied"]) == (0, 0)
    assert f"Held back: {CONTRACT}." in _text(phased, "deploy", "--phase", "expand")
    status = phased.run("status").document
    assert (status["state"], status["pending"], status["out_of_order"]) == ("pending", [CONTRACT], [])
    contract = phased.deploy("--phase", "contract")
    assert (contract.exit_code, contract.named("done")[0]["state"]) == (0, "up_to_date")
    assert columns(phased) == {"id", "level"}
    assert phased.run("status").exit_code == 0


def test_p03_a_contract_migration_never_overtakes_an_expand_one_it_follows(phased: Operator) -> None:
    answer = phased.deploy("--phase", "contract")
    assert (answer.exit_code, answer.error["code"]) == (8, "phase.expand_pending")
    assert f"{CONTRACT} follows {EXPAND}," in answer.error["message"]
    assert phased.ledger() == []
    first = phased.write("20251201000000_table", "CREATE TABLE old (id int);")
    second = phased.write("20251202000000_drop", "-- michi: phase = contract\nDROP TABLE old;")
    phased.sum()
    shutil.move(phased.folder / CONTRACT, phased.folder.parent / CONTRACT)
    for name in (EXPAND, LATER):
        shutil.move(phased.folder / name, phased.folder.parent / name)
    phased.sum()
    assert phased.deploy("--phase", "expand").exit_code == 0
    for name in (EXPAND, CONTRACT, LATER):
        shutil.move(phased.folder.parent / name, phased.folder / name)
    phased.sum()
    answer = phased.deploy("--phase", "contract")
    assert answer.exit_code == 8
    assert phased.ledger() == [(first, "applied"), (second, "applied")], "what follows no pending expand one is applied"


def test_p03_what_an_expand_migration_is_late_for_is_still_out_of_order(phased: Operator) -> None:
    assert phased.deploy().exit_code == 0
    phased.write("20260102120000_late", "CREATE TABLE late (id int);")
    phased.sum()
    answer = phased.deploy()
    assert (answer.exit_code, answer.error["code"]) == (7, "history.out_of_order")


def test_p03_check_waits_for_what_the_app_needs_and_for_nothing_else(phased: Operator) -> None:
    phased.deploy("--phase", "expand")
    assert phased.run("check").exit_code == 3, (
        "a contract migration that only its own apps survive may be needed by them"
    )
    phased.write(
        CONTRACT, f"-- michi: phase = contract\n-- michi: safe-from = {EXPAND}\nALTER TABLE words DROP COLUMN kana;"
    )
    phased.sum()
    assert phased.run("check").exit_code == 0, "one that older apps survive takes away what none of them uses"
    assert phased.run("status").exit_code == 3


def test_a_name_that_postgresql_cut_is_compared_as_far_as_it_goes() -> None:
    name = "20260102000000_" + "a_long_story_" * 5
    told = f"kotobamichi/{name}"[:63]
    cut = parse_name(told, [1])
    assert cut is not None
    assert cut.cut
    assert cut.survives(_contract(name))
    assert not cut.survives(_contract("20260103000000_later"))
    assert cut.survives(_contract("20260101000000_earlier"))
    whole = parse_name("kotobamichi/20260102000000_a", [1])
    assert whole == App("kotobamichi", "20260102000000_a", False, (1,))
    assert not whole.survives(_contract("20260102000000_ab"))
    assert parse_name("michi/20260102000000_a", [1]) is None
    assert parse_name("psql", [1]) is None


def test_p02_p04_p05_two_generations_of_the_app_around_a_contract_migration(operator: Operator, tmp_path: Path) -> None:
    """The old app serves until it is ended; the new one waits, then serves without a restart; an old one never starts again."""
    for name in (migration.name for migration in read_folder(MIGRATIONS).migrations):
        shutil.copytree(MIGRATIONS / name, operator.folder / name)
    operator.sum()
    old_folder = tmp_path / "old"
    shutil.copytree(operator.folder, old_folder)
    old_head = read_folder(old_folder).head
    assert old_head is not None
    expand = operator.write("20990101000000_add_stories", "CREATE TABLE stories (id int);")
    contract = operator.write(
        "20990102000000_drop_topic", "-- michi: phase = contract\nALTER TABLE words DROP COLUMN topic;"
    )
    operator.sum()
    write_sum(read_folder(old_folder))
    assert Operator(operator.url, old_folder).deploy().exit_code == 0
    settings = {"DATABASE_URL": operator.url}
    with started("serve", MICHI_MIGRATIONS=str(old_folder), **settings) as old:
        old.wait_until_ready()
        with started("serve", MICHI_MIGRATIONS=str(operator.folder), **settings) as new:
            new.wait_until_alive()
            refused = operator.deploy()
            assert (refused.exit_code, refused.error["code"]) == (8, "apps.too_old")
            assert old_head in refused.error["message"]
            assert [app["head"] for app in refused.error["details"]["apps"]] == [old_head], "the new app survives it"
            assert (expand, "applied") in operator.ledger()
            apps = {app["head"] for app in operator.run("status").document["apps"]}
            assert apps == {old_head, contract}
            assert httpx.get(old.url + "/v1/words", timeout=20).status_code == 200
            waiting = httpx.get(new.url + "/v1/health/ready", timeout=20)
            assert (waiting.status_code, waiting.json()["schema"]) == (
                503,
                {"expected": contract, "actual": expand, "state": "pending"},
            )
            assert old.stop() == 0
            wait_until(lambda: _is_gone(operator, f"kotobamichi/{old_head}"), "that the old app is gone", 60.0)
            deployed = operator.deploy()
            assert deployed.exit_code == 0, deployed.stderr
            new.wait_until_ready()
            ready = httpx.get(new.url + "/v1/health/ready", timeout=20).json()
            assert ready["schema"] == {"expected": contract, "actual": contract, "state": "ready"}
    with started("serve", MICHI_MIGRATIONS=str(old_folder), **settings) as again:
        assert again.process.wait(30) == 4
        assert "too old" in again.output
        assert contract in again.output
        assert "Traceback" not in again.output


def _is_gone(operator: Operator, name: str) -> bool:
    return not operator.query(
        "SELECT FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()", name
    )


def _contract(name: str) -> Migration:
    return Migration(name, Path(name), {"up.sql": b"-- michi: phase = contract\n"})


def _text(operator: Operator, *arguments: str) -> str:
    """What a person reads."""
    import subprocess

    command = [part for part in operator.command(*arguments) if part != "--json"]
    done = subprocess.run(
        command, env=operator.clean_environment, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout
