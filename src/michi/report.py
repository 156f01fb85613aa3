"""Tells what happens: events as lines for people on standard error, or as JSON, one a line, on standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TextIO
from unicodedata import east_asian_width

from michi.blockers import blockers_text
from michi.events import Emit, EventName
from michi.ledger import Attempt
from michi.plan import Standing

SYMBOLS = {"migration_applied": "✓", "migration_failed": "✗", "warning": "!"}
COLOURS = {"✓": "32", "✗": "31", "!": "33"}


def emitter(*, as_json: bool, out: TextIO | None = None, err: TextIO | None = None) -> Emit:
    """The teller that fits: JSON lines, or plain lines; coloured on a terminal, stamped with the time elsewhere."""
    out = out or sys.stdout
    return JsonLines(out) if as_json else PlainLines(out, err or sys.stderr)


class JsonLines:
    """One JSON object a line: `event`, `at` (RFC 3339, UTC) and the event's facts."""

    def __init__(self, out: TextIO) -> None:
        self.out = out

    def __call__(self, name: EventName, /, **facts: Any) -> None:
        line = {"event": name, "at": datetime.now(UTC).isoformat(timespec="milliseconds"), **facts}
        print(json.dumps(line, ensure_ascii=False, default=str), file=self.out, flush=True)


class PlainLines:
    """A line an event. The closing line goes to standard output, all else to standard error."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self.out = out
        self.err = err
        self.terminal = err.isatty()

    def __call__(self, name: EventName, /, **facts: Any) -> None:
        text = describe(name, facts)
        if text is None:
            return
        if name == "done":
            print(text, file=self.out, flush=True)
            return
        symbol = SYMBOLS.get(name, " ")
        if self.terminal:
            line = f"\033[{COLOURS[symbol]}m{symbol}\033[0m {text}" if symbol in COLOURS else f"  {text}"
        else:
            line = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {symbol} {text}"
        print(line, file=self.err, flush=True)


def describe(name: EventName, facts: dict[str, Any]) -> str | None:
    """An event as a sentence; None for those that only programs want."""
    sentence = SENTENCES.get(name)
    if sentence is None:
        return None
    return sentence.format_map(facts) if isinstance(sentence, str) else sentence(facts)


def _lock_wait_line(facts: dict[str, Any]) -> str:
    holder = facts["holder"]
    who = f" held by pid {holder['pid']} ({holder['application']} from {holder['host']})" if holder else ""
    return f"waiting for the deploy lock{who}, {facts['seconds_left']:g} s left"


def _retry_line(facts: dict[str, Any]) -> str:
    blockers = facts.get("blockers") or []
    who = f"held up by {blockers_text(blockers)}" if blockers else "another session holds the table"
    place = f"line {facts['line']}" if facts["line"] else "at commit"
    return f"{facts['migration']}, {place}: rolled back, trying again in {facts['retry_in_seconds']:g} s; {who}"


def _closing_line(facts: dict[str, Any]) -> str:
    head = f"; the database is at {facts['head']}" if facts["head"] else ""
    if facts["applied"]:
        return f"Applied {_count(facts['applied'], 'migration')}{head}."
    if facts["state"] == "ahead":
        return f"Nothing to do: the database is ahead of this folder, at {facts['head']}, and compatible."
    return f"Nothing to do{head}."


def _sql_error(facts: dict[str, Any]) -> str:
    """File, line, the statement with the place marked, SQLSTATE, detail and hint."""
    place = f"{facts['file']}:{facts['line']}" if facts.get("line") else f"{facts['file']}, at commit"
    lines = [place]
    if facts.get("source") is not None:
        number = f"{facts['line']:>5} | "
        lines += [number + facts["source"], " " * len(number) + _blank(facts["source"][: facts["column"] - 1]) + "^"]
    elif facts.get("statement"):
        lines.append(f"      | {facts['statement']}")
    lines += [f"{key}: {facts[key]}" for key in ("sqlstate", "message", "detail", "hint") if facts.get(key)]
    return "\n".join(f"      {line}" for line in lines)


def _blank(text: str) -> str:
    """White space as wide as the text is on a terminal, where a kanji takes two columns."""
    return "".join("\t" if char == "\t" else "  " if east_asian_width(char) in "WF" else " " for char in text)


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
        "pending": f"{_count(len(standing.pending), 'migration')} pending.",
        "partial": "A migration stopped half-way; the next deploy goes on with it.",
        "diverged": f"Folder and database do not agree; the last common migration is {standing.last_common or 'none'}.",
        "ahead": "The database is ahead of this folder, and compatible.",
        "too_old": "This folder is too old for the database.",
    }[standing.state]


def _last_attempt(attempt: Attempt | None) -> str:
    if attempt is None:
        return ""
    reason = (attempt.error or {}).get("message") or "interrupted"
    if attempt.verdict == "partial":
        progress = f"{attempt.statements_done} of {attempt.statements_total}"
        return f"\n      stopped after statement {progress}: {reason}; the next deploy goes on there"
    return (
        f"\n      {attempt.verdict} at {attempt.started_at:%Y-%m-%d %H:%M:%S %Z}: {reason}"
        if attempt.verdict == "undone"
        else ""
    )


def _duration(milliseconds: int) -> str:
    return f"{milliseconds} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


# A sentence with the event's facts in it, or what makes one of them.
SENTENCES: dict[EventName, str | Callable[[dict[str, Any]], str]] = {
    "waiting_for_database": "waiting for the database, {seconds_left:g} s left: {message}",
    "database_created": "created the database {database}",
    "connected": "connected to {server}",
    "waiting_for_lock": _lock_wait_line,
    "plan": lambda facts: f"{_count(len(facts['pending']), 'migration')} to apply",
    "migration_resumed": "{migration}: going on after statement {done} of {total}",
    "lock_timeout_retry": _retry_line,
    "index_dropped": "{migration}: dropped the invalid index {index} that a failed build left behind",
    "migration_applied": lambda facts: f"{facts['migration']}  {_duration(facts['duration_ms'])}",
    "migration_failed": lambda facts: f"{facts['migration']}\n{_sql_error(facts)}",
    "warning": "{message}",
    "done": _closing_line,
}
