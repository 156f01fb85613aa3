"""Contract of michi, table "Dev, reset, diff", the rows V: from changed models to the next migration."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from michi.settings import parse_url
from michi.shadow import NAME, lock_key, shadow_database
from tests.support.author import Author
from tests.support.operator import Answer, finish, holding, kill, wait_until
from tests.support.servers import Address, PasswordServer
from tests.support.terminals import Screen, screen

KANA = 'Column("kana", Text)'
READING = 'Column("reading", Text)'
CARDS = 'cards = Table("cards", metadata, Column("id", Uuid, primary_key=True), Column("due_at", DateTime(timezone=True)))\n'


@pytest.fixture
def words(author: Author) -> Author:
    """One table, applied."""
    author.words(KANA)
    assert author.develop("Create words")["state"] == "applied"
    return author


def assert_untouched(author: Author, answer: Answer, exit_code: int, code: str, tables: list[str]) -> None:
    """Refused, nothing written, nothing applied, no shadow left."""
    assert (answer.exit_code, answer.error["code"]) == (exit_code, code), answer.stderr
    found = author.query(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
    )
    assert sorted(row[0] for row in found if not row[0].startswith("_michi")) == tables
    assert author.shadows == []


# Rows of the contract


def test_v01_nothing_changed_is_in_sync(words: Author) -> None:
    del words.environment["SHADOW_DATABASE_URL"]
    answer = words.dev()
    assert (answer.exit_code, answer.document["state"], answer.document["changes"]) == (0, "in_sync", [])
    assert "In sync: models, migrations and database say the same." in text_of(words)
    assert words.shadows == []


def text_of(author: Author, *options: str) -> str:
    command = [part for part in author.command("dev", *options) if part != "--json"]
    done = subprocess.run(
        command, env=author.clean_environment, cwd=author.home, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr


def test_v02_a_model_added_becomes_a_migration_that_is_applied(words: Author) -> None:
    words.words(KANA, more=CARDS)
    document = words.develop("Add Review Cards")
    assert words.headings() == ["create_words", "add_review_cards"]
    assert document["state"] == "applied"
    assert document["applied"] == words.migrations[1:]
    assert words.ledger()[-1] == (words.migrations[-1], "applied")
    assert words.exists("cards")
    assert "CREATE TABLE cards (\n    id uuid PRIMARY KEY,\n    due_at timestamptz\n);" in words.up("add_review_cards")
    assert "DROP TABLE cards;" in words.down("add_review_cards")
    assert words.run("status").exit_code == 0
    assert words.run("sum").document["changed"] is False
    assert words.dev().document["state"] == "in_sync"


def test_v07_create_only_is_written_and_not_applied(words: Author) -> None:
    words.words(KANA, more=CARDS)
    document = words.develop("cards", "--create-only")
    assert document["state"] == "written"
    assert words.headings() == ["create_words", "cards"]
    assert not words.exists("cards")
    assert words.develop("unused")["applied"] == [words.migrations[-1]]
    assert words.exists("cards")
    assert words.headings() == ["create_words", "cards"]


@pytest.mark.parametrize(
    ("models", "kind", "name", "rows"), [((), "column", "words.kana", 2), (None, "table", "words", 3)]
)
def test_v09_what_holds_data_is_counted_and_not_dropped_unasked(
    words: Author, models: tuple[()] | None, kind: str, name: str, rows: int
) -> None:
    words.execute("INSERT INTO words VALUES (1, 'a'), (2, 'b'), (3, NULL)")
    words.models("") if models is None else words.words()
    answer = words.dev("--name", "drop")
    assert_untouched(words, answer, 8, "data.loss", ["words"])
    assert answer.error["details"]["losses"] == [{"kind": kind, "name": name, "rows": rows}]
    assert words.headings() == ["create_words"]
    assert words.develop("drop", "--accept-data-loss")["state"] == "applied"
    assert "-- michi: phase = contract" in words.up("drop")


def test_v09_without_rows_there_is_nothing_to_lose(words: Author) -> None:
    words.words()
    assert words.develop("drop kana")["state"] == "applied"


def test_v13_to_v17_everything_that_is_wrong_is_one_list(words: Author) -> None:
    words.write("20260101000000_early", "SELECT 1;")
    first, second = words.migrations[-1], "29990101000000_half"
    words.write(second, "-- michi: transaction = off\nCREATE TABLE half (id int);\nSELECT 1 / 0;")
    words.sum()
    words.deploy("--allow-out-of-order")
    (words.folder / first / "up.sql").write_text("CREATE TABLE words (id bigint PRIMARY KEY, kana text);\n-- edited\n")
    answer = words.dev("--name", "x")
    assert_untouched(words, answer, 7, "dev.not_in_sync", ["half", "words"])
    problems = [(problem["kind"], problem["what"]) for problem in answer.error["details"]["problems"]]
    assert problems == [("edited", first), ("failed", second)]
    assert all(f"✗ {kind}" in answer.stderr for kind, _ in problems)


def test_v14_a_missing_migration_is_named(words: Author) -> None:
    words.words(KANA, more=CARDS)
    words.develop("cards")
    first = words.migrations[0]
    for file in (words.folder / first).iterdir():
        file.unlink()
    (words.folder / first).rmdir()
    words.sum()
    answer = words.dev()
    assert_untouched(words, answer, 7, "dev.not_in_sync", ["cards", "words"])
    assert answer.error["details"]["problems"] == [{"kind": "missing", "what": first}]


def test_v15_drift_is_told_thing_by_thing(words: Author) -> None:
    words.execute("ALTER TABLE words ADD COLUMN by_hand int; CREATE INDEX sneaked_in ON words (kana)")
    words.words(KANA, more=CARDS)
    answer = words.dev("--name", "cards")
    assert_untouched(words, answer, 7, "dev.not_in_sync", ["words"])
    assert [problem["what"] for problem in answer.error["details"]["problems"]] == [
        "+ column words.by_hand", "+ index words.sneaked_in: words (kana)",
    ]  # fmt: skip
    assert words.headings() == ["create_words"]


def test_v16_a_failed_migration_that_is_mended_goes_on(words: Author) -> None:
    name = words.write("29990101000000_fails", "SELECT 1 / (SELECT count(*) FROM words);")
    words.sum()
    words.execute("INSERT INTO words VALUES (1)")
    assert words.deploy().exit_code == 0
    words.execute("UPDATE _michi_ledger SET verdict = 'undone' WHERE migration LIKE '%fails'")
    (words.folder / name / "up.sql").write_text("SELECT 1;")
    assert words.dev().document["applied"] == [name]


def test_v19_a_migration_that_does_not_apply_stops_before_the_database(words: Author) -> None:
    words.write("29990101000000_broken", "CREATE TABLE fine (id int);\nCREATE TABLE words (id int);")
    words.sum()
    answer = words.dev()
    assert_untouched(words, answer, 7, "shadow.failed", ["words"])
    assert "line 2" in answer.error["message"]
    assert "No other database was touched." in answer.error["remedy"]


@pytest.fixture
def plain_author(running_password_server: PasswordServer, tmp_path: Path) -> Iterator[Author]:
    """One whose role owns two databases, its own and `..._shadow`, and may not create any."""
    name = f"plain_{uuid.uuid4().hex[:8]}"
    address = running_password_server.address
    with psycopg.connect(address.url(), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN NOCREATEDB PASSWORD 'plain'".encode())
        for database in (name, f"{name}_shadow"):
            connection.execute(f"CREATE DATABASE {database} OWNER {name}".encode())
        try:
            author = Author.at(Address(address.port, user=name, password="plain").url(name), tmp_path / "plain")
            author.words(KANA)
            yield author
        finally:
            for database in (name, f"{name}_shadow"):
                connection.execute(f"DROP DATABASE {database} WITH (FORCE)".encode())
            connection.execute(f"DROP ROLE {name}".encode())


def test_v20_a_role_that_may_not_create_databases_is_told_what_to_set_and_it_helps(plain_author: Author) -> None:
    answer = plain_author.dev("--name", "create words")
    assert_untouched(plain_author, answer, 8, "refused", [])
    assert "SHADOW_DATABASE_URL" in answer.error["remedy"]
    plain_author.environment["SHADOW_DATABASE_URL"] = shadow = plain_author.url + "_shadow"
    assert plain_author.develop("create words")["state"] == "applied"
    with psycopg.connect(shadow) as connection:
        left = connection.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        ).fetchone()
        assert left == (0,)


def test_v20_the_shadow_is_never_the_database_itself(words: Author) -> None:
    words.environment["SHADOW_DATABASE_URL"] = words.url
    answer = words.dev()
    assert_untouched(words, answer, 8, "refused", ["words"])


def test_v20_a_shadow_that_holds_something_is_not_emptied(words: Author, shared_shadow: str) -> None:
    with psycopg.connect(shared_shadow, autocommit=True) as connection:
        connection.execute("CREATE TABLE precious (id int)")
        connection.execute(f"COMMENT ON DATABASE {connection.info.dbname} IS 'of somebody'".encode())
        answer = words.dev()
        assert_untouched(words, answer, 8, "refused", ["words"])
        assert "public.precious" in answer.error["message"]
        connection.execute("DROP TABLE precious")
    assert words.dev().exit_code == 0


@pytest.fixture
def own_shadow(words: Author) -> Author:
    del words.environment["SHADOW_DATABASE_URL"]
    return words


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_v25_a_signal_leaves_no_shadow_behind(own_shadow: Author, sent: signal.Signals, code: int) -> None:
    own_shadow.write("29990101000000_slow", "SELECT pg_sleep(60);")
    own_shadow.sum()
    process = own_shadow.start("dev")
    wait_until(lambda: sleeping(own_shadow), "the shadow at work")
    assert len(own_shadow.shadows) == 1
    process.send_signal(sent)
    assert finish(process).exit_code == code
    assert own_shadow.shadows == []


def sleeping(author: Author) -> bool:
    rows = author.query(
        "SELECT 1 FROM pg_stat_activity WHERE datname LIKE 'michi\\_shadow%' AND query LIKE '%pg_sleep(60)%'"
    )
    return bool(rows)


def test_v25_the_shadow_of_a_killed_run_is_dropped_by_the_next(own_shadow: Author) -> None:
    own_shadow.write("29990101000000_slow", "SELECT pg_sleep(60);")
    own_shadow.sum()
    process = own_shadow.start("dev")
    wait_until(lambda: sleeping(own_shadow), "the shadow at work")
    kill(process)
    (left,) = own_shadow.shadows
    assert NAME.fullmatch(left)
    wait_until(lambda: not locked(own_shadow, left), "the end of the killed session")
    (own_shadow.folder / "29990101000000_slow" / "up.sql").write_text("SELECT 1;")
    assert own_shadow.dev().exit_code == 0
    assert own_shadow.shadows == []


def locked(author: Author, name: str) -> bool:
    key = lock_key(name)
    halves = ((key >> 32) & 0xFFFFFFFF, key & 0xFFFFFFFF)
    query = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = %s AND objid = %s"
    return bool(author.query(query, *halves))


def test_v25_the_shadow_of_another_that_runs_is_left_alone(own_shadow: Author) -> None:
    with shadow_database(parse_url(own_shadow.url, "test"), {}) as other:
        assert own_shadow.dev().exit_code == 0
        assert own_shadow.shadows == [other.server.database]
        assert other.connection.execute("SELECT 1").fetchone() == (1,)
    assert own_shadow.shadows == []


# Renames


def test_a_rename_is_not_guessed_where_nobody_can_be_asked(words: Author) -> None:
    words.execute("INSERT INTO words VALUES (1, 'a')")
    words.words(READING)
    answer = words.dev("--name", "rename")
    assert_untouched(words, answer, 8, "rename.undecided", ["words"])
    assert answer.error["details"]["candidates"] == ["words.kana:reading"]
    assert words.headings() == ["create_words"]


def test_a_rename_that_is_given_keeps_the_data(words: Author) -> None:
    words.execute("INSERT INTO words VALUES (1, 'a')")
    words.words(READING)
    document = words.develop("rename", "--rename", "words.kana:reading")
    assert document["renames"] == ["words.kana:reading"]
    assert words.query("SELECT reading FROM words") == [("a",)]
    assert "ALTER TABLE words RENAME COLUMN kana TO reading;" in words.up("rename")
    assert "-- michi: phase = contract" in words.up("rename")
    assert "ALTER TABLE words RENAME COLUMN reading TO kana;" in words.down("rename")


def test_no_rename_drops_the_one_and_makes_the_other(words: Author) -> None:
    words.words(READING)
    words.develop("replace", "--no-rename")
    assert words.headings() == ["create_words", "replace", "replace_contract"]
    assert "DROP COLUMN kana" in words.up("replace_contract")


def test_a_table_its_column_and_a_value_renamed_at_once(author: Author) -> None:
    author.words('Column("level", Enum("low", "high", name="level"))', KANA, 'Index("words_kana", "kana")')
    author.develop("Create words")
    author.execute("INSERT INTO words VALUES (1, 'low', 'a')")
    author.models(
        'Table("terms", metadata, Column("id", BigInteger, primary_key=True, autoincrement=False),'
        ' Column("level", Enum("easy", "high", name="level")), Column("reading", Text), Column("note", Text),'
        ' Index("words_kana", "reading"))'
    )
    options = ["--rename", "words:terms", "--rename", "words.kana:reading", "--rename", "level.low:easy"]
    author.develop("rename", *options)
    assert author.query("SELECT level::text, reading FROM terms") == [("easy", "a")]
    assert author.dev().document["state"] == "in_sync"
    assert author.run("rollback").exit_code == 0
    assert author.query("SELECT level::text, kana FROM words") == [("low", "a")]


@pytest.mark.parametrize("rename", ["words.nothing:reading", "words:terms", "words.kana:other", "nonsense"])
def test_a_rename_that_the_models_do_not_make_is_a_usage_error(words: Author, rename: str) -> None:
    words.words(READING)
    answer = words.dev("--name", "rename", "--rename", rename)
    assert_untouched(words, answer, 2, "usage", ["words"])


# At a terminal


def at_terminal(author: Author, *options: str) -> Iterator[Screen]:
    command = [part for part in author.command("dev", *options) if part != "--json"]
    environment = author.clean_environment | {"PYTHONPATH": str(author.home)}
    with screen([sys.executable, "-c", f"import os, sys; os.chdir({str(author.home)!r}); sys.argv = {command[2:]!r};"
                 " from michi.__main__ import main; main()"], environment, 160) as seen:  # fmt: skip
        yield seen


def test_at_a_terminal_a_rename_and_a_loss_are_asked_about(words: Author) -> None:
    words.execute("INSERT INTO words VALUES (1, 'a')")
    words.words(READING)
    for seen in at_terminal(words):
        seen.wait_for("Was the column kana of words renamed to reading?")
        os.write(seen.terminal, b"n\n")
        seen.wait_for("This throws data away: the column words.kana has 1 value. Go on? [y/N]")
        os.write(seen.terminal, b"n\n")
        assert seen.finish() == 8
        assert "Nothing was written." in seen.text
    for seen in at_terminal(words):
        seen.wait_for("renamed to reading?")
        os.write(seen.terminal, b"y\n")
        seen.wait_for("What does the migration do")
        os.write(seen.terminal, b"Rename kana\n")
        assert seen.finish() == 0
        assert seen.text.rstrip().splitlines()[-1].startswith("Applied 1 migration; the database is at ")
    assert words.query("SELECT reading FROM words") == [("a",)]
    assert words.shadows == []


# Safe forms


def test_a_new_table_and_what_belongs_to_it_is_one_plain_migration(author: Author) -> None:
    author.words('Column("kana", Text, nullable=False, unique=True)', 'Index("words_id_kana", "id", "kana")')
    author.develop("create words")
    assert author.headings() == ["create_words"]
    up = author.up("create_words")
    assert "CONCURRENTLY" not in up
    assert "michi:" not in up


def test_an_index_on_a_table_that_exists_is_built_concurrently(words: Author) -> None:
    words.words(KANA, 'Index("words_kana_idx", "kana", unique=True)')
    words.develop("index kana")
    assert words.headings() == ["create_words", "index_kana"]
    assert "CREATE UNIQUE INDEX CONCURRENTLY words_kana_idx ON words (kana);" in words.up("index_kana")
    assert "-- Built while the table is read and written." in words.up("index_kana")
    assert "DROP INDEX words_kana_idx;" in words.down("index_kana")


def test_a_foreign_key_is_added_not_valid_and_then_validated(words: Author) -> None:
    decks = 'decks = Table("decks", metadata, Column("id", BigInteger, primary_key=True))\n'
    words.words(KANA, 'Column("deck_id", ForeignKey("decks.id"))', more=decks)
    words.develop("decks")
    assert words.headings() == ["create_words", "decks", "decks_constraints", "decks_validate"]
    assert "REFERENCES decks (id) NOT VALID;" in words.up("decks_constraints")
    assert "VALIDATE CONSTRAINT words_deck_id_fkey;" in words.up("decks_validate")
    assert words.query("SELECT bool_and(convalidated) FROM pg_constraint") == [(True,)]


def test_not_null_goes_through_a_check_in_three_contract_steps(words: Author) -> None:
    words.words('Column("kana", Text, nullable=False)')
    words.develop("require kana")
    assert words.headings() == [
        "create_words",
        "require_kana_constraints",
        "require_kana_validate",
        "require_kana_not_null",
    ]
    assert "CHECK (kana IS NOT NULL) NOT VALID;" in words.up("require_kana_constraints")
    assert all("-- michi: phase = contract" in words.up(name) for name in words.headings()[1:])
    assert words.query(
        "SELECT attnotnull FROM pg_attribute WHERE attrelid = 'words'::regclass AND attname = 'kana'"
    ) == [(True,)]
    assert words.query("SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid = 'words'::regclass") == []


def test_a_new_column_that_must_not_be_null_waits_for_the_author(words: Author) -> None:
    words.execute("INSERT INTO words VALUES (1, 'a'), (2, 'b')")
    words.words(KANA, 'Column("origin", Text, nullable=False)')
    document = words.develop("origin")
    assert document["state"] == "written"
    names = ["origin", "origin_backfill", "origin_constraints", "origin_validate", "origin_not_null"]
    assert words.headings()[1:] == names
    (unfinished,) = document["unfinished"]
    assert "/* FILL IN */" in Path(unfinished).read_text()
    again = words.dev()
    assert (again.exit_code, again.error["code"]) == (7, "migration.unfinished")
    assert words.run("verify").exit_code == 7
    refused = words.deploy()
    assert (refused.exit_code, refused.error["code"]) == (7, "migration.unfinished")
    assert words.ledger() == [(words.migrations[0], "applied")]
    Path(unfinished).write_text(Path(unfinished).read_text().replace("NULL /* FILL IN */", "'jmdict'", 1))
    assert words.develop("unused")["applied"] == words.migrations[1:]
    assert words.query("SELECT DISTINCT origin FROM words") == [("jmdict",)]
    assert words.dev().document["state"] == "in_sync"


def test_a_default_that_is_computed_for_each_row_is_filled_in_a_step_of_its_own(words: Author) -> None:
    words.execute("INSERT INTO words VALUES (1, 'a'), (2, 'b')")
    words.words(KANA, 'Column("key", Uuid, nullable=False, server_default=text("gen_random_uuid()"))')
    assert words.develop("key")["state"] == "applied"
    assert words.up("key_backfill").endswith(
        "-- michi: backfill = 10000\n\nUPDATE words SET key = DEFAULT WHERE key IS NULL;\n"
    )
    assert words.query("SELECT count(DISTINCT key) FROM words") == [(2,)]


def test_each_backfill_is_a_migration_of_its_own(words: Author) -> None:
    words.execute("INSERT INTO words VALUES (1, 'a'), (2, 'b')")
    default = 'nullable=False, server_default=text("gen_random_uuid()")'
    words.words(KANA, f'Column("key", Uuid, {default})', f'Column("other", Uuid, {default})')
    assert words.develop("keys")["state"] == "applied"
    assert words.headings()[2:4] == ["keys_backfill", "keys_backfill_2"]
    assert words.query("SELECT count(DISTINCT key) + count(DISTINCT other) FROM words") == [(4,)]


def test_a_table_without_a_key_is_filled_at_once(author: Author) -> None:
    author.models('Table("marks", metadata, Column("n", Integer))')
    author.develop("marks")
    author.execute("INSERT INTO marks VALUES (1), (2)")
    author.models(
        'Table("marks", metadata, Column("n", Integer),'
        ' Column("key", Uuid, nullable=False, server_default=text("gen_random_uuid()")))'
    )
    assert author.develop("key")["state"] == "applied"
    assert "michi: backfill" not in author.up("key_backfill")
    assert author.query("SELECT count(DISTINCT key) FROM marks") == [(2,)]


def test_a_constant_default_needs_one_step(words: Author) -> None:
    words.words(KANA, 'Column("seen", Integer, nullable=False, server_default=text("0"))')
    words.develop("seen")
    assert words.headings() == ["create_words", "seen"]
    assert "ALTER TABLE words ADD COLUMN seen integer NOT NULL DEFAULT 0;" in words.up("seen")


def test_plain_and_known_empty_tables_have_the_short_form(words: Author) -> None:
    words.words('Column("kana", Text, nullable=False)')
    words.develop("one", "--plain")
    assert words.headings() == ["create_words", "one"]
    assert words.home is not None
    (words.home / "pyproject.toml").write_text(
        (words.home / "pyproject.toml").read_text() + 'known = ["PRODUCTION_URL"]\n'
    )
    words.environment["PRODUCTION_URL"] = words.url
    words.words('Column("kana", Text, nullable=False)', 'Index("words_kana", "kana")')
    words.develop("two")
    assert "CONCURRENTLY" not in words.up("two")
    words.execute("INSERT INTO words VALUES (1, 'a')")
    words.words(
        'Column("kana", Text, nullable=False)', 'Index("words_kana", "kana")', 'Index("words_both", "id", "kana")'
    )
    words.develop("three")
    assert "CONCURRENTLY" in words.up("three")


# What must be there


def test_c01_an_absent_database_is_created(author: Author) -> None:
    author.words(KANA)
    author.execute("DROP DATABASE IF EXISTS dev_absent WITH (FORCE)")
    there, author.url = author.url, author.url.replace(urlsplit(author.url).path, "/dev_absent")
    answer = author.dev("--name", "create words")
    author.url = there
    author.execute("DROP DATABASE dev_absent WITH (FORCE)")
    assert answer.exit_code == 0, answer.stderr
    assert "created the database dev_absent" in answer.stderr


def test_without_sqlalchemy_it_says_what_to_install(words: Author) -> None:
    words.environment["PYTHONPATH"] = str(words.home)
    assert words.home is not None
    (words.home / "sqlalchemy.py").write_text("raise ImportError('not here')")
    answer = finish(words.start("dev"))
    assert (answer.exit_code, answer.error["code"]) == (2, "authoring.missing"), answer.stderr
    assert "pip install 'kotobamichi[authoring]'" in answer.error["remedy"]


@pytest.mark.parametrize(
    ("where", "words_said"),
    [
        ("nowhere:metadata", "cannot be imported"),
        ("models:absent", "neither a MetaData"),
        ("models:HEAD", "neither a MetaData"),
    ],
)
def test_models_that_are_not_there_are_one_sentence(words: Author, where: str, words_said: str) -> None:
    answer = words.dev("--models", where)
    assert (answer.exit_code, answer.error["code"]) == (2, "models.invalid")
    assert words_said in answer.error["message"]


def test_models_that_postgresql_does_not_take_are_one_sentence(words: Author) -> None:
    words.words('Column("kana", Text, server_default=text("nonsense()"))')
    answer = words.dev()
    assert (answer.exit_code, answer.error["code"]) == (2, "models.invalid")
    assert "nonsense()" in answer.error["message"]


def test_a_change_that_has_no_name_needs_one(words: Author) -> None:
    words.words(KANA, READING)
    answer = words.dev()
    assert_untouched(words, answer, 2, "usage", ["words"])
    assert "--name" in answer.error["remedy"]


def test_models_may_use_what_the_migrations_made_by_hand(words: Author) -> None:
    words.write("29990101000000_by_hand", "CREATE FUNCTION answer() RETURNS int LANGUAGE sql AS 'SELECT 42';"
                " CREATE VIEW readings AS SELECT kana FROM words;"
                " CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
                " CREATE TRIGGER told BEFORE INSERT ON words FOR EACH ROW EXECUTE FUNCTION tell();")  # fmt: skip
    words.sum()
    assert words.dev().document["changes"] == []
    words.words(KANA, 'Column("n", Integer, server_default=text("answer()"))')
    words.develop("n")
    assert words.query("SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 'words'::regclass") == [
        ("answer()",)
    ]


def test_two_runs_at_once_do_not_hinder_each_other(own_shadow: Author) -> None:
    with holding(own_shadow, "SELECT 1"):
        processes = [own_shadow.start("dev") for _ in range(3)]
        assert [finish(process).exit_code for process in processes] == [0, 0, 0]
    assert own_shadow.shadows == []


def test_production_is_left_alone(words: Author) -> None:
    assert words.run("mark-production").document["changed"] is True
    answer = words.dev()
    assert_untouched(words, answer, 8, "production.protected", ["words"])
    assert words.run("mark-production", "--undo").document == {"production": False, "changed": True}
    assert words.dev().exit_code == 0
    words.environment["APP_ENV"] = "production"
    assert words.dev().exit_code == 8


def test_the_text_of_a_change_that_is_too_much_for_michi_says_so(words: Author) -> None:
    words.words(KANA)
    words.models(
        'Table("words", metadata, Column("id", BigInteger, primary_key=True, autoincrement=False), Column("kana", Text),'
        ' postgresql_partition_by="HASH (id)")'
    )
    answer = words.dev("--name", "partition")
    assert_untouched(words, answer, 7, "dev.cannot_write", ["words"])
