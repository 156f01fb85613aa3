"""The desired schema as SQLAlchemy tables: what `michi dev` and the drift check compare with. Never imported at run time.

Triggers, functions and their order are in the migrations alone; a model cannot say them.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT, JSONB, TIMESTAMP, UUID

# PostgreSQL's own names for what a migration leaves unnamed.
metadata = MetaData(
    naming_convention={
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)
NOW = text("now()")
SHA256_HEX = "~ '^[0-9a-f]{64}$'"


def _moment(name: str, *, nullable: bool = False, now: bool = True) -> Column[object]:
    """A point in time with the millisecond precision that clients see."""
    return Column(name, TIMESTAMP(timezone=True, precision=3), nullable=nullable, server_default=NOW if now else None)


def _instant(name: str, *, nullable: bool = False, now: bool = False) -> Column[object]:
    """A point in time that no client sees, as exact as PostgreSQL has it."""
    return Column(name, TIMESTAMP(timezone=True), nullable=nullable, server_default=NOW if now else None)


def _of_user(*, primary_key: bool = False) -> Column[object]:
    return Column("user_id", UUID, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, primary_key=primary_key)


def _shard(table: str, *, primary_key: bool = True) -> Column[object]:
    check = CheckConstraint("shard BETWEEN 0 AND 15", name=f"{table}_shard_check")
    return Column("shard", SmallInteger, check, primary_key=primary_key, autoincrement=False)


def _purpose(table: str, *purposes: str) -> Column[object]:
    listed = ", ".join(f"'{purpose}'" for purpose in purposes)
    return Column(
        "purpose", Text, CheckConstraint(f"purpose IN ({listed})", name=f"{table}_purpose_check"), nullable=False
    )


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
    Column(
        "deleted_at",
        TIMESTAMP(timezone=True, precision=3),
        comment="When an administrator deleted the word while quizzes or progress needed it; null for a word that is there",
    ),
    UniqueConstraint("content_hash", name="words_content_hash_key"),
    *(
        Index(f"words_listed_{by}created_at_id_idx", *columns, "created_at", "id", postgresql_where=text(condition))
        for by, columns, condition in (
            ("", (), "deleted_at IS NULL"),
            ("level_", ("level",), "deleted_at IS NULL"),
            ("topic_", ("topic",), "deleted_at IS NULL AND topic IS NOT NULL"),
            ("part_of_speech_", ("part_of_speech",), "deleted_at IS NULL AND part_of_speech IS NOT NULL"),
        )
    ),
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
    Column(
        "token_version",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="Grows when all access tokens of the account must end at once: new password, other role",
    ),
    Column("google_id", Text, comment="The subject of the Google account that may log in as this one"),
    UniqueConstraint("google_id", name="users_google_id_key"),
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

revisions = Table(
    "revisions",
    metadata,
    Column("name", Text, primary_key=True),
    _shard("revisions"),
    Column("revision", BIGINT, nullable=False, server_default=text("0")),
    comment="Changes per kind of thing, summed over the shards; written by triggers and by bump_revision",
    postgresql_with={"fillfactor": 50},
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("id", UUID, primary_key=True),
    _of_user(),
    Column("family_id", UUID, nullable=False),
    Column(
        "token_hash",
        Text,
        CheckConstraint(f"token_hash {SHA256_HEX}", name="refresh_tokens_token_hash_check"),
        nullable=False,
        comment="SHA-256 hex of the token: the table gives nobody a session",
    ),
    Column(
        "client",
        Text,
        nullable=False,
        server_default=text("''"),
        comment="SHA-256 hex of what tells one client from another: who may use a token again just after its rotation",
    ),
    _instant("issued_at", now=True),
    _instant("expires_at"),
    _instant("revoked_at", nullable=True),
    Column("replaced_by", UUID),
    Index("refresh_tokens_user_id_idx", "user_id", postgresql_where=text("revoked_at IS NULL")),
    Index("refresh_tokens_family_id_idx", "family_id"),
    Index("refresh_tokens_expires_at_idx", "expires_at"),
    comment="The id is the jti of the token",
)

email_tokens = Table(
    "email_tokens",
    metadata,
    Column("id", UUID, primary_key=True),
    _of_user(),
    _purpose("email_tokens", "verify_email", "reset_password"),
    Column(
        "token_hash",
        Text,
        CheckConstraint(f"token_hash {SHA256_HEX}", name="email_tokens_token_hash_check"),
        nullable=False,
    ),
    _instant("created_at", now=True),
    _instant("expires_at"),
    _instant("used_at", nullable=True),
    UniqueConstraint("token_hash", name="email_tokens_token_hash_key"),
    Index("email_tokens_user_id_purpose_idx", "user_id", "purpose"),
    Index("email_tokens_expires_at_idx", "expires_at"),
)

mail_requests = Table(
    "mail_requests",
    metadata,
    Column("id", BIGINT, Identity(always=True), primary_key=True),
    Column(
        "address_hash",
        Text,
        CheckConstraint(f"address_hash {SHA256_HEX}", name="mail_requests_address_hash_check"),
        nullable=False,
    ),
    _purpose("mail_requests", "verify_email", "reset_password"),
    _instant("requested_at", now=True),
    Index("mail_requests_address_hash_purpose_requested_at_idx", "address_hash", "purpose", "requested_at"),
    Index("mail_requests_requested_at_idx", "requested_at"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BIGINT, Identity(always=True), primary_key=True),
    _purpose("outbox", "verify_email", "reset_password", "notice"),
    Column("recipient", Text, CheckConstraint("recipient <> ''", name="outbox_recipient_check"), nullable=False),
    Column("subject", Text, nullable=False),
    Column("body_text", Text),
    Column("body_html", Text),
    _instant("created_at", now=True),
    _instant("next_attempt_at", now=True),
    Column(
        "attempts",
        SmallInteger,
        CheckConstraint("attempts >= 0", name="outbox_attempts_check"),
        nullable=False,
        server_default=text("0"),
    ),
    Column("last_error", Text),
    _instant("sent_at", nullable=True),
    _instant("given_up_at", nullable=True),
    Index(
        "outbox_next_attempt_at_idx",
        "next_attempt_at",
        postgresql_where=text("sent_at IS NULL AND given_up_at IS NULL"),
    ),
    Index("outbox_created_at_idx", "created_at"),
)

quizzes = Table(
    "quizzes",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("title", Text, CheckConstraint("title <> ''", name="quizzes_title_check"), nullable=False),
    Column("description", Text),
    Column("is_public", Boolean, nullable=False, server_default=text("false")),
    Column("created_by_id", UUID, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column(
        "words_total", Integer, CheckConstraint("words_total > 0", name="quizzes_words_total_check"), nullable=False
    ),
    _moment("created_at"),
    _moment("updated_at"),
    Column(
        "deleted_at",
        TIMESTAMP(timezone=True, precision=3),
        comment="A deleted quiz is shown to nobody, but the history of those who took it still names it",
    ),
    Index(
        "quizzes_public_created_at_id_idx",
        "created_at",
        "id",
        postgresql_where=text("is_public AND deleted_at IS NULL"),
    ),
    Index("quizzes_created_by_id_created_at_id_idx", "created_by_id", "created_at", "id"),
)

quiz_words = Table(
    "quiz_words",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("quiz_id", UUID, ForeignKey("quizzes.id", ondelete="CASCADE"), nullable=False),
    Column("word_id", UUID, ForeignKey("words.id"), nullable=False),
    Column("position", Integer, CheckConstraint("position >= 0", name="quiz_words_position_check"), nullable=False),
    UniqueConstraint("quiz_id", "position", name="quiz_words_quiz_id_position_key"),
    UniqueConstraint("quiz_id", "word_id", name="quiz_words_quiz_id_word_id_key"),
    Index("quiz_words_word_id_idx", "word_id"),
)

quiz_attempt_totals = Table(
    "quiz_attempt_totals",
    metadata,
    Column("quiz_id", UUID, ForeignKey("quizzes.id", ondelete="CASCADE"), primary_key=True),
    _shard("quiz_attempt_totals"),
    Column("total", BIGINT, CheckConstraint("total >= 0", name="quiz_attempt_totals_total_check"), nullable=False),
    postgresql_with={"fillfactor": 70},
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", UUID, primary_key=True),
    _of_user(),
    Column("quiz_id", UUID, ForeignKey("quizzes.id", ondelete="CASCADE"), nullable=False),
    Column(
        "score", SmallInteger, CheckConstraint("score BETWEEN 0 AND 100", name="attempts_score_check"), nullable=False
    ),
    Column("answers", ARRAY(Text), nullable=False),
    Column("correct", ARRAY(Boolean), nullable=False),
    _moment("completed_at"),
    _moment("created_at"),
    _moment("updated_at"),
    CheckConstraint("cardinality(answers) = cardinality(correct)", name="attempts_answers_check"),
    Index("attempts_user_id_created_at_id_idx", "user_id", "created_at", "id"),
    Index("attempts_quiz_id_user_id_idx", "quiz_id", "user_id"),
)

progress = Table(
    "progress",
    metadata,
    Column("id", UUID, primary_key=True),
    _of_user(),
    Column("word_id", UUID, ForeignKey("words.id"), nullable=False),
    Column(
        "mastery_level",
        SmallInteger,
        CheckConstraint("mastery_level BETWEEN 0 AND 10", name="progress_mastery_level_check"),
        nullable=False,
    ),
    _moment("last_reviewed_at", now=False),
    _moment("next_review_at", now=False),
    _moment("created_at"),
    _moment("updated_at"),
    UniqueConstraint("user_id", "word_id", name="progress_user_id_word_id_key"),
    Index("progress_word_id_idx", "word_id"),
    postgresql_with={"fillfactor": 85},
)

learner_totals = Table(
    "learner_totals",
    metadata,
    _of_user(primary_key=True),
    Column(
        "attempts",
        BIGINT,
        CheckConstraint("attempts >= 0", name="learner_totals_attempts_check"),
        nullable=False,
        server_default=text("0"),
    ),
    Column(
        "score_sum",
        BIGINT,
        CheckConstraint("score_sum >= 0", name="learner_totals_score_sum_check"),
        nullable=False,
        server_default=text("0"),
    ),
    Column("highest_score", SmallInteger),
    Column("lowest_score", SmallInteger),
    Column(
        "quizzes_taken",
        Integer,
        CheckConstraint("quizzes_taken >= 0", name="learner_totals_quizzes_taken_check"),
        nullable=False,
        server_default=text("0"),
    ),
    Column(
        "words_learned",
        Integer,
        CheckConstraint("words_learned >= 0", name="learner_totals_words_learned_check"),
        nullable=False,
        server_default=text("0"),
    ),
    postgresql_with={"fillfactor": 70},
)
