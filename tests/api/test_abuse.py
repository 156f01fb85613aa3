"""The short form of the abuse suite, and the net below every route: 401 for nobody, 403 for a learner, where the document says."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator

import httpx
import pytest
from litestar import Litestar
from litestar.exceptions import LitestarDeprecationWarning

from kotobamichi.accounts import identity
from kotobamichi.app import create_app
from kotobamichi.settings import read_settings
from tests.api.abuse import DOCUMENT, Operation, abuse, operations, stock
from tests.support.accounts import SECRET, learner
from tests.support.app import App, deploy_app_schema, started


@pytest.fixture(scope="module")
def described(api: httpx.Client) -> list[Operation]:
    return operations(api.get(DOCUMENT).json())


def test_abuse_comes_to_nothing(database_url: str) -> None:
    seed = random.randrange(2**31)
    print(f"seed {seed}")
    deploy_app_schema(database_url)
    stock(database_url)
    settings = {"DATABASE_URL": database_url, "JWT_SECRET": SECRET, "MAIL": "off"}
    with started("serve", **settings) as app:
        outcome = abuse(app.wait_until_ready(), seed, examples=2, injections=80)
    print(f"{outcome.cases} cases")
    assert not outcome.failures, f"seed {seed}\n" + "\n".join(outcome.failures)
    assert outcome.cases > 300


def test_nobody_gets_401_and_no_data_where_a_token_is_needed(described: list[Operation], app: App) -> None:
    protected = [operation for operation in described if operation.needs_token]
    assert len(protected) >= 10
    bad = (
        {}, {"Authorization": "Bearer junk"}, {"Cookie": "access_token=junk"}, {"Authorization": "Basic YTpi"},
        {"Authorization": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIiwidHlwZSI6ImFjY2VzcyJ9."},
    )  # fmt: skip
    with app.client() as client:
        for operation in protected:
            for headers in bad:
                answer = client.request(operation.method, operation.url(), headers=headers, json={})
                assert answer.status_code == 401, f"{operation.method} {operation.path}: {answer.status_code}"
                assert answer.json() == {"message": "Unauthorized", "statusCode": 401}


def test_a_learner_gets_403_where_an_administrator_is_needed(described: list[Operation], app: App) -> None:
    administrators = [operation for operation in described if operation.role == "ADMIN"]
    assert administrators
    with learner(app) as client:
        for operation in administrators:
            answer = client.request(operation.method, operation.url(), json={})
            assert answer.status_code == 403, f"{operation.method} {operation.path}: {answer.status_code}"
            assert answer.json() == {"message": "Forbidden resource", "error": "Forbidden", "statusCode": 403}


def test_the_document_says_of_every_route_who_may_use_it(described: list[Operation]) -> None:
    """The guards are what counts; the document must say the same, or the tests above would pass over a route."""
    documented = {(operation.method, operation.path): operation for operation in described}
    checked = 0
    for method, template, guards in _guarded():
        operation = documented[(method, template)]
        assert operation.needs_token == bool(guards & {identity.signed_in, identity.administrator}), (
            f"{method} {template}"
        )
        assert (operation.role == "ADMIN") == (identity.administrator in guards), (
            f"{method} {template}: describe(role=...)"
        )
        checked += 1
    assert checked == len(documented)


def _guarded() -> Iterator[tuple[str, str, set[object]]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LitestarDeprecationWarning)
        app = create_app(read_settings({"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}))
    while not isinstance(app, Litestar):
        app = app.app  # the layers around it
    for route in app.routes:
        for handler in route.route_handlers:
            if handler.resolve_include_in_schema():
                for method in handler.http_methods:
                    yield method, route.path_format, set(handler.resolve_guards())
