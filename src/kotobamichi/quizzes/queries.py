"""The SQL of quizzes: functions that take the database and give rows as structs."""

from __future__ import annotations

from datetime import datetime
from typing import Any, LiteralString

import psycopg
from msgspec import UNSET

from kotobamichi.accounts.identity import Identity
from kotobamichi.db import Database, array_of
from kotobamichi.errors import BadRequest, Unauthenticated
from kotobamichi.ids import new_ids
from kotobamichi.pipeline import Row, Statement
from kotobamichi.quizzes.known import KnownQuiz
from kotobamichi.quizzes.schemas import Creator, NewQuiz, Question, QuizCount, QuizItem, QuizQuery
from kotobamichi.words.content import normalise
from kotobamichi.words.queries import ITEM, LIKE_SIGNS
from kotobamichi.words.schemas import WordItem

QUIZ_NOT_FOUND = "Quiz not found"
WORDS_NOT_FOUND = "One or more words not found"

FACTS: LiteralString = (
    "q.id, q.title, q.description, q.is_public, q.created_by_id, q.created_at, q.updated_at, u.email, u.role"
)
# The quiz and its words, those too that were deleted since: a quiz never loses a question.
QUIZ = Statement(
    f"SELECT {FACTS}, k.id, {ITEM} FROM quizzes q JOIN users u ON u.id = q.created_by_id"
    " JOIN quiz_words k ON k.quiz_id = q.id JOIN words w ON w.id = k.word_id"
    " WHERE q.id = $1 AND q.deleted_at IS NULL ORDER BY k.position"
)
ATTEMPTS: LiteralString = "(SELECT coalesce(sum(t.total), 0)::bigint FROM quiz_attempt_totals t WHERE t.quiz_id = q.id)"
ATTEMPTS_OF_QUIZ = Statement(f"SELECT {ATTEMPTS} FROM quizzes q WHERE q.id = $1")
OWNS_PUBLIC = Statement(
    "SELECT EXISTS (SELECT FROM quizzes WHERE created_by_id = $1 AND is_public AND deleted_at IS NULL)"
)
# Questions are stored, and their words locked, in the order of the words' ids, as all who take many of them do.
NEW_QUIZ = Statement(
    "WITH given AS (SELECT * FROM unnest($6::uuid[], $7::uuid[]) WITH ORDINALITY AS g (word_id, id, place)),"
    " found AS (SELECT count(*) AS total FROM given JOIN words w ON w.id = word_id AND w.deleted_at IS NULL),"
    " quiz AS (INSERT INTO quizzes (id, title, description, is_public, created_by_id, words_total, created_at, updated_at)"
    " SELECT $1, $2, $3, $4::boolean, $5::uuid, total, $8::timestamptz, $8 FROM found WHERE total = cardinality($6)"
    " RETURNING id),"
    " asked AS (INSERT INTO quiz_words (id, quiz_id, word_id, position)"
    " SELECT g.id, quiz.id, g.word_id, g.place - 1 FROM quiz, given g ORDER BY g.word_id RETURNING id)"
    " SELECT count(*) FROM asked"
)
DELETE_QUIZ = Statement("UPDATE quizzes SET deleted_at = $2 WHERE id = $1 AND deleted_at IS NULL RETURNING id")


async def find_quiz(database: Database, quiz_id: str) -> KnownQuiz | None:
    rows = await database.read(QUIZ, quiz_id)
    if not rows:
        return None
    questions = tuple(Question(row[9], row[0], row[10], WordItem(*row[10:])) for row in rows)
    values: list[Any] = [*rows[0][:9], questions]
    return KnownQuiz(*values)


async def count_attempts(database: Database, quiz_id: str) -> int:
    rows = await database.read(ATTEMPTS_OF_QUIZ, quiz_id)
    return int(rows[0][0]) if rows else 0


