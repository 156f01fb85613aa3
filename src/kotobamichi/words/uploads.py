"""A file that a client uploads: taken from the multipart body as it arrives, and kept on disk until it is whole.

However slowly it comes, it holds nothing but a temporary file: no connection, no thread, no memory to speak of.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator
from email.message import Message
from typing import IO

from multipart import MultipartError, MultipartSegment, PushMultipartParser

from kotobamichi.errors import BadRequest, BodyTooLarge, Busy

log = logging.getLogger("kotobamichi.words")

MOST_FILE_BYTES = 20 * 1024 * 1024
# The other fields and the heads of all of them.
MOST_BODY_BYTES = MOST_FILE_BYTES + 64 * 1024
FIELD = "file"
# Small files stay in memory, and large ones are written in pieces of this size.
PIECE_BYTES = 512 * 1024
MOST_FIELDS = 20


async def receive_file(content_type: str | None, chunks: AsyncIterator[bytes]) -> IO[bytes]:
    """The field `file`, open at its beginning; the caller closes it.

    Raises BadRequest for a body that is no multipart form or has no such file, BodyTooLarge as soon as the file is.
    """
    upload = Upload(_boundary(content_type))
    try:
        async for chunk in chunks:
            if chunk and upload.take(chunk):
                await upload.write()
        upload.finish()
        await upload.write()
    except OSError as error:
        upload.spool.close()
        log.error("an upload could not be written to %s: %s", tempfile.gettempdir(), error)
        raise Busy("There is no room for the file at the moment") from error
    except BaseException:
        upload.spool.close()
        raise
    upload.spool.seek(0)
    return upload.spool


class Upload:
    """A multipart body on its way in: what belongs to the file goes to `spool`."""

    def __init__(self, boundary: str) -> None:
        try:
            self.parser = PushMultipartParser(boundary, max_segment_count=MOST_FIELDS, strict=False)
        except (MultipartError, UnicodeError) as error:
            raise _broken() from error
        self.spool: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=PIECE_BYTES)  # noqa: SIM115 -- the caller closes it
        self.pieces: list[bytes] = []
        self.waiting_bytes = 0
        self.file_bytes = 0
        self.found = False
        self.in_file = False

    def take(self, chunk: bytes) -> bool:
        """Whether there is enough to be written."""
        try:
            for event in self.parser.parse(chunk):
                if isinstance(event, MultipartSegment):
                    self._begin(event)
                elif event is None:
                    self.in_file = False
                elif self.in_file:
                    self._keep(bytes(event))
        except MultipartError as error:
            raise _broken() from error
        return self.waiting_bytes >= PIECE_BYTES

    def _begin(self, field: MultipartSegment) -> None:
        self.in_file = field.name == FIELD
        if self.in_file and self.found:
            raise BadRequest(f"Only one {FIELD} can be imported at a time")
        self.found = self.found or self.in_file

    def _keep(self, content: bytes) -> None:
        self.file_bytes += len(content)
        if self.file_bytes > MOST_FILE_BYTES:
            raise BodyTooLarge
        self.waiting_bytes += len(content)
        self.pieces.append(content)

    async def write(self) -> None:
        """Beside the event loop, because a disk may be slow."""
        content, self.pieces, self.waiting_bytes = b"".join(self.pieces), [], 0
        if self.file_bytes < PIECE_BYTES:
            self.spool.write(content)
        else:
            await asyncio.to_thread(self.spool.write, content)

    def finish(self) -> None:
        try:
            self.parser.close()
        except MultipartError as error:
            raise _broken() from error
        if not self.found:
            raise _absent()


def _boundary(content_type: str | None) -> str:
    head = Message()
    head["content-type"] = content_type or ""
    boundary = head.get_param("boundary")
    if head.get_content_type() != "multipart/form-data" or not isinstance(boundary, str) or not boundary:
        raise _absent()
    return boundary


def _absent() -> BadRequest:
    return BadRequest(f"No file was uploaded: send a CSV as the field `{FIELD}` of a multipart form")


def _broken() -> BadRequest:
    return BadRequest("The multipart form is incomplete or broken")
