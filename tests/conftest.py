"""What every ring can ask for: a real PostgreSQL, and a database of its own for each test."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from urllib.parse import quote

import hypothesis
import psycopg
import pytest
from psycopg import conninfo, sql

from kotobamichi import embedded
from tests.support.servers import folder_for_server

# A runner in the background of a shell ignores Ctrl-C, and so would the commands that are tested with it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadlines: how long an example takes says something of the machine and who shares it, not of the code. A failure prints how to
# repeat it.
hypothesis.settings.register_profile(
    "tests", deadline=None, print_blob=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("tests")


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """A superuser's URL: TEST_DATABASE_URL, else an embedded PostgreSQL that lives as long as the test run."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield given
        return
    with folder_for_server() as folder, embedded.running(folder / "postgresql") as url:
        maintenance = url_of_database(url, "postgres")  # the app's own database is not there before its first deploy
        with psycopg.connect(maintenance, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")  # nobody needs these databases after a power cut
            connection.execute("SELECT pg_reload_conf()")
        yield maintenance


@pytest.fixture
def database_url(server_url: str) -> Iterator[str]:
    """A fresh, empty database, dropped after the test whoever is still connected."""
    name = f"test_{uuid.uuid4().hex[:16]}"
    with psycopg.connect(server_url, autocommit=True, connect_timeout=10) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE template0 STRATEGY FILE_COPY").format(sql.Identifier(name))
        )
        try:
            yield url_of_database(server_url, name)
        finally:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def url_of_database(server_url: str, name: str) -> str:
    """The same server and role, another database."""
    given = conninfo.conninfo_to_dict(server_url)
    user, password, host, port = (str(given.get(key) or "") for key in ("user", "password", "host", "port"))
    login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    sslmode = f"&sslmode={given['sslmode']}" if given.get("sslmode") else ""
    return f"postgresql://{login}@/{quote(name)}?host={quote(host, safe='')}&port={port or 5432}{sslmode}"