async def owns_public_quiz(database: Database, user_id: str) -> bool:
    return bool((await database.read(OWNS_PUBLIC, user_id))[0][0])


async def list_public(database: Database, query: QuizQuery, viewer: Identity | None) -> tuple[list[QuizItem], bool]:
    """The public quizzes, newest first, and whether there are more."""
    return await _list(database, "q.is_public", query, viewer)


async def list_own(database: Database, query: QuizQuery, viewer: Identity) -> tuple[list[QuizItem], bool]:
    """The viewer's own quizzes, newest first, and whether there are more."""
    return await _list(database, "q.created_by_id = %(owner)s", query, viewer)


async def _list(
    database: Database, which: LiteralString, query: QuizQuery, viewer: Identity | None
) -> tuple[list[QuizItem], bool]:
    conditions: LiteralString = f"{which} AND q.deleted_at IS NULL"
    parameters: dict[str, Any] = {"limit": query.limit + 1, "owner": viewer.id if viewer else None}
    if query.after:
        # A quiz that was deleted since still marks its place.
        conditions += " AND (q.created_at, q.id) < (SELECT created_at, id FROM quizzes WHERE id = %(after)s)"
        parameters["after"] = query.after
    if query.search:
        text: LiteralString = "lower(normalize(q.title || ' ' || coalesce(q.description, ''), NFKC))"
        conditions += f" AND {text} LIKE %(search)s"
        parameters["search"] = f"%{normalise(query.search).translate(LIKE_SIGNS)}%"
    rows = await database.fetch_all(
        f"SELECT {FACTS}, q.words_total, {ATTEMPTS} FROM quizzes q JOIN users u ON u.id = q.created_by_id"
        f" WHERE {conditions} ORDER BY q.created_at DESC, q.id DESC LIMIT %(limit)s",
        parameters,
    )
    return [_item(row, viewer) for row in rows[: query.limit]], len(rows) > query.limit


def _item(row: Row, viewer: Identity | None) -> QuizItem:
    values: list[Any] = [*row[:7], creator_for(viewer, row[4], row[7], row[8]), QuizCount(row[9], row[10])]
    return QuizItem(*values)


def creator_for(viewer: Identity | None, user_id: str, email: str, role: Any) -> Creator:
    """The maker of a quiz, as the viewer may see them."""
    knows = viewer is not None and (viewer.id == user_id or viewer.is_admin)
    return Creator(id=user_id, email=email if knows else UNSET, role=role)


async def quiz_exists(database: Database, quiz_id: str) -> bool:
    """Whether the id is a quiz's, also of one that was deleted."""
    return await database.fetch_one("SELECT 1 FROM quizzes WHERE id = %(id)s", {"id": quiz_id}) is not None


async def insert_quiz(database: Database, maker: Identity, quiz: NewQuiz, word_ids: list[str], now: datetime) -> str:
    """Stores a quiz with these words, each of them once, and gives its id. Raises BadRequest where a word is not there."""
    quiz_id, *question_ids = new_ids(1 + len(word_ids))
    is_public = "t" if quiz.is_public else "f"
    values = (
        quiz_id, quiz.title, quiz.description, is_public, maker.id, array_of(word_ids), array_of(question_ids), now.isoformat(),
    )  # fmt: skip
    try:
        rows = await database.write((NEW_QUIZ, values))
    except psycopg.errors.ForeignKeyViolation as error:
        if error.diag.constraint_name == "quizzes_created_by_id_fkey":  # the account was deleted just now
            raise Unauthenticated from None
        raise BadRequest(WORDS_NOT_FOUND) from None  # a word was
    if rows[0][0] != len(word_ids):
        raise BadRequest(WORDS_NOT_FOUND)
    return quiz_id


async def delete_quiz(database: Database, quiz_id: str, now: datetime) -> bool:
    """Whether it was there to delete."""
    return bool(await database.write((DELETE_QUIZ, (quiz_id, now.isoformat()))))
