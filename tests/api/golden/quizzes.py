"""Section 1 of the contract, "Quizzes" and "Users"."""

from __future__ import annotations

from typing import Any

from tests.api.golden import INSTANT, NUMBER, TEXT, UNAUTHENTICATED, UUID, Case, bad_request, refusal

NOT_FOUND = refusal(404, "Not Found", "Quiz not found")
NO_WORDS = refusal(400, "Bad Request", "One or more words not found")


def item(**known: Any) -> dict[str, Any]:
    """A word in a list, as the vocabulary has it."""
    word = {
        "id": UUID, "hiragana": TEXT, "katakana": None, "kanji": None, "romaji": None, "english": TEXT, "meaning": TEXT,
        "pronunciationUrl": None, "pronunciation": None, "level": "N5", "topic": None, "partOfSpeech": None,
        "createdAt": INSTANT,
    }  # fmt: skip
    return word | known


MEET = item(id="{meet}", hiragana="あう", kanji="会う", english="to meet", meaning="to meet")
BLUE = item(id="{blue}", hiragana="あお", kanji="青", english="blue", meaning="blue")
FOUND = {"words": [item(kanji=TEXT)], "pagination": {"page": 1, "limit": 1, "total": NUMBER, "totalPages": NUMBER}}
KNOWN = {"{meet}": MEET, "{blue}": BLUE}


def creator(who: str, *, shown: bool, role: str = "USER") -> dict[str, Any]:
    return {"id": f"{{{who}_id}}", **({"email": f"{{{who}_email}}"} if shown else {}), "role": role}


def listed(quiz: str, title: str, *, shown: bool, **known: Any) -> dict[str, Any]:
    """A quiz of the learner's in a list, with two words and no attempt."""
    return {
        "id": quiz, "title": title, "description": None, "isPublic": True, "createdById": "{learner_id}", "createdAt": INSTANT,
        "updatedAt": INSTANT, "creator": creator("learner", shown=shown), "_count": {"quizWords": 2, "attempts": 0},
    } | known  # fmt: skip


def detail(quiz: str, title: str, words: list[str], *, shown: bool, **known: Any) -> dict[str, Any]:
    questions = [{"id": UUID, "quizId": quiz, "wordId": word, "word": KNOWN[word]} for word in words]
    return listed(quiz, title, shown=shown, quizWords=questions, **known)


def result(word: str, answer: str, right: list[str], *, correct: bool) -> dict[str, Any]:
    return {
        "wordId": word, "userAnswer": answer, "correctAnswers": right, "isCorrect": correct, "word": KNOWN[word],
    }  # fmt: skip


def attempt(**known: Any) -> dict[str, Any]:
    return {
        "id": "{attempt}", "userId": "{other_id}", "quizId": "{quiz}", "score": 50, "completedAt": INSTANT,
        "createdAt": INSTANT, "updatedAt": INSTANT, "quiz": {"id": "{quiz}", "title": "Golden", "description": "of tests"},
    } | known  # fmt: skip


def progress(word: str, level: int) -> dict[str, Any]:
    return {
        "id": UUID, "userId": "{other_id}", "wordId": word, "masteryLevel": level, "lastReviewedAt": INSTANT,
        "nextReviewAt": INSTANT, "createdAt": INSTANT, "updatedAt": INSTANT, "word": KNOWN[word],
    }  # fmt: skip


RESULTS = [
    result("{blue}", "AO", ["あお", "青", "blue"], correct=True),
    result("{meet}", "", ["あう", "会う", "to meet"], correct=False),
]
ANSWERS = [{"wordId": "{meet}", "answer": ""}, {"wordId": "{blue}", "answer": "AO"}]
PAGE = {
    "page": 1, "limit": 10, "total": 1, "totalPages": 1, "currentPage": 1, "totalCount": 1, "hasNextPage": False,
    "hasPreviousPage": False,
}  # fmt: skip
GOLDEN = {"title": "  Golden ", "description": "of tests", "isPublic": True, "wordIds": ["{blue}", "{meet}", "{blue}"]}
TAKEN = {"quizWords": 2, "attempts": 1}

