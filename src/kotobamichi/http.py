"""Answers: error bodies in the shape that clients know, and bytes at hand. What holds for all of them is in conventions.py."""

from __future__ import annotations

from typing import Any

import psycopg
from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException

from kotobamichi.errors import ApiError
from kotobamichi.freshness import Answer
from kotobamichi.logs import get_log

log = get_log("kotobamichi.http")

NAMES = {
    503: "Service Unavailable",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
}
# What PostgreSQL answers where it is there but others are in the way.
BUSY = (
    psycopg.errors.QueryCanceled,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
)


def error_body(status: int, message: str | list[str], error: str | None = None) -> dict[str, Any]:
    """The body of a refusal: `message`, the name of the status where it has one, `statusCode`."""
    return {"message": message, **({"error": error} if error else {}), "statusCode": status}


def answer_api_error(_request: Request[Any, Any, Any], error: ApiError) -> Response[dict[str, Any]]:
    return Response(
        error_body(error.status, error.message, error.error),
        status_code=error.status,
        media_type=MediaType.JSON,
        headers=error.headers,
    )


def json_answer(answer: Answer) -> Response[bytes]:
    """What is known already as bytes, with the tag it has."""
    headers = {"etag": answer.etag.decode(), **({"link": answer.link} if answer.link else {})}
    return Response(answer.body, media_type=MediaType.JSON, headers=headers)


def answer_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, Any]]:
    """The framework's own refusals in our shape. A wrong method on a known path is an unknown route, as it always was."""
    status = 404 if error.status_code == 405 else error.status_code
    if status == 404:
        body = error_body(
            404, f"Cannot {request.scope.get('method_asked', request.method)} {_asked_path(request)}", NAMES[404]
        )
    elif status == 413:
        body = {"statusCode": 413, "message": "request entity too large"}
    elif status >= 500:
        body = {"statusCode": status, "message": "Internal server error"}
    else:
        body = error_body(status, error.detail, NAMES.get(status))
    return Response(body, status_code=status, media_type=MediaType.JSON)


def _asked_path(request: Request[Any, Any, Any]) -> str:
    raw = request.scope.get("raw_path") or request.scope["path"].encode()
    query = request.scope.get("query_string", b"")
    return (raw + (b"?" + query if query else b"")).decode("latin-1")


def answer_database_away(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """No connection to PostgreSQL: nothing is wrong with the request, so a client may send it again."""
    return _try_again(request, error, "database.away", "The database cannot be reached. Try again in a moment.")


def answer_database_busy(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """PostgreSQL is there, but a statement took too long or met others at the same rows: a client may send it again, too."""
    return _try_again(
        request, error, "database.busy", "The database is too busy to answer in time. Try again in a moment."
    )


def _try_again(request: Request[Any, Any, Any], error: Exception, event: str, message: str) -> Response[dict[str, Any]]:
    log.warning(event, error=type(error).__name__, request_id=request.scope.get("request_id", "-"))
    body = error_body(503, message, NAMES[503])
    return Response(body, status_code=503, media_type=MediaType.JSON, headers={"Retry-After": "1"})


def answer_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """The last resort: the trace goes to the log with the request's id, the client learns nothing of it."""
    log.failure("request.failed", error, request_id=request.scope.get("request_id", "-"))
    return Response({"statusCode": 500, "message": "Internal server error"}, status_code=500, media_type=MediaType.JSON)
