"""The families of what can go wrong, each with the status or exit code that it becomes."""

from __future__ import annotations

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

    `message` is a list for a validation error: one entry per wrong field.
    """

    status: ClassVar[int] = 500
    error: ClassVar[str | None] = None

    def __init__(self, message: str | list[str]) -> None:
        super().__init__(message)
        self.message = message


class BadRequest(ApiError):
    status = 400
    error = "Bad Request"


class NotFound(ApiError):
    status = 404
    error = "Not Found"
