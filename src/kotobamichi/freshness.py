"""Whether anything has changed: revisions read once for all requests that wait, and answers kept while they are still true.

The revisions of everything are read in one statement of the hot path. A request that arrives while such a read is under way waits
for the next one, together with all others: what it learns is never older than itself, and under load a read serves many.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Literal

import psycopg

from kotobamichi.db import Database
from kotobamichi.pipeline import Statement

Kind = Literal["accounts", "attempts", "quizzes", "words"]
Revisions = dict[str, int]

REVISIONS = Statement("SELECT name, sum(revision)::bigint FROM revisions GROUP BY name")
MOST_ANSWER_BYTES = 32 * 1024 * 1024
# What an entry costs beside its body.
ENTRY_BYTES = 500


class Freshness:
    """Reads the revisions, once for all who ask at the same time."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.next: asyncio.Future[Revisions] | None = None
        self.reading: asyncio.Task[None] | None = None

    async def look(self) -> Revisions:
        """The revisions, by kind, as they were after this was called. Raises psycopg's errors."""
        if self.next is None:
            loop = asyncio.get_running_loop()
            self.next = loop.create_future()
            if self.reading is None:
                self.reading = loop.create_task(self._read())
        # Shielded: a client that goes away must not take the answer from the others.
        return await asyncio.shield(self.next)

    async def _read(self) -> None:
        try:
            while self.next is not None:
                asked, self.next = self.next, None
                try:
                    asked.set_result(dict(await self.database.read(REVISIONS)))
                except (psycopg.Error, OSError) as error:
                    asked.set_exception(error)
                    asked.exception()  # seen, also where nobody waits any more
        finally:
            self.reading = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The bytes of a JSON body and their ETag, true as long as the revisions of `kinds` are these."""

    body: bytes
    etag: bytes
    revisions: tuple[int, ...]


class Answers:
    """Answers that need not be made again. What was used least recently goes first."""

    def __init__(self, freshness: Freshness, most_bytes: int = MOST_ANSWER_BYTES) -> None:
        self.freshness = freshness
        self.most_bytes = most_bytes
        self.bytes = 0
        self.kept: OrderedDict[Hashable, Answer] = OrderedDict()
        self.making: dict[tuple[Hashable, tuple[int, ...]], asyncio.Task[Answer]] = {}

    async def get(self, key: Hashable, kinds: tuple[Kind, ...], make: Callable[[], Awaitable[bytes]]) -> Answer:
        """The answer for `key`: the one at hand, if nothing of `kinds` has changed since, else what `make` gives.

        `make` must depend on nothing but the key and the database. Many who ask for the same at once share one call; what it raises
        reaches all of them and is not kept.
        """
        revisions = await self.freshness.look()
        wanted = tuple(revisions[kind] for kind in kinds)
        kept = self.kept.get(key)
        if kept is not None and kept.revisions == wanted:
            self.kept.move_to_end(key)
            return kept
        call = (key, wanted)
        task = self.making.get(call)
        if task is None:
            task = self.making[call] = asyncio.get_running_loop().create_task(self._make(key, wanted, make))
            task.add_done_callback(lambda done: self._made(call, done))
        return await asyncio.shield(task)

    async def _make(self, key: Hashable, wanted: tuple[int, ...], make: Callable[[], Awaitable[bytes]]) -> Answer:
        body = await make()
        answer = Answer(body, weak_etag(body), wanted)
        self._keep(key, answer)
        return answer

    def _made(self, call: tuple[Hashable, tuple[int, ...]], task: asyncio.Task[Answer]) -> None:
        del self.making[call]
        if not task.cancelled():
            task.exception()  # seen, also where nobody waits any more

    def _keep(self, key: Hashable, answer: Answer) -> None:
        # Read before the body was made, so the body may be newer than they say, and never older.
        before = self.kept.pop(key, None)
        if before is not None:
            self.bytes -= len(before.body) + ENTRY_BYTES
        if len(answer.body) > self.most_bytes // 8:
            return
        self.kept[key] = answer
        self.bytes += len(answer.body) + ENTRY_BYTES
        while self.bytes > self.most_bytes:
            _, oldest = self.kept.popitem(last=False)
            self.bytes -= len(oldest.body) + ENTRY_BYTES


def weak_etag(body: bytes) -> bytes:
    """RFC 9110, 8.8.3: weak, because the same words may be written differently one day."""
    return b'W/"' + hashlib.sha1(body, usedforsecurity=False).hexdigest().encode() + b'"'
