"""Bodies on their way in: not too large, not too slow, and read to their end, so that who still sends hears the answer."""

from __future__ import annotations

import asyncio
from typing import Any

from litestar.types import Receive

from kotobamichi.errors import BodyTooLarge, BodyTooSlow

MIB = 1024 * 1024
MOST_BODY_BYTES = MIB
# The file, and what multipart puts around it.
MOST_UPLOAD_BYTES = 20 * MIB + 64 * 1024
UPLOADS = frozenset({"POST /v1/words/import/upload"})

# A body arrives in this time, and some more for every byte that it may have.
BODY_SECONDS = 15.0
LEAST_BYTES_PER_SECOND = 64 * 1024
# What is still read, and thrown away, of a body whose request is answered already.
REST_SECONDS = 5.0
MOST_REST_BYTES = 32 * MIB


def most_body_of(route: str) -> int:
    """How many bytes a request to this route, such as `POST /v1/words`, may carry."""
    return MOST_UPLOAD_BYTES if route in UPLOADS else MOST_BODY_BYTES


class Incoming:
    """A request's body as the app reads it. Raises BodyTooLarge as soon as it is, BodyTooSlow when its time is over."""

    __slots__ = ("_receive", "deadline", "ended", "left")

    def __init__(self, receive: Receive, most_bytes: int) -> None:
        self._receive = receive
        self.left = most_bytes
        self.ended = False
        self.deadline = asyncio.get_running_loop().time() + BODY_SECONDS + most_bytes / LEAST_BYTES_PER_SECOND

    async def receive(self) -> Any:
        if self.ended:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self.deadline):
                message = await self._receive()
        except TimeoutError:
            self.ended = True
            raise BodyTooSlow from None
        if message["type"] == "http.request":
            self.left -= len(message["body"])
            self.ended = not message["more_body"]
            if self.left < 0:
                raise BodyTooLarge
        else:
            self.ended = True
        return message

    async def read_rest(self) -> None:
        """Takes what the app has not read. A client that sends its whole body before it listens would otherwise find the
        connection closed, and its answer lost with it.
        """
        if self.ended:
            return
        rest = MOST_REST_BYTES
        try:
            async with asyncio.timeout(REST_SECONDS):
                while rest > 0:
                    message: Any = await self._receive()
                    if message["type"] != "http.request" or not message["more_body"]:
                        return
                    rest -= len(message["body"])
        except TimeoutError:
            return
