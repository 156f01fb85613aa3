"""Databases with the app's schema, built by our migrations."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from kotobamichi.ids import new_id
from tests.conftest import url_of_database
from tests.support.app import deploy_app_schema

Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def schema_url(database_url: str) -> str:
    deploy_app_schema(database_url)
    return database_url


@pytest.fixture
def connection(schema_url: str) -> Iterator[Connection]:
    with psycopg.connect(schema_url, autocommit=True) as opened:
        yield opened


@pytest.fixture(scope="session")
def shared_url(server_url: str) -> Iterator[str]:
    """One database with the schema for many tests: building it takes longer than most of them."""
    name = f"shared_{new_id().hex[-12:]}"
    url = url_of_database(server_url, name)
    deploy_app_schema(url)
    yield url
    with psycopg.connect(server_url, autocommit=True) as opened:
        opened.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def people_url(shared_url: str) -> str:
    """The shared database with no accounts and no mails in it."""
    with psycopg.connect(shared_url) as opened:
        opened.execute("TRUNCATE outbox, mail_requests, users RESTART IDENTITY CASCADE")
    return shared_url
