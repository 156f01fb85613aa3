"""Every kind of thing that models can say: models -> SQL -> database leaves no difference; up, down, up the same catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    Double,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Sequence,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)  # fmt: skip
from sqlalchemy.dialects.postgresql import DOMAIN, INTERVAL, JSONB, TSTZRANGE, TSVECTOR, ExcludeConstraint

from michi.settings import parse_url
from michi.shadow import Shadow, shadow_database
from tests.support.schemas import NOTHING, round_trip


@pytest.fixture(scope="module")
def shadow(server_url: str) -> Iterator[Shadow]:
    with shadow_database(parse_url(server_url, "test"), {}) as made:
        yield made


def words(*items: Any, name: str = "words", **options: Any) -> MetaData:
    """One table with a key and these columns, constraints and indexes."""
    metadata = MetaData()
    Table(name, metadata, Column("id", BigInteger, primary_key=True, autoincrement=False), *items, **options)
    return metadata


def with_others(*more: Callable[[MetaData], Table], base: MetaData | None = None) -> MetaData:
    metadata = base if base is not None else words(Column("kanji", Text))
    for make in more:
        make(metadata)
    return metadata


def kana() -> Column[Any]:
    return Column("kana", Text)


def level(*labels: str, name: str = "level", **options: Any) -> Column[Any]:
    return Column("level", Enum(*labels, name=name), **options)


def cards(*items: Any) -> Callable[[MetaData], Table]:
    return lambda metadata: Table("cards", metadata, Column("id", Uuid, primary_key=True), *items)


def cycle(metadata: MetaData) -> Table:
    Table(
        "first",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("second_id", ForeignKey("second.id", use_alter=True, name="first_second_fkey")),
    )
    return Table(
        "second", metadata, Column("id", Integer, primary_key=True), Column("first_id", ForeignKey("first.id"))
    )


TYPES = [
    SmallInteger, Integer, BigInteger, Numeric(10, 2), Double, Boolean, Text, String(20), String, Date, DateTime(timezone=True),
    DateTime, Uuid, JSONB, INTERVAL, TSTZRANGE, TSVECTOR, ARRAY(Text), ARRAY(Integer, dimensions=1), ARRAY(String(3)),
]  # fmt: skip

CASES: dict[str, tuple[MetaData, MetaData]] = {
    "table": (
        words(),
        with_others(cards(Column("due_at", DateTime(timezone=True), nullable=False, server_default=func.now()))),
    ),
    "table of many types": (NOTHING, words(*(Column(f"c{number}", kind) for number, kind in enumerate(TYPES)))),
    "tables that point to each other": (NOTHING, with_others(cycle)),
    "table that points to itself": (NOTHING, words(Column("parent_id", ForeignKey("words.id", ondelete="SET NULL")))),
    "table with everything": (
        NOTHING,
        with_others(
            cards(
                Column(
                    "word_id",
                    ForeignKey("words.id", ondelete="CASCADE", deferrable=True, initially="DEFERRED"),
                    nullable=False,
                ),
                Column(
                    "rating",
                    SmallInteger,
                    CheckConstraint("rating BETWEEN 1 AND 4"),
                    nullable=False,
                    server_default="1",
                ),
                Column(
                    "note",
                    String(50),
                    CheckConstraint("note <> ''", name="note_said"),
                    comment="what they wrote; 100 % theirs",
                ),
                UniqueConstraint("word_id", "rating"),
                Index("cards_due", text("rating DESC NULLS LAST"), postgresql_where=text("note IS NULL")),
            )
        ),
    ),
    "names that need quotes": (
        NOTHING,
        words(Column("Order", Text), Column("select", Integer), Column("漢字", Text), name="User"),
    ),
    "unlogged table": (words(kana()), words(kana(), prefixes=["UNLOGGED"])),
    "storage parameters": (words(), words(postgresql_with={"fillfactor": 70})),
    "column": (words(), words(kana())),
    "column not null with a constant": (words(), words(Column("seen", Integer, nullable=False, server_default="0"))),
    "column not null without a default": (words(), words(Column("seen", Integer, nullable=False))),
    "column with a computed default": (
        words(),
        words(Column("key", Uuid, nullable=False, server_default=func.gen_random_uuid())),
    ),
    "column with a collation": (words(kana()), words(Column("kana", Text(collation="C")))),
    "column with a comment": (words(kana()), words(Column("kana", Text, comment="it's かな"))),
    "type wider": (words(Column("n", Integer)), words(Column("n", BigInteger))),
    "type narrower, with a default": (
        words(Column("n", BigInteger, server_default="7")),
        words(Column("n", SmallInteger, server_default="8")),
    ),
    "type text to varchar": (words(kana()), words(Column("kana", String(10)))),
    "type that needs a cast": (words(Column("n", Text)), words(Column("n", Integer))),
    "type to an enum": (
        words(Column("level", Text, server_default="N5")),
        words(level("N5", "N4", server_default="N5")),
    ),
    "type with a check": (
        words(Column("level", Text, CheckConstraint("level IN ('a', 'b')"))),
        words(Column("level", String(5), CheckConstraint("level IN ('a', 'b')"))),
    ),
    "enum": (words(), words(level("N5", "N4", nullable=False, server_default="N5"))),
    "enum value at the end": (words(level("N5", "N4")), words(level("N5", "N4", "N3"))),
    "enum values in front, between and behind": (words(level("b", "d")), words(level("a", "b", "c", "c2", "d", "e"))),
    "enum value used as a default at once": (words(level("N5")), words(level("N5", "N4", server_default="N4"))),
    "enum value gone": (
        words(
            level("N5", "N4", "x", server_default="N5"), Index("words_n5", "id", postgresql_where=text("level = 'N5'"))
        ),
        words(level("N5", "N4", server_default="N5"), Index("words_n5", "id", postgresql_where=text("level = 'N5'"))),
    ),
    "enum values in another order": (words(level("a", "b")), words(level("b", "a"))),
    "enum of an array": (
        words(Column("levels", ARRAY(Enum("a", "b", name="level")))),
        words(Column("levels", ARRAY(Enum("b", name="level")))),
    ),
    "enum with quotes": (NOTHING, words(level("it's", 'so "big"', name="Level"))),
    "default": (words(kana()), words(Column("kana", Text, server_default="it's 100 %"))),
    "default changed": (
        words(Column("n", Integer, server_default="1")),
        words(Column("n", Integer, server_default=text("1 + 1"))),
    ),
    "default of jsonb": (
        words(),
        words(Column("data", JSONB, nullable=False, server_default=text("'{\"a\": [1]}'::jsonb"))),
    ),
    "not null": (words(kana()), words(Column("kana", Text, nullable=False))),
    "identity": (words(), words(Column("n", Integer, Identity(always=True, start=5, increment=10)))),
    "identity for a column that exists": (
        words(Column("n", Integer, nullable=False)),
        words(Column("n", Integer, Identity())),
    ),
    "identity changed": (
        words(Column("n", Integer, Identity())),
        words(Column("n", Integer, Identity(always=True, start=3, cycle=True, cache=5))),
    ),
    "serial": (
        words(),
        words(Column("n", Integer, Sequence("words_n_seq"), server_default=Sequence("words_n_seq").next_value())),
    ),
    "serial key": (NOTHING, with_others(lambda m: Table("t", m, Column("id", Integer, primary_key=True)))),
    "serial to identity": (
        with_others(lambda m: Table("t", m, Column("id", Integer, primary_key=True)), base=MetaData()),
        with_others(lambda m: Table("t", m, Column("id", Integer, Identity(), primary_key=True)), base=MetaData()),
    ),
    "sequence": (words(), with_others(lambda m: Sequence("numbers", start=10, increment=5, metadata=m), base=words())),
    "sequence changed": (
        with_others(lambda m: Sequence("numbers", start=10, metadata=m), base=words()),
        with_others(
            lambda m: Sequence("numbers", start=12, minvalue=3, maxvalue=99, cycle=True, metadata=m), base=words()
        ),
    ),
    "generated column": (words(kana()), words(kana(), Column("plain", Text, Computed("lower(kana)", persisted=True)))),
    "generated column from another expression": (
        words(
            kana(),
            Column("plain", Text, Computed("lower(kana)", persisted=True), comment="c"),
            Index("words_plain", "plain"),
        ),
        words(
            kana(),
            Column("plain", Text, Computed("upper(kana)", persisted=True), comment="c"),
            Index("words_plain", "plain"),
        ),
    ),
    "generated column no longer": (
        words(kana(), Column("plain", Text, Computed("lower(kana)", persisted=True))),
        words(kana(), Column("plain", Text)),
    ),
    "column computed no more, with other things on it": (
        words(
            kana(),
            Column("n", BigInteger, Computed("id * 2", persisted=True)),
            UniqueConstraint("n", name="n_once"),
            CheckConstraint("n > 0", name="n_is"),
            Index("words_n", "n"),
            Index("words_gone", "id", "n"),
            Index("words_both", "n", "kana"),
        ),
        words(Column("n", BigInteger), CheckConstraint("n > 1", name="n_is"), Index("words_n", "n", unique=True)),
    ),
    "computed column becomes one of an enum that loses a value": (
        words(level("a", "b"), Column("n", BigInteger, Computed("id * 2", persisted=True))),
        words(level("a"), Column("n", Enum("a", name="level"))),
    ),
    "check": (words(kana()), words(kana(), CheckConstraint("kana <> ''", name="kana_said"))),
    "check without a name": (
        words(kana()),
        words(kana(), CheckConstraint("length(kana) > 1"), CheckConstraint("kana <> 'x%'")),
    ),
    "check changed": (
        words(Column("n", Integer), CheckConstraint("n > 0", name="n_is")),
        words(Column("n", Integer), CheckConstraint("n > 1", name="n_is")),
    ),
    "check renamed": (
        words(kana(), CheckConstraint("kana <> ''", name="one")),
        words(kana(), CheckConstraint("kana <> ''", name="two")),
    ),
    "check of a list in a varchar": (
        words(),
        words(Column("k", String(5), CheckConstraint("k IN ('a', 'b')", name="k_known"))),
    ),
    "unique": (words(kana()), words(kana(), UniqueConstraint("kana", name="one_kana"))),
    "unique on a column": (words(kana()), words(Column("kana", Text, unique=True))),
    "unique, nulls too, deferred": (
        words(kana()),
        words(
            kana(),
            UniqueConstraint(
                "kana", name="u", deferrable=True, initially="DEFERRED", postgresql_nulls_not_distinct=True
            ),
        ),
    ),
    "unique including": (words(kana()), words(kana(), UniqueConstraint("kana", name="u", postgresql_include=["id"]))),
    "primary key": (
        with_others(
            lambda m: Table("t", m, Column("a", Integer), Column("b", Integer, nullable=False)), base=MetaData()
        ),
        with_others(
            lambda m: Table(
                "t", m, Column("a", Integer, autoincrement=False), Column("b", Integer), PrimaryKeyConstraint("a", "b")
            ),
            base=MetaData(),
        ),
    ),
    "exclusion": (
        words(Column("during", TSTZRANGE)),
        words(
            Column("during", TSTZRANGE),
            ExcludeConstraint(("during", "&&"), name="one_at_a_time", using="gist", where=text("id > 0")),
        ),
    ),
    "foreign key": (
        with_others(cards(Column("word_id", BigInteger))),
        with_others(
            cards(Column("word_id", BigInteger, ForeignKey("words.id", ondelete="CASCADE", onupdate="CASCADE")))
        ),
    ),
    "foreign key to a new table": (
        words(Column("deck_id", BigInteger)),
        with_others(
            lambda m: Table("decks", m, Column("id", BigInteger, primary_key=True)),
            base=words(Column("deck_id", ForeignKey("decks.id"))),
        ),
    ),
    "foreign key of two columns, on something unique at once": (
        with_others(cards(Column("a", BigInteger), Column("b", Text))),
        with_others(
            cards(
                Column("a", BigInteger),
                Column("b", Text),
                ForeignKeyConstraint(["a", "b"], ["words.id", "words.kanji"], name="both", match="FULL"),
            ),
            base=words(Column("kanji", Text), UniqueConstraint("id", "kanji", name="id_kanji")),
        ),
    ),
    "foreign key changed": (
        with_others(cards(Column("word_id", ForeignKey("words.id")))),
        with_others(cards(Column("word_id", ForeignKey("words.id", ondelete="SET NULL")))),
    ),
    "foreign key to another table, as the first one goes": (
        with_others(cards(Column("word_id", BigInteger, ForeignKey("words.id")))),
        with_others(
            cards(Column("word_id", BigInteger, ForeignKey("decks.id"))),
            base=words(name="decks"),
        ),
    ),
    "index": (words(kana()), words(kana(), Index("words_kana", "kana"))),
    "partial index": (
        words(kana()),
        words(kana(), Index("words_kana", "id", postgresql_where=text("kana IS NOT NULL AND kana <> ''"))),
    ),
    "expression index": (words(kana()), words(kana(), Index("words_kana", text("lower(kana)"), unique=True))),
    "index with opclass, order and more": (
        words(kana()),
        words(
            kana(),
            Index("words_like", "kana", postgresql_ops={"kana": "text_pattern_ops"}, postgresql_include=["id"]),
            Index("words_both", text("kana DESC NULLS LAST"), "id", unique=True, postgresql_nulls_not_distinct=True),
            Index("words_hash", "kana", postgresql_using="hash"),
            Index("words_brin", "id", postgresql_using="brin", postgresql_with={"pages_per_range": 16}),
        ),
    ),
    "index changed": (words(kana(), Index("words_kana", "kana")), words(kana(), Index("words_kana", "kana", "id"))),
    "index that goes to another column, as the one or the other changes its type": (
        words(kana(), Column("n", Integer), Index("one", "kana"), Index("other", "n")),
        words(kana(), Column("n", Text), Index("one", "n", "id"), Index("other", "kana", "id")),
    ),
    "index that becomes a constraint of its name": (
        words(kana(), Index("one_kana", "kana", unique=True)),
        words(kana(), UniqueConstraint("kana", name="one_kana")),
    ),
    "index renamed": (words(kana(), Index("words_kana", "kana")), words(kana(), Index("words_kana_idx", "kana"))),
    "index whose column goes": (words(kana(), Index("words_kana", "kana", "id")), words()),
    "comments": (
        words(kana(), CheckConstraint("kana <> ''", name="said")),
        words(
            Column("kana", Text, comment="the 'kana'"),
            CheckConstraint("kana <> ''", name="said", comment="never empty"),
            comment="50 % of all",
        ),
    ),
    "domain": (NOTHING, words(Column("score", DOMAIN("score", Integer, check=text("VALUE > 0"))))),
    "everything at once": (
        with_others(
            cards(Column("word_id", BigInteger), Column("old", Text)),
            base=words(kana(), Column("n", Integer), level("a", "b"), Index("words_n", "n")),
        ),
        with_others(
            cards(Column("word_id", BigInteger, ForeignKey("words.id"), nullable=False), Column("due_at", DateTime)),
            lambda m: Table("decks", m, Column("id", Uuid, primary_key=True), level("a", "b", "c")),
            base=words(
                Column("kana", Text, nullable=False, unique=True),
                Column("n", BigInteger, CheckConstraint("n > 0", name="n_is")),
                level("a", "b", "c", server_default="c"),
                Index("words_n", "n", postgresql_where=text("n > 5")),
            ),
        ),
    ),
}


@pytest.mark.parametrize("kind", CASES)
def test_models_to_sql_to_database_and_back_in_safe_steps(shadow: Shadow, kind: str) -> None:
    round_trip(shadow, *CASES[kind])


@pytest.mark.parametrize("kind", CASES)
def test_the_other_way_in_the_short_form(shadow: Shadow, kind: str) -> None:
    before, after = CASES[kind]
    round_trip(shadow, after, before, plain=True)
