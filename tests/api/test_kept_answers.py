"""Answers that are kept: quick, and never older than the last change that anybody was told of."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support.accounts import administrator
from tests.support.app import App

NEW = {"hiragana": "たもたれる", "english": "to be kept in mind"}


def test_a_change_shows_in_the_very_next_answer(app: App, api: httpx.Client) -> None:
    lists = [{"search": "kept in mind"}, {"page": 417, "limit": 20}, {"page": 1, "limit": 10}, {"topic": "Memory"}]
    before = [api.get("/v1/words", params=query) for query in lists]
    with administrator(app) as admin:
        word = admin.post("/v1/words", json=NEW | {"topic": "Memory"}).json()
        try:
            for number, (query, old) in enumerate(zip(lists, before, strict=True)):
                answer = api.get("/v1/words", params=query, headers={"If-None-Match": old.headers["etag"]})
                assert answer.status_code == 200, query
                assert answer.json()["pagination"]["total"] == old.json()["pagination"]["total"] + 1
                assert (word["id"] in answer.text) is (number != 2)
            path = f"/v1/words/{word['id']}"
            for turn in range(20):
                shown = api.get(path)
                changed = admin.patch(path, json={"romaji": f"turn {turn}"}).json()
                again = api.get(path, headers={"If-None-Match": shown.headers["etag"]})
                assert (again.status_code, again.json()["romaji"]) == (200, f"turn {turn}")
                assert again.json() == changed
        finally:
            admin.delete(f"/v1/words/{word['id']}")
    assert api.get(path).status_code == 404
    for query, old in zip(lists, before, strict=True):
        answer = api.get("/v1/words", params=query, headers={"If-None-Match": old.headers["etag"]})
        assert answer.status_code == 304, "the same words, so the same answer, byte by byte"


def test_an_answer_at_hand_is_like_the_first_one(api: httpx.Client) -> None:
    path = "/v1/words?limit=7&page=3"
    first, again, head = api.get(path), api.get(path), api.head(path)
    for answer in (again, head):
        assert answer.status_code == 200
        kept = {name: value for name, value in answer.headers.items() if name not in {"date", "x-request-id"}}
        assert kept == {name: value for name, value in first.headers.items() if name not in {"date", "x-request-id"}}
        assert answer.headers["x-request-id"] != first.headers["x-request-id"]
    assert (again.content, head.content) == (first.content, b"")
    foreign = api.get(path, headers={"Origin": "https://learn.example.org"})
    assert foreign.headers["access-control-allow-origin"] == "https://learn.example.org"
    assert api.get("/v1/words/?limit=7&page=3").content == first.content


@pytest.mark.parametrize(
    "path", ["/v1/words?limit=x", "/v1/words/nope", "/v1/words?after=01890000-0000-7000-8000-000000000000"]
)
def test_a_refusal_is_not_kept(api: httpx.Client, path: str) -> None:
    assert {api.get(path).status_code for _ in range(3)} <= {400, 404}


def test_readers_and_a_writer_at_once_see_no_old_word(app: App) -> None:
    """Each reader remembers the highest turn that the writer was told of before it asked."""
    with administrator(app) as admin:
        word = admin.post("/v1/words", json=NEW | {"romaji": "0"}).json()
        path = f"/v1/words/{word['id']}"
        told = 0
        done = False

        def read(_number: int) -> int:
            count = 0
            with app.client() as reader:
                while not done:
                    least = told
                    assert int(reader.get(path).json()["romaji"]) >= least
                    count += 1
            return count

        try:
            with ThreadPoolExecutor(4) as pool:
                readers = [pool.submit(read, number) for number in range(4)]
                try:
                    for turn in range(1, 60):
                        assert admin.patch(path, json={"romaji": str(turn)}).status_code == 200
                        told = turn
                finally:
                    done = True
                assert all(reader.result(60) > 0 for reader in readers)
        finally:
            admin.delete(path)
