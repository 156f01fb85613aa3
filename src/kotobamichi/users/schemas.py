"""What learners are given of themselves."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar.datastructures import MultiDict

from kotobamichi.accounts.tokens import Role
from kotobamichi.errors import BadRequest
from kotobamichi.parameters import read_positive
from kotobamichi.quizzes.schemas import Result

DEFAULT_LIMIT = 10
MOST_PER_PAGE = 100


class UserCount(msgspec.Struct, rename="camel"):
    """How many quizzes the learner has made that are still there, and how often they took one."""

    created_quizzes: int
    quiz_attempts: int


class Me(msgspec.Struct, rename="camel"):
    """The account that asks."""

    id: str
    email: str
    role: Role
    created_at: str
    updated_at: str
    count: UserCount = msgspec.field(name="_count")


class TakenQuiz(msgspec.Struct):
    """The quiz of an attempt; it keeps its name after it was deleted."""

    id: str
    title: str
    description: str | None


class AttemptItem(msgspec.Struct, rename="camel"):
    """An attempt in a list; the score is a whole number of percent."""

    id: str
    user_id: str
    quiz_id: str
    score: int
    completed_at: str
    created_at: str
    updated_at: str
    quiz: TakenQuiz


class Attempt(AttemptItem, rename="camel", kw_only=True):
    """An attempt with what was answered, in the quiz's order."""

    total_questions: int
    correct_answers: int
    results: list[Result]


class AttemptPagination(msgspec.Struct, rename="camel"):
    """Where the page stands. `currentPage` repeats `page`, `totalCount` repeats `total`."""

    page: int
    limit: int
    total: int
    total_pages: int
    current_page: int
    total_count: int
    has_next_page: bool
    has_previous_page: bool


class AttemptPage(msgspec.Struct):
    attempts: list[AttemptItem]
    pagination: AttemptPagination


class Stats(msgspec.Struct, rename="camel"):
    """A learner's numbers. Scores are percent, all 0 before the first attempt; the average has two decimals at most.

    `wordsLearned` counts words of mastery level 5 and above, `totalQuizzesTaken` each quiz once.
    """

    total_attempts: int
    average_score: int | float
    highest_score: int
    lowest_score: int
    recent_attempts: list[AttemptItem]
    words_learned: int
    total_quizzes_taken: int


class AttemptQuery(msgspec.Struct, frozen=True):
    """Which page of attempts is shown."""

    page: int = 1
    limit: int = DEFAULT_LIMIT


def read_attempt_query(parameters: MultiDict[Any]) -> AttemptQuery:
    """Raises BadRequest with a sentence for every wrong field; a limit over 100 is 100."""
    wrong: list[str] = []
    page = read_positive(parameters.get("page"), "page", 1, wrong)
    limit = read_positive(parameters.get("limit"), "limit", DEFAULT_LIMIT, wrong)
    if wrong:
        raise BadRequest(wrong)
    return AttemptQuery(page, min(limit, MOST_PER_PAGE))
