"""The names of what happens during a run, and the shape of who is told. How it looks is report.py's business."""

from __future__ import annotations

from typing import Any, Literal, Protocol

EventName = Literal[
    "waiting_for_database",
    "database_created",
    "connected",
    "waiting_for_lock",
    "plan",
    "migration_started",
    "migration_resumed",
    "statement_progress",
    "statement_done",
    "backfill_started",
    "backfill_progress",
    "lock_timeout_retry",
    "index_dropped",
    "migration_applied",
    "migration_failed",
    "migration_rolled_back",
    "warning",
    "done",
    "error",
]


class Emit(Protocol):
    """Told of each event with its facts, which are JSON values. May be called from more than one thread."""

    def __call__(self, name: EventName, /, **facts: Any) -> None: ...