CASES = [
    Case("a word", "nobody", "GET", "/v1/words?search=会う&limit=1", None, 200, FOUND, keep={"meet": "words.0.id"}),
    Case("another", "nobody", "GET", "/v1/words?search=青&limit=1", None, 200, FOUND, keep={"blue": "words.0.id"}),
    # Making.
    Case("make as nobody", "nobody", "POST", "/v1/quizzes", GOLDEN, 401, UNAUTHENTICATED),
    Case(
        "make", "learner", "POST", "/v1/quizzes", GOLDEN, 201,
        detail(UUID, "Golden", ["{blue}", "{meet}"], shown=True, description="of tests"), keep={"quiz": "id"},
    ),
    Case(
        "make a private one", "learner", "POST", "/v1/quizzes",
        {"title": "Private", "description": "", "wordIds": ["{meet}", "{blue}"]}, 201,
        detail(UUID, "Private", ["{meet}", "{blue}"], shown=True, isPublic=False), keep={"private": "id"},
    ),
    Case(
        "make of nothing", "learner", "POST", "/v1/quizzes", {}, 400,
        bad_request(
            "title should not be empty", "title must be a string", "each value in wordIds must be a string",
            "wordIds should not be empty", "wordIds must be an array",
        ),
    ),
    Case(
        "make with wrong fields", "learner", "POST", "/v1/quizzes",
        {"title": " \u3000 ", "description": 1, "isPublic": "yes", "wordIds": [1], "extra": True}, 400,
        bad_request(
            "property extra should not exist", "title should not be empty", "description must be a string",
            "isPublic must be a boolean value", "each value in wordIds must be a string",
        ),
    ),
    Case(
        "make with nulls", "learner", "POST", "/v1/quizzes", {"title": None, "description": None, "isPublic": None, "wordIds": []},
        400,
        bad_request(
            "title should not be empty", "title must be a string", "isPublic must be a boolean value",
            "wordIds should not be empty",
        ),
    ),
    Case(
        "make with NUL", "learner", "POST", "/v1/quizzes", {"title": "a\0b", "wordIds": ["{meet}"]}, 400,
        bad_request("title must not contain a NUL character"),
    ),
    Case("no such word", "learner", "POST", "/v1/quizzes", {"title": "t", "wordIds": ["{meet}", "{quiz}"]}, 400, NO_WORDS),
    Case("no id of a word", "learner", "POST", "/v1/quizzes", {"title": "t", "wordIds": ["\0"]}, 400, NO_WORDS),
    # Finding.
    Case(
        "list", "nobody", "GET", "/v1/quizzes?limit=1", None, 200,
        [listed("{quiz}", "Golden", shown=False, description="of tests")],
    ),
    Case(
        "list as its maker", "learner", "GET", "/v1/quizzes?limit=1", None, 200,
        [listed("{quiz}", "Golden", shown=True, description="of tests")],
    ),
    Case(
        "list as another", "other", "GET", "/v1/quizzes?limit=1", None, 200,
        [listed("{quiz}", "Golden", shown=False, description="of tests")],
    ),
    Case(
        "list as an administrator", "admin", "GET", "/v1/quizzes?limit=1", None, 200,
        [listed("{quiz}", "Golden", shown=True, description="of tests")],
    ),
    Case(
        "own quizzes", "learner", "GET", "/v1/quizzes/my-quizzes", None, 200,
        [
            listed("{private}", "Private", shown=True, isPublic=False),
            listed("{quiz}", "Golden", shown=True, description="of tests"),
        ],
    ),
    Case("own quizzes of another", "other", "GET", "/v1/quizzes/my-quizzes", None, 200, []),
    Case("own quizzes of nobody", "nobody", "GET", "/v1/quizzes/my-quizzes", None, 401, UNAUTHENTICATED),
    Case(
        "show", "nobody", "GET", "/v1/quizzes/{quiz}", None, 200,
        detail("{quiz}", "Golden", ["{blue}", "{meet}"], shown=False, description="of tests"),
    ),
    Case(
        "show a private one", "learner", "GET", "/v1/quizzes/{private}", None, 200,
        detail("{private}", "Private", ["{meet}", "{blue}"], shown=True, isPublic=False),
    ),
    Case("show somebody's private one", "other", "GET", "/v1/quizzes/{private}", None, 404, NOT_FOUND),
    Case("show no quiz", "nobody", "GET", "/v1/quizzes/{meet}", None, 404, NOT_FOUND),
    Case("show no id", "nobody", "GET", "/v1/quizzes/nope", None, 404, NOT_FOUND),
    Case(
        "list with junk", "nobody", "GET", "/v1/quizzes?limit=-5&after=x", None, 400,
        bad_request("limit must not be less than 1", "after must be the id of a quiz"),
    ),
    # Taking.
    Case("submit as nobody", "nobody", "POST", "/v1/quizzes/{quiz}/submit", {"answers": ANSWERS}, 401, UNAUTHENTICATED),
    Case(
        "submit nothing", "other", "POST", "/v1/quizzes/{quiz}/submit", {}, 400, bad_request("answers must be an array"),
    ),
    Case(
        "submit wrong fields", "other", "POST", "/v1/quizzes/{quiz}/submit", {"answers": [{"answer": 1}, "x"]}, 400,
        bad_request(
            "answers.0.wordId should not be empty", "answers.0.wordId must be a string", "answers.0.answer must be a string",
            "answers.1 must be an object",
        ),
    ),
    Case(
        "submit too little", "other", "POST", "/v1/quizzes/{quiz}/submit", {"answers": ANSWERS[:1]}, 400,
        refusal(400, "Bad Request", "Missing answers for some words"),
    ),
    Case(
        "submit twice the same", "other", "POST", "/v1/quizzes/{quiz}/submit", {"answers": [*ANSWERS, ANSWERS[0]]}, 400,
        refusal(400, "Bad Request", "Duplicate answers detected"),
    ),
    Case("submit to a private one", "other", "POST", "/v1/quizzes/{private}/submit", {"answers": ANSWERS}, 404, NOT_FOUND),
    Case("no attempt yet", "other", "GET", "/v1/users/me/stats", None, 200, {
        "totalAttempts": 0, "averageScore": 0, "highestScore": 0, "lowestScore": 0, "recentAttempts": [], "wordsLearned": 0,
        "totalQuizzesTaken": 0,
    }),
    Case(
        "submit", "other", "POST", "/v1/quizzes/{quiz}/submit", {"answers": ANSWERS}, 201,
        {
            "attemptId": UUID, "score": 50, "totalQuestions": 2, "correctAnswers": 1, "message": "Quiz submitted successfully",
            "results": RESULTS,
        },
        keep={"attempt": "attemptId"},
    ),
    Case("the count", "nobody", "GET", "/v1/quizzes?limit=1", None, 200, [
        listed("{quiz}", "Golden", shown=False, description="of tests", _count=TAKEN)
    ]),
    # What the learner is told.
    Case("me", "other", "GET", "/v1/users/me", None, 200, {
        "id": "{other_id}", "email": "{other_email}", "role": "USER", "createdAt": INSTANT, "updatedAt": INSTANT,
        "_count": {"createdQuizzes": 0, "quizAttempts": 1},
    }),
    Case("the maker", "learner", "GET", "/v1/users/me", None, 200, {
        "id": "{learner_id}", "email": "{learner_email}", "role": "USER", "createdAt": INSTANT, "updatedAt": INSTANT,
        "_count": {"createdQuizzes": 2, "quizAttempts": 0},
    }),
    Case("me as nobody", "nobody", "GET", "/v1/users/me", None, 401, UNAUTHENTICATED),
    Case("attempts", "other", "GET", "/v1/users/me/attempts", None, 200, {"attempts": [attempt()], "pagination": PAGE}),
    Case(
        "attempts past the end", "other", "GET", "/v1/users/me/attempts?page=2&limit=500", None, 200,
        {"attempts": [], "pagination": PAGE | {"page": 2, "limit": 100, "currentPage": 2, "hasPreviousPage": True}},
    ),
    Case(
        "attempts with junk", "other", "GET", "/v1/users/me/attempts?page=0&limit=abc", None, 400,
        bad_request("page must not be less than 1", "limit must be an integer number"),
    ),
    Case("attempts as nobody", "nobody", "GET", "/v1/users/me/attempts", None, 401, UNAUTHENTICATED),
    Case(
        "an attempt", "other", "GET", "/v1/users/me/attempts/{attempt}", None, 200,
        attempt(totalQuestions=2, correctAnswers=1, results=RESULTS),
    ),
    Case(
        "an attempt of another", "learner", "GET", "/v1/users/me/attempts/{attempt}", None, 404,
        refusal(404, "Not Found", "Attempt not found"),
    ),
    Case("stats", "other", "GET", "/v1/users/me/stats", None, 200, {
        "totalAttempts": 1, "averageScore": 50, "highestScore": 50, "lowestScore": 50, "recentAttempts": [attempt()],
        "wordsLearned": 0, "totalQuizzesTaken": 1,
    }),
    Case("stats as nobody", "nobody", "GET", "/v1/users/me/stats", None, 401, UNAUTHENTICATED),
    Case("progress as nobody", "nobody", "GET", "/v1/progress", None, 401, UNAUTHENTICATED),
    Case("no progress", "learner", "GET", "/v1/progress", None, 200, []),
    # Deleting.
    Case("delete as nobody", "nobody", "DELETE", "/v1/quizzes/{quiz}", None, 401, UNAUTHENTICATED),
    Case(
        "delete somebody's", "other", "DELETE", "/v1/quizzes/{quiz}", None, 403, refusal(403, "Forbidden", "Access denied"),
    ),
    Case("delete somebody's private one", "other", "DELETE", "/v1/quizzes/{private}", None, 404, NOT_FOUND),
    Case("delete", "learner", "DELETE", "/v1/quizzes/{quiz}", None, 200, {"message": "Quiz deleted successfully"}),
    Case("delete again", "learner", "DELETE", "/v1/quizzes/{quiz}", None, 404, NOT_FOUND),
    Case("show after that", "learner", "GET", "/v1/quizzes/{quiz}", None, 404, NOT_FOUND),
    Case("submit after that", "other", "POST", "/v1/quizzes/{quiz}/submit", {"answers": ANSWERS}, 404, NOT_FOUND),
    Case("attempts after that", "other", "GET", "/v1/users/me/attempts", None, 200, {"attempts": [attempt()], "pagination": PAGE}),
    Case(
        "the attempt after that", "other", "GET", "/v1/users/me/attempts/{attempt}", None, 200,
        attempt(totalQuestions=2, correctAnswers=1, results=RESULTS),
    ),
    Case(
        "delete as an administrator", "admin", "DELETE", "/v1/quizzes/{private}", None, 200,
        {"message": "Quiz deleted successfully"},
    ),
]  # fmt: skip
