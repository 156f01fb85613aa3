"""Rate limits over HTTP: for all workers of a server, for all servers with one Redis, behind proxies."""

from __future__ import annotations

import concurrent.futures
import http.client
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest

from tests.support.app import App, started
from tests.support.redis import Redis, redis_server

LIST = "/v1/words?limit=1"


def asked(app: App, times: int, path: str = LIST, **headers: str) -> Counter[int]:
    """How often which status was answered, each request on a connection of its own, so that every worker gets some."""

    def ask(_number: int) -> int:
        with closing(http.client.HTTPConnection("127.0.0.1", app.port, timeout=30)) as connection:
            connection.request("GET", path, headers=headers)
            return connection.getresponse().status

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        return Counter(threads.map(ask, range(times)))


@pytest.fixture(scope="module")
def limited(vocabulary_url: str) -> Iterator[App]:
    """Two workers, behind a proxy on this machine."""
    settings = {"DATABASE_URL": vocabulary_url, "RATE_LIMIT": "on", "TRUSTED_PROXIES": "127.0.0.1", "WORKERS": "2"}
    with started("serve", CORS_ORIGIN="https://learn.example.org", **settings) as app:
        yield app.wait_until_ready()


def test_the_hundred_and_first_request_is_refused_whichever_worker_answers(limited: App) -> None:
    assert asked(limited, 130, **{"X-Forwarded-For": "192.0.2.1"}) == {200: 100, 429: 30}
    answer = httpx.get(
        limited.url + LIST, headers={"X-Forwarded-For": "192.0.2.1", "Origin": "https://learn.example.org"}
    )
    assert answer.status_code == 429
    assert answer.json() == {"statusCode": 429, "message": "ThrottlerException: Too Many Requests"}
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert answer.headers["x-ratelimit-remaining"] == "0"
    assert answer.headers["access-control-allow-origin"] == "https://learn.example.org"
    assert "Retry-After" in answer.headers["access-control-expose-headers"]


def test_answers_say_what_is_left(limited: App) -> None:
    for left in (99, 98):
        answer = httpx.get(limited.url + LIST, headers={"X-Forwarded-For": "192.0.2.2"})
        assert answer.headers["x-ratelimit-limit"] == "100"
        assert answer.headers["x-ratelimit-remaining"] == str(left)
        assert 1 <= int(answer.headers["x-ratelimit-reset"]) <= 60


def test_one_clients_flood_is_not_anothers_and_one_route_is_not_another(limited: App) -> None:
    asked(limited, 101, **{"X-Forwarded-For": "192.0.2.3"})
    assert asked(limited, 1, **{"X-Forwarded-For": "192.0.2.4"}) == {200: 1}
    # What a client writes into the header itself is left of what the proxy adds.
    assert asked(limited, 1, **{"X-Forwarded-For": "192.0.2.4, 192.0.2.3"}) == {429: 1}
    assert asked(limited, 1, "/v1", **{"X-Forwarded-For": "192.0.2.3"}) == {200: 1}
    head = httpx.head(limited.url + LIST, headers={"X-Forwarded-For": "192.0.2.3"})
    assert head.status_code == 429


def test_all_words_are_one_route(limited: App) -> None:
    """The path's variable parts are no way round a limit, nor are slashes."""
    seen = Counter[int]()
    for number in range(51):
        for path in (f"/v1/words/none-{number}", f"/v1/words//none-{number}/"):
            seen += asked(limited, 1, path, **{"X-Forwarded-For": "192.0.2.5"})
    assert seen == {404: 100, 429: 2}


def test_a_network_of_ipv6_is_one_client(limited: App) -> None:
    seen = sum(
        (asked(limited, 1, **{"X-Forwarded-For": f"2001:db8::{number:x}"}) for number in range(1, 103)), Counter[int]()
    )
    assert seen == {200: 100, 429: 2}
    assert asked(limited, 1, **{"X-Forwarded-For": "2001:db8:0:1::1"}) == {200: 1}


def test_health_and_preflights_are_not_limited(limited: App) -> None:
    origin = {"Origin": "https://learn.example.org", "Access-Control-Request-Method": "GET"}
    with httpx.Client(base_url=limited.url, headers={"X-Forwarded-For": "192.0.2.6"}) as client:
        assert Counter(client.get("/v1/health").status_code for _ in range(150)) == {200: 150}
        assert "x-ratelimit-limit" not in client.get("/v1/health").headers
        assert Counter(client.get("/v1/health/ready").status_code for _ in range(110)) == {200: 110}
        assert Counter(client.options(LIST, headers=origin).status_code for _ in range(110)) == {204: 110}


def test_without_trusted_proxies_the_peer_counts_and_off_is_off(vocabulary_url: str) -> None:
    with started("serve", DATABASE_URL=vocabulary_url, RATE_LIMIT="on") as app:
        app.wait_until_ready()
        seen = sum((asked(app, 1, **{"X-Forwarded-For": f"192.0.2.{number}"}) for number in range(102)), Counter[int]())
        assert seen == {200: 100, 429: 2}
    with started("serve", DATABASE_URL=vocabulary_url, RATE_LIMIT="off") as app:
        assert asked(app.wait_until_ready(), 110) == {200: 110}
        assert "x-ratelimit-limit" not in httpx.get(app.url + LIST).headers


@pytest.fixture
def redis() -> Iterator[Redis]:
    with redis_server() as server:
        yield server


def test_two_servers_with_one_redis_count_together_and_outlive_it(vocabulary_url: str, redis: Redis) -> None:
    settings = {
        "DATABASE_URL": vocabulary_url,
        "RATE_LIMIT": "on",
        "TRUSTED_PROXIES": "127.0.0.1",
        "REDIS_URL": redis.url,
    }
    with started("serve", **settings) as first, started("serve", **settings) as second:
        first.wait_until_ready()
        second.wait_until_ready()
        client = {"X-Forwarded-For": "192.0.2.1"}
        assert asked(first, 60, **client) + asked(second, 60, **client) == {200: 100, 429: 20}
        assert httpx.get(second.url + LIST, headers=client).headers["retry-after"]
        # Redis goes away: nobody is refused for it, and each server counts for itself.
        redis.stop()
        other = {"X-Forwarded-For": "192.0.2.2"}
        assert asked(first, 110, **other) == {200: 100, 429: 10}
        assert asked(second, 5, **other) == {200: 5}
        assert first.output.count("limits.redis_away") == 1
        # It comes back, empty: the servers count together again.
        redis.start()
        for app in (first, second):
            deadline = time.monotonic() + 30
            while "limits.redis_back" not in app.output:
                assert time.monotonic() < deadline, app.output
                time.sleep(0.05)
        third = {"X-Forwarded-For": "192.0.2.3"}
        assert asked(first, 60, **third) + asked(second, 60, **third) == {200: 100, 429: 20}
        assert "Traceback" not in first.output + second.output


def test_a_redis_that_never_answers_holds_nobody_up(vocabulary_url: str) -> None:
    """A socket that accepts and says nothing."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(128)
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        with started("serve", DATABASE_URL=vocabulary_url, RATE_LIMIT="on", REDIS_URL=url) as app:
            app.wait_until_ready()
            assert asked(app, 110) == {200: 100, 429: 10}
            assert "limits.redis_away" in app.output
