"""A deploy as a person at a terminal sees it: what is done stays as lines, what goes on lives below them. Needs rich."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TextIO

from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from michi.blockers import one_line
from michi.events import EventName
from michi.sentences import (
    blank,
    count,
    describe,
    duration,
    held_up_by,
    lock_holder,
    place,
    progress_text,
    span,
    waiting_text,
)

FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
REFRESHES_PER_SECOND = 8
UPCOMING = 3
BAR_CELLS = 24
DURATION_CELLS = 13


class Terminal:
    """Told of events; draws on `err`. The closing line goes to `out`, as it does without a terminal."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self.out = out
        self.console = Console(file=err, highlight=False, markup=False, emoji=False, soft_wrap=False)
        self.lock = threading.Lock()
        self.name_cells = 0
        self.started = time.monotonic()
        self.pending: list[str] = []
        self.waiting: tuple[str, float] | None = None  # for what, and until when
        self.running: Running | None = None
        self.live = Live(
            console=self.console,
            get_renderable=self._frame,
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self.handlers: dict[EventName, Callable[[dict[str, Any]], list[Text]]] = {
            "waiting_for_database": self._wait_for_database,
            "waiting_for_lock": self._wait_for_lock,
            "plan": self._plan,
            "migration_started": self._start_migration,
            "migration_resumed": self._resume_migration,
            "statement_progress": self._note_progress,
            "statement_done": self._finish_statement,
            "backfill_started": self._start_backfill,
            "backfill_progress": self._note_progress,
            "lock_timeout_retry": self._note_retry,
            "migration_applied": self._finish_migration,
            "migration_failed": self._fail_migration,
        }

    def __enter__(self) -> Self:
        self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        running, self.running, self.waiting, self.pending = self.running, None, None, []
        self.live.stop()
        if running is not None:
            word = "interrupted" if isinstance(error, KeyboardInterrupt) else "stopped"
            self.console.print(self._row("✗", "red", running.migration, span(running.elapsed), word))

    def __call__(self, name: EventName, /, **facts: Any) -> None:
        if name == "done":
            self._close(facts)
            return
        # The lock is not held while rich draws: rich holds its own while it asks for the frame.
        with self.lock:
            if not name.startswith("waiting"):
                self.waiting = None
            handle = self.handlers.get(name)
            lines = handle(facts) if handle else self._plain(name, facts)
        for line in lines:
            self.console.print(line, soft_wrap=True)  # a path that is longer than a line stays whole for copying

    def _close(self, facts: dict[str, Any]) -> None:
        self.waiting, self.pending = None, []
        self.live.stop()
        text = describe("done", facts) or ""
        if facts["applied"]:
            text = text.replace(";", f" in {duration(round((time.monotonic() - self.started) * 1000))};", 1)
        print(text, file=self.out, flush=True)

    # What an event changes, and the lines that stay

    def _plain(self, name: EventName, facts: dict[str, Any]) -> list[Text]:
        text = describe(name, facts)
        if text is None:
            return []
        mark = "!" if name == "warning" else " "
        return [Text.assemble((f"{mark} ", "yellow"), text)]

    def _wait_for_database(self, facts: dict[str, Any]) -> list[Text]:
        self.waiting = f"waiting for the database: {facts['message']}", time.monotonic() + facts["seconds_left"]
        return []

    def _wait_for_lock(self, facts: dict[str, Any]) -> list[Text]:
        text = f"waiting for the deploy lock{lock_holder(facts['holder'])}"
        self.waiting = text, time.monotonic() + facts["seconds_left"]
        return []

    def _plan(self, facts: dict[str, Any]) -> list[Text]:
        self.pending = list(facts["pending"])
        self.name_cells = max(map(cell_len, self.pending), default=0)
        return [Text(f"  {count(len(self.pending), 'migration')} to apply"), Text("")]

    def _start_migration(self, facts: dict[str, Any]) -> list[Text]:
        self.running = Running(facts["migration"], facts["statements"])
        self.pending = [name for name in self.pending if name != facts["migration"]]
        return []

    def _resume_migration(self, facts: dict[str, Any]) -> list[Text]:
        if self.running is not None:
            self.running.done = facts["done"]
        return self._plain("migration_resumed", facts)

    def _start_backfill(self, facts: dict[str, Any]) -> list[Text]:
        return self._plain("backfill_started", facts) if facts["rows_done"] else []

    def _note_progress(self, facts: dict[str, Any]) -> list[Text]:
        if self.running is not None:
            self.running.progress, self.running.retry = facts, None
        return []

    def _finish_statement(self, facts: dict[str, Any]) -> list[Text]:
        if self.running is not None:
            self.running.done, self.running.progress, self.running.retry = facts["done"], None, None
        return []

    def _note_retry(self, facts: dict[str, Any]) -> list[Text]:
        if self.running is not None:
            self.running.tries += 1
            self.running.progress, self.running.retry = (
                None,
                facts | {"until": time.monotonic() + facts["seconds_left"]},
            )
        return []

    def _finish_migration(self, facts: dict[str, Any]) -> list[Text]:
        tries = self.running.tries if self.running is not None else 1
        self.running = None
        note = f"after {tries} tries" if tries > 1 else ""
        return [self._row("✓", "green", facts["migration"], duration(facts["duration_ms"]), note)]

    def _fail_migration(self, facts: dict[str, Any]) -> list[Text]:
        elapsed = self.running.elapsed if self.running is not None else 0.0
        self.running, self.pending = None, []
        row = self._row("✗", "red", facts["migration"], duration(round(elapsed * 1000)))
        return [row, Text(""), *sql_error(facts, self.console.width), Text("")]

    # What is drawn

    def _row(self, mark: str, style: str, name: str, right: str, note: str = "") -> Text:
        """Mark, name, a duration in its column, and a word about it; cut where the terminal ends."""
        name_cells = min(max(self.name_cells, cell_len(name)), max(1, self.console.width - 2 - DURATION_CELLS))
        left = Text(name)
        left.truncate(name_cells, overflow="ellipsis", pad=True)
        duration_style = "dim" if style == "green" else ""
        row = Text.assemble((mark, style), " ", left, (right.rjust(DURATION_CELLS), duration_style))
        return self._cut(row.append(f"  {note}", "dim") if note else row)

    def _frame(self) -> Group:
        """Drawn again several times a second, from another thread too: reads each piece of state once."""
        running, waiting, pending = self.running, self.waiting, self.pending
        spinner = FRAMES[int(time.monotonic() * REFRESHES_PER_SECOND) % len(FRAMES)]
        lines: list[Text] = []
        if waiting is not None:
            text, until = waiting
            lines += self._wrapped(
                f"{text}, {span(max(0.0, until - time.monotonic()))} left", Text(f"{spinner} ", "cyan")
            )
        if running is not None:
            lines += self._running(running, spinner)
        if pending:
            lines += [self._cut(Text(f"· {name}", "dim")) for name in pending[:UPCOMING]]
            if len(pending) > UPCOMING:
                lines.append(self._cut(Text(f"  and {len(pending) - UPCOMING} more", "dim")))
        return Group(*lines)

    def _running(self, running: Running, spinner: str) -> list[Text]:
        note = f"statement {running.done + 1} of {running.total}" if 0 < running.done < running.total else ""
        lines = [self._row(spinner, "cyan", running.migration, span(running.elapsed), note)]
        progress, retry = running.progress, running.retry
        facts = retry or progress
        if facts is None:
            return lines
        lines.append(self._cut(Text(f"  {place(facts['line'])}  {one_line(facts['statement'] or '')}", "dim")))
        if retry is not None:
            left = span(max(0.0, retry["until"] - time.monotonic()))
            text = f"rolled back, trying again (try {running.tries}), {left} left; {held_up_by(retry['blockers'])}"
            return [*lines, *self._wrapped(text, Text("  "), "yellow")]
        if told := progress_text(facts):
            lines.append(self._cut(Text.assemble("  ", self._bar(facts, told), told)))
        if who := waiting_text(facts):
            lines += self._wrapped(who, Text("  "), "yellow")
        return lines

    def _bar(self, facts: dict[str, Any], beside: str) -> Text:
        """Nothing where no share is known, or no room is left for it."""
        too_narrow = self.console.width < BAR_CELLS + cell_len(beside) + 4
        if facts["percent"] is None or facts.get("unit") == "transactions" or too_narrow:
            return Text()
        full = round(BAR_CELLS * facts["percent"] / 100)
        return Text.assemble(("━" * full, "cyan"), ("╌" * (BAR_CELLS - full), "dim"), "  ")

    def _cut(self, text: Text) -> Text:
        text.truncate(self.console.width, overflow="ellipsis")
        text.no_wrap = True
        return text

    def _wrapped(self, text: str, start: Text, style: str = "") -> list[Text]:
        """At most three lines, so that a long query of somebody else does not push everything off the screen."""
        room = max(10, self.console.width - start.cell_len)
        wrapped = list(Text(one_line(text), style).wrap(self.console, room))[:3]
        return [
            Text.assemble(start if number == 0 else " " * start.cell_len, line) for number, line in enumerate(wrapped)
        ]


class Running:
    """The migration under way, as far as events have told."""

    def __init__(self, migration: str, total: int) -> None:
        self.migration = migration
        self.total = total
        self.done = 0
        self.tries = 1
        self.began = time.monotonic()
        self.progress: dict[str, Any] | None = None
        self.retry: dict[str, Any] | None = None

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.began


def sql_error(facts: dict[str, Any], width: int) -> list[Text]:
    """The place in the file, the line with a mark under it, and what PostgreSQL says."""
    lines = [
        Text(f"  {facts['file']}:{facts['line']}" if facts.get("line") else f"  {facts['file']}, at commit", "bold")
    ]
    if facts.get("source") is not None:
        number = f"  {facts['line']:>4} │ "
        source, column = _window(facts["source"].expandtabs(1), facts["column"] - 1, width - len(number) - 1)
        lines.append(Text.assemble((number, "dim"), source, no_wrap=True))
        margin = " " * (len(number) - 2) + "│ "
        lines.append(Text.assemble((margin, "dim"), blank(source[:column]), ("^", "bold red"), no_wrap=True))
    elif facts.get("statement"):
        lines.append(Text.assemble(("       │ ", "dim"), one_line(facts["statement"])))
    code = f" (SQLSTATE {facts['sqlstate']})" if facts.get("sqlstate") else ""
    said = [Text(f"{facts['message']}{code}", "red")]
    said += [
        Text.assemble((f"{key.capitalize()}: ", "bold"), facts[key]) for key in ("detail", "hint") if facts.get(key)
    ]
    for text in said:
        lines += [Text.assemble("  ", line) for line in text.wrap(Console(width=width), max(10, width - 2))]
    return lines


def _window(source: str, column: int, width: int) -> tuple[str, int]:
    """The part of a long line around a column, and where the column is in it."""
    if cell_len(source) <= width:
        return source, column
    start = max(0, column - max(1, width // 4))  # a kanji takes two cells, and the mark shall be seen in any case
    shown = Text(("…" if start else "") + source[start:])
    shown.truncate(max(1, width), overflow="ellipsis")
    return shown.plain, column - start + (1 if start else 0)
