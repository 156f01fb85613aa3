"""Plays the golden requests of every table in tests/api/golden, in order, and compares the answers."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from tests.api import golden
from tests.api.golden import Case, differences, fill, value_at
from tests.support.accounts import administrator, learner
from tests.support.app import App

TABLES: dict[str, list[Case]] = {
    module.name: importlib.import_module(f"tests.api.golden.{module.name}").CASES
    for module in pkgutil.iter_modules(golden.__path__)
}


class Stage:
    """Who asks, and what earlier cases of a table have kept."""

    def __init__(self, app: App, cases: list[Case], stack: ExitStack) -> None:
        self.cases = cases
        self.played = 0
        self.kept: dict[str, Any] = {}
        self.clients: dict[str, httpx.Client] = {
            "nobody": stack.enter_context(app.client()),
            "learner": stack.enter_context(learner(app)),
            "other": stack.enter_context(learner(app)),
            "admin": stack.enter_context(administrator(app)),
        }
        for name in ("learner", "other", "admin"):
            person: Any = self.clients[name]
            self.kept |= {f"{name}_id": person.id, f"{name}_email": person.email}

    def play(self, number: int) -> list[str]:
        """What is wrong with the answer to this case. Run alone, it first plays those before it."""
        while self.played < number:
            self._ask(self.cases[self.played])
        return self._ask(self.cases[number])

    def _ask(self, case: Case) -> list[str]:
        self.played += 1
        client = self.clients[case.who]
        client.cookies.clear()
        headers = {name: fill(value, self.kept) for name, value in case.headers.items()}
        if case.cookies:
            pairs = fill(dict(case.cookies), self.kept)
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in pairs.items())
        body = fill(case.body, self.kept)
        content: dict[str, Any] = (
            {} if body is None else {"content": body} if isinstance(body, bytes) else {"json": body}
        )
        answer = client.request(case.method, fill(case.path, self.kept), headers=headers, **content)
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        actual = answer.json() if is_json else answer.text
        if answer.status_code != case.status:
            return [f"the status is {answer.status_code}, expected {case.status}: {actual}"]
        self.kept |= {name: value_at(path, actual) for name, path in case.keep.items()}
        return differences(fill(case.expected, self.kept), actual)


@pytest.fixture(scope="session")
def stages(app: App) -> Iterator[dict[str, Stage]]:
    with ExitStack() as stack:
        yield {name: Stage(app, cases, stack) for name, cases in TABLES.items()}


@pytest.mark.parametrize(
    ("table", "number"),
    [
        pytest.param(table, number, id=f"{table}: {case.name}")
        for table, cases in TABLES.items()
        for number, case in enumerate(cases)
    ],
)
def test_golden(stages: dict[str, Stage], table: str, number: int) -> None:
    wrong = stages[table].play(number)
    assert not wrong, "\n".join(wrong)
