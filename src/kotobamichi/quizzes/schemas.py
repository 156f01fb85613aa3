"""What clients send and are given for quizzes."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from litestar.datastructures import MultiDict

from kotobamichi.accounts.tokens import Role
from kotobamichi.bodies import VERBATIM, Text, parse_body
from kotobamichi.errors import BadRequest
from kotobamichi.parameters import read_cursor, read_positive, read_text
from kotobamichi.words.schemas import WordItem

MOST_PER_PAGE = 500
MOST_WORDS = 1000
LONGEST_TITLE = 300
LONGEST_DESCRIPTION = 5000
LONGEST_ANSWER = 1000
ID_LENGTH = 36
# In JSON a NUL character can only come escaped.
NUL = re.compile(rb"\\u0000")


class NewQuiz(msgspec.Struct, rename="camel", kw_only=True):
    """A quiz as its maker sends it. `wordIds` is the order of the questions; a word that comes twice is asked once."""

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_TITLE)]
    description: Annotated[str, msgspec.Meta(max_length=LONGEST_DESCRIPTION)] | None = None
    is_public: bool = False
    word_ids: Annotated[list[str], msgspec.Meta(min_length=1, max_length=MOST_WORDS)]


class GivenAnswer(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What was answered for a word; nothing is a wrong answer."""

    word_id: Text
    answer: Annotated[str, msgspec.Meta(max_length=LONGEST_ANSWER), VERBATIM] | None = None


class Submission(msgspec.Struct, forbid_unknown_fields=True):
    """An answer for each word of the quiz, in any order."""

    answers: Annotated[list[GivenAnswer], msgspec.Meta(max_length=MOST_WORDS)]


class Creator(msgspec.Struct, kw_only=True):
    """Who made the quiz. The address is there for the maker and for administrators only."""

    id: str
    email: str | msgspec.UnsetType = msgspec.UNSET
    role: Role


class QuizCount(msgspec.Struct, rename="camel"):
    """How many words the quiz has, and how often it was taken."""

    quiz_words: int
    attempts: int


class QuizItem(msgspec.Struct, rename="camel"):
    """A quiz in a list."""

    id: str
    title: str
    description: str | None
    is_public: bool
    created_by_id: str
    created_at: str
    updated_at: str
    creator: Creator
    count: QuizCount = msgspec.field(name="_count")


class Question(msgspec.Struct, rename="camel"):
    """A word of a quiz, in its place."""

    id: str
    quiz_id: str
    word_id: str
    word: WordItem


class Quiz(QuizItem, rename="camel", kw_only=True):
    """A quiz with its words, in their order."""

    quiz_words: list[Question]


class Deleted(msgspec.Struct):
    """That it is done."""

    message: str


class Result(msgspec.Struct, rename="camel"):
    """How a word was answered: what was typed, and what would have been right."""

    word_id: str
    user_answer: str
    correct_answers: list[str]
    is_correct: bool
    word: WordItem


class Submitted(msgspec.Struct, rename="camel"):
    """A graded attempt; the results are in the quiz's order."""

    attempt_id: str
    score: int
    total_questions: int
    correct_answers: int
    message: str
    results: list[Result]


class QuizQuery(msgspec.Struct, frozen=True):
    """Which part of a list of quizzes is shown. `after` is the id of the last quiz already seen."""

    limit: int = MOST_PER_PAGE
    after: str | None = None
    search: str | None = None


def read_quiz_query(parameters: MultiDict[Any]) -> QuizQuery:
    """Raises BadRequest with a sentence for every wrong field; a limit over 500 is 500."""
    wrong: list[str] = []
    limit = read_positive(parameters.get("limit"), "limit", MOST_PER_PAGE, wrong)
    after = read_cursor(parameters.get("after"), "a quiz", wrong)
    search = read_text(parameters.get("search"), "search", wrong)
    if wrong:
        raise BadRequest(wrong)
    return QuizQuery(min(limit, MOST_PER_PAGE), after, search)


def read_submission(content: bytes) -> Submission:
    """Raises BadRequest like `parse_body`, which does the refusing: what is right, and that is nearly all, is read faster here."""
    if NUL.search(content) is None:
        try:
            submission = msgspec.json.decode(content, type=Submission)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            pass
        else:
            if all(len(answer.word_id) == ID_LENGTH for answer in submission.answers):  # nothing to trim
                return submission
    return parse_body(content, Submission)
