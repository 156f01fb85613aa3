"""Databases with the app's schema, built by our migrations."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

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
