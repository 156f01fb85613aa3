"""Tells what happens: events as lines for people on standard error, or as JSON, one a line, on standard output."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any, TextIO

from michi.events import Emit, EventName
from michi.ledger import Attempt
from michi.plan import Standing
from michi.sentences import count, describe

SYMBOLS = {"migration_applied": "✓", "migration_rolled_back": "✓", "migration_failed": "✗", "warning": "!"}
COLOURS = {"✓": "32", "✗": "31", "!": "33"}
JSON_PROGRESS_SECONDS = 5.0
LINE_PROGRESS_SECONDS = 10.0
LINE_PROGRESS_AFTER_SECONDS = 5.0
# Told again and again while something goes on, and thinned out for those who read lines.
PROGRESS = frozenset({"statement_progress", "backfill_progress", "waiting_for_database"})
# Until one of these there is nothing to draw, and rich takes 50 ms to import.
WORTH_DRAWING = frozenset({"plan", "waiting_for_database", "waiting_for_lock"})


@contextmanager
def telling(*, as_json: bool) -> Iterator[Emit]:
    """The teller that fits a run: JSON lines, a live view on a terminal, else plain lines."""
    if as_json or not can_draw(sys.stderr):
        yield emitter(as_json=as_json)
        return
    with ExitStack() as stack:
        yield LiveWhenNeeded(sys.stdout, sys.stderr, stack)


def emitter(*, as_json: bool, out: TextIO | None = None, err: TextIO | None = None) -> Emit:
    """JSON lines, or plain lines; coloured on a terminal, stamped with the time elsewhere. Nothing moves."""
    out = out or sys.stdout
    return JsonLines(out) if as_json else PlainLines(out, err or sys.stderr)


def can_draw(err: TextIO) -> bool:
    """Whether lines can be drawn anew there: a terminal that knows how, and UTF-8."""
    return err.isatty() and os.environ.get("TERM", "dumb") != "dumb" and "utf" in (err.encoding or "").lower()


class LiveWhenNeeded:
    """Plain lines until there is something to draw; then the live view, which ends with `stack`."""

    def __init__(self, out: TextIO, err: TextIO, stack: ExitStack) -> None:
        self.out = out
        self.err = err
        self.stack = stack
        self.emit: Emit = PlainLines(out, err)
        self.live = False

    def __call__(self, name: EventName, /, **facts: Any) -> None:
        if not self.live and name in WORTH_DRAWING:
            from michi.terminal import Terminal  # noqa: PLC0415 -- see WORTH_DRAWING

            self.live = True
            self.emit = self.stack.enter_context(Terminal(self.out, self.err))
        self.emit(name, **facts)


class JsonLines:
    """One JSON object a line: `event`, `at` (RFC 3339, UTC) and the event's facts."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.lock = threading.Lock()
        self.throttle = Throttle(JSON_PROGRESS_SECONDS)

    def __call__(self, name: EventName, /, **facts: Any) -> None:
        if name in PROGRESS and not self.throttle.lets_through(facts):
            return
        line = {"event": name, "at": datetime.now(UTC).isoformat(timespec="milliseconds"), **facts}
        with self.lock:
            print(json.dumps(line, ensure_ascii=False, default=str), file=self.out, flush=True)


class PlainLines:
    """A line an event. The closing line goes to standard output, all else to standard error."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self.out = out
        self.err = err
        self.terminal = err.isatty()
        self.coloured = self.terminal and not os.environ.get("NO_COLOR")
        self.lock = threading.Lock()
        self.throttle = Throttle(LINE_PROGRESS_SECONDS, LINE_PROGRESS_AFTER_SECONDS)

    def __call__(self, name: EventName, /, **facts: Any) -> None:
        if name in PROGRESS and not self.throttle.lets_through(facts):
            return
        text = describe(name, facts)
        if text is None:
            return
        with self.lock:
            if name == "done":
                print(text, file=self.out, flush=True)
            else:
                print(self._line(SYMBOLS.get(name, " "), text), file=self.err, flush=True)

    def _line(self, symbol: str, text: str) -> str:
        if not self.terminal:
            return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {symbol} {text}"
        return (
            f"\033[{COLOURS[symbol]}m{symbol}\033[0m {text}"
            if self.coloured and symbol in COLOURS
            else f"{symbol} {text}"
        )


class Throttle:
    """Lets progress through now and then, and at once when something about it is new: a reason to wait, a session that blocks."""

    def __init__(self, every_seconds: float, after_seconds: float = 0.0) -> None:
        self.every_seconds = every_seconds
        self.after_seconds = after_seconds
        self.told: tuple[Any, ...] | None = None
        self.told_at = float("-inf")

    def lets_through(self, facts: dict[str, Any]) -> bool:
        if facts.get("elapsed_seconds", self.after_seconds) < self.after_seconds:
            return False
        now = time.monotonic()
        blockers = tuple(blocker["pid"] for blocker in facts.get("blockers", ()))
        about = (facts.get("migration"), facts.get("line"), facts.get("message"), blockers)
        if about == self.told and now - self.told_at < self.every_seconds:
            return False
        self.told, self.told_at = about, now
        return True


def status_text(standing: Standing, where: str) -> str:
    """Everything that is true of a database, for people."""
    lines = [where, _state_sentence(standing)]
    lines += [f"  ✗ edited        {name}" for name in standing.edited]
    lines += [f"  ✗ missing       {name}" for name in standing.missing]
    for migration in standing.pending:
        attempt = standing.last.get(migration.name)
        mark = "✗ out of order" if migration.name in standing.out_of_order else "· pending     "
        lines.append(f"  {mark}  {migration.name}{_last_attempt(attempt)}")
    for attempt in standing.unknown_newer:
        mark = "✗ too new     " if attempt in standing.unbearable else "· ahead       "
        lines.append(f"  {mark}  {attempt.migration} ({attempt.phase})")
    lines.append(
        f"  ✓ applied       {len(standing.applied)}"
        + (f", the last is {standing.last_common}" if standing.applied else "")
    )
    return "\n".join(lines)


def _state_sentence(standing: Standing) -> str:
    return {
        "up_to_date": "Up to date.",
        "pending": f"{count(len(standing.pending), 'migration')} pending.",
        "partial": "A migration stopped half-way; the next deploy goes on with it.",
        "diverged": f"Folder and database do not agree; the last common migration is {standing.last_common or 'none'}.",
        "ahead": "The database is ahead of this folder, and compatible.",
        "too_old": "This folder is too old for the database.",
    }[standing.state]


def _last_attempt(attempt: Attempt | None) -> str:
    if attempt is None:
        return ""
    reason = (attempt.error or {}).get("message") or "interrupted"
    if attempt.verdict == "partial" and (backfill := (attempt.error or {}).get("backfill")):
        return f"\n      stopped after {backfill['rows_done']:,} rows: {reason}; the next deploy goes on there"
    if attempt.verdict == "partial":
        progress = f"{attempt.statements_done} of {attempt.statements_total}"
        # Whether a statement took effect that was cut off, only a deploy looks; what it cannot see, it says.
        cut_off = "sqlstate" not in (attempt.error or {})
        how = "sees whether the next one took effect, and goes on" if cut_off else "goes on there"
        return f"\n      stopped after statement {progress}: {reason}; the next deploy {how}"
    return (
        f"\n      {attempt.verdict} at {attempt.started_at:%Y-%m-%d %H:%M:%S %Z}: {reason}"
        if attempt.verdict == "undone"
        else ""
    )
