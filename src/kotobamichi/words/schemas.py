"""What clients send and are given for words."""

from __future__ import annotations

from typing import Any, Literal, get_args

import msgspec
from litestar.datastructures import MultiDict

from kotobamichi.errors import BadRequest
from kotobamichi.parameters import read_cursor, read_positive, read_text

Level = Literal["N5", "N4", "N3", "N2", "N1"]
LEVELS: tuple[str, ...] = get_args(Level)
DEFAULT_LIMIT = 10
MOST_PER_PAGE = 1000


class WordItem(msgspec.Struct, rename="camel"):
    """A word in a list. Missing values are null; `meaning` repeats `english` and `pronunciation` repeats `pronunciationUrl`."""

    id: str
    hiragana: str
    katakana: str | None
    kanji: str | None
    romaji: str | None
    english: str
    meaning: str
    pronunciation_url: str | None
    pronunciation: str | None
    level: Level | None
    topic: str | None
    part_of_speech: str | None
    created_at: str


class Example(msgspec.Struct):
    """A sentence that holds the word, and its translation."""

    ja: str
    en: str


class Word(WordItem, rename="camel"):
    """A word, whole."""

    updated_at: str
    content_hash: str
    examples: list[Example]


class DeletedWord(Word, rename="camel"):
    """A word as it was when it was deleted."""

    message: str


class ImportReport(msgspec.Struct, rename="camel"):
    """What became of a file's rows: total = imported + duplicates + errors. A row with several faults is one error."""

    total: int
    imported: int
    duplicates: int
    errors: int
    error_details: list[str]


class ImportStats(msgspec.Struct, rename="camel"):
    """All words, those added within the last 24 hours, and when the newest was added; null where there is none."""

    total_words: int
    recent_imports: int
    last_import_time: str | None


class Cleared(msgspec.Struct, rename="camel"):
    """How many words are gone."""

    deleted_count: int


class Pagination(msgspec.Struct, rename="camel"):
    """Where the page stands: the effective page and limit, and how many words match in all."""

    page: int
    limit: int
    total: int
    total_pages: int


class WordPage(msgspec.Struct):
    words: list[WordItem]
    pagination: Pagination


class WordQuery(msgspec.Struct, frozen=True):
    """Which words a list shows. `after` is the id of the last word already seen; it takes the place of `page`."""

    page: int = 1
    limit: int = DEFAULT_LIMIT
    search: str | None = None
    level: Level | None = None
    topic: str | None = None
    part_of_speech: str | None = None
    after: str | None = None

    @property
    def plain(self) -> bool:
        """All words, or those of a level, by page."""
        return not self.filtered and self.after is None

    @property
    def filtered(self) -> bool:
        """By something of which no total is kept."""
        return bool(self.search or self.topic or self.part_of_speech)


def read_word_query(parameters: MultiDict[Any]) -> WordQuery:
    """Raises BadRequest with a sentence for every wrong field. An empty value is an absent one; a limit over 1000 is 1000."""
    wrong: list[str] = []
    page = read_positive(parameters.get("page"), "page", 1, wrong)
    limit = read_positive(parameters.get("limit"), "limit", DEFAULT_LIMIT, wrong)
    level = parameters.get("level") or None
    if level is not None and level not in LEVELS:
        wrong.append(f"level must be one of {','.join(LEVELS)}")
    after = read_cursor(parameters.get("after"), "a word", wrong)
    texts = {name: read_text(parameters.get(name), name, wrong) for name in ("search", "topic", "partOfSpeech")}
    if wrong:
        raise BadRequest(wrong)
    return WordQuery(
        page, min(limit, MOST_PER_PAGE), texts["search"], level, texts["topic"], texts["partOfSpeech"], after
    )
