"""Quizzes over HTTP: what the golden table does not say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.accounts import SignedIn, administrator, learner
from tests.support.app import App


@pytest.fixture(scope="module")
def maker(app: App) -> Iterator[SignedIn]:
    with learner(app) as client:
        yield client


@pytest.fixture(scope="module")
def words(api: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get("/v1/words?limit=20").json()["words"]
    return found


@pytest.fixture(scope="module")
def quiz(maker: SignedIn, words: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    new = {"title": "twenty", "isPublic": True, "wordIds": [word["id"] for word in words]}
    made: dict[str, Any] = maker.post("/v1/quizzes", json=new).json()
    yield made
    maker.delete(f"/v1/quizzes/{made['id']}")


def submit(client: httpx.Client, quiz: dict[str, Any], answers: list[Any]) -> httpx.Response:
    pairs = zip(quiz["quizWords"], answers, strict=True)
    body = {"answers": [{"wordId": question["wordId"], "answer": answer} for question, answer in pairs]}
    return client.post(f"/v1/quizzes/{quiz['id']}/submit", json=body)


def test_all_right_is_100_and_the_progress_says_when_to_review(
    app: App, quiz: dict[str, Any], words: list[dict[str, Any]]
) -> None:
    with learner(app) as client:
        answer = submit(client, quiz, [word["english"] for word in words]).json()
        assert (answer["score"], answer["correctAnswers"], answer["totalQuestions"]) == (100, 20, 20)
        progress = client.get("/v1/progress").json()
        assert sorted(entry["wordId"] for entry in progress) == sorted(word["id"] for word in words)
        assert {entry["masteryLevel"] for entry in progress} == {1}
        assert all(entry["nextReviewAt"] > entry["lastReviewedAt"] for entry in progress)
        first = client.get("/v1/progress?limit=15")
        rest = client.get(first.links["next"]["url"])
        assert [*first.json(), *rest.json()] == progress
        assert "link" not in rest.headers


def test_answers_come_in_any_order_and_results_in_the_order_of_the_quiz(app: App, quiz: dict[str, Any]) -> None:
    ids = [question["wordId"] for question in quiz["quizWords"]]
    body = {
        "answers": [{"wordId": word.upper(), "answer": f"answer {n}"} for n, word in reversed(list(enumerate(ids)))]
    }
    with learner(app) as client:
        results = client.post(f"/v1/quizzes/{quiz['id']}/submit", json=body).json()["results"]
    assert [result["wordId"] for result in results] == ids
    assert [result["userAnswer"] for result in results] == [f"answer {n}" for n in range(20)]


TYPED = [
    "", " ", "  to meet  ", '"', "\\", "{}", "{a,b}", "NULL", "null", "😀", "a\nb\tc", "<b>&amp;</b>", "'; DROP TABLE attempts; --",
    "か\u3099", "x" * 1000, None, "\u202e", "\x01", "%s", "$1",
]  # fmt: skip


def test_what_was_typed_is_stored_and_told_as_it_was(app: App, quiz: dict[str, Any]) -> None:
    with learner(app) as client:
        submitted = submit(client, quiz, TYPED)
        assert submitted.status_code == 201, submitted.text
        assert [result["userAnswer"] for result in submitted.json()["results"]] == [typed or "" for typed in TYPED]
        attempt = client.get(f"/v1/users/me/attempts/{submitted.json()['attemptId']}").json()
        assert attempt["results"] == submitted.json()["results"]
        assert attempt["score"] == submitted.json()["score"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("a\0b", "answers.0.answer must not contain a NUL character"),
        ("x" * 1001, "answers.0.answer must be shorter than or equal to 1000 characters"),
        (7, "answers.0.answer must be a string"),
        (["x"], "answers.0.answer must be a string"),
    ],
)
def test_what_cannot_be_an_answer_is_refused(app: App, quiz: dict[str, Any], answer: Any, message: str) -> None:
    with learner(app) as client:
        refused = submit(client, quiz, [answer, *[""] * 19])
        assert (refused.status_code, refused.json()["message"]) == (400, [message])
        assert client.get("/v1/users/me/stats").json()["totalAttempts"] == 0


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'"x"', b"\xff", b'{"answers": [{"wordId": "\\ud800"}]}', b'{"answers": ' + b"[" * 5000]
)
def test_what_is_no_submission_is_refused(maker: SignedIn, quiz: dict[str, Any], body: bytes) -> None:
    assert maker.post(f"/v1/quizzes/{quiz['id']}/submit", content=body).status_code == 400


def test_an_answer_for_another_word_is_passed_over(app: App, quiz: dict[str, Any]) -> None:
    body = {"answers": [{"wordId": question["wordId"], "answer": ""} for question in quiz["quizWords"]]}
    body["answers"].append({"wordId": quiz["id"], "answer": "x"})
    with learner(app) as client:
        assert client.post(f"/v1/quizzes/{quiz['id']}/submit", json=body).json()["totalQuestions"] == 20


def test_a_list_and_a_quiz_have_etags_that_change_with_them(app: App, maker: SignedIn, quiz: dict[str, Any]) -> None:
    for path in ("/v1/quizzes", f"/v1/quizzes/{quiz['id']}"):
        first = maker.get(path)
        again = maker.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        with learner(app) as other:
            submit(other, quiz, [""] * 20)
        assert maker.get(path, headers={"If-None-Match": first.headers["etag"]}).status_code == 200
        head = maker.head(path)
        assert (head.status_code, head.content) == (200, b"")


def test_everybody_writes_in_their_own_name(app: App, words: list[dict[str, Any]]) -> None:
    """The original took the user's id from the wrong field of the token, and every write of a quiz failed."""
    with learner(app) as first, learner(app) as second:
        for client in (first, second, first):
            made = client.post("/v1/quizzes", json={"title": "own", "wordIds": [words[0]["id"]]}).json()
            assert made["createdById"] == made["creator"]["id"] == client.id
            attempt = submit(client, made, ["x"]).json()["attemptId"]
            assert client.get(f"/v1/users/me/attempts/{attempt}").json()["userId"] == client.id
            assert client.delete(f"/v1/quizzes/{made['id']}").status_code == 200


