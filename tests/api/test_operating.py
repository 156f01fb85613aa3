"""What an operator sees and does: numbers of the whole server, its log, a worker that crashed, a stop that loses nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.api.test_incoming import answer_on, connect
from tests.api.test_limits import asked
from tests.support.accounts import SECRET
from tests.support.app import App, started
from tests.support.servers import free_port

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"
ROW = re.compile(r"\| `(kotobamichi_\w+)` \| (\w+) \|([^|]*)\|")
TOKEN = "for the monitor alone"
PATIENCE_SECONDS = 30.0


@pytest.fixture(scope="module")
def server(vocabulary_url: str) -> Iterator[App]:
    """Two workers, watched on a port of their own and on the API's, with a log for machines."""
    settings = {"METRICS_PORT": str(free_port()), "METRICS_TOKEN": TOKEN, "LOG_FORMAT": "json", "JWT_SECRET": SECRET}
    with started("serve", "--workers", "2", DATABASE_URL=vocabulary_url, MAIL="off", **settings) as app:
        yield app.wait_until_ready()


def scrape(server: App) -> dict[str, Metric]:
    """The families by name, through the strict parser."""
    answer = httpx.get(f"http://127.0.0.1:{server.settings['METRICS_PORT']}/metrics", timeout=30)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def value(families: dict[str, Metric], family: str, sample: str | None = None, **labels: str) -> float:
    """The sum of the samples with these labels."""
    found = [one for one in families[family].samples if one.name == (sample or family)]
    return sum(one.value for one in found if labels.items() <= one.labels.items())


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.05)


def events(server: App) -> list[dict[str, Any]]:
    """The log, each line of it an object; the command's own first lines are for people."""
    return [json.loads(line) for line in server.output.splitlines() if line.startswith("{")]


def test_the_numbers_are_those_of_all_workers_whoever_answers(server: App) -> None:
    words = {"family": "kotobamichi_http_requests", "sample": "kotobamichi_http_requests_total", "route": "/v1/words"}
    before = value(scrape(server), **words)
    assert asked(server, 40) == {200: 40}
    assert asked(server, 5, "/v1/words?limit=junk") == {400: 5}
    assert asked(server, 3, "/v1/nope/%0d%0aX:%20y") == {404: 3}
    for _ in range(8):  # some by the one worker, some by the other
        families = scrape(server)
        assert value(families, **words) == before + 45
        assert value(families, **words, status="400") >= 5
    assert value(families, "kotobamichi_http_requests", "kotobamichi_http_requests_total", route="-", status="404") >= 3
    assert value(families, "kotobamichi_workers") == 2
    durations = "kotobamichi_http_request_duration_seconds"
    assert value(families, durations, f"{durations}_count", route="/v1/words") == before + 45
    assert value(families, durations, f"{durations}_bucket", route="/v1/words", le="+Inf") == before + 45
    assert value(families, durations, f"{durations}_sum", route="/v1/words") > 0
    assert value(families, "kotobamichi_database_up") == value(families, "kotobamichi_schema_ready") == 1
    assert value(families, "kotobamichi_resident_memory_bytes") > 2**24
    assert value(families, "kotobamichi_pool_connections_limit") == 20
    assert value(families, "kotobamichi_outbox_waiting") >= 0
    schema = families["kotobamichi_schema"].samples[0].labels
    assert schema["expected"] == schema["actual"] != ""


def test_the_reference_describes_all_numbers_and_no_others(server: App) -> None:
    asked(server, 1)
    described = {
        name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in ROW.findall(REFERENCE.read_text())
    }
    suffixes = {"counter": "_total", "info": "_info"}
    given = {
        family.name + suffixes.get(family.type, ""): (
            family.type,
            {label for sample in family.samples for label in sample.labels} - {"le"},
        )
        for family in scrape(server).values()
    }
    assert described == given


