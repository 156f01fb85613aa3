"""The families of what can go wrong, each with the status or exit code that it becomes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from michi.errors import MichiError


class StartRefused(MichiError):
    """The app cannot start or a command cannot run as asked: one sentence for the operator, exit code 2."""

    code = "start.refused"
    exit_code = 2


class PortInUse(StartRefused):
    code = "start.port_in_use"


class ApiError(Exception):
    """A refusal that a client is told: `status`, the message, and the name of the status where the body carries one.

    `message` is a list for a validation error: one entry or more per wrong field.
    """

    status: ClassVar[int] = 500
    error: ClassVar[str | None] = None

    def __init__(self, message: str | list[str], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.headers = dict(headers or {})


class BadRequest(ApiError):
    status = 400
    error = "Bad Request"


class Unauthenticated(ApiError):
    """No token, or none that counts: the body names no error."""

    status = 401

    def __init__(self) -> None:
        super().__init__("Unauthorized")


class Unauthorized(ApiError):
    """A 401 with a reason of its own, such as `Invalid credentials`."""

    status = 401
    error = "Unauthorized"


class Forbidden(ApiError):
    """`Forbidden resource` for a role that may not; `Access denied` for a thing of somebody else."""

    status = 403
    error = "Forbidden"


class NotFound(ApiError):
    status = 404
    error = "Not Found"


class Conflict(ApiError):
    status = 409
    error = "Conflict"


class TooManyRequests(ApiError):
    """The message is a string that clients parse; the body has no `error`."""

    status = 429


class BodyTooLarge(ApiError):
    """As the framework of the original words it; the body has no `error`."""

    status = 413

    def __init__(self) -> None:
        super().__init__("request entity too large", {"Connection": "close"})


class Busy(ApiError):
    """Nothing is wrong with the request; there is too much to do at this moment."""

    status = 503
    error = "Service Unavailable"

    def __init__(self, message: str) -> None:
        super().__init__(message, {"Retry-After": "1"})
