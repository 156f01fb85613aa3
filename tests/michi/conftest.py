"""An operator with a fresh database and an empty folder; a server that takes passwords, for what needs TCP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.operator import Operator
from tests.support.servers import PasswordServer, password_server


@pytest.fixture
def operator(database_url: str, tmp_path: Path) -> Operator:
    folder = tmp_path / "migrations"
    folder.mkdir()
    return Operator(database_url, folder)


@pytest.fixture(scope="session")
def running_password_server() -> Iterator[PasswordServer]:
    with password_server() as server:
        server.start()
        yield server
