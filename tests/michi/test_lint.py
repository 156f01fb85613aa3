"""michi lint: squawk's rules and ours, as severe as the tables are large."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import michi.lint
from michi.breaking import find_breaks
from michi.effects import Name
from michi.errors import DirectiveInvalid
from michi.folder import Migration
from tests.support.operator import Operator

TABLES = "20260101000000_tables"
NEXT = "20260102000000_next"
SCHEMA = "".join(
    f"CREATE TABLE {table} (id int, kana text, n int);" for table in ("words", "medium", "levels", "decks")
)


@pytest.fixture(scope="module")
def shop_url(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A table that counts as large here, one in between, one of a few kilobytes and an empty one."""
    operator = Operator(module_url, tmp_path_factory.mktemp("migrations"))
    operator.write(TABLES, SCHEMA)
    operator.sum()
    assert operator.deploy().exit_code == 0
    operator.execute(
        "INSERT INTO words SELECT n, repeat('x', 200) FROM generate_series(1, 25000) n;"
        "INSERT INTO medium SELECT n, repeat('x', 200) FROM generate_series(1, 8000) n;"
        "INSERT INTO levels VALUES (1, 'x'); ANALYZE"
    )
    return module_url


@pytest.fixture
def shop(shop_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    """All tests share the database, because the linter changes nothing; each has a folder of its own."""
    monkeypatch.setattr(michi.lint, "LARGE_BYTES", 4 * 1024 * 1024)
    operator = Operator(shop_url, tmp_path / "migrations")
    operator.write(TABLES, SCHEMA)
    return operator


def lint(operator: Operator, *arguments: str, exit_code: int | None = None) -> list[dict[str, Any]]:
    operator.sum()
    answer = operator.run("lint", *arguments)
    document = answer.document
    assert answer.exit_code == document["exit_code"]
    worst = {f["severity"] for f in document["findings"] if f["ignored_because"] is None}
    assert answer.exit_code == (7 if "error" in worst else 0)
    if exit_code is not None:
        assert answer.exit_code == exit_code
    findings: list[dict[str, Any]] = document["findings"]
    return findings


def rules(findings: list[dict[str, Any]]) -> dict[str, str]:
    return {finding["rule"]: finding["severity"] for finding in findings}


def without_database(operator: Operator) -> Operator:
    return Operator("", operator.folder)


@pytest.mark.parametrize(
    ("table", "severity"), [("words", "error"), ("medium", "warning"), ("levels", "note"), ("decks", "note")]
)
def test_the_severity_of_a_blocking_index_follows_the_live_size(shop: Operator, table: str, severity: str) -> None:
    shop.write(NEXT, f"CREATE INDEX by_kana ON {table} (kana);")
    (finding,) = lint(shop)
    assert (finding["rule"], finding["severity"]) == ("require-concurrent-index-creation", severity)
    assert (finding["relation"], finding["line"], finding["migration"]) == (table, 1, NEXT)
    assert finding["bytes"] == shop.query("SELECT pg_table_size(%s::regclass)", table)[0][0]


def test_without_a_database_every_table_counts_as_large_and_all_migrations_are_looked_at(operator: Operator) -> None:
    operator.write(TABLES, "CREATE TABLE words (id int);\nCREATE INDEX words_id ON words (id);")
    operator.write(NEXT, "-- a remark\n\nCREATE INDEX words_id_again ON words (id);")
    findings = lint(without_database(operator), exit_code=7)
    assert [(f["migration"], f["line"], f["rule"]) for f in findings if f["severity"] != "note"] == [
        (NEXT, 3, "require-concurrent-index-creation")
    ]
    assert lint(without_database(operator), "_tables", exit_code=0) is not None
    assert operator.run("lint", "nowhere").exit_code == 2
    assert operator.run("lint", "_tables", "--all").exit_code == 2


def test_only_the_pending_are_looked_at_unless_asked(shop: Operator) -> None:
    shop.write(NEXT, "ALTER TABLE words ADD COLUMN note text;")
    assert lint(shop, exit_code=0) == []
    document = shop.run("lint", "--all").document
    assert document["migrations"] == [TABLES, NEXT]
    assert "password" not in json.dumps(document)


@pytest.mark.parametrize(
    "change",
    [
        "DROP TABLE words", "ALTER TABLE words DROP COLUMN kana", "ALTER TABLE words RENAME COLUMN kana TO reading",
        "ALTER TABLE words RENAME TO vocabulary", "ALTER TABLE words ADD COLUMN must text NOT NULL",
        "ALTER TABLE decks ALTER COLUMN kana SET NOT NULL", "ALTER TABLE decks ALTER COLUMN n TYPE bigint",
        "ALTER TABLE decks ALTER COLUMN n DROP DEFAULT", "ALTER TABLE decks SET SCHEMA other",
    ],
)  # fmt: skip
def test_what_breaks_running_apps_must_be_declared(shop: Operator, change: str) -> None:
    shop.write(NEXT, f"{change};")
    found = rules(lint(shop, exit_code=7))
    assert found["undeclared-contract"] == "error"
    assert not set(found) & michi.lint.ABOUT_APPS, "said once is enough"
    shop.write(NEXT, f"-- michi: phase = contract\n{change};")
    assert "undeclared-contract" not in rules(lint(shop))


def test_what_is_made_in_the_same_migration_breaks_nobody(shop: Operator) -> None:
    shop.write(
        NEXT,
        "CREATE TABLE cards (id int); ALTER TABLE cards ADD COLUMN must text NOT NULL; ALTER TABLE cards RENAME TO deals;"
        " ALTER TABLE words ADD COLUMN a text NOT NULL DEFAULT ''; ALTER TABLE words ADD COLUMN b bigint;",
    )
    assert "undeclared-contract" not in rules(lint(shop))
    assert find_breaks("DROP TABLE cards", frozenset({Name(None, "cards")})) == []
    assert find_breaks("DROP FUNCTION f(int); ") == ["drops the function f"]
    assert find_breaks("ALTER TYPE mood RENAME VALUE 'a' TO 'b'") == ["renames the value a of mood"]
    assert find_breaks("no sql") == []


def test_our_rules_speak_where_squawk_is_silent(shop: Operator) -> None:
    shop.write(
        NEXT,
        "ALTER TABLE words SET UNLOGGED;\nUPDATE words SET n = 1;\nDELETE FROM decks;\nALTER TABLE words SET LOGGED;",
    )
    found = lint(shop, exit_code=7)
    by_line = {(f["line"], f["rule"]): f["severity"] for f in found}
    assert by_line[1, "long-lock"] == "error"
    assert by_line[2, "change-without-backfill"] == "error"
    assert by_line[2, "work-under-lock"] == "warning"
    assert by_line[3, "change-without-backfill"] == "note"
    assert by_line[1, "several-rewrites"] == "warning"
    shop.write(NEXT, "-- michi: backfill = 1000\nUPDATE words SET n = 1;")
    with_key = [f["rule"] for f in lint(shop, exit_code=0)]
    assert with_key == []


def test_an_ignore_needs_a_reason_and_a_finding(shop: Operator) -> None:
    statement = "CREATE INDEX words_kana ON words (kana);"
    rule = "require-concurrent-index-creation"
    shop.write(NEXT, f"-- michi: ignore = {rule} because it runs at night, alone\n{statement}")
    (finding,) = lint(shop, exit_code=0)
    assert (finding["severity"], finding["ignored_because"]) == ("error", "it runs at night, alone")
    shop.write(NEXT, f"-- michi: ignore = {rule} because of A\n-- michi: ignore = long-lock because of B\n{statement}")
    assert rules(lint(shop, exit_code=0)) == {rule: "error", "unused-ignore": "note"}
    for bad in (rule, f"{rule} because", f"{rule}, because x", "because x"):
        shop.write(NEXT, f"-- michi: ignore = {bad}\n{statement}")
        shop.sum()
        answer = shop.run("lint")
        assert (answer.exit_code, answer.error["code"]) == (7, "folder.directive")
        assert "line 1: an ignore without a reason" in answer.error["message"]


def test_michi_takes_care_of_timeouts_transactions_and_kills_itself(shop: Operator) -> None:
    shop.write(
        NEXT,
        "-- michi: transaction = off\nCREATE INDEX CONCURRENTLY words_kana ON words (kana);\nALTER TABLE words ADD COLUMN a text;",
    )
    assert lint(shop, exit_code=0) == []


def test_a_person_sees_place_rule_and_remedy(operator: Operator) -> None:
    operator.write(TABLES, "CREATE INDEX words_id ON words (id);")
    command = [sys.executable, "-m", "michi.cli", "lint", "--migrations", str(operator.folder)]
    done = subprocess.run(command, env={}, capture_output=True, text=True, timeout=60, check=False)
    first, *_, last = done.stdout.splitlines()
    assert done.returncode == 7
    assert first == f"✗ {operator.folder}/{TABLES}/up.sql:1  require-concurrent-index-creation"
    assert "    Use `concurrently` to avoid blocking writes." in done.stdout
    assert last == "1 migration, without a database, every table counts as large: 1 error, 0 warnings, 0 notes."


def test_without_squawk_it_says_what_to_install(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    operator.environment["PATH"] = "/nowhere"
    operator.write(TABLES, "SELECT 1;")
    operator.sum()
    answer = operator.run("lint", "--all")
    assert answer.exit_code == 2
    assert "pip install 'kotobamichi[authoring]'" in answer.error["remedy"]
    plan = operator.run("plan").document
    assert "squawk" in plan["linter_note"]


def test_directives_of_a_backfill_are_read() -> None:
    def read(text: str) -> Any:
        return Migration(NEXT, Path(NEXT), {"up.sql": text.encode()}).directives

    found = read("-- michi: backfill = 500\n-- michi: backfill_pause = 50ms\nDELETE FROM t")
    assert (found.backfill_rows, found.backfill_pause_seconds, found.ignored) == (500, 0.05, {})
    for bad in ("backfill = 0", "backfill = many", "backfill = 2000000", "backfill_pause = 1s"):
        with pytest.raises(DirectiveInvalid):
            read(f"-- michi: {bad}\nSELECT 1")
    with pytest.raises(DirectiveInvalid):
        read("-- michi: backfill = 5\n-- michi: transaction = on\nSELECT 1")
