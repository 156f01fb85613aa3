"""What a deploy leaves for monitoring: a file of OpenMetrics text, written whether the deploy succeeds or not."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from michi.errors import MichiError, Terminated
from michi.events import Emit, EventName


@contextmanager
def recording(path: Path | None, tell: Emit, *, clock: Any = time) -> Iterator[Emit]:
    """Gives who is to be told of the events; at the end, however it comes, writes the file. No path, no file.

    A file that cannot be written is told as a warning and changes nothing else.
    """
    if path is None:
        yield tell
        return
    recorder = Recorder(tell, clock)
    code = MichiError.exit_code
    try:
        yield recorder
        code = 0
    except BaseException as error:
        code = exit_code_of(error)
        raise
    finally:
        try:
            write(path, recorder.as_text(code))
        except (OSError, ValueError) as error:  # ValueError: a path without a name, such as "."
            reason = getattr(error, "strerror", None) or "it is not a file"
            tell("warning", message=f"The metrics file {path} could not be written: {reason}.")


def exit_code_of(error: BaseException) -> int:
    """The exit code with which command.py answers the error."""
    if isinstance(error, MichiError):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return 128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)
    return 128 + signal.SIGPIPE if isinstance(error, BrokenPipeError) else MichiError.exit_code


def write(path: Path, text: str) -> None:
    """Replaces the file in one step, so that a scrape sees the old one or the new one. Raises OSError."""
    # node_exporter reads *.prom, so the temporary name must end in something else.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


class Recorder:
    """Passes every event on and keeps what is counted."""

    def __init__(self, tell: Emit, clock: Any = time) -> None:
        self.tell = tell
        self.clock = clock
        self.began = clock.monotonic()
        self.applied = 0
        self.planned: int | None = None
        self.head: str | None = None
        self.lock_wait_seconds = {"deploy": 0.0, "table": 0.0}
        self.waiting_since: float | None = None

    def __call__(self, name: EventName, /, **facts: Any) -> None:
        self.note(name, facts)
        self.tell(name, **facts)

    def note(self, name: EventName, facts: dict[str, Any]) -> None:
        if name == "waiting_for_lock":
            self.waiting_since = self.waiting_since or self.clock.monotonic()
            return
        self._end_of_waiting()
        if name == "plan":
            self.planned, self.head = len(facts["pending"]), facts["head"]
        elif name == "migration_applied":
            self.applied, self.head = self.applied + 1, facts["migration"]
        elif name == "done":
            self.planned, self.head = self.planned or 0, facts["head"]
        if name in {"migration_applied", "migration_failed"}:
            self.lock_wait_seconds["table"] += facts["lock_wait_seconds"]

    def _end_of_waiting(self) -> None:
        if self.waiting_since is not None:
            self.lock_wait_seconds["deploy"] += self.clock.monotonic() - self.waiting_since
            self.waiting_since = None

    def as_text(self, exit_code: int) -> str:
        """OpenMetrics text. What is not known, as after a refused login, is left out.

        All are gauges, the head too: node_exporter's parser does not know the type `info` and would drop the whole file.
        """
        self._end_of_waiting()
        metrics: list[tuple[str, str, str, list[tuple[str, float]]]] = [
            ("michi_deploy_exit_code", "", "Exit code of the last deploy.", [("", exit_code)]),
            ("michi_deploy_success", "", "1 when the last deploy ended with exit code 0.", [("", int(exit_code == 0))]),
            ("michi_deploy_duration_seconds", "seconds", "How long the last deploy took.",
             [("", round(self.clock.monotonic() - self.began, 3))]),
            ("michi_deploy_timestamp_seconds", "seconds", "When the last deploy ended, in seconds since 1970.",
             [("", round(self.clock.time(), 3))]),
            ("michi_deploy_migrations_applied", "", "Migrations that the last deploy applied.", [("", self.applied)]),
            ("michi_deploy_lock_wait_seconds", "seconds", "How long the last deploy waited for others.",
             [(f'{{lock="{lock}"}}', round(seconds, 3)) for lock, seconds in self.lock_wait_seconds.items()]),
        ]  # fmt: skip
        if self.planned is not None:
            left = self.planned - self.applied
            metrics.append(("michi_deploy_migrations_pending", "", "Pending migrations that it left.", [("", left)]))
        if self.head is not None:
            labels = f'{{head="{self.head}"}}'
            metrics.append(("michi_schema_info", "", "The newest migration in the database.", [(labels, 1)]))
        return "".join(family(*metric) for metric in metrics) + "# EOF\n"


def family(name: str, unit: str, text: str, samples: list[tuple[str, float]]) -> str:
    lines = [f"# TYPE {name} gauge", *([f"# UNIT {name} {unit}"] if unit else []), f"# HELP {name} {text}"]
    lines += [f"{name}{labels} {value}" for labels, value in samples]
    return "\n".join(lines) + "\n"
