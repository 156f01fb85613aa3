"""From one schema to another: models made at random, and the SQL between them leaves no difference, there and back.

A few, always the same, run with the ring. `RANDOM_SCHEMAS=200 make test-michi PYTEST_OPTIONS='-k any_schema'` tries new ones, and
hypothesis prints how to repeat what fails.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    Enum,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from michi.settings import parse_url
from michi.shadow import Shadow, shadow_database
from tests.support.schemas import round_trip

EXAMPLES = int(os.environ.get("RANDOM_SCHEMAS", "8"))
NAMES = ("a", "b", "order", "Kanji")
LABELS = ("low", "it's", "high", "x y")
DEFAULTS: dict[Any, tuple[Any, ...]] = {
    Integer: (None, "0", text("1 + 1")),
    BigInteger: (None, "7"),
    Text: (None, "x", text("lower('X')")),
    String: (None, "a %"),
}


@pytest.fixture(scope="module")
def shadow(server_url: str) -> Iterator[Shadow]:
    with shadow_database(parse_url(server_url, "test"), {}) as made:
        yield made


@st.composite
def schemas(draw: st.DrawFn) -> MetaData:
    """Up to three tables, each with a few columns, constraints and indexes of every kind."""
    metadata = MetaData()
    labels = draw(st.lists(st.sampled_from(LABELS), min_size=1, unique=True))
    names = draw(st.lists(st.sampled_from(("words", "cards", "User")), min_size=1, unique=True))
    for position, name in enumerate(names):
        columns = [
            draw(column(name, column_name, labels))
            for column_name in draw(st.lists(st.sampled_from(NAMES), unique=True))
        ]
        if position and draw(st.booleans()):
            other = names[draw(st.integers(0, position - 1))]
            action = draw(st.sampled_from((None, "CASCADE", "SET NULL")))
            columns.append(Column("other_id", ForeignKey(f"{other}.id", ondelete=action), nullable=draw(st.booleans())))
        rest = [item for made in columns for item in draw(belongings(name, made))]
        if len(columns) > 1:
            rest += draw(shared(name, columns[0].name, columns[-1].name))
        comment = draw(st.sampled_from((None, "what it's for")))
        Table(name, metadata, Column("id", Integer, primary_key=True), *columns, *rest, comment=comment)
    return metadata


@st.composite
def column(draw: st.DrawFn, table: str, name: str, labels: list[str]) -> Column[Any]:
    kind = draw(st.sampled_from(("plain", "plain", "enum", "identity", "generated")))
    comment = draw(st.sampled_from((None, "said")))
    if kind == "enum":
        default = draw(st.sampled_from((None, labels[0])))
        return Column(
            name, Enum(*labels, name="level"), nullable=draw(st.booleans()), server_default=default, comment=comment
        )
    if kind == "identity":
        return Column(
            name, Integer, Identity(always=draw(st.booleans()), start=draw(st.integers(1, 3))), comment=comment
        )
    if kind == "generated":
        return Column(
            name, Integer, Computed(draw(st.sampled_from(("id * 2", "id + 1"))), persisted=True), comment=comment
        )
    python_type = draw(st.sampled_from((Integer, BigInteger, Text, String)))
    default = draw(st.sampled_from(DEFAULTS[python_type]))
    chosen = String(draw(st.sampled_from((5, 20)))) if python_type is String else python_type()
    return Column(name, chosen, nullable=draw(st.booleans()), server_default=default, comment=comment)


@st.composite
def belongings(draw: st.DrawFn, table: str, owner: Column[Any]) -> list[Any]:
    """Constraints and indexes of a column."""
    name, quoted = owner.name, f'"{owner.name}"'
    made: list[Any] = []
    if draw(st.booleans()):
        made.append(UniqueConstraint(name, name=draw(st.sampled_from((None, f"{table}_{name}_once")))))
    if draw(st.booleans()):
        check = draw(
            st.sampled_from((f"{quoted} IS NOT NULL OR id > 0", f"id <> 3 AND {quoted} IS NOT DISTINCT FROM {quoted}"))
        )
        made.append(CheckConstraint(check, name=f"{table}_{name}_right"))
    if draw(st.booleans()):
        where = draw(st.sampled_from((None, text(f"{quoted} IS NOT NULL"))))
        made.append(Index(f"{table}_{name}_idx", name, unique=draw(st.booleans()), postgresql_where=where))
    if draw(st.booleans()):
        made.append(Index(f"{table}_{name}_both", "id", text(f"{quoted} DESC NULLS LAST")))
    return made


@st.composite
def shared(draw: st.DrawFn, table: str, one: str, other: str) -> list[Any]:
    """Constraints and indexes of two columns, which go when either of them does."""
    made: list[Any] = []
    if draw(st.booleans()):
        made.append(UniqueConstraint(one, other, name=draw(st.sampled_from((None, f"{table}_pair_once")))))
    if draw(st.booleans()):
        check = draw(
            st.sampled_from((f'"{one}" IS NULL OR "{other}" IS NOT NULL', f'num_nulls("{one}", "{other}") < 2'))
        )
        made.append(CheckConstraint(check, name=f"{table}_pair_right"))
    if draw(st.booleans()):
        where = draw(st.sampled_from((None, text(f'"{other}" IS NOT NULL'))))
        made.append(Index(f"{table}_pair_idx", one, other, unique=draw(st.booleans()), postgresql_where=where))
    return made


@given(before=schemas(), after=schemas(), plain=st.booleans())
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="RANDOM_SCHEMAS" not in os.environ,
    print_blob=True,
    phases=[Phase.explicit, Phase.generate],  # shrinking such models takes longer than reading what failed
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_from_any_schema_to_any_other_and_back(shadow: Shadow, before: MetaData, after: MetaData, plain: bool) -> None:
    round_trip(shadow, before, after, plain=plain)
