"""Bodies that are too large or too slow, and writes of foreign pages: refused, heard, and nobody else's trouble."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.support.app import App

MIB = 1024 * 1024
TOO_LARGE = {"statusCode": 413, "message": "request entity too large"}


def connect(app: App) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", app.port), timeout=30)
    connection.settimeout(30)
    return connection


def answer_on(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """The next answer: status, headers, body."""
    data = b""
    while b"\r\n\r\n" not in data:
        received = connection.recv(65536)
        assert received, "the connection was closed without an answer"
        data += received
    head, _, body = data.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += connection.recv(65536)
    return int(status.split()[1]), headers, body


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(app: App) -> None:
    with connect(app) as connection:
        head = f"POST /v1/words HTTP/1.1\r\nHost: x\r\nContent-Length: {MIB + 1}\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head.encode())
        status, headers, body = answer_on(connection)  # and no 100 Continue before it
        assert (status, json.loads(body)) == (413, TOO_LARGE)
        assert headers["connection"] == "close"
        assert headers["x-request-id"]


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_client_that_sends_all_before_it_listens_hears_its_answer(app: App, chunked: bool) -> None:
    """Eight megabytes, more than the buffers of a connection hold: were it closed, the client would see a reset instead."""
    with connect(app) as connection:
        length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {8 * MIB}"
        head = f"POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{length}\r\n\r\n"
        connection.sendall(head.encode())
        part = b"x" * 65536
        for _ in range(8 * MIB // len(part)):
            connection.sendall(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
        connection.sendall(b"0\r\n\r\n" if chunked else b"")
        status, headers, body = answer_on(connection)
        assert (status, json.loads(body)) == (413, TOO_LARGE)
        assert headers["connection"] == "close"


def test_an_answer_without_a_look_at_the_body_is_heard_too(app: App) -> None:
    """A megabyte with a request that needs a token: the answer is 401, and the body was nobody's."""
    with connect(app) as connection:
        connection.sendall(
            f"POST /v1/quizzes HTTP/1.1\r\nHost: x\r\nContent-Length: {MIB}\r\n\r\n".encode() + b"x" * MIB
        )
        assert answer_on(connection)[0] == 401
        connection.sendall(b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer_on(connection)[0] == 200, "the connection goes on"


def test_a_body_of_the_limit_is_read(plain: httpx.Client) -> None:
    body = {"email": "a@example.org", "password": "x" * (MIB - 100)}
    answer = plain.post("/v1/auth/login", json=body)
    assert answer.status_code == 400
    assert answer.json()["message"] == ["password must be shorter than or equal to 1024 characters"]


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 401),
        ("application/json; charset=utf-8", 401),
        ("APPLICATION/JSON", 401),
        ("application/merge-patch+json", 401),
        ("application/x-www-form-urlencoded", 400),
        ("multipart/form-data; boundary=x", 400),
        ("text/plain", 400),
        (None, 401),
    ],
)
def test_a_body_that_says_it_is_something_else_is_no_json(plain: httpx.Client, kind: str | None, status: int) -> None:
    content = b'{"email":"nobody@example.org","password":"a password"}'
    answer = plain.post("/v1/auth/login", content=content, headers={"Content-Type": kind} if kind else {})
    assert answer.status_code == status
    if status == 400:
        assert answer.json()["message"] == "The request body must be JSON, with Content-Type: application/json"


def test_an_endless_body_is_left_behind(app: App) -> None:
    """Of a body that never ends, some is read after the answer, and then the connection is closed."""
    with connect(app) as connection:
        connection.sendall(b"POST /v1/words HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        part = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 200 * MIB:
                connection.sendall(part)
                sent += len(part)
        assert sent < 100 * MIB


def test_slow_bodies_stop_nobody(app: App, api: httpx.Client) -> None:
    slow = [connect(app) for _ in range(60)]
    try:
        for connection in slow:
            connection.sendall(b"POST /v1/words HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        half = [connect(app) for _ in range(60)]
        slow += half
        for connection in half:
            connection.sendall(b"POST /v1/words HTTP/1.1\r\nHost:")
        began = time.monotonic()
        for _ in range(20):
            assert api.get("/v1/words", params={"limit": 1}).status_code == 200
        assert time.monotonic() - began < 10
    finally:
        for connection in slow:
            connection.close()


@pytest.fixture
def plain(app: App) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=app.url) as client:
        yield client


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
def test_a_write_from_a_foreign_page_is_refused(plain: httpx.Client, method: str) -> None:
    refused = plain.request(method, "/v1/words", headers={"Origin": "https://evil.example", "Cookie": "access_token=x"})
    assert refused.status_code == 403
    assert refused.json() == {"message": "Origin not allowed", "error": "Forbidden", "statusCode": 403}
    assert "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://learn.example.org"},
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-origin", "Cookie": "access_token=x"},
    ],
)
def test_other_writes_reach_the_app(plain: httpx.Client, headers: dict[str, str]) -> None:
    assert plain.post("/v1/nope", headers=headers).status_code == 404


def test_the_servers_own_page_may_write(plain: httpx.Client, app: App) -> None:
    """The documentation's page, which is on the same host, whatever the scheme before a proxy."""
    for origin in (app.url, app.url.replace("http:", "https:")):
        assert plain.post("/v1/nope", headers={"Origin": origin, "Cookie": "access_token=x"}).status_code == 404


def test_a_write_with_cookies_that_the_browser_calls_foreign_is_refused(plain: httpx.Client) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Cookie": "access_token=x"}
    assert plain.post("/v1/nope", headers=headers).status_code == 403


def test_reads_and_preflights_of_foreign_pages_are_answered_without_permission(plain: httpx.Client) -> None:
    origin = {"Origin": "https://evil.example", "Cookie": "access_token=x"}
    answer = plain.get("/v1/words?limit=1", headers=origin)
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers
    preflight = plain.options("/v1/words", headers={**origin, "Access-Control-Request-Method": "POST"})
    assert preflight.status_code == 204
    assert "access-control-allow-origin" not in preflight.headers


def test_answers_carry_what_keeps_browsers_and_proxies_from_mischief(plain: httpx.Client) -> None:
    anonymous = plain.get("/v1/words?limit=1")
    assert anonymous.headers["x-content-type-options"] == "nosniff"
    assert anonymous.headers["referrer-policy"] == "no-referrer"
    assert anonymous.headers["x-frame-options"] == "DENY"
    assert anonymous.headers["cache-control"] == "no-cache"
    assert {"Origin", "Cookie", "Authorization"} <= set(anonymous.headers["vary"].split(", "))
    for credentials in ({"Cookie": "access_token=x"}, {"Authorization": "Bearer x"}):
        answer = plain.get("/v1/words?limit=1", headers=credentials)
        assert answer.headers["cache-control"] == "private, no-cache"
        again = plain.get("/v1/words?limit=1", headers={**credentials, "If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.headers["cache-control"]) == (304, "private, no-cache")
        assert again.headers["vary"] == answer.headers["vary"]
    assert plain.post("/v1/nope").headers["cache-control"] == "no-store"
