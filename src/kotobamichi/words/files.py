"""Words to and from files, for commands: one CSV that a person can edit, with a bar on a terminal and plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, LiteralString

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from kotobamichi.db import CommandConnection, connect_for_command
from kotobamichi.errors import StartRefused
from kotobamichi.words.csv_rows import TITLES, CsvRefused
from kotobamichi.words.imports import import_csv
from kotobamichi.words.schemas import ImportReport
from michi.settings import Target

STANDARD = "-"
ROWS_PER_LINE = 10_000
ROWS_PER_MOVE = 250

# NULL and only NULL is an empty value, as import reads it; a value never is an empty text.
EXPORT: LiteralString = (
    "COPY (SELECT "
    + ", ".join(f'{column} AS "{title}"' for column, title in TITLES.items())
    + " FROM words WHERE deleted_at IS NULL ORDER BY created_at, id) TO STDOUT (FORMAT csv, HEADER)"
)


class FileUnusable(StartRefused):
    """A file that cannot be read, written or understood."""

    code = "words.file_unusable"


def import_words(target: Target, name: str) -> ImportReport:
    """Imports a file, or standard input for `-`, in one transaction. Raises FileUnusable, and then nothing is stored."""
    with _opened(name) as file, connect_for_command(target) as connection, _told(name, file) as told:
        try:
            return import_csv(connection, file, told)
        except CsvRefused as refused:
            raise FileUnusable(
                f"{_title(name)}: {refused}", "Nothing was stored. Correct the file and import it again."
            ) from None
        except OSError as error:
            raise FileUnusable(f"{_title(name)} cannot be read: {error.strerror}.", "Nothing was stored.") from None


def export_words(target: Target, name: str) -> int:
    """Writes all words, oldest first, to a file or, for `-`, to standard output; how many. A file is there whole or not at all."""
    with connect_for_command(target) as connection:
        if name == STANDARD:
            count = _write(connection, sys.stdout.buffer)
            sys.stdout.buffer.flush()
            return count
        try:
            with _replacing(Path(name)) as out:
                return _write(connection, out)
        except OSError as error:
            raise FileUnusable(f"{name} cannot be written: {error.strerror}.", "Choose another file.") from None


def _write(connection: CommandConnection, out: IO[bytes]) -> int:
    with connection.cursor() as cursor:
        with cursor.copy(EXPORT) as copy:
            for block in copy:
                out.write(block)
        return cursor.rowcount


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file beside `path` that takes its place when the block has ended well."""
    number, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(number, "wb") as out:
            yield out
        mask = os.umask(0)
        os.umask(mask)
        Path(beside).chmod(0o666 & ~mask)
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


@contextmanager
def _opened(name: str) -> Iterator[IO[bytes]]:
    if name == STANDARD:
        yield sys.stdin.buffer
        return
    try:
        file = Path(name).open("rb")  # noqa: SIM115 -- only the opening may fail here
    except OSError as error:
        raise FileUnusable(
            f"{name} cannot be read: {error.strerror}.", "Name a CSV file, or - for standard input."
        ) from None
    with file:
        yield file


def _title(name: str) -> str:
    return "Standard input" if name == STANDARD else name


@contextmanager
def _told(name: str, file: IO[bytes]) -> Iterator[Callable[[int], None]]:
    """Tells on standard error how far the file is read."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda rows: None if rows % ROWS_PER_LINE else console.print(f"{rows} words read ...", highlight=False)
        return
    size = os.fstat(file.fileno()).st_size if name != STANDARD else None
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(),
        TextColumn("{task.fields[rows]} words"), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(_title(name), total=size, rows=0)

        def tell(rows: int) -> None:
            if rows % ROWS_PER_MOVE == 0:
                progress.update(task, completed=file.tell() if size else 0, rows=rows)

        yield tell
