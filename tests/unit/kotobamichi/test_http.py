"""Small rules of the HTTP layer."""

from __future__ import annotations

import pytest

from kotobamichi.conventions import NEEDS_DATABASE, matches
from kotobamichi.db import InstantLoader
from kotobamichi.http import error_body
from kotobamichi.ids import new_id, parse_id


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        (b"2026-01-02 03:04:05.678+00", "2026-01-02T03:04:05.678Z"),
        (b"2026-01-02 03:04:05.6+00", "2026-01-02T03:04:05.600Z"),
        (b"2026-01-02 03:04:05.67+00", "2026-01-02T03:04:05.670Z"),
        (b"2026-01-02 03:04:05+00", "2026-01-02T03:04:05.000Z"),
        (b"2026-01-02 03:04:05.678901+00", "2026-01-02T03:04:05.678Z"),
    ],
)
def test_an_instant_is_shown_with_three_digits_and_z(stored: bytes, shown: str) -> None:
    assert InstantLoader(0).load(stored) == shown


@pytest.mark.parametrize(
    ("if_none_match", "same"),
    [
        (b'W/"a"', True),
        (b'"a"', True),
        (b"*", True),
        (b'"b", W/"a"', True),
        (b'W/"b"', False),
        (b"a", False),
        (b"", False),
    ],
)
def test_tags_are_compared_weakly(if_none_match: bytes, same: bool) -> None:
    assert matches(if_none_match, b'W/"a"') is same


@pytest.mark.parametrize("path", ["/v1/words", "/v1/words/1", "/v1/healthy", "/v1/docs2"])
def test_a_route_with_data_waits_for_the_schema(path: str) -> None:
    assert NEEDS_DATABASE.match(path)


@pytest.mark.parametrize("path", ["/v1", "/v1/health", "/v1/health/ready", "/v1/docs", "/v1/docs/assets/x.js", "/nope"])
def test_a_route_without_data_does_not(path: str) -> None:
    assert not NEEDS_DATABASE.match(path)


def test_an_error_body_names_the_status_only_where_it_is_told() -> None:
    assert error_body(401, "Unauthorized") == {"message": "Unauthorized", "statusCode": 401}
    assert list(error_body(404, "x", "Not Found")) == ["message", "error", "statusCode"]


def test_ids_grow_with_time() -> None:
    ids = [new_id() for _ in range(1000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 1000


@pytest.mark.parametrize(
    "text", ["", "abc", "0" * 32, "{" + "0" * 34 + "}", "urn:uuid:01890000-0000-7000-8000-0000", "あ" * 36]
)
def test_what_is_no_id_is_none(text: str) -> None:
    assert parse_id(text) is None
