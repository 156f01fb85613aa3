"""Who may do what: every route that takes an id, and every route that needs a role, for everybody who may ask.

A row is a route and the status for each asker: nobody, another learner, the owner, an administrator. To add one is to add a line;
`{public}` and `{private}` are quizzes of the owner, `{attempt}` an attempt of the owner's at the public one. What a row changes it
changes only for those who may, and each asker finds everything as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.support.accounts import SignedIn, administrator, learner
from tests.support.app import App

ASKERS = ("nobody", "other", "owner", "admin")


@dataclass(frozen=True)
class Row:
    method: str
    path: str
    statuses: tuple[int, int, int, int]
    body: Any = None


ROWS = [
    Row("GET", "/v1/quizzes/{public}", (200, 200, 200, 200)),
    Row("GET", "/v1/quizzes/{private}", (404, 404, 200, 200)),
    Row("POST", "/v1/quizzes/{public}/submit", (401, 201, 201, 201), {"answers": [{"wordId": "{word}", "answer": "x"}]}),
    Row("POST", "/v1/quizzes/{private}/submit", (401, 404, 201, 201), {"answers": [{"wordId": "{word}", "answer": "x"}]}),
    Row("DELETE", "/v1/quizzes/{public}", (401, 403, 200, 200)),
    Row("DELETE", "/v1/quizzes/{private}", (401, 404, 200, 200)),
    Row("GET", "/v1/users/me/attempts/{attempt}", (401, 404, 200, 404)),
    Row("GET", "/v1/progress?after={progress}", (401, 400, 200, 400)),
    Row("POST", "/v1/quizzes", (401, 201, 201, 201), {"title": "t", "wordIds": ["{word}"]}),
    Row("GET", "/v1/quizzes/my-quizzes", (401, 200, 200, 200)),
    Row("GET", "/v1/users/me", (401, 200, 200, 200)),
    Row("GET", "/v1/users/me/stats", (401, 200, 200, 200)),
    Row("GET", "/v1/users/me/attempts", (401, 200, 200, 200)),
    Row("GET", "/v1/progress", (401, 200, 200, 200)),
]  # fmt: skip


@dataclass
class Askers:
    nobody: httpx.Client
    other: SignedIn
    owner: SignedIn
    admin: SignedIn


@pytest.fixture(scope="module")
def askers(app: App) -> Iterator[Askers]:
    with app.client() as nobody, learner(app) as other, learner(app) as owner, administrator(app) as admin:
        yield Askers(nobody, other, owner, admin)


@pytest.fixture
def ids(askers: Askers) -> Iterator[dict[str, str]]:
    """Fresh things of the owner's."""
    word = askers.nobody.get("/v1/words?limit=1").json()["words"][0]["id"]
    made = {}
    for name in ("public", "private"):
        quiz = {"title": name, "isPublic": name == "public", "wordIds": [word]}
        made[name] = askers.owner.post("/v1/quizzes", json=quiz).json()["id"]
    answers = {"answers": [{"wordId": word, "answer": "x"}]}
    attempt = askers.owner.post(f"/v1/quizzes/{made['public']}/submit", json=answers).json()["attemptId"]
    progress = askers.owner.get("/v1/progress?limit=1").json()[0]["id"]
    yield made | {"word": word, "attempt": attempt, "progress": progress}
    for name in ("public", "private"):
        askers.owner.delete(f"/v1/quizzes/{made[name]}")


def filled(value: Any, ids: dict[str, str]) -> Any:
    if isinstance(value, str):
        return value.format_map(ids) if value.startswith(("{", "/")) else value
    if isinstance(value, dict):
        return {key: filled(item, ids) for key, item in value.items()}
    return [filled(item, ids) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.method} {row.path}")
@pytest.mark.parametrize("asker", ASKERS)
def test_who_may_do_what(askers: Askers, ids: dict[str, str], row: Row, asker: str) -> None:
    client: httpx.Client = getattr(askers, asker)
    body = {} if row.body is None else {"json": filled(row.body, ids)}
    answer = client.request(row.method, filled(row.path, ids), **body)
    assert answer.status_code == row.statuses[ASKERS.index(asker)], answer.text


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.method} {row.path}")
def test_a_token_that_does_not_count_is_nobody(app: App, askers: Askers, ids: dict[str, str], row: Row) -> None:
    body = {} if row.body is None else {"json": filled(row.body, ids)}
    with app.client() as client:
        answer = client.request(row.method, filled(row.path, ids), headers={"Authorization": "Bearer x.y.z"}, **body)
    assert answer.status_code == row.statuses[0]
