"""The locks that the parse tree foretells, held against those that PostgreSQL takes: the newest and the oldest we support."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from michi.effects import BLOCKS, CONFLICTS, MODES, STRENGTH, Effects, Name
from michi.locks import find_effects
from tests.conftest import url_of_database
from tests.michi.chaos import clusters
from tests.support.operator import ROW

SCHEMA = """
CREATE TYPE mood AS ENUM ('happy');
CREATE DOMAIN small AS int CHECK (VALUE < 10);
CREATE TABLE levels (id int PRIMARY KEY, name text);
CREATE TABLE words (
    id int PRIMARY KEY, kana text, romaji varchar(10) DEFAULT 'x', level int, other int, created timestamptz,
    CONSTRAINT level_known FOREIGN KEY (level) REFERENCES levels, CONSTRAINT unchecked CHECK (other > 0) NOT VALID
);
CREATE INDEX words_kana ON words (kana);
CREATE UNIQUE INDEX words_other ON words (other);
CREATE TABLE logs (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE logs_a PARTITION OF logs FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE logs_b (id int, at date);
CREATE SEQUENCE numbers;
CREATE VIEW kana AS SELECT kana FROM words;
CREATE MATERIALIZED VIEW romaji AS SELECT id, romaji FROM words;
CREATE UNIQUE INDEX romaji_id ON romaji (id);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER touched BEFORE UPDATE ON words FOR EACH ROW EXECUTE FUNCTION touch();
CREATE POLICY everything ON words;
CREATE RULE nothing AS ON DELETE TO levels DO INSTEAD NOTHING;
INSERT INTO levels VALUES (1, 'N5'); INSERT INTO words VALUES (1, 'a', 'b', 1, 1);
"""
# In a transaction that is rolled back.
IN_TRANSACTION = [
    "ALTER TABLE words ADD COLUMN note text",
    "ALTER TABLE words ADD COLUMN note text NOT NULL DEFAULT 'x'",
    "ALTER TABLE words ADD COLUMN at timestamptz DEFAULT now()",
    "ALTER TABLE words ADD COLUMN at timestamptz DEFAULT CURRENT_TIMESTAMP",
    "ALTER TABLE words ADD COLUMN at timestamptz DEFAULT clock_timestamp()",
    "ALTER TABLE words ADD COLUMN key uuid DEFAULT gen_random_uuid()",
    "ALTER TABLE words ADD COLUMN number serial",
    "ALTER TABLE words ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY",
    "ALTER TABLE words ADD COLUMN double int GENERATED ALWAYS AS (id * 2) STORED",
    "ALTER TABLE words ADD COLUMN level2 int REFERENCES levels",
    "ALTER TABLE words ADD COLUMN feeling mood DEFAULT 'happy'",
    "ALTER TABLE words ADD COLUMN little small DEFAULT 1",
    "ALTER TABLE words DROP COLUMN created",
    "ALTER TABLE levels ALTER COLUMN id TYPE bigint",
    "ALTER TABLE words ALTER COLUMN other TYPE int",
    "ALTER TABLE words ALTER COLUMN kana SET NOT NULL",
    "ALTER TABLE words ALTER COLUMN kana DROP NOT NULL",
    "ALTER TABLE words ALTER COLUMN kana SET DEFAULT 'x'",
    "ALTER TABLE words ALTER COLUMN romaji DROP DEFAULT",
    "ALTER TABLE words ALTER COLUMN kana SET STATISTICS 500",
    "ALTER TABLE words ALTER COLUMN kana SET STORAGE external",
    "ALTER TABLE words ALTER COLUMN kana SET (n_distinct = 5)",
    "ALTER TABLE words SET (fillfactor = 70)",
    "ALTER TABLE words SET (autovacuum_enabled = false, toast.autovacuum_enabled = false)",
    "ALTER TABLE words RESET (fillfactor)",
    "ALTER TABLE words SET UNLOGGED",
    "ALTER TABLE words ADD CONSTRAINT positive CHECK (id > 0)",
    "ALTER TABLE words ADD CONSTRAINT positive CHECK (id > 0) NOT VALID",
    "ALTER TABLE words ADD CONSTRAINT other_level FOREIGN KEY (other) REFERENCES levels",
    "ALTER TABLE words ADD CONSTRAINT other_level FOREIGN KEY (other) REFERENCES levels NOT VALID",
    "ALTER TABLE words ADD CONSTRAINT kana_once UNIQUE (kana)",
    "ALTER TABLE words ADD CONSTRAINT other_once UNIQUE USING INDEX words_other",
    "ALTER TABLE words VALIDATE CONSTRAINT unchecked",
    "ALTER TABLE words DROP CONSTRAINT unchecked",
    "ALTER TABLE words RENAME COLUMN kana TO hiragana",
    "ALTER TABLE words RENAME TO vocabulary",
    "ALTER TABLE words RENAME CONSTRAINT unchecked TO positive",
    "ALTER TABLE words DISABLE TRIGGER touched",
    "ALTER TABLE words ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE words REPLICA IDENTITY FULL",
    "ALTER TABLE words CLUSTER ON words_kana",
    "ALTER TABLE logs ATTACH PARTITION logs_b FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')",
    "ALTER TABLE logs DETACH PARTITION logs_a",
    "ALTER INDEX words_kana RENAME TO words_hiragana",
    "ALTER INDEX words_kana SET (fillfactor = 70)",
    "ALTER SEQUENCE numbers RESTART WITH 5",
    "ALTER TYPE mood RENAME VALUE 'happy' TO 'glad'",
    "CREATE INDEX words_romaji ON words (romaji)",
    "CREATE TABLE decks (id int, word int REFERENCES words)",
    "CREATE TABLE logs_c PARTITION OF logs FOR VALUES FROM ('2028-01-01') TO ('2029-01-01')",
    "CREATE TABLE copies (LIKE words)",
    "CREATE TABLE more_words () INHERITS (words)",
    "CREATE TABLE copies AS SELECT w.* FROM words w JOIN levels l ON l.id = w.level",
    "CREATE OR REPLACE VIEW kana AS SELECT kana FROM words",
    "CREATE VIEW all_kana AS WITH x AS (SELECT kana FROM words) SELECT * FROM x",
    "CREATE TRIGGER another AFTER INSERT ON words FOR EACH ROW EXECUTE FUNCTION touch()",
    "CREATE POLICY nothing ON words FOR SELECT",
    "ALTER POLICY everything ON words USING (true)",
    "CREATE RULE nothing AS ON DELETE TO words DO INSTEAD NOTHING",
    "CREATE STATISTICS kana_romaji ON kana, romaji FROM words",
    "CREATE TYPE size AS ENUM ('small')",
    "COMMENT ON TABLE words IS 'x'",
    "COMMENT ON COLUMN words.kana IS 'x'",
    "DROP INDEX words_kana",
    "DROP TABLE words CASCADE",
    "DROP VIEW kana",
    "DROP TRIGGER touched ON words",
    "DROP POLICY everything ON words",
    "DROP RULE nothing ON levels",
    "TRUNCATE words",
    "LOCK TABLE words IN EXCLUSIVE MODE",
    "REINDEX TABLE words",
    "REINDEX INDEX words_kana",
    "CLUSTER words USING words_kana",
    "REFRESH MATERIALIZED VIEW romaji",
    "REFRESH MATERIALIZED VIEW CONCURRENTLY romaji",
    "ANALYZE words",
    "GRANT SELECT ON words TO public",
    "INSERT INTO levels SELECT id + 10, kana FROM words",
    "UPDATE words SET kana = 'x' FROM levels l WHERE l.id = level",
    "WITH gone AS (DELETE FROM words RETURNING id) INSERT INTO levels SELECT id + 5, 'x' FROM gone",
    "MERGE INTO words USING levels ON words.level = levels.id WHEN MATCHED THEN UPDATE SET kana = 'x'",
    "SELECT * FROM words WHERE id IN (SELECT id FROM levels)",
    "SELECT * FROM words FOR UPDATE",
]
# Not in a transaction; and the table that they lock.
ALONE = {
    "CREATE INDEX CONCURRENTLY words_romaji ON words (romaji)": "words",
    "DROP INDEX CONCURRENTLY words_kana": "words",
    "REINDEX INDEX CONCURRENTLY words_kana": "words",
    "VACUUM words": "words",
    "VACUUM (FULL) words": "words",
    "VACUUM (FULL false) words": "words",
    "ALTER TABLE logs DETACH PARTITION logs_a CONCURRENTLY": "logs",
}

HELD = """
SELECT relation::int, replace(mode, 'Lock', '') FROM pg_locks
WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation >= 16384
"""
# The name by which a relation is known, that of its table for an index; and its file.
RELATIONS = """
SELECT c.oid::int, coalesce(t.relname, c.relname)::text, c.relkind::text, c.relfilenode::int
FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_class t ON t.oid = i.indrelid
WHERE c.relnamespace = 'public'::regnamespace
"""


def _database(url: str) -> Iterator[str]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE locks TEMPLATE template0")
        yield url_of_database(url, "locks")
        connection.execute("DROP DATABASE locks WITH (FORCE)")


@pytest.fixture(scope="module")
def newest(server_url: str) -> Iterator[psycopg.Connection[ROW]]:
    for url in _database(server_url):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(SCHEMA.encode())
            yield connection


def check(connection: psycopg.Connection[ROW], statement: str) -> None:
    """Runs the statement, compares, and takes it back."""
    indexes = dict(
        connection.execute("SELECT indexrelid::regclass::text, indrelid::regclass::text FROM pg_index").fetchall()
    )
    before = {oid: row for oid, *row in connection.execute(RELATIONS.encode()).fetchall()}
    connection.execute("BEGIN")
    try:
        connection.execute(statement.encode())
        held = connection.execute(HELD.encode()).fetchall()
        after = {oid: row for oid, *row in connection.execute(RELATIONS.encode()).fetchall()}
    finally:
        connection.execute("ROLLBACK")
    taken: dict[str, str] = {}
    for oid, mode in held:
        if oid in before and before[oid][1] != "i":
            name = before[oid][0]
            taken[name] = max(mode, taken.get(name, "AccessShare"), key=STRENGTH.__getitem__)
    rewritten = {
        name for oid, (name, kind, file) in before.items() if kind in "rm" and oid in after and after[oid][2] != file
    }
    foretold = find_effects(statement)
    expected = {indexes[str(e.name)] if e.index else e.name.relation: e for e in foretold.on}
    modes = {name: effect.mode for name, effect in expected.items()}
    if statement.startswith("GRANT"):  # only since PostgreSQL 16
        taken = modes | taken
    # Of one that may do more than it shows, what it shows must be right.
    assert modes == (taken if foretold.known else {name: taken.get(name) for name in modes})
    if not statement.startswith("TRUNCATE"):
        assert {name for name in rewritten if name in expected and expected[name].rewrites is False} == set()
        assert {name for name, effect in expected.items() if effect.rewrites is True} - rewritten == set()


@pytest.mark.parametrize("statement", IN_TRANSACTION)
def test_locks_and_rewrites_are_those_that_postgresql_takes(newest: psycopg.Connection[ROW], statement: str) -> None:
    check(newest, statement)


def test_the_oldest_postgresql_takes_the_same_locks() -> None:
    with clusters(1, Path("/usr/lib/postgresql/15/bin")) as (cluster,), cluster.connect() as connection:
        connection.execute(SCHEMA.encode())
        for statement in IN_TRANSACTION:
            try:
                check(connection, statement)
            except AssertionError as error:
                raise AssertionError(f"{statement}: {error}") from None


@pytest.mark.parametrize("statement", ALONE)
def test_what_runs_outside_a_transaction_is_held_up_by_the_foretold_modes_alone(
    newest: psycopg.Connection[ROW], statement: str
) -> None:
    """pg_locks shows nothing of it afterwards, so other sessions ask: who holds a conflicting mode makes it wait."""
    foretold = find_effects(statement)
    (effect,) = [effect for effect in foretold.on if effect.name.relation in {ALONE[statement], "words_kana"}]
    weakest = min(CONFLICTS[effect.mode], key=STRENGTH.__getitem__)
    parameters = newest.info.get_parameters()
    with psycopg.connect(**parameters) as holder, psycopg.connect(**parameters, autocommit=True) as session:  # type: ignore[arg-type]
        holder.execute(f"LOCK TABLE {ALONE[statement]} IN {_spelled(weakest)} MODE".encode())
        session.execute("SET lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            session.execute(statement.encode())


def _spelled(mode: str) -> str:
    return "".join(f" {char}" if char.isupper() else char for char in mode).upper()


def test_a_statement_that_hides_what_it_does_is_not_called_known() -> None:
    for statement in ("DO $$ BEGIN DROP TABLE words; END $$", "CALL clean()", "SELECT clean_words()", "nonsense"):
        assert find_effects(statement) == Effects(find_effects(statement).on, known=False)


def test_the_table_of_conflicts_is_symmetric() -> None:
    assert [(one, other) for one in MODES for other in CONFLICTS[one] if one not in CONFLICTS[other]] == []
    assert set(BLOCKS) == set(MODES)


def test_whether_all_rows_are_read_is_told() -> None:
    reading = {
        "ALTER TABLE words ADD CONSTRAINT kana_once UNIQUE (kana)": True,
        "ALTER TABLE words ADD CONSTRAINT kana_once UNIQUE USING INDEX words_kana": False,
        "ALTER TABLE words ADD CONSTRAINT positive CHECK (id > 0)": True,
        "ALTER TABLE words ADD CONSTRAINT positive CHECK (id > 0) NOT VALID": False,
        "ALTER TABLE words ADD CONSTRAINT known FOREIGN KEY (level) REFERENCES levels": True,
        "ALTER TABLE words ADD CONSTRAINT known FOREIGN KEY (level) REFERENCES levels NOT VALID": False,
        "ALTER TABLE words VALIDATE CONSTRAINT known": True,
        "ALTER TABLE words ALTER COLUMN kana SET NOT NULL": True,
        "ALTER TABLE words ADD COLUMN note text DEFAULT ''": False,
        "CREATE INDEX ON words (kana)": True,
        "UPDATE words SET kana = ''": True,
        "INSERT INTO words VALUES (1)": False,
    }
    assert {text: any(effect.scans for effect in find_effects(text).on) for text in reading} == reading


def test_names_keep_their_schema() -> None:
    (effect,) = find_effects('ALTER TABLE shop."Odd Words" ADD COLUMN x int').on
    assert effect.name == Name("shop", "Odd Words")
    assert str(effect.name) == "shop.Odd Words"
