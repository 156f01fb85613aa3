"""Quizzes as an app process knows them: read once, kept as long as no quiz, word or account has changed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from kotobamichi.accounts.identity import Identity
from kotobamichi.accounts.tokens import Role
from kotobamichi.db import array_of
from kotobamichi.freshness import Freshness, Kind, Shelf
from kotobamichi.quizzes.grading import Spelling, right_answers
from kotobamichi.quizzes.schemas import Question
from kotobamichi.words.schemas import WordItem

KINDS: tuple[Kind, ...] = ("quizzes", "words", "accounts")
MOST_BYTES = 64 * 1024 * 1024
# What a question takes in memory, about.
QUESTION_BYTES = 3000


@dataclass(frozen=True)
class KnownQuiz:
    """A quiz that is there, with its questions in order and what is right for each."""

    id: str
    title: str
    description: str | None
    is_public: bool
    created_by_id: str
    created_at: str
    updated_at: str
    creator_email: str
    creator_role: Role
    questions: tuple[Question, ...]

    @cached_property
    def spellings(self) -> list[Spelling]:
        """What is graded, in order."""
        return [spelling_of(question.word) for question in self.questions]

    @cached_property
    def right_answers(self) -> list[list[str]]:
        """What is shown as right for each question, in order."""
        return [right_answers(spelling) for spelling in self.spellings]

    @cached_property
    def review_order(self) -> list[int]:
        """The places of the questions in the order of their words' ids, in which the rows of progress are taken."""
        return sorted(range(len(self.questions)), key=lambda place: self.questions[place].word_id)

    @cached_property
    def word_ids(self) -> str:
        """The words as an array parameter, in that order."""
        return array_of(self.questions[place].word_id for place in self.review_order)

    def belongs_to(self, viewer: Identity | None) -> bool:
        """Whether the viewer may do with it what its maker may: the maker and administrators."""
        return viewer is not None and (viewer.id == self.created_by_id or viewer.is_admin)

    def is_visible_to(self, viewer: Identity | None) -> bool:
        return self.is_public or self.belongs_to(viewer)


def spelling_of(word: WordItem) -> Spelling:
    return Spelling(word.hiragana, word.katakana, word.kanji, word.romaji, word.english)


QuizShelf = Shelf[KnownQuiz]


def new_shelf(freshness: Freshness) -> QuizShelf:
    return Shelf(freshness, MOST_BYTES, lambda quiz: QUESTION_BYTES * len(quiz.questions))
