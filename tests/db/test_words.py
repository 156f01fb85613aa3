"""What the words table promises: kept totals, one width and case for searching, no two of the same content."""

from __future__ import annotations

import threading
from collections.abc import Callable

import psycopg
import pytest

from kotobamichi.ids import new_id
from kotobamichi.words.content import content_hash
from kotobamichi.words.imports import load_vocabulary, store_words
from kotobamichi.words.vocabulary import VocabularyWord, package_version
from michi.settings import parse_url
from tests.db.conftest import Connection

INSERT = "INSERT INTO words (id, hiragana, english, level, content_hash) VALUES (%s, %s, %s, %s, %s)"


def add(connection: Connection, hiragana: str, level: str | None, english: str = "meaning") -> None:
    connection.execute(INSERT, (new_id(), hiragana, english, level, content_hash(hiragana, None, english)))


def totals(connection: Connection) -> dict[str, int]:
    rows = connection.execute("SELECT level, total FROM word_totals WHERE total <> 0").fetchall()
    return {str(level): int(str(total)) for level, total in rows}


def counted(connection: Connection) -> dict[str, int]:
    rows = connection.execute("SELECT coalesce(level, ''), count(*) FROM words GROUP BY 1").fetchall()
    return {str(level): int(str(total)) for level, total in rows}


def test_totals_follow_every_change(connection: Connection) -> None:
    for number in range(6):
        add(connection, f"あ{number}", "N5" if number % 2 else None)
    assert totals(connection) == {"": 3, "N5": 3}
    connection.execute("UPDATE words SET level = 'N1' WHERE level = 'N5' AND hiragana <> 'あ1'")
    assert totals(connection) == {"": 3, "N5": 1, "N1": 2}
    connection.execute("DELETE FROM words WHERE level IS NULL")
    assert totals(connection) == {"N5": 1, "N1": 2} == counted(connection)
    with pytest.raises(psycopg.errors.UniqueViolation):
        add(connection, "あ1", "N5")
    assert totals(connection) == counted(connection)
    connection.execute("TRUNCATE words CASCADE")
    assert totals(connection) == {}


def test_totals_stay_exact_with_writers_at_once(schema_url: str, connection: Connection) -> None:
    def write(number: int) -> None:
        with psycopg.connect(schema_url, autocommit=True) as own:
            for turn in range(20):
                add(own, f"か{number}-{turn}", ("N5", "N4", "N3")[turn % 3])
            own.execute("DELETE FROM words WHERE hiragana LIKE %s AND level = 'N4'", (f"か{number}-%",))
            own.execute("UPDATE words SET level = 'N1' WHERE hiragana LIKE %s AND level = 'N3'", (f"か{number}-%",))

    _at_once(write, 6)
    assert totals(connection) == counted(connection)
    assert sum(totals(connection).values()) == 6 * 13


def test_a_level_must_be_one_of_five(connection: Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        add(connection, "あ", "N6")


def test_the_vocabulary_is_stored_whole_once_and_in_order(schema_url: str, connection: Connection) -> None:
    target = parse_url(schema_url, "test")
    stored = load_vocabulary(target, again=False)
    assert stored is not None
    assert (stored.total, stored.imported, stored.duplicates) == (8334, 8334, 0)
    first = connection.execute("SELECT level FROM words ORDER BY created_at, id LIMIT 1").fetchone()
    last = connection.execute("SELECT level FROM words ORDER BY created_at DESC, id DESC LIMIT 1").fetchone()
    assert (first, last) == (("N5",), ("N1",))
    assert connection.execute("SELECT name, version, words FROM vocabulary_loads").fetchall() == [
        ("jlpt", package_version(), 8334)
    ]
    assert totals(connection) == counted(connection)

    connection.execute("DELETE FROM words WHERE hiragana = 'あう'")
    assert load_vocabulary(target, again=False) is None, "a word an administrator deleted stays deleted"
    again = load_vocabulary(target, again=True)
    assert again is not None
    assert again.imported > 0
    assert sum(counted(connection).values()) == 8334


def test_two_starts_at_once_load_the_vocabulary_once(schema_url: str, connection: Connection) -> None:
    results: list[object] = []
    _at_once(lambda _number: results.append(load_vocabulary(parse_url(schema_url, "test"), again=False)), 3)
    assert sum(result is not None for result in results) == 1
    assert sum(counted(connection).values()) == 8334


def test_words_repeated_in_one_load_are_stored_once(connection: Connection) -> None:
    word = VocabularyWord("あう", None, "会う", "to meet", "N5", [])
    shouted = VocabularyWord(" あう ", None, "会う", "TO MEET", "N4", [])
    with connection.transaction():
        stored = store_words(connection, [word, shouted])
    assert (stored.total, stored.imported, stored.duplicates) == (2, 1, 1)


def _at_once(work: Callable[[int], None], times: int) -> None:
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 -- handed to the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures, failures
