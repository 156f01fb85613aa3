"""What can be done with quizzes: find them, make and delete them, take them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from urllib.parse import urlencode

import msgspec

from kotobamichi.accounts.identity import Identity
from kotobamichi.db import Database
from kotobamichi.errors import BadRequest, Forbidden, NotFound
from kotobamichi.freshness import Answer, Answers, Kind, Revisions, answer_of
from kotobamichi.ids import parse_id
from kotobamichi.quizzes import queries
from kotobamichi.quizzes.attempts import insert_attempt
from kotobamichi.quizzes.grading import is_right, score_of
from kotobamichi.quizzes.known import KINDS, KnownQuiz, QuizShelf
from kotobamichi.quizzes.queries import QUIZ_NOT_FOUND, WORDS_NOT_FOUND, creator_for
from kotobamichi.quizzes.schemas import (
    GivenAnswer,
    NewQuiz,
    Quiz,
    QuizCount,
    QuizItem,
    QuizQuery,
    Result,
    Submission,
    Submitted,
)

SHOWN: tuple[Kind, ...] = (*KINDS, "attempts")
LISTED: tuple[Kind, ...] = ("quizzes", "accounts", "attempts")
List = Callable[[], Awaitable[tuple[list[QuizItem], bool]]]


async def list_quizzes(database: Database, answers: Answers, query: QuizQuery, viewer: Identity | None) -> Answer:
    """The public quizzes, newest first. Raises BadRequest where `after` is no quiz."""
    # Only who made one of them, or an administrator, is shown addresses; for everybody else the list is the same.
    if viewer is not None and not viewer.is_admin and not await queries.owns_public_quiz(database, viewer.id):
        viewer = None
    reader = None if viewer is None else "ADMIN" if viewer.is_admin else viewer.id

    async def make() -> Answer:
        return await _page(database, "/v1/quizzes", query, lambda: queries.list_public(database, query, viewer))

    if query.search:
        return await make()
    return await answers.get(("quizzes", query, reader), LISTED, make)


async def list_own_quizzes(database: Database, query: QuizQuery, viewer: Identity) -> Answer:
    """The viewer's quizzes, newest first. Raises BadRequest where `after` is no quiz."""
    return await _page(database, "/v1/quizzes/my-quizzes", query, lambda: queries.list_own(database, query, viewer))


async def _page(database: Database, path: str, query: QuizQuery, read: List) -> Answer:
    quizzes, more = await read()
    if query.after and not quizzes and not await queries.quiz_exists(database, query.after):
        raise BadRequest(["after must be the id of a quiz"])
    link = None
    if more:
        fields = {"limit": query.limit, "after": quizzes[-1].id, **({"search": query.search} if query.search else {})}
        link = f'<{path}?{urlencode(fields)}>; rel="next"'
    return answer_of(msgspec.json.encode(quizzes), link)


async def get_quiz(
    database: Database, shelf: QuizShelf, quiz_id: str, viewer: Identity | None, revisions: Revisions | None = None
) -> KnownQuiz:
    """Raises NotFound, also for what is no id and for what the viewer may not see."""
    if (parsed := parse_id(quiz_id)) is None:
        raise NotFound(QUIZ_NOT_FOUND)
    known_id = str(parsed)

    async def read() -> KnownQuiz:
        quiz = await queries.find_quiz(database, known_id)
        if quiz is None:
            raise NotFound(QUIZ_NOT_FOUND)
        return quiz

    quiz = await shelf.get(known_id, KINDS, read, revisions)
    if not quiz.is_visible_to(viewer):
        raise NotFound(QUIZ_NOT_FOUND)
    return quiz


async def show_quiz(
    database: Database, answers: Answers, shelf: QuizShelf, quiz_id: str, viewer: Identity | None
) -> Answer:
    """The quiz with its words. Raises NotFound like `get_quiz`."""
    revisions = await answers.freshness.look()
    quiz = await get_quiz(database, shelf, quiz_id, viewer, revisions)

    async def make() -> bytes:
        return msgspec.json.encode(_shown(quiz, await queries.count_attempts(database, quiz.id), viewer))

    return await answers.get(("quiz", quiz.id, quiz.belongs_to(viewer)), SHOWN, make, revisions)


def _shown(quiz: KnownQuiz, attempts: int, viewer: Identity | None) -> Quiz:
    return Quiz(
        quiz.id, quiz.title, quiz.description, quiz.is_public, quiz.created_by_id, quiz.created_at, quiz.updated_at,
        creator_for(viewer, quiz.created_by_id, quiz.creator_email, quiz.creator_role),
        QuizCount(len(quiz.questions), attempts),
        quiz_words=list(quiz.questions),
    )  # fmt: skip


async def create_quiz(database: Database, maker: Identity, quiz: NewQuiz, now: datetime) -> Quiz:
    """Raises BadRequest where a word is not there."""
    word_ids = [parse_id(word_id) for word_id in quiz.word_ids]
    if None in word_ids:
        raise BadRequest(WORDS_NOT_FOUND)
    quiz_id = await queries.insert_quiz(database, maker, quiz, list(dict.fromkeys(map(str, word_ids))), now)
    stored = await queries.find_quiz(database, quiz_id)
    if stored is None:  # deleted just now, by another request of its maker's
        raise NotFound(QUIZ_NOT_FOUND)
    return _shown(stored, 0, maker)


async def delete_quiz(database: Database, shelf: QuizShelf, quiz_id: str, asker: Identity, now: datetime) -> None:
    """Raises NotFound for what the asker may not see, Forbidden for what is somebody else's."""
    quiz = await get_quiz(database, shelf, quiz_id, asker)
    if not quiz.belongs_to(asker):
        raise Forbidden("Access denied")
    if not await queries.delete_quiz(database, quiz.id, now):
        raise NotFound(QUIZ_NOT_FOUND)


async def submit_quiz(
    database: Database, shelf: QuizShelf, quiz_id: str, learner: Identity, submission: Submission, now: datetime
) -> Submitted:
    """Grades and stores an attempt. Raises NotFound like `get_quiz`, BadRequest where answers are missing or double."""
    quiz = await get_quiz(database, shelf, quiz_id, learner)
    answers = arrange(quiz, submission.answers)
    correct = [is_right(answer, spelling) for answer, spelling in zip(answers, quiz.spellings, strict=True)]
    score = score_of(sum(correct), len(correct))
    attempt_id = await insert_attempt(database, learner, quiz, answers, correct, score, now)
    return Submitted(
        attempt_id=attempt_id,
        score=score,
        total_questions=len(correct),
        correct_answers=sum(correct),
        message="Quiz submitted successfully",
        results=[
            Result(question.word_id, answer, right, is_correct, question.word)
            for question, answer, right, is_correct in zip(
                quiz.questions, answers, quiz.right_answers, correct, strict=True
            )
        ],
    )


def arrange(quiz: KnownQuiz, given: list[GivenAnswer]) -> list[str]:
    """The answers in the quiz's order. An answer for a word that the quiz does not ask is passed over.

    Raises BadRequest where a word has no answer, else where one has two.
    """
    answers = {answer.word_id.lower(): answer.answer or "" for answer in given}
    if any(question.word_id not in answers for question in quiz.questions):
        raise BadRequest("Missing answers for some words")
    if len(answers) != len(given):
        raise BadRequest("Duplicate answers detected")
    return [answers[question.word_id] for question in quiz.questions]
