"""michi.sql: statements are split and classified as PostgreSQL's parser sees them; nothing else is ever raised."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from michi.errors import FolderInvalid, SqlInvalid, SqlNotInTransaction, SqlTransactionControl
from michi.sql import first_line, leading_blank, runs_in_transaction, split

HERE = Path("up.sql")
FUNCTION = "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $body$ BEGIN; SELECT ';'; RETURN 1; END $body$"
ATOMIC = "CREATE FUNCTION g() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END"
# Each is one valid statement, with all that a naive splitter trips over.
VALID = [
    "SELECT 1",
    "SELECT ';--/*' AS \"a;b\"",
    "SELECT E'it\\'s; fine', 'it''s; fine'",
    "SELECT $$ ; -- ' $$, $a$ $$ ; $a$",
    "INSERT INTO 言葉 VALUES ('食べる；飲む', '「;」') -- 注意; comment",
    "/* a /* nested; */ comment; */ SELECT 2",
    "-- first; line\nCREATE TABLE t (id int CHECK (id > 0), note text DEFAULT ';')",
    "SELECT U&'\\0041;' UESCAPE '!'",
    "CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2)",
    "DO $$BEGIN COMMIT; END$$",
    "SELECT 😀 FROM (VALUES (1)) AS v(😀)",
    FUNCTION,
    ATOMIC,
]  # fmt: skip


def texts(script: str) -> list[str]:
    return [statement.text for statement in split(script, HERE)]


@given(st.lists(st.sampled_from(VALID), max_size=8), st.sampled_from([";", ";\n", " ;\n\n", ";;", ";\n-- あ;\n"]))
def test_joined_statements_split_into_the_same_ones(statements: list[str], joint: str) -> None:
    # A closing line break, or a line comment would swallow the semicolon of the joint.
    script = joint.join(f"{statement}\n" for statement in statements)
    found = split(script, HERE)
    assert [statement.text for statement in found] == [text[leading_blank(text) :] for text in statements]
    for statement in found:
        begins = script.split("\n")[statement.line - 1]
        assert statement.text.split("\n")[0] in begins


INVALID = ["SELCT 1", "SELECT (;)", "SELECT 'open", "\\d t", "COPY t FROM STDIN", "))", "$$", "/*", "é"]


@given(
    st.lists(
        st.sampled_from(
            [*VALID, "SELCT 1", "SELECT (;)", "SELECT 'open", "\\d t", "COPY t FROM STDIN", "))", "$$", "/*", "é"]
        )
    )
)
def test_whatever_the_script_only_a_refusal_is_raised(pieces: list[str]) -> None:
    with contextlib.suppress(FolderInvalid):
        split(";\n".join(pieces), HERE)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",))))
def test_any_text_splits_or_is_refused(text: str) -> None:
    with contextlib.suppress(FolderInvalid):
        for statement in split(text, HERE):
            assert statement.text in text
            assert statement.line <= text.count("\n") + 1


def test_a_syntax_error_leaves_the_other_statements_whole() -> None:
    script = (
        f"SELECT 'あ;';\nSELCT 1;\n{ATOMIC};\nCREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2);\nSELECT 3"
    )
    found = split(script, HERE)
    assert [(statement.text.split()[0], statement.line) for statement in found] == [
        ("SELECT", 1), ("SELCT", 2), ("CREATE", 3), ("CREATE", 4), ("SELECT", 5),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "script", ["", " \n", ";", ";;\n;", "-- only a comment", "/* only /* a */ comment */", "\ufeff"[:0]]
)
def test_a_script_without_statements_has_none(script: str) -> None:
    assert texts(script) == []


def test_lines_are_counted_at_the_first_token() -> None:
    script = "\n-- あ\nSELECT 1;\n\n/* い\n*/ SELECT\n2;\nSELECT 3"
    assert [statement.line for statement in split(script, HERE)] == [3, 6, 8]


# What is not SQL


@pytest.mark.parametrize("command", ["\\d words", "\\i other.sql", "\\restrict abc", "\\connect db"])
def test_commands_of_psql_are_refused_with_the_line(command: str) -> None:
    with pytest.raises(SqlInvalid, match="command of psql") as caught:
        split(f"SELECT 'あ';\n{command}\nSELECT 2;", HERE)
    assert caught.value.details["line"] == 2


@pytest.mark.parametrize(
    "copy",
    [
        "COPY t FROM STDIN;\n1\t2\n\\.\n",
        "copy t (a, b) from stdin with (format csv);\n1,2\n\\.\n",
        "COPY t FROM STDIN",
    ],
)
def test_copy_from_stdin_is_refused_with_the_line(copy: str) -> None:
    with pytest.raises(SqlInvalid, match="COPY FROM STDIN") as caught:
        split(f"CREATE TABLE t (a int, b int);\n\n{copy}", HERE)
    assert caught.value.details["line"] == 3


def test_copy_to_stdout_is_refused_and_copy_from_a_file_is_not() -> None:
    with pytest.raises(SqlInvalid, match="line 2: COPY TO STDOUT"):
        split("SELECT 1;\nCOPY t TO STDOUT;", HERE)
    assert len(split("COPY t FROM '/tmp/rows'; COPY t FROM PROGRAM 'cat /tmp/rows'", HERE)) == 2


@pytest.mark.parametrize(
    "control",
    [
        "BEGIN", "begin work", "START TRANSACTION", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT a", "RELEASE a",
        "ROLLBACK TO a", "PREPARE TRANSACTION 'a'", "COMMIT PREPARED 'a'", "COMMIT AND CHAIN",
    ],
)  # fmt: skip
def test_transaction_control_is_refused_with_the_line(control: str) -> None:
    with pytest.raises(SqlTransactionControl) as caught:
        split(f"SELECT 1;\n/* あ */ {control};", HERE)
    assert caught.value.details["line"] == 2


@pytest.mark.parametrize(
    "script",
    [
        "SELECT 'COMMIT'",
        "CREATE TABLE commit (begin int)",
        FUNCTION,
        ATOMIC,
        "PREPARE a AS SELECT 1",
        "SELECT 1 AS end",
    ],
)
def test_what_only_looks_like_transaction_control_is_let_through(script: str) -> None:
    assert len(texts(script)) == 1


# What runs outside a transaction


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("CREATE INDEX CONCURRENTLY i ON t (a)", "concurrent_index"),
        ("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON s.t (a)", "concurrent_index"),
        ("DROP INDEX CONCURRENTLY i", "concurrent_drop"),
        ("REINDEX TABLE CONCURRENTLY t", "alone"),
        ("REINDEX (CONCURRENTLY) TABLE t", "alone"),
        ("REINDEX SCHEMA s", "alone"),
        ("VACUUM t", "alone"),
        ("VACUUM (ANALYZE) t", "alone"),
        ("CLUSTER", "alone"),
        ("CREATE DATABASE d", "alone"),
        ("DROP DATABASE d", "alone"),
        ("ALTER SYSTEM SET work_mem = '1MB'", "alone"),
        ("CREATE TABLESPACE x LOCATION '/x'", "alone"),
        ("DROP TABLESPACE x", "alone"),
        ("ALTER TABLE t DETACH PARTITION p CONCURRENTLY", "alone"),
        ("ALTER TABLE t DETACH PARTITION p FINALIZE", "alone"),
        ("CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p", "alone"),
        ("DROP SUBSCRIPTION s", "alone"),
        ("ALTER DATABASE d SET TABLESPACE x", "alone"),
        ("CREATE INDEX i ON t (a)", "plain"),
        ("DROP INDEX i", "plain"),
        ("REINDEX TABLE t", "plain"),
        ("ANALYZE t", "plain"),
        ("CLUSTER t USING i", "plain"),
        ("ALTER TABLE t DETACH PARTITION p", "plain"),
        ("ALTER TYPE e ADD VALUE 'x'", "plain"),
        ("ALTER DATABASE d SET work_mem = '1MB'", "plain"),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY m", "plain"),
    ],
)
def test_what_postgresql_refuses_in_a_transaction_is_told_apart(statement: str, kind: str) -> None:
    (found,) = split(f"/* VACUUM */ {statement};", HERE)
    assert found.kind == kind
    assert runs_in_transaction([found], None, HERE) is (kind == "plain")


def test_a_concurrent_index_knows_its_name_and_schema() -> None:
    first, second = split('CREATE INDEX CONCURRENTLY "索引" ON s.t (a); DROP INDEX CONCURRENTLY s.i', HERE)
    assert (first.schema, first.index_name) == ("s", "索引")
    assert (second.schema, second.index_name) == ("s", "i")


def test_a_concurrent_index_without_a_name_is_refused() -> None:
    with pytest.raises(SqlInvalid, match="needs a name"):
        split("CREATE INDEX CONCURRENTLY ON t (a)", HERE)


def test_mixed_statements_run_outside_only_where_declared() -> None:
    statements = split("SELECT 1;\nVACUUM t;", HERE)
    assert runs_in_transaction(statements, False, HERE) is False
    for declared in (None, True):
        with pytest.raises(SqlNotInTransaction, match="line 2"):
            runs_in_transaction(statements, declared, HERE)
    assert runs_in_transaction(statements[:1], None, HERE) is True
    assert runs_in_transaction([], None, HERE) is True
    with pytest.raises(SqlNotInTransaction):
        runs_in_transaction(statements[1:], True, HERE)


def test_a_statement_in_a_message_is_one_short_line() -> None:
    assert first_line("SELECT\n   1") == "SELECT 1"
    assert first_line("SELECT " + "x" * 200, 20) == "SELECT " + "x" * 12 + "…"
