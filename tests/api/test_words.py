"""GET /v1/words and /v1/words/{id}."""

from __future__ import annotations

import re
import uuid
from typing import Any

import httpx
import pytest

from kotobamichi.words.content import content_hash

ITEM = {
    "id", "hiragana", "katakana", "kanji", "romaji", "english", "meaning", "pronunciationUrl", "pronunciation", "level", "topic",
    "partOfSpeech", "createdAt",
}  # fmt: skip
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def words_of(api: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    answer = api.get("/v1/words", params=query)
    assert answer.status_code == 200, answer.text
    words: list[dict[str, Any]] = answer.json()["words"]
    return words


def pagination_of(api: httpx.Client, **query: Any) -> dict[str, int]:
    pagination: dict[str, int] = api.get("/v1/words", params=query).json()["pagination"]
    return pagination


def test_the_whole_jlpt_vocabulary_is_there(api: httpx.Client) -> None:
    assert pagination_of(api) == {"page": 1, "limit": 10, "total": 8334, "totalPages": 834}


@pytest.mark.parametrize(("level", "total"), [("N5", 662), ("N4", 632), ("N3", 1784), ("N2", 1793), ("N1", 3463)])
def test_a_level_has_its_own_words_and_total(api: httpx.Client, level: str, total: int) -> None:
    words = words_of(api, level=level, limit=5)
    assert [word["level"] for word in words] == [level] * 5
    assert pagination_of(api, level=level)["total"] == total


def test_an_item_has_exactly_the_fields_of_the_contract(api: httpx.Client) -> None:
    for word in words_of(api, limit=50):
        assert word.keys() == ITEM
        assert word["meaning"] == word["english"]
        assert word["pronunciation"] == word["pronunciationUrl"]
        assert INSTANT.fullmatch(word["createdAt"])
        assert uuid.UUID(word["id"]).version == 7


def test_pages_follow_each_other_without_gap_or_overlap(api: httpx.Client) -> None:
    at_once = [word["id"] for word in words_of(api, limit=60)]
    by_page = [word["id"] for page in (1, 2, 3) for word in words_of(api, limit=20, page=page)]
    assert by_page == at_once
    assert at_once == sorted(at_once), "oldest first: ids of version 7 grow with time"


def test_a_deep_page_is_the_same_as_a_walk_by_cursor(api: httpx.Client) -> None:
    deep = [word["id"] for word in words_of(api, limit=1000, page=8)]
    walked = [word["id"] for word in words_of(api, limit=1000, after=words_of(api, limit=1000, page=7)[-1]["id"])]
    assert deep == walked
    assert len(deep) == 1000


def test_a_page_past_the_end_is_empty_and_still_tells_the_total(api: httpx.Client) -> None:
    answer = api.get("/v1/words", params={"page": 999999999999999, "limit": 1000})
    assert answer.status_code == 200
    assert answer.json() == {
        "words": [],
        "pagination": {"page": 999999999999999, "limit": 1000, "total": 8334, "totalPages": 9},
    }


def test_a_limit_over_a_thousand_is_a_thousand_and_says_so(api: httpx.Client) -> None:
    answer = api.get("/v1/words", params={"limit": 5000}).json()
    assert len(answer["words"]) == 1000
    assert answer["pagination"]["limit"] == 1000


@pytest.mark.parametrize(
    ("query", "messages"),
    [
        ("limit=abc", ["limit must be an integer number"]),
        ("limit=-5", ["limit must not be less than 1"]),
        ("limit=0", ["limit must not be less than 1"]),
        ("page=0", ["page must not be less than 1"]),
        ("page=1.5", ["page must be an integer number"]),
        ("page=1e3", ["page must be an integer number"]),
        ("page=%EF%BC%91", ["page must be an integer number"]),
        ("page=" + "9" * 5000, ["page must be an integer number"]),
        ("level=N6", ["level must be one of N5,N4,N3,N2,N1"]),
        ("after=018900000-000-7000-8000-000000000000", ["after must be the id of a word"]),
        ("after=nope", ["after must be the id of a word"]),
        ("after=01890000-0000-7000-8000-000000000000", ["after must be the id of a word"]),
        ("search=a%00b", ["search must not contain a NUL character"]),
        (
            "page=x&limit=y&level=z",
            [
                "page must be an integer number",
                "limit must be an integer number",
                "level must be one of N5,N4,N3,N2,N1",
            ],
        ),
    ],
)
def test_junk_in_the_query_is_told_field_by_field(api: httpx.Client, query: str, messages: list[str]) -> None:
    answer = api.get(f"/v1/words?{query}")
    assert answer.status_code == 400
    assert answer.json() == {"message": messages, "error": "Bad Request", "statusCode": 400}


@pytest.mark.parametrize("query", ["page=", "limit=", "level=", "search=", "after=", "unknown=1", "search=%FF%FE"])
def test_an_empty_or_unknown_parameter_changes_nothing_or_finds_nothing(api: httpx.Client, query: str) -> None:
    assert api.get(f"/v1/words?{query}").status_code == 200


@pytest.mark.parametrize(
    ("search", "hiragana"),
    [("会う", "あう"), ("あう", "あう"), ("to meet", "あう"), ("TO MEET", "あう"), ("ｔｏ　ｍｅｅｔ", "あう")],
)
def test_search_finds_by_any_spelling_whatever_the_width_and_case(
    api: httpx.Client, search: str, hiragana: str
) -> None:
    assert hiragana in {word["hiragana"] for word in words_of(api, search=search, limit=1000)}


@pytest.mark.parametrize("search", ["%", "_", "\\", "'; DROP TABLE words; --", "%%%"])
def test_search_takes_signs_literally(api: httpx.Client, search: str) -> None:
    for word in words_of(api, search=search, limit=1000):
        texts = " ".join(str(word[key]) for key in ("hiragana", "katakana", "kanji", "romaji", "english"))
        assert search in texts


def test_search_and_level_narrow_together_and_count_what_matches(api: httpx.Client) -> None:
    found = words_of(api, search="water", level="N5", limit=1000)
    assert found
    assert all(word["level"] == "N5" and "water" in word["english"].lower() for word in found)
    assert pagination_of(api, search="water", level="N5")["total"] == len(found)


def test_a_word_is_shown_whole(api: httpx.Client) -> None:
    item = words_of(api, search="会う", limit=1)[0]
    word = api.get(f"/v1/words/{item['id']}").json()
    assert word.keys() == ITEM | {"updatedAt", "contentHash", "examples"}
    assert {key: word[key] for key in ITEM} == item
    assert word["contentHash"] == content_hash(word["hiragana"], word["kanji"], word["english"])
    assert all(example.keys() == {"ja", "en"} for example in word["examples"])
    assert api.get(f"/v1/words/{item['id'].upper()}").json() == word


@pytest.mark.parametrize(
    "word_id",
    [
        "abc",
        "1",
        "01890000-0000-7000-8000-000000000000",
        "{01890000-0000-7000-8000-000000000000}",
        "018900000-000-7000-8000-000000000000",
        "%00",
        "あ",
        "' OR 1=1",
    ],
)
def test_what_is_no_word_is_404_with_the_id_in_the_message(api: httpx.Client, word_id: str) -> None:
    answer = api.get(f"/v1/words/{word_id}")
    assert answer.status_code == 404
    shown = "\0" if word_id == "%00" else word_id
    assert answer.json() == {"message": f"Word with ID {shown} not found", "error": "Not Found", "statusCode": 404}
