"""Many words at once: COPY into a temporary table, then one INSERT that passes over the words which are there already.

On a plain synchronous connection, in one transaction: the caller is a command, or a thread beside the event loop.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kotobamichi.db import CommandConnection, connect_for_command
from kotobamichi.ids import new_id
from kotobamichi.words import vocabulary
from kotobamichi.words.content import content_hash
from kotobamichi.words.vocabulary import VocabularyWord
from michi.settings import Target

COLUMNS = "id, hiragana, katakana, kanji, english, level, examples, content_hash"
# Any number that no other advisory lock of the app has: two starts at once must not both load.
LOAD_LOCK = 7_106_843_217


@dataclass(frozen=True)
class Stored:
    """How many words were given, and how many of them were new."""

    total: int
    imported: int

    @property
    def duplicates(self) -> int:
        return self.total - self.imported


def store_words(
    connection: CommandConnection,
    words: Iterable[VocabularyWord],
    told: Callable[[int], None] = lambda _count: None,
) -> Stored:
    """Adds what is new, in the order given, in the caller's transaction. `told` hears how many have been sent so far."""
    connection.execute("CREATE TEMPORARY TABLE incoming (LIKE words INCLUDING DEFAULTS) ON COMMIT DROP")
    connection.execute("ALTER TABLE incoming DROP COLUMN search_text")
    total = 0
    with connection.cursor().copy(f"COPY incoming ({COLUMNS}) FROM STDIN") as copy:
        for total, word in enumerate(words, start=1):
            copy.write_row(
                (
                    new_id(), word.hiragana, word.katakana, word.kanji, word.english, word.level,
                    json.dumps(word.examples, ensure_ascii=False), content_hash(word.hiragana, word.kanji, word.english),
                )
            )  # fmt: skip
            told(total)
    added = connection.execute(
        f"INSERT INTO words ({COLUMNS}) SELECT {COLUMNS} FROM incoming ORDER BY id ON CONFLICT (content_hash) DO NOTHING"
    )
    imported = added.rowcount
    connection.execute("DROP TABLE incoming")
    return Stored(total, imported)


def load_vocabulary(target: Target, *, again: bool, told: Callable[[int], None] = lambda _count: None) -> Stored | None:
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
