"""Contract of michi, table "Dev, reset, diff", the rows F: any two of empty, migrations, models and database; `status --drift`."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.author import Author

KANA = 'Column("kana", Text)'
SIDES = ("empty", "migrations", "models", "database")


@pytest.fixture
def words(author: Author) -> Author:
    """One table, its trigger and function made by hand, all applied."""
    author.words(KANA)
    author.develop("Create words")
    name = author.write(
        "29990101000000_by_hand",
        "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;"
        " CREATE TRIGGER told BEFORE INSERT ON words FOR EACH ROW EXECUTE FUNCTION tell();",
    )
    (author.folder / name / "down.sql").write_text("DROP TRIGGER told ON words; DROP FUNCTION tell();")
    author.sum()
    assert author.deploy().exit_code == 0
    return author


def changes(author: Author, before: str, after: str) -> list[str]:
    answer = author.run("diff", "--from", before, "--to", after)
    assert answer.exit_code == 0, answer.stderr
    return [f"{change['action']} {change['kind']} {change['name']}" for change in answer.document["changes"]]


@pytest.mark.parametrize("script", [(), ("--script",)])
def test_f02_exit_code_says_whether_there_is_a_difference(words: Author, script: tuple[str, ...]) -> None:
    for before, after in (("migrations", "database"), ("database", "models"), ("models", "migrations")):
        assert words.run("diff", "--from", before, "--to", after, "--exit-code", *script).exit_code == 0
    words.words(KANA, 'Column("reading", Text)')
    assert words.run("diff", "--from", "database", "--to", "models", "--exit-code", *script).exit_code == 3
    assert words.run("diff", "--from", "database", "--to", "models", *script).exit_code == 0
    assert words.run("diff", "--from", "empty", "--to", "empty", "--exit-code", *script).exit_code == 0


def test_f06_empty_to_models_is_a_script_that_makes_the_schema(words: Author) -> None:
    words.words(
        'Column("kana", String(9), CheckConstraint("kana IN (\'a\', \'b\')"), nullable=False, comment="it\'s")',
        'Column("level", Enum("N5", "N4", name="level"), server_default="N5")',
        'Column("plain", Text, Computed("lower(kana)"))',
        'Column("n", Integer, Identity(start=7))',
        'Index("words_n", "n", postgresql_where=text("n > 0"))',
        more='cards = Table("cards", metadata, Column("id", Integer, primary_key=True), Column("word", ForeignKey("words.id")))\n',
    )
    script = words.run("diff", "--from", "empty", "--to", "models", "--script").document["script"]
    words.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    words.execute(script)
    assert changes(words, "database", "models") == []


def test_f06_the_script_is_printed_plainly_and_all_else_goes_to_standard_error(words: Author) -> None:
    command = [p for p in words.command("diff", "--from", "empty", "--to", "database", "--script") if p != "--json"]
    done = subprocess.run(
        command, env=words.clean_environment, cwd=words.home, capture_output=True, text=True, timeout=60, check=True
    )
    words.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    words.execute(done.stdout)
    assert changes(words, "migrations", "database") == []
    assert done.stderr == "3 differences; to get from empty to database.\n"


def test_what_models_cannot_say_is_no_drift_against_them_but_its_loss_is_one_against_the_migrations(
    words: Author,
) -> None:
    assert changes(words, "models", "database") == []
    words.execute("DROP TRIGGER told ON words")
    assert changes(words, "models", "database") == []
    assert changes(words, "migrations", "database") == ["drop trigger told on words"]
    words.execute("CREATE OR REPLACE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN OLD; END $$")
    assert changes(words, "migrations", "database") == ["alter function tell()", "drop trigger told on words"]
    script = words.run("diff", "--from", "database", "--to", "migrations", "--script").document["script"]
    words.execute(script)
    assert changes(words, "migrations", "database") == []


BY_HAND = {
    "CREATE VIEW v AS SELECT 1 AS one": "add view v",
    "CREATE MATERIALIZED VIEW v AS SELECT 1 AS one": "add materialized view v",
    "ALTER TABLE words ENABLE ROW LEVEL SECURITY": "add row security words",
    "CREATE POLICY p ON words USING (id > 0)": "add policy p on words",
    "CREATE DOMAIN positive AS int CHECK (VALUE > 0)": "add domain positive",
    "CREATE TYPE pair AS (a int, b text)": "add composite type pair",
    "CREATE SEQUENCE numbers": "add sequence numbers",
    "CREATE RULE r AS ON DELETE TO words DO INSTEAD NOTHING": "add rule r on words",
    "CREATE STATISTICS s ON id, kana FROM words": "add statistics s",
    "CREATE PROCEDURE p() LANGUAGE sql AS 'SELECT 1'": "add procedure p()",
    "ALTER TABLE words DISABLE TRIGGER told": "alter trigger told on words",
    "ALTER TABLE words ADD CHECK (id > 0) NOT VALID": "add check words.words_id_check",
    "ALTER TABLE words ALTER kana SET DEFAULT 'x'": "alter default words.kana",
    "ALTER TABLE words RENAME CONSTRAINT words_pkey TO key": "rename primary key words.words_pkey",
    "COMMENT ON TABLE words IS 'said'": "alter comment of table words",
    "ALTER TABLE words SET UNLOGGED": "alter logging words",
}


def test_whatever_was_done_by_hand_is_seen_and_the_script_undoes_it(words: Author) -> None:
    for by_hand, expected in BY_HAND.items():
        words.execute(by_hand)
        assert changes(words, "migrations", "database") == [expected]
        words.execute(words.run("diff", "--from", "database", "--to", "migrations", "--script").document["script"])
    assert changes(words, "migrations", "database") == []


def test_from_models_the_migrations_and_back_are_opposites(words: Author) -> None:
    words.words(KANA, 'Column("reading", Text)')
    assert changes(words, "migrations", "models") == ["add column words.reading"]
    assert changes(words, "models", "migrations") == ["drop column words.reading"]


def test_diff_changes_no_database(words: Author) -> None:
    before = words.query("SELECT count(*) FROM pg_class")
    words.words(KANA, 'Column("reading", Text)')
    for after in SIDES:
        changes(words, "database", after)
    assert words.query("SELECT count(*) FROM pg_class") == before


@pytest.mark.parametrize("options", [(), ("--from", "models"), ("--from", "models", "--to", "elsewhere")])
def test_both_sides_must_be_said(words: Author, options: tuple[str, ...]) -> None:
    assert words.run("diff", *options).exit_code == 2


def test_status_drift_compares_with_the_models(words: Author) -> None:
    answer = words.run("status", "--drift")
    assert (answer.exit_code, answer.document["drift"]) == (0, [])
    words.execute("ALTER TABLE words DROP COLUMN kana")
    answer = words.run("status", "--drift")
    assert (answer.exit_code, answer.document["exit_code"]) == (3, 3)
    assert [change["name"] for change in answer.document["drift"]] == ["words.kana"]
    assert words.run("status").exit_code == 0


def test_another_schema_is_compared_for_itself(words: Author) -> None:
    words.execute("CREATE SCHEMA other")
    words.url += "&schema=other"
    assert words.deploy().exit_code == 0
    assert changes(words, "migrations", "database") == []
    assert changes(words, "models", "database") == []
    assert words.dev().document["state"] == "in_sync"