def test_on_the_apis_port_the_numbers_need_their_token(server: App) -> None:
    for headers in ({}, {"Authorization": "Bearer guess"}, {"Authorization": TOKEN}, {"Authorization": "Bearer ü"}):
        encoded = {name: text.encode() for name, text in headers.items()}
        assert httpx.get(f"{server.url}/metrics", headers=encoded).status_code == 401
    answer = httpx.get(f"{server.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    assert answer.text.endswith("# EOF\n")
    assert "/metrics" not in httpx.get(f"{server.url}/v1/docs/openapi.json").json()["paths"]


def test_without_settings_there_are_no_numbers(api: httpx.Client) -> None:
    assert api.get("/metrics").status_code == 404


def test_whatever_is_sent_to_the_port_of_the_numbers_it_answers_on(server: App) -> None:
    port = int(server.settings["METRICS_PORT"])
    for junk in (
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x00\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\n" + b"a" * 20_000,
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(junk)
    assert httpx.get(f"http://127.0.0.1:{port}/other").status_code == 404
    assert "kotobamichi_workers" in scrape(server)


def test_a_request_is_one_line_without_what_is_personal(server: App) -> None:
    secret = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJzb21lYm9keSJ9.c2VjcmV0"
    httpx.get(
        f"{server.url}/v1/words?search=somebody@example.org",
        headers={"X-Request-Id": "find-me-1", "Authorization": f"Bearer {secret}", "X-Forwarded-For": "192.0.2.77"},
    )
    httpx.post(f"{server.url}/v1/auth/login", json={"email": "somebody@example.org", "password": "hunter2 hunter2"})
    httpx.get(f"{server.url}/v1/nope/somebody@example.org", headers={"X-Request-Id": "find-me-2"})
    httpx.get(f"{server.url}/v1/health", headers={"X-Request-Id": "find-me-3"})
    httpx.get(f"{server.url}/v1/words/x", headers={"X-Request-Id": 'forged" } \x1b[31m'})
    httpx.get(f"{server.url}/v1/words/x", headers={"X-Request-Id": "find-me-4"})
    wait_for(lambda: "find-me-4" in server.output)
    by_id = {event.get("request_id"): event for event in events(server)}
    line = by_id["find-me-1"]
    assert line.keys() == {"at", "level", "logger", "event", "method", "route", "status", "ms", "request_id"}
    assert (line["level"], line["event"], line["route"], line["status"]) == ("info", "request", "/v1/words", 200)
    assert 0 < line["ms"] < 30_000
    assert by_id["find-me-2"]["route"] == "-"
    assert "find-me-3" not in by_id
    for personal in ("example.org", "192.0.2.77", "hunter2", secret, "forged", "\x1b"):
        assert personal not in server.output


def test_a_worker_that_crashes_is_replaced_and_its_counts_stay(server: App) -> None:
    asked(server, 10)
    before = value(scrape(server), "kotobamichi_http_requests", "kotobamichi_http_requests_total", route="/v1/words")
    worker = workers_of(server)[0]
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: any(event["event"] == "worker.crashed" for event in events(server)))
    crash = next(event for event in events(server) if event["event"] == "worker.crashed")
    assert (crash["exit_code"], crash["level"]) == (-9, "error")
    wait_for(lambda: len(workers_of(server)) == 2 and worker not in workers_of(server))
    server.wait_until_ready()
    assert asked(server, 20) == {200: 20}
    wait_for(lambda: value(scrape(server), "kotobamichi_workers") == 2)
    after = value(scrape(server), "kotobamichi_http_requests", "kotobamichi_http_requests_total", route="/v1/words")
    assert after == before + 20


def workers_of(server: App) -> list[int]:
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    return [int(pid) for pid in children.split()]


def half_a_login(app: App) -> socket.socket:
    """A request in flight: it is answered when the second half of its body has come."""
    connection = connect(app)
    connection.sendall(
        b"POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{"
    )
    return connection


def test_a_stop_answers_what_is_in_flight_and_takes_nothing_new(vocabulary_url: str) -> None:
    with started("serve", "--workers", "2", DATABASE_URL=vocabulary_url, MAIL="off", JWT_SECRET=SECRET) as app:
        app.wait_until_ready()
        kept = connect(app)
        kept.sendall(b"GET /v1 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer_on(kept)[0] == 200
        in_flight = [half_a_login(app) for _ in range(6)]
        # Requests of others, until the workers have surely begun with those in flight.
        asked(app, 10, "/v1")
        app.process.send_signal(signal.SIGTERM)
        wait_for(lambda: refused(app))
        for _ in range(2):  # as Ctrl-C in a terminal does, for somebody who cannot wait
            os.killpg(app.process.pid, signal.SIGINT)
            time.sleep(0.5)
        for connection in in_flight:
            assert app.process.poll() is None
            connection.sendall(b'"email":1,"a":"bc"}')
            status, headers, body = answer_on(connection)
            assert (status, json.loads(body)["statusCode"]) == (400, 400)
            assert headers["connection"] == "close"
            assert connection.recv(10) == b""
        assert kept.recv(10) == b"", "a connection that nobody uses is closed"
        assert app.process.wait(PATIENCE_SECONDS) == 0
        assert "Traceback" not in app.output
        for connection in (kept, *in_flight):
            connection.close()


def test_a_worker_that_is_still_starting_hears_the_stop(vocabulary_url: str) -> None:
    """As soon as one worker answers; another may not have imported the app yet."""
    for _ in range(3):
        with started("serve", "--workers", "3", DATABASE_URL=vocabulary_url, MAIL="off", JWT_SECRET=SECRET) as app:
            app.wait_until_alive()
            app.process.send_signal(signal.SIGTERM)
            assert app.process.wait(PATIENCE_SECONDS) == 0
            assert "Killing worker" not in app.output
            assert "Traceback" not in app.output


def refused(app: App) -> bool:
    try:
        connect(app).close()
    except ConnectionRefusedError:
        return True
    return False


def test_with_a_delay_readiness_says_503_before_the_server_stops(vocabulary_url: str) -> None:
    with started("serve", "--workers", "2", DATABASE_URL=vocabulary_url, MAIL="off", STOP_DELAY="4s") as app:
        app.wait_until_ready()
        app.process.send_signal(signal.SIGTERM)
        wait_for(lambda: httpx.get(f"{app.url}/v1/health/ready").status_code == 503)
        ready = httpx.get(f"{app.url}/v1/health/ready")
        assert ready.json()["status"] == "unavailable"
        assert ready.json()["database"] == "up"
        answer = httpx.get(f"{app.url}/v1/words?limit=1")
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        assert app.process.wait(PATIENCE_SECONDS) == 0


def test_wrong_numbers_of_workers_are_refused(vocabulary_url: str) -> None:
    from tests.support.app import kotobamichi

    for wrong in ("0", "65", "many"):
        ended = kotobamichi("serve", "--workers", wrong, DATABASE_URL=vocabulary_url, PORT=str(free_port()))
        assert ended.returncode == 2
        assert "WORKERS is not a whole number" in ended.stderr
