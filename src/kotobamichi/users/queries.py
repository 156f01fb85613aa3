"""The SQL of what learners did: functions that take the database and give rows as structs. Totals are kept, never counted."""

from __future__ import annotations

from typing import Any, LiteralString

from msgspec.structs import asdict

from kotobamichi.db import Database
from kotobamichi.pipeline import Row, Statement
from kotobamichi.quizzes.grading import right_answers
from kotobamichi.quizzes.known import spelling_of
from kotobamichi.quizzes.schemas import Result
from kotobamichi.users.schemas import Attempt, AttemptItem, AttemptQuery, Me, Stats, TakenQuiz, UserCount
from kotobamichi.words.queries import ITEM
from kotobamichi.words.schemas import WordItem

ME = Statement(
    "SELECT u.id, u.email, u.role, u.created_at, u.updated_at,"
    " (SELECT count(*) FROM quizzes q WHERE q.created_by_id = u.id AND q.deleted_at IS NULL), coalesce(t.attempts, 0)"
    " FROM users u LEFT JOIN learner_totals t ON t.user_id = u.id WHERE u.id = $1"
)
ATTEMPT: LiteralString = (
    "a.id, a.user_id, a.quiz_id, a.score, a.completed_at, a.created_at, a.updated_at, q.title, q.description"
)
ATTEMPT_COLUMNS = 9
RECENT_ATTEMPTS = 5
STATS = Statement(
    "SELECT coalesce(t.attempts, 0), coalesce(t.score_sum, 0), coalesce(t.highest_score, 0), coalesce(t.lowest_score, 0),"
    f" coalesce(t.words_learned, 0), coalesce(t.quizzes_taken, 0), {ATTEMPT}"
    " FROM (SELECT $1::uuid AS id) me LEFT JOIN learner_totals t ON t.user_id = me.id"
    " LEFT JOIN LATERAL (SELECT * FROM attempts WHERE user_id = me.id"
    f" ORDER BY created_at DESC, id DESC LIMIT {RECENT_ATTEMPTS}) a ON true LEFT JOIN quizzes q ON q.id = a.quiz_id"
    " ORDER BY a.created_at DESC, a.id DESC"
)
# An index finds the rows of an early page at once; a late one has to pass over all before it, and waits in the pool instead.
FARTHEST_ON_HOT_PATH = 1000
PAGE: LiteralString = (
    f"SELECT coalesce(t.attempts, 0), {ATTEMPT}"
    " FROM (SELECT {user}::uuid AS id) me LEFT JOIN learner_totals t ON t.user_id = me.id"
    " LEFT JOIN LATERAL (SELECT * FROM attempts WHERE user_id = me.id"
    " ORDER BY created_at DESC, id DESC LIMIT {limit}::bigint OFFSET {offset}::bigint) a ON true"
    " LEFT JOIN quizzes q ON q.id = a.quiz_id ORDER BY a.created_at DESC, a.id DESC"
)
EARLY_PAGE = Statement(PAGE.format(user="$1", limit="$2", offset="$3"))
LATE_PAGE: LiteralString = PAGE.format(user="%(user)s", limit="%(limit)s", offset="%(offset)s")
# With the words of the quiz, those too that were deleted since.
WHOLE_ATTEMPT = Statement(
    f"SELECT {ATTEMPT}, a.answers[k.position + 1], a.correct[k.position + 1], {ITEM}"
    " FROM attempts a JOIN quizzes q ON q.id = a.quiz_id JOIN quiz_words k ON k.quiz_id = q.id"
    " JOIN words w ON w.id = k.word_id WHERE a.id = $1 AND a.user_id = $2 ORDER BY k.position"
)


async def find_me(database: Database, user_id: str) -> Me | None:
    rows = await database.read(ME, user_id)
    if not rows:
        return None
    values: list[Any] = [*rows[0][:5], UserCount(*rows[0][5:])]
    return Me(*values)


async def get_stats(database: Database, user_id: str) -> Stats:
    """The learner's numbers and latest attempts, in one statement; zeros where there is none."""
    rows = await database.read(STATS, user_id)
    attempts, score_sum, highest, lowest, learned, taken = rows[0][:6]
    recent = [_item(row[6:]) for row in rows if row[6] is not None]
    return Stats(attempts, average_of(score_sum, attempts), highest, lowest, recent, learned, taken)


def average_of(score_sum: int, attempts: int) -> int | float:
    """The average in percent, to two decimals, half a hundredth rounded up; a whole number is an int, as JavaScript writes it."""
    if attempts == 0:
        return 0
    hundredths = (200 * score_sum + attempts) // (2 * attempts)
    return hundredths // 100 if hundredths % 100 == 0 else hundredths / 100


async def list_attempts(database: Database, user_id: str, query: AttemptQuery) -> tuple[list[AttemptItem], int]:
    """One page, newest first, and how many attempts there are in all, in one statement."""
    offset = (query.page - 1) * query.limit
    if offset <= FARTHEST_ON_HOT_PATH:
        rows = await database.read(EARLY_PAGE, user_id, query.limit, offset)
    else:
        rows = await database.fetch_all(LATE_PAGE, {"user": user_id, "limit": query.limit, "offset": offset})
    return [_item(row[1:]) for row in rows if row[1] is not None], int(rows[0][0])


def _item(row: Row) -> AttemptItem:
    values: list[Any] = [*row[:7], TakenQuiz(row[2], *row[7:ATTEMPT_COLUMNS])]
    return AttemptItem(*values)


async def find_attempt(database: Database, user_id: str, attempt_id: str) -> Attempt | None:
    """An attempt of this learner with its results."""
    rows = await database.read(WHOLE_ATTEMPT, attempt_id, user_id)
    if not rows:
        return None
    results = [_result(row[ATTEMPT_COLUMNS:]) for row in rows]
    return Attempt(
        **asdict(_item(rows[0])),
        total_questions=len(results),
        correct_answers=sum(result.is_correct for result in results),
        results=results,
    )


def _result(row: Row) -> Result:
    answer, is_correct, *values = row
    word = WordItem(*values)
    return Result(word.id, answer, right_answers(spelling_of(word)), is_correct, word)
