"""Quizzes as an app process knows them: read once, kept as long as no quiz, word or account has changed."""

from __future__ import annotations

from dataclasses import dataclass, field

from kotobamichi.accounts.identity import Identity
from kotobamichi.accounts.tokens import Role
from kotobamichi.freshness import Freshness, Kind, Shelf
from kotobamichi.quizzes.grading import Spelling
from kotobamichi.quizzes.schemas import Question

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
    spellings: tuple[Spelling, ...] = field(repr=False)

    def belongs_to(self, viewer: Identity | None) -> bool:
        """Whether the viewer may do with it what its maker may: the maker and administrators."""
        return viewer is not None and (viewer.id == self.created_by_id or viewer.is_admin)

    def is_visible_to(self, viewer: Identity | None) -> bool:
        return self.is_public or self.belongs_to(viewer)


QuizShelf = Shelf[KnownQuiz]


def new_shelf(freshness: Freshness) -> QuizShelf:
    return Shelf(freshness, MOST_BYTES, lambda quiz: QUESTION_BYTES * len(quiz.questions))
