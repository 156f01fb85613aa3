"""/quizzes: unpack, call, return."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from litestar import Request, Response, Router, delete, get, post

from kotobamichi.accounts.identity import asker, notice, possible_asker, signed_in
from kotobamichi.bodies import read_body
from kotobamichi.db import Database
from kotobamichi.freshness import Answers
from kotobamichi.http import json_answer
from kotobamichi.openapi import describe, integer, text
from kotobamichi.quizzes import service
from kotobamichi.quizzes.known import QuizShelf
from kotobamichi.quizzes.schemas import (
    MOST_PER_PAGE,
    Deleted,
    NewQuiz,
    Quiz,
    QuizItem,
    Submission,
    Submitted,
    read_quiz_query,
    read_submission,
)

AnyRequest = Request[Any, Any, Any]

LIST_PARAMETERS = (
    integer("limit", f"Quizzes per page, at most {MOST_PER_PAGE}.", default=MOST_PER_PAGE),
    text("after", "The id of the last quiz already seen. The Link header of an answer that is not the end has it."),
    text("search", "A part of the title or the description."),
)
ListQuizzes = describe(*LIST_PARAMETERS, answer=list[QuizItem], errors=(400,))
ListOwnQuizzes = describe(*LIST_PARAMETERS, answer=list[QuizItem], errors=(400,), signed_in=True)
ShowQuiz = describe(answer=Quiz, errors=(404,))
CreateQuiz = describe(body=NewQuiz, errors=(400, 413), signed_in=True)
DeleteQuiz = describe(errors=(403, 404), signed_in=True)
SubmitQuiz = describe(body=Submission, errors=(400, 404, 413), signed_in=True)


@get(guards=[notice], operation_class=ListQuizzes, summary="List public quizzes, newest first")
async def list_quizzes(request: AnyRequest, database: Database, answers: Answers) -> Response[bytes]:
    query = read_quiz_query(request.query_params)
    return json_answer(await service.list_quizzes(database, answers, query, possible_asker(request)))


@get("/my-quizzes", guards=[signed_in], operation_class=ListOwnQuizzes, summary="List one's own quizzes, newest first")
async def list_own_quizzes(request: AnyRequest, database: Database) -> Response[bytes]:
    query = read_quiz_query(request.query_params)
    return json_answer(await service.list_own_quizzes(database, query, asker(request)))


@get(
    "/{quiz_id:str}",
    guards=[notice],
    operation_class=ShowQuiz,
    summary="Show a quiz with its words",
    description="Public quizzes are for everybody, private ones for who made them and for administrators.",
)
async def show_quiz(
    quiz_id: str, request: AnyRequest, database: Database, answers: Answers, quiz_shelf: QuizShelf
) -> Response[bytes]:
    return json_answer(await service.show_quiz(database, answers, quiz_shelf, quiz_id, possible_asker(request)))


@post(guards=[signed_in], operation_class=CreateQuiz, summary="Make a quiz")
async def create_quiz(request: AnyRequest, database: Database) -> Quiz:
    quiz = await read_body(request, NewQuiz)
    return await service.create_quiz(database, asker(request), quiz, datetime.now(UTC))


@delete(
    "/{quiz_id:str}",
    status_code=200,
    guards=[signed_in],
    operation_class=DeleteQuiz,
    summary="Delete a quiz",
    description="For who made it and for administrators. Attempts at it stay in the history of those who took it.",
)
async def delete_quiz(quiz_id: str, request: AnyRequest, database: Database, quiz_shelf: QuizShelf) -> Deleted:
    await service.delete_quiz(database, quiz_shelf, quiz_id, asker(request), datetime.now(UTC))
    return Deleted("Quiz deleted successfully")


@post(
    "/{quiz_id:str}/submit",
    guards=[signed_in],
    operation_class=SubmitQuiz,
    summary="Take a quiz",
    description="Grades the answers and stores the attempt with what it says of the learner's progress, all or nothing.",
)
async def submit_quiz(quiz_id: str, request: AnyRequest, database: Database, quiz_shelf: QuizShelf) -> Submitted:
    submission = read_submission(await request.body())
    return await service.submit_quiz(database, quiz_shelf, quiz_id, asker(request), submission, datetime.now(UTC))


router = Router(
    path="/quizzes",
    route_handlers=[list_quizzes, list_own_quizzes, show_quiz, create_quiz, delete_quiz, submit_quiz],
    tags=["Quizzes"],
)
