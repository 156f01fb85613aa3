"""Words to and from files, by command: what is exported is imported again as it was."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from kotobamichi.db import connect_for_command
from kotobamichi.words.csv_rows import TITLES
from kotobamichi.words.files import export_words
from kotobamichi.words.imports import import_csv
from michi.settings import parse_url
from tests.conftest import url_of_database
from tests.db.conftest import Connection
from tests.support.app import deploy_app_schema, environment, kotobamichi
from tests.support.terminals import screen

COMMAND = [sys.executable, "-m", "kotobamichi.cli"]
COLUMNS = ", ".join(TITLES)
# What CSV, COPY, spreadsheets and PostgreSQL give a meaning to.
VALUES = [
    '"', '""', "a,b", "a\nb", "a\r\nb", "a\rb", "\\.", "\\N", "\\", "NULL", "=1+1", "+1", "-1", "@x", "'", ";", "\t|", "%s", "#",
    "\ufeffx", "か\u3099", "𠮷", "👩‍👩‍👧", "\u200b", "\u2028", "x" * 10_000,
]  # fmt: skip


def words_of(url: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(f"SELECT {COLUMNS}, content_hash FROM words ORDER BY created_at, id").fetchall()


@pytest.fixture
def other_url(server_url: str) -> Iterator[str]:
    """A second database with the schema."""
    name = f"other_{os.urandom(6).hex()}"
    url = url_of_database(server_url, name)
    deploy_app_schema(url)
    yield url
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("DROP DATABASE {} WITH (FORCE)").format(psycopg.sql.Identifier(name)))


def test_what_is_exported_is_imported_again_as_it_was(schema_url: str, other_url: str, tmp_path: Path) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(TITLES.values())
    for number, value in enumerate(VALUES):
        label, level = value[:100], ("N5", "")[number % 2]
        kana, english = (f"{letter}{number}{value}"[:10_000] for letter in "あm")
        writer.writerow((value, kana, value, english, level, f"https://a.example/{number},\"'", label, label, value))
    with connect_for_command(parse_url(schema_url, "test")) as connection:
        report = import_csv(connection, io.BytesIO(out.getvalue().encode()))
    assert (report.total, report.imported, report.errors) == (len(VALUES), len(VALUES), 0), report.error_details

    file = tmp_path / "words.csv"
    assert export_words(parse_url(schema_url, "test"), str(file)) == len(VALUES)
    assert file.read_bytes().startswith(
        b"Kanji,Hiragana,Romaji,English,Level,PronunciationURL,Topic,Part of Speech,Katakana\n"
    )
    imported = kotobamichi("words", "import", str(file), DATABASE_URL=other_url)
    assert (imported.returncode, imported.stderr) == (0, "")
    assert imported.stdout == f"{len(VALUES)} rows: {len(VALUES)} new words, 0 already there, 0 with errors.\n"
    assert words_of(other_url) == words_of(schema_url)


def test_a_pipe_carries_words_from_one_database_to_another(schema_url: str, other_url: str) -> None:
    with psycopg.connect(schema_url) as connection:
        connection.execute(
            "INSERT INTO words (id, hiragana, english, content_hash, deleted_at) SELECT gen_random_uuid(), 'あ' || n, 'a',"
            " encode(sha256(n::text::bytea), 'hex'), CASE WHEN n > 11000 THEN now() END FROM generate_series(1, 11007) n"
        )
    exported = subprocess.Popen(
        [*COMMAND, "words", "export"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(DATABASE_URL=schema_url),
    )
    imported = subprocess.run(
        [*COMMAND, "words", "import", "-"], stdin=exported.stdout, capture_output=True, text=True, timeout=60,
        env=environment(DATABASE_URL=other_url), check=False,
    )  # fmt: skip
    assert exported.stdout is not None
    exported.stdout.close()
    assert exported.communicate(timeout=60)[1] == b"11000 words exported.\n"
    assert imported.returncode == 0, imported.stderr
    assert imported.stderr == "10000 words read ...\n"
    assert imported.stdout.startswith("11000 rows: 11000 new words")


def test_rows_with_errors_are_told_and_the_exit_code_says_so(schema_url: str, tmp_path: Path) -> None:
    file = tmp_path / "words.csv"
    file.write_text("Hiragana,English\nあ,a\n,b\nあ,A\n")
    done = kotobamichi("words", "import", str(file), DATABASE_URL=schema_url)
    assert done.returncode == 1
    assert done.stderr == "Row 3: Hiragana is required\n"
    assert done.stdout == "3 rows: 1 new words, 1 already there, 1 with errors.\n"
    assert len(words_of(schema_url)) == 1


def test_a_file_that_cannot_be_used_is_one_sentence_and_stores_nothing(
    schema_url: str, connection: Connection, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.csv"
    broken.write_text('Hiragana,English\nあ,a\n"')
    for arguments, sentence in (
        (("import", str(tmp_path / "nope.csv")), "No such file or directory"),
        (("import", str(tmp_path)), "Is a directory"),
        (("import", str(broken)), "Row 3 is no CSV: a quote is opened and not closed."),
        (("export", str(tmp_path / "nope" / "words.csv")), "No such file or directory"),
    ):
        done = kotobamichi("words", *arguments, DATABASE_URL=schema_url)
        assert done.returncode == 2, done.stderr
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr
    assert connection.execute("SELECT count(*) FROM words").fetchone() == (0,)
    assert [path.name for path in tmp_path.iterdir()] == ["broken.csv"]


def test_a_terminal_shows_a_bar_and_is_left_clean(schema_url: str, tmp_path: Path) -> None:
    file = tmp_path / "words.csv"
    file.write_text("Hiragana,English\n" + "".join(f"あ{number},a\n" for number in range(20_000)))
    with screen([*COMMAND, "words", "import", str(file)], environment(DATABASE_URL=schema_url)) as seen:
        assert seen.finish(120) == 0
    assert "words.csv" in seen.text
    assert "%" in seen.text
    assert seen.text.rstrip().endswith("20000 rows: 20000 new words, 0 already there, 0 with errors.")
