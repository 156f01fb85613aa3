"""Whether anything has changed: revisions read once for all requests that wait, and answers kept while they are still true.

The revisions of everything are read in one statement of the hot path. A request that arrives while such a read is under way waits
for the next one, together with all others: what it learns is never older than itself, and under load a read serves many.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, replace
from typing import Generic, Literal, NamedTuple, TypeVar

import psycopg

from kotobamichi.db import Database
from kotobamichi.pipeline import Statement

Kind = Literal["accounts", "attempts", "quizzes", "words"]
Revisions = dict[str, int]
Thing = TypeVar("Thing")

REVISIONS = Statement("SELECT name, sum(revision)::bigint FROM revisions GROUP BY name")
MOST_ANSWER_BYTES = 32 * 1024 * 1024
# What an entry costs beside its body.
ENTRY_BYTES = 500


class Freshness:
    """Reads the revisions, once for all who ask at the same time."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.waiting: list[asyncio.Future[Revisions]] = []
        self.reading: asyncio.Task[None] | None = None

    async def look(self) -> Revisions:
        """The revisions, by kind, as they were after this was called. Raises psycopg's errors."""
        loop = asyncio.get_running_loop()
        # One for each: a client that goes away takes nothing from the others.
        future: asyncio.Future[Revisions] = loop.create_future()
        self.waiting.append(future)
        if self.reading is None:
            self.reading = loop.create_task(self._read())
        return await future

    async def _read(self) -> None:
        try:
            while self.waiting:
                asked, self.waiting = self.waiting, []
                try:
                    revisions: Revisions = dict(await self.database.read(REVISIONS))
                except (psycopg.Error, OSError) as error:
                    for future in asked:
                        if not future.done():
                            future.set_exception(error)
                else:
                    for future in asked:
                        if not future.done():
                            future.set_result(revisions)
        finally:
            self.reading = None


class Shelf(Generic[Thing]):
    """Things read from the database that need not be read again. What was used least recently goes first."""

    def __init__(self, freshness: Freshness, most_bytes: int, weigh: Callable[[Thing], int]) -> None:
        self.freshness = freshness
        self.most_bytes = most_bytes
        self.weigh = weigh
        self.bytes = 0
        self.kept: OrderedDict[Hashable, tuple[tuple[int, ...], Thing]] = OrderedDict()
        self.making: dict[tuple[Hashable, tuple[int, ...]], asyncio.Task[Thing]] = {}

    async def get(
        self,
        key: Hashable,
        kinds: tuple[Kind, ...],
        make: Callable[[], Awaitable[Thing]],
        revisions: Revisions | None = None,
    ) -> Thing:
        """The thing of `key`: the one at hand, if nothing of `kinds` has changed since, else what `make` gives.

        `make` must depend on nothing but the key and the database. Many who ask for the same at once share one call; what it raises
        reaches all of them and is not kept. Who has looked at the revisions since the request came gives them.
        """
        if revisions is None:
            revisions = await self.freshness.look()
        wanted = tuple(revisions[kind] for kind in kinds)
        kept = self.kept.get(key)
        if kept is not None and kept[0] == wanted:
            self.kept.move_to_end(key)
            return kept[1]
        call = (key, wanted)
        task = self.making.get(call)
        if task is None:
            task = self.making[call] = asyncio.get_running_loop().create_task(self._make(key, wanted, make))
            task.add_done_callback(lambda done: self._made(call, done))
        return await asyncio.shield(task)

    async def _make(self, key: Hashable, wanted: tuple[int, ...], make: Callable[[], Awaitable[Thing]]) -> Thing:
        thing = await make()
        self._keep(key, wanted, thing)
        return thing

    def _made(self, call: tuple[Hashable, tuple[int, ...]], task: asyncio.Task[Thing]) -> None:
        del self.making[call]
        if not task.cancelled():
            task.exception()  # seen, also where nobody waits any more

    def _keep(self, key: Hashable, wanted: tuple[int, ...], thing: Thing) -> None:
        # The revisions were read before the thing was made, so it may be newer than they say, and never older.
        before = self.kept.pop(key, None)
        if before is not None:
            self.bytes -= self.weigh(before[1]) + ENTRY_BYTES
        weight = self.weigh(thing)
        if weight > self.most_bytes // 8:
            return
        self.kept[key] = (wanted, thing)
        self.bytes += weight + ENTRY_BYTES
        while self.bytes > self.most_bytes:
            _, (_, oldest) = self.kept.popitem(last=False)
            self.bytes -= self.weigh(oldest) + ENTRY_BYTES


@dataclass(frozen=True, slots=True)
class Answer:
    """The bytes of a JSON body, their ETag, and the Link header of a list that goes on (RFC 8288)."""

    body: bytes
    etag: bytes
    link: str | None = None
    kinds: tuple[Kind, ...] = ()


class Target(NamedTuple):
    """The key of an answer that everybody gets who asks for this, whoever it is: `Answers.recall` gives it unseen."""

    path: str
    query: bytes


class Answers:
    """Answers that need not be made again, for as long as nothing that they tell of has changed."""

    def __init__(self, freshness: Freshness, most_bytes: int = MOST_ANSWER_BYTES) -> None:
        self.freshness = freshness
        self.shelf: Shelf[Answer] = Shelf(freshness, most_bytes, lambda answer: len(answer.body))

    async def get(
        self,
        key: Hashable,
        kinds: tuple[Kind, ...],
        make: Callable[[], Awaitable[bytes | Answer]],
        revisions: Revisions | None = None,
    ) -> Answer:
        """Like `Shelf.get`, of what `make` gives: a body, or an answer with its Link."""

        async def make_answer() -> Answer:
            made = await make()
            return replace(made if isinstance(made, Answer) else answer_of(made), kinds=kinds)

        return await self.shelf.get(key, kinds, make_answer, revisions)

    async def recall(self, target: Target) -> Answer | None:
        """The answer that was made for this target, if nothing has changed since. Raises psycopg's errors."""
        kept = self.shelf.kept.get(target)
        if kept is None:
            return None
        made_at, answer = kept
        revisions = await self.shelf.freshness.look()
        if made_at != tuple([revisions[kind] for kind in answer.kinds]):
            return None
        if target in self.shelf.kept:
            self.shelf.kept.move_to_end(target)
        return answer


def answer_of(body: bytes, link: str | None = None) -> Answer:
    return Answer(body, weak_etag(body), link)


def weak_etag(body: bytes) -> bytes:
    """RFC 9110, 8.8.3: weak, because the same words may be written differently one day."""
    return b'W/"' + hashlib.sha1(body, usedforsecurity=False).hexdigest().encode() + b'"'
