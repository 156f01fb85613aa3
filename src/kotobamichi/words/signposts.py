"""Where far pages of a list begin: the keys of some of its words, kept for as long as no word changes (decision 0016).

A page at an offset would pass over all words before it. From the nearest signpost it passes over fewer than STEP, at any depth.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import LiteralString, NamedTuple

from kotobamichi.db import Database
from kotobamichi.errors import Busy
from kotobamichi.freshness import Freshness, Shelf

# A far page passes over fewer words than this.
STEP = 200
# The first words of a list are all known: most searches find fewer, and need not be searched again for their pages.
FIRST = 1000
MOST_BYTES = 24 * 1024 * 1024
KEY_BYTES = 220
# Each reads an index or, for a search, the whole table; more of them at once would only take turns on the server.
MOST_AT_ONCE = 2
# Whoever would be behind these had better come back later than wait.
MOST_WAITING = 40


class Key(NamedTuple):
    """A word's place in the order of lists."""

    created_at: str
    id: str


BEGINNING = Key("-infinity", "00000000-0000-0000-0000-000000000000")


class Filter(NamedTuple):
    """Which words a list holds: conditions on `w`, and their parameters by name."""

    conditions: tuple[LiteralString, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def where(self) -> LiteralString:
        return " AND ".join(("w.deleted_at IS NULL", *self.conditions))


@dataclass(frozen=True, slots=True)
class Signposts:
    """A list at one revision of the words: how many it holds, the first of them, and every 200th."""

    total: int
    first: list[Key]
    every_step: list[Key]

    def page(self, offset: int, limit: int) -> list[str] | None:
        """The ids of the words of a page, where they are all known."""
        end = min(offset + limit, self.total)
        return [key.id for key in self.first[offset:end]] if end <= len(self.first) else None

    def before(self, offset: int) -> tuple[Key, int]:
        """The key after which to read, and how many words to pass over there, for a page that begins at `offset`."""
        number = offset // STEP
        return (self.every_step[number - 1] if number else BEGINNING), offset - number * STEP

    def after(self, end: int) -> Key | None:
        """A key that is not before the word at `end`; None where only the end of the list is."""
        number = -(-end // STEP)
        return self.every_step[number - 1] if number <= len(self.every_step) else None


class SignpostBook:
    """The signposts of the lists that were asked for."""

    def __init__(self, database: Database, freshness: Freshness) -> None:
        self.database = database
        self.turns = asyncio.Semaphore(MOST_AT_ONCE)
        self.waiting = 0
        self.shelf: Shelf[Signposts] = Shelf(freshness, MOST_BYTES, _weigh)

    async def find(self, wanted: Filter) -> Signposts:
        """As they were when this was called, or later. Set up once for all who ask for the same between two changes.

        Raises Busy where too many others wait for theirs.
        """
        return await self.shelf.get(wanted, ("words",), lambda: self._set_up(wanted))

    async def _set_up(self, wanted: Filter) -> Signposts:
        # In order, because window functions give their rows in the order of the window; to sort them again would double the cost.
        statement: LiteralString = f"""
            SELECT count(*),
                array_agg(created_at) FILTER (WHERE n <= %(first)s), array_agg(id) FILTER (WHERE n <= %(first)s),
                array_agg(created_at) FILTER (WHERE n %% %(step)s = 0), array_agg(id) FILTER (WHERE n %% %(step)s = 0)
            FROM (
                SELECT w.created_at, w.id, row_number() OVER (ORDER BY w.created_at, w.id) AS n FROM words w WHERE {wanted.where}
            ) AS placed
        """
        if self.waiting >= MOST_WAITING:
            raise Busy("Too many searches are waiting. Try again in a moment.")
        self.waiting += 1
        try:
            async with self.turns:
                row = await self.database.fetch_one(
                    statement, {**dict(wanted.parameters), "first": FIRST, "step": STEP}
                )
        finally:
            self.waiting -= 1
        assert row is not None
        return Signposts(int(row[0]), _keys(row[1], row[2]), _keys(row[3], row[4]))


def _keys(instants: list[str] | None, ids: list[str] | None) -> list[Key]:
    return [Key(*key) for key in zip(instants or (), ids or (), strict=True)]


def _weigh(signposts: Signposts) -> int:
    return KEY_BYTES * (len(signposts.first) + len(signposts.every_step))
