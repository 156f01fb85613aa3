"""Alive and ready: the app waits for its schema, and never serves a database that it does not fit."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg

from kotobamichi.settings import MIGRATIONS
from michi.folder import read_folder
from tests.support.app import deploy_app_schema, kotobamichi, started
from tests.support.operator import wait_until
from tests.support.servers import free_port

HEAD = read_folder(MIGRATIONS).head


def test_health_is_alive_with_a_timestamp(api: httpx.Client) -> None:
    body = api.get("/v1/health").json()
    assert body["status"] == "ok"
    assert body["timestamp"].endswith("Z")
    assert len(body["timestamp"]) == 24


def test_ready_names_the_expected_and_the_actual_schema(api: httpx.Client) -> None:
    answer = api.get("/v1/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "database": "up",
        "schema": {"expected": HEAD, "actual": HEAD, "state": "ready"},
    }


def test_p04_the_app_waits_for_its_schema_and_then_serves_without_a_restart(database_url: str) -> None:
    with started("serve", DATABASE_URL=database_url) as app, app.wait_until_alive().client() as client:
        waiting = client.get("/v1/health/ready")
        assert waiting.status_code == 503
        assert waiting.json()["schema"] == {"expected": HEAD, "actual": None, "state": "pending"}
        refused = client.get("/v1/words")
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["statusCode"] == 503
        deploy_app_schema(database_url)
        app.wait_until_ready()
        deadline = time.monotonic() + 5
        while client.get("/v1/words").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert client.get("/v1/words").json()["words"] == []


def test_p05_an_app_that_is_too_old_ends_with_one_sentence(database_url: str) -> None:
    deploy_app_schema(database_url)
    _mark_applied(database_url, "20990101000000_drop_something", phase="contract")
    ended = kotobamichi("serve", DATABASE_URL=database_url, HOST="127.0.0.1", PORT=str(free_port()))
    assert ended.returncode == 4
    assert "too old" in ended.stderr
    assert "20990101000000_drop_something" in ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout


def test_a_newer_database_that_only_grew_is_served(database_url: str) -> None:
    deploy_app_schema(database_url)
    _mark_applied(database_url, "20990101000000_add_something", phase="expand")
    with started("serve", DATABASE_URL=database_url) as app:
        app.wait_until_ready()


def test_an_app_whose_schema_never_comes_gives_up_and_says_so(database_url: str) -> None:
    with started("serve", DATABASE_URL=database_url, SCHEMA_WAIT="1s") as app:
        assert app.process.wait(20) == 3
        assert "within 1 s" in app.output
        assert "The database lacks" in app.output
        assert "Traceback" not in app.output


def test_the_app_announces_its_schema_to_postgresql(vocabulary_url: str, api: httpx.Client) -> None:
    with psycopg.connect(vocabulary_url) as connection:
        rows = connection.execute(
            "SELECT application_name FROM pg_stat_activity WHERE datname = current_database()"
        ).fetchall()
    assert (f"kotobamichi/{HEAD}",) in rows


def test_a_restarted_database_is_found_again(database_url: str) -> None:
    """Every connection of the app is cut, as by a restart of PostgreSQL: the next requests are served."""
    deploy_app_schema(database_url)
    with started("serve", DATABASE_URL=database_url) as app, app.wait_until_ready().client() as client:
        assert client.get("/v1/words").status_code == 200
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'kotobamichi/%'"
                " AND datname = current_database()"
            )
        answers = [client.get("/v1/words").status_code for _ in range(20)]
        assert set(answers) <= {200, 503}
        assert answers[-1] == 200


def test_a_statement_that_takes_too_long_is_told_apart_from_a_database_that_is_away(database_url: str) -> None:
    deploy_app_schema(database_url)
    with (
        started("serve", DATABASE_URL=database_url) as app,
        app.wait_until_ready().client() as client,
        psycopg.connect(database_url) as holder,
        ThreadPoolExecutor() as pool,
    ):
        holder.execute("LOCK TABLE words IN ACCESS EXCLUSIVE MODE")
        asked = pool.submit(client.get, "/v1/words?search=inu")
        wait_until(lambda: _cancel_what_waits(database_url) > 0, "a statement that waits")
        answer = asked.result()
        holder.rollback()
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["message"] == "The database is too busy to answer in time. Try again in a moment."
        assert "database.busy" in app.output
        assert client.get("/v1/words?search=inu").status_code == 200


def _cancel_what_waits(url: str) -> int:
    """As statement_timeout does, without waiting for it."""
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND application_name LIKE 'kotobamichi/%' AND datname = current_database()"
        ).rowcount


def _mark_applied(url: str, migration: str, *, phase: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO _michi_ledger (migration, checksum, phase, statements_total, statements_done, verdict)"
            " VALUES (%s, 'x', %s, 1, 1, 'applied')",
            (migration, phase),
        )
