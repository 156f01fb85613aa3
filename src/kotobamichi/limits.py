"""How many requests a client may send: a window of a minute for each route and client, counted for one server or for all.

`SharedStore` counts for all worker processes of this server, `RedisStore` for all servers with the same Redis. Neither knows HTTP.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import math
import struct
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from kotobamichi.logs import get_log
from kotobamichi.shared import Shared

log = get_log("kotobamichi.limits")

WINDOW_SECONDS = 60.0
MOST_COUNTED = 2**32 - 1
# Places in the table that were worked out before.
MOST_REMEMBERED = 10_000
DEFAULT = 100
# Contract, section 0. What a route may be asked in a window, where that is not the default; None is as often as one likes.
BY_ROUTE: dict[str, int | None] = {
    "POST /v1/auth/register": 10,
    "POST /v1/auth/login": 20,
    "POST /v1/auth/refresh": 30,
    "POST /v1/auth/verify-email": 10,
    "POST /v1/auth/resend-verification": 3,
    "POST /v1/auth/forgot-password": 3,
    "POST /v1/auth/reset-password": 10,
    "GET /v1/health": None,
    "GET /v1/health/ready": None,
    "GET /metrics": None,
}

# A client waits so long for Redis, at the most, when it goes away; then it is left alone until it answers again.
REDIS_SECONDS = 0.5
REDIS_RETRY_SECONDS = 1.0
MOST_AT_ONCE = 200
COUNT = """
local answers = {}
for i, key in ipairs(KEYS) do
  local count = redis.call('INCR', key)
  local left = redis.call('PTTL', key)
  if left < 0 then
    redis.call('PEXPIRE', key, ARGV[1])
    left = tonumber(ARGV[1])
  end
  answers[2 * i - 1] = count
  answers[2 * i] = left
