"""Looks, from a second session, at the statement that runs: who blocks it and how far it is. Changes nothing."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import psycopg

from michi.blockers import find_blockers
from michi.database import Connection, Server, open_connection
from michi.errors import MichiError
from michi.events import Emit
from michi.progress import Progress
from michi.settings import Target
from michi.sql import Statement, first_line

TICK_SECONDS = 0.05
LONGEST_PATIENCE_SECONDS = 0.5
PROGRESS_AFTER_SECONDS = 1.0
PROGRESS_EVERY_SECONDS = 0.5

# A look never waits: not for a lock, and not for long.
SETTINGS = "SET lock_timeout = '100ms'; SET statement_timeout = '5s'; SET default_transaction_read_only = on"
UNKNOWN = dict.fromkeys(("phase", "done", "total", "unit", "percent", "seconds_left", "relation", "growth_bytes"), None)


class Watched(NamedTuple):
    """The statement that runs now. A tuple, because one is made for every statement of a deploy."""

    migration: str
    file: Path
    statement: Statement
    patience: float
    began: float


class Watch:
    """Looks now and then, on a connection of its own, at the statement that the session of `server` runs.

    After a lock timeout it is too late to ask: PostgreSQL names the blockers of a session only while it waits. The
    connection is opened at the first statement that takes long; a deploy of quick statements never needs it.
    """

    def __init__(self, server: Server, emit: Emit) -> None:
        self._emit = emit
        self._eyes = Eyes(server.target, server.connection.info.backend_pid)
        self._lock = threading.Lock()
        self._watched: Watched | None = None
        self._blockers: list[dict[str, Any]] = []
        self._blocked_seconds = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_until_over, name="michi-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()

    def begin(self, migration: str, file: Path, statement: Statement, lock_timeout_seconds: float) -> None:
        """A statement begins that may wait for locks this long; 0 is for ever."""
        patience = min(lock_timeout_seconds / 3 or LONGEST_PATIENCE_SECONDS, LONGEST_PATIENCE_SECONDS)
        self._blockers = []
        self._blocked_seconds = 0.0
        self._watched = Watched(migration, file, statement, patience, time.monotonic())

    def end(self) -> tuple[list[dict[str, Any]], float]:
        """The statement is over: who was last seen blocking it, and for how many seconds it was seen blocked.

        No event about it is told after this. Nobody and nothing where no statement was under way.
        """
        with self._lock:
            if self._watched is None:
                return [], 0.0
            self._watched = None
            return self._blockers, self._blocked_seconds

    def _look_until_over(self) -> None:
        looked = 0.0
        try:
            while not self._over.wait(TICK_SECONDS):
                watched, now = self._watched, time.monotonic()
                if watched is None or now - max(watched.began, looked) < watched.patience:
                    continue
                blockers, facts = self._eyes.look(watched, now)
                with self._lock:
                    if self._watched is watched:
                        self._note(watched, blockers, facts, now - max(watched.began, looked))
                looked = now
        except OSError:
            return  # nobody reads what is told; the deploy itself will notice
        finally:
            self._eyes.close()

    def _note(
        self, watched: Watched, blockers: list[dict[str, Any]], facts: dict[str, Any] | None, since: float
    ) -> None:
        if blockers:
            self._blockers = blockers
            self._blocked_seconds += since
        if facts is not None:
            self._emit(
                "statement_progress",
                migration=watched.migration,
                file=str(watched.file),
                line=watched.statement.line,
                statement=first_line(watched.statement.text, 500),
                elapsed_seconds=round(time.monotonic() - watched.began, 1),
                **(UNKNOWN | facts),
                blockers=blockers,
            )


class Eyes:
    """The second session. Without one (no connection is left, the server is gone) only the clock is seen."""

    def __init__(self, target: Target, pid: int) -> None:
        self._target = target
        self._pid = pid
        self._connection: Connection | None = None
        self._blind = False
        self._statement: Watched | None = None
        self._progress = Progress()
        self._progress_at = 0.0

    def look(self, watched: Watched, now: float) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
        """Who blocks the statement, and its progress; None for the progress while it is not yet time to tell."""
        if watched is not self._statement:
            self._statement, self._progress, self._progress_at = watched, Progress(), 0.0
        due = now - watched.began >= PROGRESS_AFTER_SECONDS and now - self._progress_at >= PROGRESS_EVERY_SECONDS
        if due:
            self._progress_at = now
        blockers: list[dict[str, Any]] = []
        facts: dict[str, Any] = {}
        if not self._blind:
            try:
                connection = self._open()
                blockers = find_blockers(connection, self._pid)
                facts = self._progress.look(connection, self._pid, now) if due else {}
            except (MichiError, psycopg.Error):
                self._blind = True
        return blockers, facts if due else None

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = open_connection(self._target)
            self._connection.execute(SETTINGS)
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
