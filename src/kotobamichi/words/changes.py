"""The SQL that changes words. What quizzes or progress need is hidden and not deleted; adding its content again revives it."""

from __future__ import annotations

from typing import Any, LiteralString

from psycopg import sql
from psycopg.errors import DeadlockDetected, ForeignKeyViolation, UniqueViolation

from kotobamichi.db import Connection
from kotobamichi.errors import Conflict, NotFound
from kotobamichi.ids import new_id
from kotobamichi.words.content import content_hash
from kotobamichi.words.queries import WHOLE, to_word
from kotobamichi.words.schemas import Word

# Any number that no other advisory lock of the app has: who changes many words does so alone, so that no two wait for each other.
MANY_WORDS_LOCK = 7_106_843_218
CLEARING_TIMEOUT = "5min"
CLEARING_ATTEMPTS = 3

COLUMNS = (
    "hiragana", "katakana", "kanji", "romaji", "english", "pronunciation_url", "level", "topic", "part_of_speech",
)  # fmt: skip
# On a hidden word of the same content; a word that is there is left alone, and nothing comes back.
REVIVE: LiteralString = (
    "ON CONFLICT (content_hash) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in COLUMNS)
    + ", created_at = now(), updated_at = now(), deleted_at = NULL WHERE w.deleted_at IS NOT NULL"
)
INSERT: LiteralString = (
    f"INSERT INTO words AS w (id, {', '.join(COLUMNS)}, content_hash)"
    f" VALUES (%(id)s, {', '.join(f'%({column})s' for column in COLUMNS)}, %(content_hash)s) {REVIVE} RETURNING {WHOLE}"
)
DELETE: LiteralString = f"DELETE FROM words w WHERE w.id = %s AND w.deleted_at IS NULL RETURNING {WHOLE}"
HIDE: LiteralString = (
    f"UPDATE words w SET deleted_at = now() WHERE w.id = %s AND w.deleted_at IS NULL RETURNING {WHOLE}"
)
# A hidden word gives its content up to the word that is to have it: it is shown in quizzes as before, and nothing revives it.
CEDE: LiteralString = (
    "UPDATE words SET content_hash = encode(sha256(convert_to(id::text, 'UTF8')), 'hex')"
    " WHERE content_hash = %s AND deleted_at IS NOT NULL"
)
# Also what was hidden and is needed no more. Words are locked in the order of their ids, as quizzes and attempts lock theirs, so
# that nobody waits in a circle.
DELETE_UNUSED: LiteralString = (
    "WITH unused AS MATERIALIZED (SELECT w.id FROM words w"
    " WHERE NOT EXISTS (SELECT FROM quiz_words q WHERE q.word_id = w.id)"
    " AND NOT EXISTS (SELECT FROM progress p WHERE p.word_id = w.id) ORDER BY w.id FOR UPDATE),"
    " gone AS (DELETE FROM words w USING unused u WHERE w.id = u.id RETURNING w.deleted_at)"
    " SELECT count(*) FROM gone WHERE deleted_at IS NULL"
)
HIDE_ALL: LiteralString = "UPDATE words SET deleted_at = now() WHERE deleted_at IS NULL"


async def insert_word(connection: Connection, columns: dict[str, Any]) -> Word:
    """Raises Conflict where there is a word of this content."""
    hashed = content_hash(columns["hiragana"], columns.get("kanji"), columns["english"])
    values = {**dict.fromkeys(COLUMNS), **columns, "id": new_id(), "content_hash": hashed}
    row = await (await connection.execute(INSERT, values)).fetchone()
    if row is None:
        raise _conflict()
    return to_word(row)


async def update_word(connection: Connection, word_id: str, columns: dict[str, Any]) -> Word:
    """The word after the change of these columns, with its content hash made anew. Raises NotFound, Conflict."""
    found = await connection.execute(
        "SELECT hiragana, kanji, english FROM words WHERE id = %s AND deleted_at IS NULL FOR NO KEY UPDATE", (word_id,)
    )
    row = await found.fetchone()
    if row is None:
        raise not_found(word_id)
    content = dict(zip(("hiragana", "kanji", "english"), row, strict=True))
    content |= {name: columns[name] for name in content if name in columns}
    hashed = content_hash(**content)
    await connection.execute(CEDE, (hashed,))
    changes = {**columns, "content_hash": hashed}
    assignments = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in changes
    )
    statement = sql.SQL("UPDATE words w SET {}, updated_at = now() WHERE w.id = %(id)s RETURNING {}").format(
        assignments, sql.SQL(WHOLE)
    )
    try:
        changed = await (await connection.execute(statement, {**changes, "id": word_id})).fetchone()
    except UniqueViolation as error:
        if error.diag.constraint_name == "words_content_hash_key":
            raise _conflict() from None
        raise
    assert changed is not None
    return to_word(changed)


async def delete_word(connection: Connection, word_id: str) -> Word:
    """The word as it was. Raises NotFound."""
    try:
        async with connection.transaction():
            row = await (await connection.execute(DELETE, (word_id,))).fetchone()
    except ForeignKeyViolation:
        row = await (await connection.execute(HIDE, (word_id,))).fetchone()
    if row is None:
        raise not_found(word_id)
    return to_word(row)


async def clear_words(connection: Connection) -> int:
    """Deletes what nothing needs and hides the rest; how many words there were."""
    await connection.execute(f"SET LOCAL statement_timeout = '{CLEARING_TIMEOUT}'")
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (MANY_WORDS_LOCK,))
    deleted = 0
    for _ in range(CLEARING_ATTEMPTS):
        try:
            async with connection.transaction():
                row = await (await connection.execute(DELETE_UNUSED)).fetchone()
                deleted = int(row[0]) if row else 0
        except (ForeignKeyViolation, DeadlockDetected):  # a quiz or an attempt took some of the words meanwhile
            continue
        break
    # However busy learners are, every word is gone from the lists.
    return deleted + (await connection.execute(HIDE_ALL)).rowcount


def not_found(word_id: str) -> NotFound:
    return NotFound(f"Word with ID {word_id} not found")


def _conflict() -> Conflict:
    return Conflict("A word with similar content already exists")
