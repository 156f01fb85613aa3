"""The desired schema as SQLAlchemy tables: what `michi dev` and the drift check compare with. Never imported at run time.

Triggers, functions and their order are in the migrations alone; a model cannot say them.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Computed, Index, Integer, MetaData, Table, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import BIGINT, JSONB, TIMESTAMP, UUID

metadata = MetaData()
NOW = text("now()")


def _moment(name: str, *, nullable: bool = False, now: bool = True) -> Column[object]:
    """A point in time with the millisecond precision that clients see."""
    return Column(name, TIMESTAMP(timezone=True, precision=3), nullable=nullable, server_default=NOW if now else None)


words = Table(
    "words",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("hiragana", Text, CheckConstraint("hiragana <> ''", name="words_hiragana_check"), nullable=False),
    Column("katakana", Text),
    Column("kanji", Text),
    Column("romaji", Text),
    Column("english", Text, CheckConstraint("english <> ''", name="words_english_check"), nullable=False),
    Column("pronunciation_url", Text),
    Column("level", Text, CheckConstraint("level IN ('N5', 'N4', 'N3', 'N2', 'N1')", name="words_level_check")),
    Column("topic", Text),
    Column("part_of_speech", Text),
    Column(
        "examples",
        JSONB,
        CheckConstraint("jsonb_typeof(examples) = 'array'", name="words_examples_check"),
        nullable=False,
        server_default=text("'[]'::jsonb"),
    ),
    Column(
        "content_hash",
        Text,
        CheckConstraint("content_hash ~ '^[0-9a-f]{64}$'", name="words_content_hash_check"),
        nullable=False,
        comment="SHA-256 hex of hiragana|kanji|english, each trimmed, NFKC, lower case",
    ),
    Column(
        "search_text",
        Text,
        Computed(
            "lower(normalize(hiragana || ' ' || coalesce(katakana, '') || ' ' || coalesce(kanji, '') || ' ' ||"
            " coalesce(romaji, '') || ' ' || english, NFKC))",
            persisted=True,
        ),
        nullable=False,
    ),
    _moment("created_at"),
    _moment("updated_at"),
    UniqueConstraint("content_hash", name="words_content_hash_key"),
    Index("words_created_at_id_idx", "created_at", "id"),
    Index("words_level_created_at_id_idx", "level", "created_at", "id"),
)

word_totals = Table(
    "word_totals",
    metadata,
    Column("level", Text, primary_key=True),
    Column("total", BIGINT, CheckConstraint("total >= 0", name="word_totals_total_check"), nullable=False),
    comment="Words per level, kept by triggers; the level is empty for words without one",
)

users = Table(
    "users",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("email", Text, CheckConstraint("email <> ''", name="users_email_check"), nullable=False),
    Column(
        "password_hash",
        Text,
        comment="Argon2id, or bcrypt where it came from an older backend; null for accounts without a password",
    ),
    Column(
        "role",
        Text,
        CheckConstraint("role IN ('USER', 'ADMIN')", name="users_role_check"),
        nullable=False,
        server_default=text("'USER'"),
    ),
    _moment("email_verified_at", nullable=True, now=False),
    _moment("created_at"),
    _moment("updated_at"),
    Index("users_email_key", text("lower(email)"), unique=True),
)

vocabulary_loads = Table(
    "vocabulary_loads",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Text, nullable=False),
    Column("words", Integer, nullable=False),
    _moment("loaded_at"),
)
