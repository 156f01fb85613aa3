"""Words as they are given out: pages and single words as answers that are kept while no word changes."""

from __future__ import annotations

import msgspec

from kotobamichi.db import Database
from kotobamichi.freshness import Answer, Answers, Freshness, Kind, Target
from kotobamichi.words import service
from kotobamichi.words.schemas import WordQuery
from kotobamichi.words.signposts import SignpostBook

TOLD_OF: tuple[Kind, ...] = ("words",)
encoder = msgspec.json.Encoder()


class WordReader:
    """What readers of words need, in one: the framework looks up several things one by one, at the cost of a query."""

    def __init__(self, database: Database, freshness: Freshness, answers: Answers) -> None:
        self.database = database
        self.answers = answers
        self.signposts = SignpostBook(database, freshness)

    async def list_words(self, target: Target, query: WordQuery) -> Answer:
        """The page that `query` asks for, under its target. Raises BadRequest where `after` names a word that is gone."""

        async def make() -> bytes:
            return encoder.encode(await service.list_words(self.database, self.signposts, query))

        return await self.answers.get(target, TOLD_OF, make)

    async def show_word(self, target: Target, word_id: str) -> Answer:
        """Raises NotFound."""

        async def make() -> bytes:
            return encoder.encode(await service.get_word(self.database, word_id))

        return await self.answers.get(target, TOLD_OF, make)
