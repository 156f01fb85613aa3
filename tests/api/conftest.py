"""One app for the whole ring, started as an operator would, on a database built by our migrations with the real vocabulary."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import httpx
import psycopg
import pytest

from tests.conftest import url_of_database
from tests.support.accounts import SECRET
from tests.support.app import App, deploy_app_schema, kotobamichi, started


@pytest.fixture(scope="session")
def vocabulary_url(server_url: str) -> Iterator[str]:
    """A database with the schema and all 8,334 words."""
    name = f"vocabulary_{uuid.uuid4().hex[:12]}"
    url = url_of_database(server_url, name)
    deploy_app_schema(url)
    loaded = kotobamichi("words", "load", DATABASE_URL=url)
    assert loaded.returncode == 0, loaded.stderr
    yield url
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("DROP DATABASE {} WITH (FORCE)").format(psycopg.sql.Identifier(name)))


@pytest.fixture(scope="session")
def app(vocabulary_url: str) -> Iterator[App]:
    """Limits are off: tests ask from one address far more often than a person does."""
    settings = {"JWT_SECRET": SECRET, "RATE_LIMIT": "off", "CORS_ORIGIN": "https://learn.example.org"}
    with started("serve", DATABASE_URL=vocabulary_url, **settings) as running:
        yield running.wait_until_ready()


@pytest.fixture(scope="session")
def api(app: App) -> Iterator[httpx.Client]:
    with app.client() as client:
        yield client
