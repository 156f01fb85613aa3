"""The table of windows that all workers share."""

from __future__ import annotations

import itertools
import multiprocessing
import random
from pathlib import Path

from kotobamichi.limits import BY_ROUTE, MOST_COUNTED, WINDOW_SECONDS, Hit, SharedStore, headers_of, limit_of
from kotobamichi.shared import attach, offered


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_window_begins_with_the_first_request_and_ends_a_minute_later() -> None:
    clock = Clock()
    store = SharedStore(attach(None), clock)
    assert store.count("GET /v1/words 192.0.2.1") == Hit(1, WINDOW_SECONDS)
    clock.now += 59.5
    assert store.count("GET /v1/words 192.0.2.1") == Hit(2, 0.5)
    clock.now += 0.5
    assert store.count("GET /v1/words 192.0.2.1") == Hit(1, WINDOW_SECONDS)


def test_routes_and_clients_have_windows_of_their_own() -> None:
    store = SharedStore(attach(None))
    for key in ("GET /v1/words 192.0.2.1", "POST /v1/words 192.0.2.1", "GET /v1/words 192.0.2.2"):
        assert store.count(key).number == 1


def test_memory_is_bounded_and_those_over_their_limit_are_forgotten_last() -> None:
    """A flood of addresses, three times as many as there is room for: the client that is over its limit stays so."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    numbers = random.Random(seed)
    store = SharedStore(attach(None), Clock())
    store.buckets = 1000
    for _ in range(500):
        store.count("guessing")
    for _ in range(store.buckets * 12):
        store.count(f"GET /v1/words {numbers.getrandbits(64)}")
    assert store.count("guessing").number == 501
    assert len(store.places) <= 10_000


def test_a_count_never_overflows() -> None:
    store = SharedStore(attach(None), Clock())
    tag, at = store._place("key")
    store.ENTRY.pack_into(store.memory, at, tag, 2000.0, MOST_COUNTED, 0)
    assert store.count("key").number == MOST_COUNTED


def test_processes_count_together_and_lose_nothing() -> None:
    with offered() as (_shared, path):
        context = multiprocessing.get_context("spawn")
        processes = [context.Process(target=_count, args=(path, 2000)) for _ in range(3)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)
            assert process.exitcode == 0
        assert SharedStore(attach(path)).count("key").number == 3 * 2000 + 1


def _count(path: Path, times: int) -> None:
    store = SharedStore(attach(path))
    for _ in itertools.repeat(None, times):
        store.count("key")


def test_nothing_is_left_of_the_memory() -> None:
    with offered() as (shared, path):
        shared.say_stopping()
        assert attach(path).stopping
    assert not path.exists()


def test_the_headers_say_what_is_left() -> None:
    assert headers_of(100, Hit(1, 60.0)) == [
        (b"x-ratelimit-limit", b"100"), (b"x-ratelimit-remaining", b"99"), (b"x-ratelimit-reset", b"60"),
    ]  # fmt: skip
    assert headers_of(3, Hit(7, 0.2)) == [
        (b"x-ratelimit-limit", b"3"), (b"x-ratelimit-remaining", b"0"), (b"x-ratelimit-reset", b"1"),
    ]  # fmt: skip


def test_the_limits_are_those_of_the_contract() -> None:
    asked = {route.removeprefix("POST /v1/auth/"): limit for route, limit in BY_ROUTE.items() if "auth" in route}
    assert asked == {
        "register": 10, "login": 20, "refresh": 30, "verify-email": 10, "resend-verification": 3, "forgot-password": 3,
        "reset-password": 10,
    }  # fmt: skip
    assert limit_of("GET /v1/words") == 100
    assert limit_of("GET /v1/health") is None
