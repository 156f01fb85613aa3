"""michi plan: what a deploy would do, measured on a shadow, and that nothing of it is done."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import michi.live
from tests.michi.test_phases import connected
from tests.support.operator import Operator, holding
from tests.support.servers import Address, PasswordServer
from tests.support.terminals import screen

TABLES = "20260101000000_tables"
NEXT = "20260102000000_next"
AFTER = "20260103000000_after"
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "plan.md"
ROWS = 30_000
SCHEMA = (
    "CREATE TABLE words (id int PRIMARY KEY, kana varchar(40), romaji text);"
    "CREATE TABLE levels (id int PRIMARY KEY, name text); CREATE TABLE decks (id int PRIMARY KEY);"
)


def build(operator: Operator) -> Operator:
    """A table of 2 MB, a small one and an empty one."""
    operator.write(TABLES, SCHEMA)
    operator.sum()
    assert operator.deploy().exit_code == 0
    operator.execute(
        f"INSERT INTO words SELECT n, 'kana ' || n, md5(n::text) FROM generate_series(1, {ROWS}) n;"
        "INSERT INTO levels VALUES (1, 'N5'); ANALYZE"
    )
    return operator


@pytest.fixture(scope="module")
def shop_url(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    return build(Operator(module_url, tmp_path_factory.mktemp("migrations"))).url


@pytest.fixture
def shop(shop_url: str, tmp_path: Path) -> Operator:
    """All tests share the database, because a plan changes nothing; each has a folder of its own."""
    operator = Operator(shop_url, tmp_path / "migrations")
    operator.write(TABLES, SCHEMA)
    return operator


@pytest.fixture
def own_shop(operator: Operator) -> Operator:
    """For tests that do change something."""
    return build(operator)


def plan(operator: Operator, *options: str, exit_code: int = 0) -> dict[str, Any]:
    operator.sum()
    answer = operator.run("plan", *options)
    assert answer.exit_code == exit_code, answer.stderr + answer.stdout
    check_described(answer.document)
    return answer.document


def described() -> dict[str, set[str]]:
    """The facts of each object, as docs/reference/plan.md has them."""
    found: dict[str, set[str]] = {}
    text = REFERENCE.read_text()
    for part in re.split(r"\n#{2,3} ", text[: text.index("## `michi lint`")])[1:]:
        found[part.split("\n")[0]] = set(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE))
    return found


def check_described(document: dict[str, Any]) -> None:
    """Every object of the document has the facts that the reference names, and no other."""
    facts = described()

    def check(name: str, found: dict[str, Any]) -> None:
        assert set(found) == facts[name], name

    check("The document", document)
    check("verdict", document["verdict"])
    for name in ("migrations", "apps"):
        for item in document[name]:
            check(name, item)
    for migration in document["migrations"]:
        for name in ("blocked", "statements", "findings"):
            for item in migration[name]:
                check(name, item)
        for lock in (lock for statement in migration["statements"] for lock in statement["locks"]):
            check("locks", lock)
            for session in lock["in_the_way"]:
                check("a session", session)
    for session in document["long_transactions"]:
        check("a session", session)


def only_step(document: dict[str, Any]) -> dict[str, Any]:
    ((step,),) = ([*migration["statements"]] for migration in document["migrations"])
    found: dict[str, Any] = step
    return found


def only_lock(document: dict[str, Any]) -> dict[str, Any]:
    (lock,) = only_step(document)["locks"]
    found: dict[str, Any] = lock
    return found


def test_nothing_pending_is_said_and_nothing_is_made(shop: Operator) -> None:
    document = plan(shop)
    assert (document["verdict"]["level"], document["migrations"], document["head"]) == ("nothing", [], TABLES)


def test_a_quick_change_is_safe_and_says_for_how_long_at_most(shop: Operator) -> None:
    shop.write(NEXT, "-- michi: lock_timeout = 2s\nALTER TABLE words ADD COLUMN note text;")
    document = plan(shop)
    assert document["verdict"]["level"] == "safe"
    assert "longer than 2 s" in document["verdict"]["sentence"]
    step = only_step(document)
    assert (document["method"], step["method"], step["line"]) == ("measured", "measured", 2)
    lock = only_lock(document)
    assert (lock["relation"], lock["mode"], lock["blocks"]) == ("words", "AccessExclusive", "reads and writes")
    assert (lock["rewrites"], lock["scans"], lock["new"], lock["rows"]) == (False, False, False, ROWS)
    size = shop.query("SELECT pg_table_size('words')")[0][0]
    assert lock["bytes"] == size


def test_an_index_on_a_large_table_blocks_its_writes(shop: Operator) -> None:
    shop.write(NEXT, "CREATE INDEX words_kana ON words (kana);")
    document = plan(shop)
    assert document["verdict"]["level"] == "blocks"
    assert document["verdict"]["sentence"].startswith("will block writes of words (")
    (blocked,) = document["migrations"][0]["blocked"]
    assert (blocked["relation"], blocked["blocks"], blocked["rows"]) == ("words", "writes", ROWS)
    assert [finding["rule"] for finding in document["migrations"][0]["findings"]] == [
        "require-concurrent-index-creation"
    ]


@pytest.mark.parametrize(
    ("change", "rewrites"),
    [
        ("ADD COLUMN key uuid DEFAULT gen_random_uuid()", True),
        ("ADD COLUMN at timestamptz DEFAULT now()", False),
        ("ALTER COLUMN kana TYPE varchar(80)", False),
        ("ALTER COLUMN kana TYPE varchar(20)", True),
        ("ALTER COLUMN id TYPE bigint", True),
    ],
)
def test_whether_the_table_is_rewritten_is_measured(shop: Operator, change: str, rewrites: bool) -> None:
    shop.write(NEXT, f"ALTER TABLE words {change};")
    document = plan(shop)
    assert only_lock(document)["rewrites"] is rewrites
    guessed = plan(shop, "--no-shadow")
    assert only_lock(guessed)["rewrites"] in {rewrites, None}
    assert (guessed["method"], only_step(guessed)["method"]) == ("parse tree", "parse tree")


def test_a_not_null_that_a_check_proves_reads_no_row(shop: Operator) -> None:
    shop.write(
        NEXT,
        "ALTER TABLE words ALTER COLUMN romaji SET NOT NULL;"
        "ALTER TABLE words ADD CONSTRAINT kana_known CHECK (kana IS NOT NULL) NOT VALID;"
        "ALTER TABLE words VALIDATE CONSTRAINT kana_known;"
        "ALTER TABLE words ALTER COLUMN kana SET NOT NULL;"
        "ALTER TABLE words ADD CONSTRAINT kana_once UNIQUE (kana);"
        "ALTER TABLE levels ADD CONSTRAINT of_word FOREIGN KEY (id) REFERENCES words;",
    )
    steps = plan(shop)["migrations"][0]["statements"]
    assert [step["locks"][0]["scans"] for step in steps] == [True, False, True, False, True, True]
    assert [
        lock["scans"]
        for step in plan(shop, "--no-shadow")["migrations"][0]["statements"][3:4]
        for lock in step["locks"]
    ] == [True]


def test_a_lock_is_held_to_the_end_of_its_transaction(shop: Operator) -> None:
    change = "ALTER TABLE levels ADD COLUMN note text;\nUPDATE words SET romaji = lower(romaji);\nDROP TABLE decks;"
    shop.write(NEXT, change)
    (migration,) = plan(shop)["migrations"]
    (blocked,) = migration["blocked"]
    assert (blocked["relation"], blocked["blocks"], blocked["from_line"], blocked["to_line"]) == (
        "levels", "reads and writes", 1, 2,
    )  # fmt: skip
    shop.write(NEXT, f"-- michi: transaction = off\n{change}")
    (migration,) = plan(shop)["migrations"]
    assert migration["blocked"] == []


def test_what_belongs_to_one_transaction_is_run_in_one(shop: Operator) -> None:
    shop.write(
        NEXT,
        "SET LOCAL search_path = other, public;\nCREATE TEMP TABLE kept ON COMMIT DROP AS SELECT id FROM words;\n"
        "DELETE FROM words WHERE id IN (SELECT id FROM kept);\nDELETE FROM words;\nINSERT INTO nowhere VALUES (1);\n"
        "LOCK TABLE levels;",
    )
    document = plan(shop)
    steps = document["migrations"][0]["statements"]
    assert [step["failed"] for step in steps] == [False, False, False, False, True, False]
    assert [[lock["mode"] for lock in steps[number]["locks"] if lock["relation"] == "words"] for number in (1, 2, 3)] == [
        ["AccessShare"], ["RowExclusive"], ["RowExclusive"],
    ]  # fmt: skip
    assert steps[5]["locks"][0]["relation"] == "levels"


def test_pending_migrations_build_on_each_other_and_sizes_follow_a_rename(shop: Operator) -> None:
    shop.write(
        NEXT, "ALTER TABLE words RENAME TO vocabulary; CREATE TABLE cards (id int, word int REFERENCES vocabulary);"
    )
    shop.write(AFTER, "CREATE INDEX vocabulary_kana ON vocabulary (kana); CREATE INDEX cards_word ON cards (word);")
    after = plan(shop)["migrations"][1]
    (on_words,), (on_cards,) = (statement["locks"] for statement in after["statements"])
    assert (on_words["relation"], on_words["new"], on_words["rows"]) == ("vocabulary", False, ROWS)
    assert (on_cards["relation"], on_cards["new"], on_cards["blocks"]) == ("cards", True, "nothing")
    assert [blocked["relation"] for blocked in after["blocked"]] == ["vocabulary"]


def test_what_a_block_of_code_does_is_seen_on_the_shadow_alone(shop: Operator) -> None:
    shop.write(NEXT, "DO $$ BEGIN ALTER TABLE words DROP COLUMN romaji; END $$;")
    assert only_lock(plan(shop))["mode"] == "AccessExclusive"
    guessed = plan(shop, "--no-shadow")
    assert only_step(guessed)["complete"] is False
    assert "may do more than it shows" in guessed["verdict"]["sentence"]


def test_what_runs_outside_a_transaction_is_told_from_the_parse_tree(shop: Operator) -> None:
    shop.write(NEXT, "CREATE INDEX CONCURRENTLY words_kana ON words (kana);")
    shop.write(AFTER, "DROP INDEX words_kana;")
    document = plan(shop)
    first, second = (migration["statements"][0] for migration in document["migrations"])
    assert (first["method"], first["locks"][0]["mode"], first["locks"][0]["blocks"]) == (
        "parse tree", "ShareUpdateExclusive", "nothing",
    )  # fmt: skip
    assert (second["method"], second["locks"][0]["relation"]) == ("measured", "words")


def test_nothing_is_changed_in_the_database_or_beside_it(own_shop: Operator) -> None:
    own_shop.write(
        NEXT,
        "CREATE ROLE michi_test_never; ALTER TABLE words DROP COLUMN romaji; DELETE FROM words;"
        " ALTER ROLE CURRENT_USER SET work_mem = '7MB'; DROP TABLE levels CASCADE;",
    )
    look = (
        "SELECT (SELECT string_agg(c::text || a::text, ',' ORDER BY c.oid, a.attnum) FROM pg_class c JOIN pg_attribute a"
        " ON a.attrelid = c.oid WHERE c.relnamespace = 'public'::regnamespace), (SELECT count(*) FROM words),"
        " (SELECT string_agg(rolname || oid, ',' ORDER BY oid) FROM pg_roles),"
        " (SELECT string_agg(setdatabase::text || setrole || setconfig::text, ',') FROM pg_db_role_setting),"
        " (SELECT string_agg(l::text, ',') FROM _michi_ledger l)"
    )
    before = own_shop.query(look)
    document = plan(own_shop)
    assert len(document["migrations"][0]["statements"]) == 5
    assert document["migrations"][0]["statements"][0]["note"] == "it is not run on a shadow"
    assert own_shop.query(look) == before
    assert own_shop.query("SELECT datname FROM pg_database WHERE datname LIKE 'michi\\_shadow%'") == []


@pytest.fixture
def plain_owner(running_password_server: PasswordServer, tmp_path: Path) -> Iterator[Operator]:
    """A role that owns its database and may not create others."""
    address, name = running_password_server.address, f"owner_{uuid.uuid4().hex[:8]}"
    folder = tmp_path / "migrations"
    folder.mkdir()
    with psycopg.connect(address.url(), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{name}'".encode())
        connection.execute(f"CREATE DATABASE {name} OWNER {name}".encode())
        yield Operator(Address(address.port, user=name, password=name).url(name), folder)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
        connection.execute(f"DROP ROLE {name}".encode())


def test_a_role_that_may_not_create_databases_gets_a_plan_from_the_parse_tree(plain_owner: Operator) -> None:
    plain_owner.write(TABLES, "CREATE TABLE words (id int PRIMARY KEY, romaji text);")
    plain_owner.sum()
    assert plain_owner.deploy().exit_code == 0
    plain_owner.execute(f"INSERT INTO words SELECT n, md5(n::text) FROM generate_series(1, {ROWS}) n; ANALYZE words")
    plain_owner.write(NEXT, "ALTER TABLE words ADD COLUMN key uuid DEFAULT gen_random_uuid();")
    plain_owner.write(AFTER, "CREATE TABLE decks (id int); CREATE INDEX decks_id ON decks (id);")
    document = plan(plain_owner)
    assert document["method"] == "parse tree"
    assert "may not create databases" in document["method_note"]
    (lock,) = document["migrations"][0]["statements"][0]["locks"]
    assert (lock["mode"], lock["rewrites"], lock["rows"]) == ("AccessExclusive", True, ROWS)
    assert document["migrations"][1]["statements"][1]["locks"][0]["new"] is True
    assert document["verdict"]["level"] == "blocks"


def test_a_statement_that_fails_on_the_shadow_makes_the_plan_doubtful(shop: Operator) -> None:
    shop.write(NEXT, "ALTER TABLE words ADD COLUMN note text;\nALTER TABLE wrods ADD COLUMN note text;")
    document = plan(shop)
    assert document["verdict"]["level"] == "doubtful"
    assert 'relation "wrods" does not exist' in document["verdict"]["sentence"]
    assert [step["failed"] for step in document["migrations"][0]["statements"]] == [False, True]


def test_what_an_earlier_attempt_has_done_is_not_foretold_again(own_shop: Operator) -> None:
    text = "-- michi: transaction = off\nALTER TABLE words ADD COLUMN note text;\n"
    own_shop.write(NEXT, f"{text}ALTER TABLE words DROP COLUMN nothing;")
    own_shop.sum()
    assert own_shop.deploy().exit_code == 7
    own_shop.write(NEXT, f"{text}CREATE INDEX CONCURRENTLY words_note ON words (note);")
    document = plan(own_shop)
    assert document["migrations"][0]["statements_done"] == 1
    assert (only_step(document)["line"], document["verdict"]["level"]) == (3, "safe")


def test_who_holds_a_table_now_and_who_keeps_a_transaction_open_is_named(
    shop: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(michi.live, "LONG_TRANSACTION_SECONDS", -60)
    shop.write(NEXT, "ALTER TABLE words ADD COLUMN note text;")
    shop.write(AFTER, "CREATE INDEX CONCURRENTLY levels_name ON levels (name);")
    with holding(shop, "SELECT count(*) FROM words") as reader:
        document = plan(shop)
        (holder,) = document["migrations"][0]["statements"][0]["locks"][0]["in_the_way"]
        assert (holder["pid"], holder["application"], holder["mode"]) == (
            reader.info.backend_pid, "bystander", "AccessShare",
        )  # fmt: skip
        assert "count(*) FROM words" in holder["query"]
        assert document["migrations"][1]["statements"][0]["locks"][0]["in_the_way"] == []
        assert reader.info.backend_pid in [session["pid"] for session in document["long_transactions"]]
    with holding(shop, "LOCK TABLE words"):
        lock = plan(shop)["migrations"][0]["statements"][0]["locks"][0]
        assert lock["bytes"] > 1_000_000, "the size is told without waiting for the lock"


def test_p01_plan_lists_the_connected_apps_and_who_survives(shop: Operator) -> None:
    shop.write(NEXT, "ALTER TABLE words ADD COLUMN note text;")
    shop.write(AFTER, "-- michi: phase = contract\nALTER TABLE words DROP COLUMN romaji;")
    with connected(shop, f"kotobamichi/{TABLES}", f"kotobamichi/{AFTER}", "pgbouncer"):
        document = plan(shop, exit_code=8)
        assert [app["head"] for app in document["apps"]] == [TABLES, AFTER]
        assert {"application": "pgbouncer", "sessions": 1} in document["other_sessions"]
        assert document["verdict"]["level"] == "refused"
        assert document["verdict"]["error"]["code"] == "apps.too_old"
        expand, contract = document["migrations"]
        assert (expand["breaks"], [app["head"] for app in contract["breaks"]]) == ([], [TABLES])
        assert contract["safe_from"] == AFTER
        assert plan(shop, "--even-if-connected")["verdict"]["level"] == "safe"
        phased = plan(shop, "--phase", "expand")
        assert ([m["migration"] for m in phased["migrations"]], phased["held_back"]) == ([NEXT], [AFTER])
    assert plan(shop, "--phase", "contract", exit_code=8)["verdict"]["error"]["code"] == "phase.expand_pending"


@pytest.mark.parametrize(
    ("name", "up", "code", "exit_code"),
    [
        (TABLES, "SELECT 1;", "history.edited", 7),
        ("20251201000000_late", "SELECT 1;", "history.out_of_order", 7),
        (NEXT, "BEGIN; SELECT 1;", "sql.transaction_control", 7),
        (NEXT, "CREATE TABLE x (); CREATE INDEX CONCURRENTLY i ON words (kana);", "sql.not_in_transaction", 7),
        (NEXT, "UPDATE words SET kana = NULL /* FILL IN */;", "migration.unfinished", 7),
    ],
)
def test_a_deploy_that_would_be_refused_is_refused_here_too(
    shop: Operator, name: str, up: str, code: str, exit_code: int
) -> None:
    shop.write(name, up)
    document = plan(shop, exit_code=exit_code)
    assert document["verdict"]["level"] == "refused"
    assert document["verdict"]["error"]["code"] == code
    assert shop.deploy().error["code"] == code


def test_an_older_image_is_told_that_it_is_too_old(own_shop: Operator) -> None:
    own_shop.execute(
        "INSERT INTO _michi_ledger (migration, checksum, phase, statements_total, statements_done, verdict)"
        " VALUES ('20990101000000_drop', 'x', 'contract', 1, 1, 'applied')"
    )
    assert plan(own_shop, exit_code=4)["verdict"]["error"]["code"] == "schema.too_old"


def test_a_first_deploy_to_an_empty_database_blocks_nobody(operator: Operator) -> None:
    operator.write(TABLES, "CREATE TABLE words (id int); CREATE INDEX ON words (id);")
    document = plan(operator)
    assert (document["verdict"]["sentence"], document["head"]) == ("safe: nothing is blocked", None)
    assert operator.query("SELECT to_regclass('words'), to_regclass('_michi_ledger')") == [(None, None)]


def test_a_backfill_is_told_as_one(shop: Operator) -> None:
    shop.write(NEXT, "-- michi: backfill = 5000\nUPDATE words SET romaji = upper(romaji);")
    document = plan(shop)
    assert document["migrations"][0]["backfill_rows"] == 5000
    assert document["migrations"][0]["findings"] == []
    assert document["verdict"]["level"] == "safe"
    (lock,) = (lock for lock in document["migrations"][0]["statements"][0]["locks"] if lock["relation"] == "words")
    assert lock["seconds"] == pytest.approx(lock["rows"] / 40_000, abs=0.001)


def test_a_person_reads_the_verdict_first_and_lines_fit_the_terminal(shop: Operator) -> None:
    shop.write(NEXT, "CREATE INDEX words_kana ON words (kana);")
    shop.write(
        AFTER, f"-- michi: phase = contract\n-- michi: safe-from = {NEXT}\nALTER TABLE words DROP COLUMN romaji;"
    )
    shop.sum()
    command = [argument for argument in shop.command("plan") if argument != "--json"]
    with connected(shop, f"kotobamichi/{AFTER}"), screen(command, shop.clean_environment, 80) as seen:
        assert seen.finish() == 0
    lines = seen.text.splitlines()
    assert lines[0].startswith("! Will block writes of words (")
    assert max(map(len, lines)) <= 80
    for part in (
        "CREATE INDEX words_kana ON words (kana)", "SHARE blocks writes; reads all rows", "every app survives it",
        f"apps that know {NEXT} survive it", f"connected: kotobamichi at {AFTER}", "measured on a shadow",
    ):  # fmt: skip
        assert part in " ".join(seen.text.split())
