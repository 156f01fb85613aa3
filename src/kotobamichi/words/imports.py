"""Many words at once: COPY into a temporary table, then one INSERT that passes over the words which are there already.

On a plain synchronous connection, in one transaction: the caller is a command, or a thread beside the event loop.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO, LiteralString

from kotobamichi.db import CommandConnection, connect_for_command
from kotobamichi.ids import new_id
from kotobamichi.words import vocabulary
from kotobamichi.words.changes import COLUMNS, MANY_WORDS_LOCK, REVIVE
from kotobamichi.words.content import content_hash
from kotobamichi.words.csv_rows import CsvWord, Findings, read_csv
from kotobamichi.words.schemas import ImportReport
from kotobamichi.words.vocabulary import VocabularyWord
from michi.settings import Target

# Any number that no other advisory lock of the app has: two starts at once must not both load.
LOAD_LOCK = 7_106_843_217
NO_EXAMPLES = "[]"

ALL: LiteralString = f"id, {', '.join(COLUMNS)}, examples, content_hash"
INCOMING: LiteralString = (
    "CREATE TEMPORARY TABLE incoming (id uuid, "
    + ", ".join(f"{column} text" for column in COLUMNS)
    + ", examples jsonb, content_hash text) ON COMMIT DROP"
)
# The first of those that are the same. What is there already is passed over before the conflict, which would lock its row; the
# conflict decides where somebody adds the same word meanwhile.
STORE: LiteralString = f"""
INSERT INTO words AS w ({ALL})
SELECT {ALL} FROM (SELECT DISTINCT ON (content_hash COLLATE "C") * FROM incoming ORDER BY content_hash COLLATE "C", id) i
WHERE NOT EXISTS (SELECT FROM words t WHERE t.content_hash = i.content_hash AND t.deleted_at IS NULL)
ORDER BY id
{REVIVE}
"""

Told = Callable[[int], None]
Row = tuple[str | None, ...]


@dataclass(frozen=True)
class Stored:
    """How many words were given, and how many of them were new."""

    total: int
    imported: int

    @property
    def duplicates(self) -> int:
        return self.total - self.imported


def _hear_nothing(_count: int) -> None:
    pass


def store_words(connection: CommandConnection, words: Iterable[VocabularyWord], told: Told = _hear_nothing) -> Stored:
    """Adds what is new, in the order given, in the caller's transaction. `told` hears how many have been sent so far."""
    return _store(connection, map(_row_of_vocabulary, words), told)


def import_csv(connection: CommandConnection, file: IO[bytes], told: Told = _hear_nothing) -> ImportReport:
    """Adds the good rows of a file in one transaction, which it commits. Raises CsvRefused, and then nothing is stored."""
    findings = Findings()
    with connection.transaction():
        stored = _store(connection, map(_row_of_csv, read_csv(file, findings)), told)
    return ImportReport(findings.total, stored.imported, stored.duplicates, findings.errors, findings.told())


def _store(connection: CommandConnection, rows: Iterator[Row], told: Told) -> Stored:
    connection.execute(INCOMING)
    total = 0
    with connection.cursor().copy(f"COPY incoming ({ALL}) FROM STDIN") as copy:
        for total, row in enumerate(rows, start=1):
            copy.write_row(row)
            told(total)
    # Whoever changes many words waits here, and not while a file is being read.
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (MANY_WORDS_LOCK,))
    imported = connection.execute(STORE).rowcount
    connection.execute("DROP TABLE incoming")
    return Stored(total, imported)


def _row_of_vocabulary(word: VocabularyWord) -> Row:
    examples = json.dumps(word.examples, ensure_ascii=False) if word.examples else NO_EXAMPLES
    return (
        str(new_id()), word.hiragana, word.katakana, word.kanji, None, word.english, None, word.level, None, None,
        examples, content_hash(word.hiragana, word.kanji, word.english),
    )  # fmt: skip


def _row_of_csv(word: CsvWord) -> Row:
    hiragana, english = word["hiragana"], word["english"]
    assert hiragana is not None
    assert english is not None
    return (
        str(new_id()), *(word[column] for column in COLUMNS), NO_EXAMPLES, content_hash(hiragana, word["kanji"], english),
    )  # fmt: skip


def load_vocabulary(target: Target, *, again: bool, told: Told = _hear_nothing) -> Stored | None:
    """Loads the JLPT vocabulary in one transaction. None where it was loaded before, unless `again` asks for what is missing."""
    with connect_for_command(target) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOAD_LOCK,))
        before = connection.execute("SELECT FROM vocabulary_loads WHERE name = %s", (vocabulary.NAME,)).fetchone()
        if before is not None and not again:
            return None
        stored = store_words(connection, vocabulary.read_vocabulary(), told)
        connection.execute(
            "INSERT INTO vocabulary_loads (name, version, words) VALUES (%s, %s, %s)"
            " ON CONFLICT (name) DO UPDATE SET version = excluded.version, words = excluded.words, loaded_at = now()",
            (vocabulary.NAME, vocabulary.package_version(), stored.total),
        )
        return stored
