"""Files of words: stored once, in order, all or nothing, in little memory, whoever else imports at the same time."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest

from kotobamichi.db import connect_for_command
from kotobamichi.words.csv_rows import CsvRefused
from kotobamichi.words.imports import import_csv
from kotobamichi.words.schemas import ImportReport
from michi.settings import parse_url
from tests.db.conftest import Connection
from tests.db.test_word_changes import add_quiz, totals_are_right

HEADER = "Hiragana,English,Kanji,Level,Topic\n"
# Growth over what the interpreter has with everything imported; the bound for 100,000 rows.
MOST_MEMORY_MIB = 64
MEASURE = """
import resource, sys
from kotobamichi.db import connect_for_command
from kotobamichi.words.imports import import_csv
from michi.settings import parse_url

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

with connect_for_command(parse_url(sys.argv[1], "test")) as connection, open(sys.argv[2], "rb") as file:
    before = peak()
    report = import_csv(connection, file)
    print(report.imported, report.duplicates, report.errors, len(report.error_details), peak() - before)
"""


def store(url: str, csv: str) -> ImportReport:
    with connect_for_command(parse_url(url, "test")) as connection:
        return import_csv(connection, io.BytesIO(csv.encode()))


def numbers(report: ImportReport) -> tuple[int, int, int, int]:
    return report.total, report.imported, report.duplicates, report.errors


def test_good_rows_are_stored_in_order_and_repeated_ones_once(schema_url: str, connection: Connection) -> None:
    csv = HEADER + "う,c,,N5,x\nあ,a,,,\nう,C,,N1,y\n,b,,,\nい,b,位,,\n"
    report = store(schema_url, csv)
    assert numbers(report) == (5, 3, 1, 1)
    assert report.error_details == ["Row 5: Hiragana is required"]
    rows = connection.execute("SELECT hiragana, kanji, level, topic FROM words ORDER BY created_at, id").fetchall()
    assert rows == [("う", None, "N5", "x"), ("あ", None, None, None), ("い", "位", None, None)]
    assert numbers(store(schema_url, csv)) == (5, 0, 4, 1)
    assert totals_are_right(connection)


def test_a_refused_file_leaves_nothing_behind(schema_url: str, connection: Connection) -> None:
    for bad in ('い,"b\n', "\udcff"):
        with (
            pytest.raises(CsvRefused),
            connect_for_command(parse_url(schema_url, "test")) as own,
        ):
            import_csv(own, io.BytesIO((HEADER + "あ,a,,,\n" * 5000 + bad).encode("utf-8", "surrogateescape")))
    assert connection.execute("SELECT count(*) FROM words").fetchone() == (0,)
    assert totals_are_right(connection)


def test_a_hidden_word_of_the_file_comes_back_under_its_id(schema_url: str, connection: Connection) -> None:
    store(schema_url, HEADER + "あ,a,,N5,x\nい,b,,N5,\n")
    before = connection.execute("SELECT id, created_at FROM words WHERE hiragana = 'あ'").fetchone()
    assert before is not None
    add_quiz(connection, str(before[0]))
    connection.execute("UPDATE words SET deleted_at = now()")
    report = store(schema_url, HEADER + "え,d,,,\nあ,A,,N4,\nあ,a,,N1,\n")
    assert numbers(report) == (3, 2, 1, 0)
    rows = connection.execute(
        "SELECT id, english, level, topic, created_at > %s FROM words WHERE deleted_at IS NULL AND hiragana = 'あ'",
        (before[1],),
    ).fetchall()
    assert rows == [(before[0], "A", "N4", None, True)]
    assert totals_are_right(connection)


def test_imports_at_once_store_every_word_once(schema_url: str, connection: Connection) -> None:
    """In opposite orders, which would deadlock if both inserted at the same time."""
    rows = [f"あ{number},a,,N{number % 5 + 1},\n" for number in range(3000)]
    reports: list[ImportReport] = []
    files = [HEADER + "".join(ordered) for ordered in (rows, rows[::-1], rows[1500:] + rows[:1500])]
    threads = [threading.Thread(target=lambda csv=csv: reports.append(store(schema_url, csv))) for csv in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert [report.total for report in reports] == [3000] * 3
    assert sum(report.imported for report in reports) == 3000
    assert connection.execute("SELECT count(*) FROM words").fetchone() == (3000,)
    assert totals_are_right(connection)


def test_a_hundred_thousand_rows_take_little_memory(schema_url: str, connection: Connection, tmp_path: Path) -> None:
    file = tmp_path / "words.csv"
    with file.open("w", encoding="utf-8") as out:
        out.write(HEADER)
        for number in range(100_000):
            # One in ten is wrong, one in ten is there twice.
            word = "" if number % 10 == 0 else f"あ{number - number % 10 + 2 if number % 10 == 1 else number}"
            out.write(f'{word},"meaning of, number {number // 10}",漢字{word},N{number % 5 + 1},topic {number % 50}\n')
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, schema_url, str(file)], capture_output=True, text=True, timeout=240, check=False
    )
    assert measured.returncode == 0, measured.stderr
    *counts, grown = measured.stdout.split()
    assert counts == ["80000", "10000", "10000", "1001"]
    assert float(grown) < MOST_MEMORY_MIB, f"{grown} MiB"
    assert connection.execute("SELECT count(*) FROM words").fetchone() == (80_000,)


def test_no_statement_is_ever_told(schema_url: str) -> None:
    report = store(schema_url, HEADER + "a'); DROP TABLE words; --,b,,,\nx\\.,\\N,\\t,,\n\\.,\\.,,,\n")
    assert numbers(report) == (3, 3, 0, 0)
    with psycopg.connect(schema_url) as connection:
        rows = connection.execute("SELECT hiragana, english, kanji FROM words ORDER BY id").fetchall()
    assert rows == [("a'); DROP TABLE words; --", "b", None), ("x\\.", "\\N", "\\t"), ("\\.", "\\.", None)]