end
return answers
"""


def limit_of(route: str) -> int | None:
    """How often a client may use a route, such as `POST /v1/auth/login`, in a window; None: as often as it likes."""
    return BY_ROUTE.get(route, DEFAULT)


class Hit(NamedTuple):
    """The number of this request in its window, which ends in so many seconds."""

    number: int
    seconds_left: float


class Store(Protocol):
    """Counts the requests of one key in one window."""

    async def hit(self, key: str) -> Hit: ...

    async def close(self) -> None: ...


class SharedStore:
    """A table of fixed size in the memory of the server. Where windows compete for a place, that with the fewest requests goes.

    So memory is bounded whoever asks, and a client that is over its limit is the last to be forgotten.
    """

    ENTRY = struct.Struct("<QdII")  # a hash of the key, when its window ends, requests in it, nothing
    BUCKET = struct.Struct("<" + "QdII" * 4)

    def __init__(self, shared: Shared, clock: Callable[[], float] = time.monotonic) -> None:
        self.shared = shared
        self.clock = clock  # the kernel's: the same for all processes
        self.memory = shared.limits()
        self.buckets = len(self.memory) // self.BUCKET.size
        self.secret = shared.secret
        self.places: dict[str, tuple[int, int]] = {}

    async def hit(self, key: str) -> Hit:
        return self.count(key)

    def count(self, key: str) -> Hit:
        tag, at = self.places.get(key) or self._place(key)
        now = self.clock()
        self.shared.lock()
        try:
            entries = self.BUCKET.unpack_from(self.memory, at)
            for place in (0, 4, 8, 12):
                if entries[place] == tag:
                    ends, count = entries[place + 1], entries[place + 2]
                    break
            else:
                place = min((0, 4, 8, 12), key=lambda place: (entries[place + 1] > now, entries[place + 2]))
                ends, count = 0.0, 0
            if ends <= now:
                ends, count = now + WINDOW_SECONDS, 0
            count = min(count + 1, MOST_COUNTED)
            self.ENTRY.pack_into(self.memory, at + place // 4 * self.ENTRY.size, tag, ends, count, 0)
        finally:
            self.shared.unlock()
        return Hit(count, ends - now)

    def _place(self, key: str) -> tuple[int, int]:
        """What stands for the key in the table, and where. Keyed, so that nobody can choose an address that shares a place."""
        if len(self.places) >= MOST_REMEMBERED:
            self.places.clear()
        digest = hashlib.blake2b(key.encode(), digest_size=16, key=self.secret).digest()
        tag = int.from_bytes(digest[:8], "little") | 1
        at = int.from_bytes(digest[8:], "little") % self.buckets * self.BUCKET.size
        self.places[key] = (tag, at)
        return tag, at

    async def close(self) -> None:
        pass


class RedisStore:
    """Counts in Redis: all requests that wait at one moment share one round trip. While Redis is away, `fallback` counts."""

    def __init__(self, url: str, fallback: SharedStore) -> None:
        self.fallback = fallback
        self.client: Any = redis.asyncio.from_url(
            url,
            socket_timeout=REDIS_SECONDS,
            socket_connect_timeout=REDIS_SECONDS,
            # One more try: a connection that Redis has closed meanwhile looks like any other until it is used.
            retry=Retry(NoBackoff(), 1),
            client_name="kotobamichi",
        )
        self.script: Callable[..., Awaitable[Any]] = self.client.register_script(COUNT)
        self.waiting: list[tuple[str, asyncio.Future[Hit]]] = []
        self.sending: asyncio.Task[None] | None = None
        self.returning: asyncio.Task[None] | None = None

    @property
    def away(self) -> bool:
        """Whether Redis has not answered and is not back."""
        return self.returning is not None

    async def hit(self, key: str) -> Hit:
        if self.returning is not None:
            return self.fallback.count(key)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Hit] = loop.create_future()
        self.waiting.append((key, future))
        if self.sending is None:
            self.sending = loop.create_task(self._send())
        return await future

    async def _send(self) -> None:
        try:
            while self.waiting:
                batch, self.waiting = self.waiting[:MOST_AT_ONCE], self.waiting[MOST_AT_ONCE:]
                hits = await self._ask([key for key, _future in batch])
                for (key, future), hit in zip(batch, hits or itertools.repeat(None), strict=False):
                    if not future.done():  # its client has gone
                        future.set_result(hit or self.fallback.count(key))
        finally:
            self.sending = None

    async def _ask(self, keys: Sequence[str]) -> list[Hit] | None:
        """None where Redis does not answer: from then on it is asked whether it is back, and not for anything else."""
        if self.returning is not None:
            return None
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                answers = await self.script(
                    keys=[f"kotobamichi:limit:{key}" for key in keys], args=[int(WINDOW_SECONDS * 1000)]
                )
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("limits.redis_away", error=type(error).__name__, counting="each server for itself")
            self.returning = asyncio.get_running_loop().create_task(self._return())
            return None
        return [Hit(answers[i], answers[i + 1] / 1000) for i in range(0, len(answers), 2)]

    async def _return(self) -> None:
        while True:
            await asyncio.sleep(REDIS_RETRY_SECONDS)
            try:
                async with asyncio.timeout(REDIS_SECONDS):
                    await self.client.ping()
            except (RedisError, OSError, TimeoutError):
                continue
            log.info("limits.redis_back")
            self.returning = None
            return

    async def close(self) -> None:
        for task in (self.returning, self.sending):
            if task is not None:
                task.cancel()
        await self.client.aclose()


DIGITS = tuple(b"%d" % number for number in range(1001))


def headers_of(limit: int, hit: Hit) -> list[tuple[bytes, bytes]]:
    """What an answer says of the limit: the request's share, what is left of it, seconds until it begins anew."""
    return [
        (b"x-ratelimit-limit", DIGITS[limit]),
        (b"x-ratelimit-remaining", DIGITS[max(0, limit - hit.number)]),
        (b"x-ratelimit-reset", DIGITS[math.ceil(hit.seconds_left)]),
    ]
