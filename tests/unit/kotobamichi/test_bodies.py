"""Bodies: what is taken, and the message for every wrong field."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from kotobamichi.bodies import Email, Password, Text, WebAddress, parse_body
from kotobamichi.errors import BadRequest


class Answer(msgspec.Struct, rename="camel"):
    word_id: Text
    answer: str


class Sample(msgspec.Struct, rename="camel"):
    email: Email
    new_password: Password
    title: Text
    is_public: bool = False
    word_ids: Annotated[list[str], msgspec.Meta(min_length=1, max_length=3)] = []
    description: str | None = None
    level: Literal["N5", "N4"] | None = None
    address: WebAddress | None = None
    answers: list[Answer] = []
    kept: Text | msgspec.UnsetType = msgspec.UNSET


GOOD: dict[str, Any] = {"email": "A@b.co", "newPassword": " secret ", "title": " か\u3099 "}


def messages_for(**changes: Any) -> list[str]:
    given = {name: value for name, value in (GOOD | changes).items() if value is not ...}
    with pytest.raises(BadRequest) as caught:
        parse_body(msgspec.json.encode(given), Sample, frozenset({"id"}))
    assert isinstance(caught.value.message, list)
    return caught.value.message


def parsed(**changes: Any) -> Sample:
    return parse_body(msgspec.json.encode(GOOD | changes), Sample, frozenset({"id"}))


def test_texts_are_trimmed_and_in_nfc_but_a_password_is_as_it_was_typed() -> None:
    body = parsed()
    assert (body.title, body.new_password, body.email) == ("が", " secret ", "A@b.co")
    assert body.kept is msgspec.UNSET


def test_an_empty_optional_text_is_null_and_an_ignored_name_is_passed_over() -> None:
    body = parsed(description="  ", level="", address="", id=7)
    assert (body.description, body.level, body.address) == (None, None, None)


def test_every_wrong_field_is_named() -> None:
    assert messages_for(email="no", newPassword="x", title="  ", isPublic="yes", wordIds=[1], hack=1) == [
        "property hack should not exist",
        "email must be an email",
        "newPassword must be longer than or equal to 6 characters",
        "title should not be empty",
        "isPublic must be a boolean value",
        "each value in wordIds must be a string",
    ]


@pytest.mark.parametrize(
    ("changes", "messages"),
    [
        ({"email": ...}, ["email must be an email", "email must be a string"]),
        ({"email": 5}, ["email must be an email", "email must be a string"]),
        ({"title": None}, ["title should not be empty", "title must be a string"]),
        ({"title": 5}, ["title must be a string"]),
        ({"title": "a\0b"}, ["title must not contain a NUL character"]),
        ({"title": "x" * 10_001}, ["title must be shorter than or equal to 10000 characters"]),
        (
            {"newPassword": None},
            ["newPassword must be longer than or equal to 6 characters", "newPassword must be a string"],
        ),
        ({"wordIds": []}, ["wordIds should not be empty"]),
        ({"wordIds": "a"}, ["each value in wordIds must be a string", "wordIds must be an array"]),
        ({"wordIds": ["a"] * 4}, ["wordIds must contain no more than 3 elements"]),
        ({"level": "N6"}, ["level must be one of N5,N4"]),
        ({"level": 5}, ["level must be one of N5,N4"]),
        ({"address": "ftp://x.org"}, ["address must be a valid URL with protocol"]),
        ({"address": "example.org"}, ["address must be a valid URL with protocol"]),
        ({"isPublic": None}, ["isPublic must be a boolean value"]),
        ({"isPublic": 1}, ["isPublic must be a boolean value"]),
        ({"kept": None}, ["kept should not be empty", "kept must be a string"]),
        ({"answers": [{"wordId": "a"}]}, ["answers.0.answer must be a string"]),
        ({"answers": [{"wordId": "a", "answer": "", "x": 1}]}, ["answers.0.property x should not exist"]),
        ({"answers": ["a"]}, ["answers.0 must be an object"]),
    ],
)
def test_the_wording_is_that_of_the_original_validator(changes: dict[str, Any], messages: list[str]) -> None:
    assert messages_for(**changes) == messages


def test_nested_objects_become_structs() -> None:
    assert parsed(answers=[{"wordId": "a", "answer": ""}]).answers == [Answer("a", "")]


@pytest.mark.parametrize("content", [b"{", b"[1]", b'"x"', b"\xff", b'{"a": NaN}', b"[" * 100_000, b'{"a":"\\ud800"}'])
def test_what_is_no_json_object_is_told_in_one_sentence(content: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_body(content, Sample)
    assert isinstance(caught.value.message, str)


def test_no_body_at_all_lacks_every_required_field() -> None:
    with pytest.raises(BadRequest, match="title should not be empty"):
        parse_body(b"", Sample)


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("a@b.co", True),
        ("first.last+tag@sub.example.org", True),
        ("ゆき@例え.jp", True),
        ("o'brien@example.ie", True),
        ("a@b", False),
        ("a@b.c", False),
        ("a b@c.de", False),
        ("a@@b.co", False),
        ("a@b..co", False),
        ("a@b.co\nBcc: x@y.zz", False),
        ("<a@b.co>", False),
        ("a@b.co,c@d.ee", False),
        ("x" * 65 + "@b.co", False),
        ("a@" + "b." * 130 + "co", False),
    ],
)
def test_addresses(address: str, good: bool) -> None:
    if good:
        assert parsed(email=address).email == address
    else:
        assert "email must be an email" in messages_for(email=address)


NAMES = some.sampled_from(["email", "title", "wordIds", "answers", "level", "x"])
VALUES = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text(),
    lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner),
)


@given(some.dictionaries(NAMES, VALUES))
def test_nothing_but_a_refusal_comes_of_junk(junk: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        parse_body(json.dumps(junk).encode(), Sample)