def test_deleting_a_word_empties_no_quiz_and_answers_to_it_still_count(app: App, maker: SignedIn) -> None:
    """In the original the quiz silently lost its questions."""
    with administrator(app) as admin, learner(app) as taker:
        word = admin.post("/v1/words", json={"hiragana": "けされることば", "english": "to be deleted"}).json()
        quiz = maker.post("/v1/quizzes", json={"title": "t", "isPublic": True, "wordIds": [word["id"]]}).json()
        assert admin.delete(f"/v1/words/{word['id']}").status_code == 200
        assert taker.get(f"/v1/words/{word['id']}").status_code == 404
        assert taker.get(f"/v1/quizzes/{quiz['id']}").json()["quizWords"] == quiz["quizWords"]
        answer = submit(taker, quiz, ["kesareru kotoba"]).json()
        assert (answer["score"], answer["results"][0]["isCorrect"]) == (100, True)
        assert taker.get("/v1/progress").json()[0]["word"]["english"] == "to be deleted"
        refused = maker.post("/v1/quizzes", json={"title": "t", "wordIds": [word["id"]]})
        assert (refused.status_code, refused.json()["message"]) == (400, "One or more words not found")
        maker.delete(f"/v1/quizzes/{quiz['id']}")


@pytest.mark.parametrize("title", ["a" * 301, "\0", "\u2003", "\t\n", ""])
def test_titles_that_are_none_are_refused(maker: SignedIn, words: list[dict[str, Any]], title: str) -> None:
    answer = maker.post("/v1/quizzes", json={"title": title, "wordIds": [words[0]["id"]]})
    assert answer.status_code == 400
    assert answer.json()["message"][0].startswith("title ")
