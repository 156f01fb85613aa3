"""What learners are given of their progress."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar.datastructures import MultiDict

from kotobamichi.errors import BadRequest
from kotobamichi.parameters import read_cursor, read_positive
from kotobamichi.reviews.scheduling import HIGHEST_LEVEL
from kotobamichi.words.schemas import WordItem

MOST_PER_PAGE = 10_000

Level = Annotated[int, msgspec.Meta(ge=0, le=HIGHEST_LEVEL)]


class Progress(msgspec.Struct, rename="camel"):
    """How well the learner knows a word, and when to see it again."""

    id: str
    user_id: str
    word_id: str
    mastery_level: Level
    last_reviewed_at: str
    next_review_at: str
    created_at: str
    updated_at: str
    word: WordItem


class ProgressQuery(msgspec.Struct, frozen=True):
    """Which part of the progress is shown. `after` is the id of the last entry already seen."""

    limit: int = MOST_PER_PAGE
    after: str | None = None


def read_progress_query(parameters: MultiDict[Any]) -> ProgressQuery:
    """Raises BadRequest with a sentence for every wrong field; a limit over 10,000 is 10,000."""
    wrong: list[str] = []
    limit = read_positive(parameters.get("limit"), "limit", MOST_PER_PAGE, wrong)
    after = read_cursor(parameters.get("after"), "an entry", wrong)
    if wrong:
        raise BadRequest(wrong)
    return ProgressQuery(min(limit, MOST_PER_PAGE), after)
