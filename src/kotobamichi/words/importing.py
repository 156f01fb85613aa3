"""Imports that a client asks for: from an upload, or from a file of the import folder; each in a thread, few at a time."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

from kotobamichi.db import connect_for_command
from kotobamichi.errors import BadRequest
from kotobamichi.words.csv_rows import CsvRefused
from kotobamichi.words.imports import import_csv
from kotobamichi.words.schemas import ImportReport
from kotobamichi.words.uploads import receive_file
from michi.settings import Target

# Each takes a connection of its own and a share of this process; further ones wait for their turn.
MOST_AT_ONCE = 2
SESSION = "SET statement_timeout = '5min'; SET idle_in_transaction_session_timeout = '1min'"


class Imports:
    """The app's door for files of words. `folder` is the only place where `import_from_folder` looks."""

    def __init__(self, target: Target, folder: Path) -> None:
        self.target = target
        self.folder = folder
        self.turns = asyncio.Semaphore(MOST_AT_ONCE)

    async def import_upload(self, content_type: str | None, chunks: AsyncIterator[bytes]) -> ImportReport:
        """Takes the whole file first, so that a slow client holds neither a turn nor a connection.

        Raises BadRequest, BodyTooLarge, and what keeps us from the database.
        """
        return await self._run(await receive_file(content_type, chunks))

    async def import_from_folder(self, name: str) -> ImportReport:
        """Raises BadRequest for whatever is no readable CSV inside the folder."""
        return await self._run(await asyncio.to_thread(open_inside, self.folder, name))

    async def _run(self, file: IO[bytes]) -> ImportReport:
        try:
            await self.turns.acquire()
        except BaseException:
            file.close()
            raise
        # The thread owns file and turn from here on: it goes on where the client goes away.
        task = asyncio.get_running_loop().run_in_executor(None, self._import, file)
        task.add_done_callback(self._end_turn)
        try:
            return await asyncio.shield(task)
        except CsvRefused as refused:
            raise BadRequest(str(refused)) from None

    def _end_turn(self, task: asyncio.Future[ImportReport]) -> None:
        self.turns.release()
        if not task.cancelled():
            task.exception()  # seen, also where nobody waits any more

    def _import(self, file: IO[bytes]) -> ImportReport:
        with file, connect_for_command(self.target) as connection:
            connection.execute(SESSION)
            connection.commit()
            return import_csv(connection, file)


def open_inside(folder: Path, name: str) -> IO[bytes]:
    """A plain file inside the folder, wherever its links lead. Says nothing about files elsewhere. Raises BadRequest."""
    try:
        inside = folder.resolve()
        path = (inside / name).resolve()
        if not path.is_relative_to(inside):
            raise BadRequest("filePath must lie inside the import folder")
        # Neither waits for a pipe's other end nor follows a link that was put there just now.
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except PermissionError:
        raise BadRequest("filePath names a file that the server may not read") from None
    except (OSError, RuntimeError, ValueError):
        raise BadRequest("filePath names no file in the import folder") from None
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise BadRequest("filePath must name a file, not a folder or a device")
    return os.fdopen(number, "rb")
