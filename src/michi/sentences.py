"""Events as sentences for people, the same ones in a log and on a terminal. Where they are shown is report.py's business."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unicodedata import east_asian_width

from michi.blockers import blockers_text, one_line
from michi.events import EventName


def describe(name: EventName, facts: dict[str, Any]) -> str | None:
    """An event as a sentence; None for those that only programs want."""
    sentence = SENTENCES.get(name)
    if sentence is None:
        return None
    return sentence.format_map(facts) if isinstance(sentence, str) else sentence(facts)


def _lock_wait_line(facts: dict[str, Any]) -> str:
    return f"waiting for the deploy lock{lock_holder(facts['holder'])}, {facts['seconds_left']:g} s left"


def lock_holder(holder: dict[str, Any] | None) -> str:
    """` held by pid 4711 (michi/1.0 from local)`, or nothing."""
    return f" held by pid {holder['pid']} ({one_line(holder['application'])} from {holder['host']})" if holder else ""


def _retry_line(facts: dict[str, Any]) -> str:
    return (
        f"{facts['migration']}, {place(facts['line'])}: rolled back, trying again in {facts['retry_in_seconds']:g} s; "
        f"{held_up_by(facts.get('blockers') or [])}"
    )


def place(line: int | None) -> str:
    return f"line {line}" if line else "at commit"


def held_up_by(blockers: list[dict[str, Any]]) -> str:
    return f"held up by {blockers_text(blockers)}" if blockers else "another session holds the table"


def _progress_line(facts: dict[str, Any]) -> str:
    parts = [part for part in (progress_text(facts), waiting_text(facts)) if part]
    told = "; " + "; ".join(parts) if parts else ""
    return f"{facts['migration']}, {place(facts['line'])}: running for {span(facts['elapsed_seconds'])}{told}"


def waiting_text(facts: dict[str, Any]) -> str:
    return f"waiting for {blockers_text(facts['blockers'])}" if facts.get("blockers") else ""


def progress_text(facts: dict[str, Any]) -> str:
    """`building index: scanning table 62 %, about 3 s left`, or how much the table has grown; empty where nothing is known."""
    if "rows_done" in facts:
        return backfill_text(facts)
    if facts["phase"] is None:
        grown = facts["growth_bytes"]
        return f"{facts['relation']} has grown by {size(grown)}" if grown else ""
    percent = f" {facts['percent']:.0f} %" if facts["percent"] is not None and facts["unit"] != "transactions" else ""
    left = f", about {span(max(1.0, facts['seconds_left']))} left" if facts["seconds_left"] is not None else ""
    counted = "" if percent or not facts["done"] or facts["unit"] == "transactions" else f" {_counted(facts)}"
    return f"{facts['phase']}{percent}{counted}{left}"


def backfill_text(facts: dict[str, Any]) -> str:
    """`1,200,000 of about 5,000,000 rows (24 %), about 40 s left, 4,000 rows in 150 ms`."""
    total = facts["rows_total"]
    of = f" of about {total:,}" if total is not None and total > facts["rows_done"] else ""
    percent = f" ({facts['percent']:.0f} %)" if facts["percent"] is not None else ""
    left = f", about {span(max(1.0, facts['seconds_left']))} left" if facts["seconds_left"] else ""
    return f"{facts['rows_done']:,}{of} rows{percent}{left}, {facts['batch_rows']:,} rows in {facts['batch_ms']} ms"


def _backfill_start(facts: dict[str, Any]) -> str:
    done, total = facts["rows_done"], facts["rows_total"]
    if done:
        of = f" of about {total:,}" if total is not None else ""
        return f"{facts['migration']}: going on after {done:,}{of} rows"
    return (
        f"{facts['migration']}: going through {f'about {total:,} rows' if total is not None else 'the rows'} in batches"
    )


def _counted(facts: dict[str, Any]) -> str:
    return size(facts["done"]) if facts["unit"] == "bytes" else f"{facts['done']:,} {facts['unit']}"


def _closing_line(facts: dict[str, Any]) -> str:
    head = f"; the database is at {facts['head']}" if facts["head"] else ""
    held = facts.get("held_back") or []
    rest = f" Held back: {', '.join(held)}." if held else ""
    if facts["applied"]:
        return f"Applied {count(facts['applied'], 'migration')}{head}.{rest}"
    if facts["state"] == "ahead":
        return f"Nothing to do: the database is ahead of this folder, at {facts['head']}, and compatible."
    return f"Nothing to do{head}.{rest}"


def _sql_error(facts: dict[str, Any]) -> str:
    """File, line, the statement with the place marked, SQLSTATE, detail and hint."""
    lines = [f"{facts['file']}:{facts['line']}" if facts.get("line") else f"{facts['file']}, at commit"]
    if facts.get("source") is not None:
        number = f"{facts['line']:>5} | "
        lines += [number + facts["source"], " " * len(number) + blank(facts["source"][: facts["column"] - 1]) + "^"]
    elif facts.get("statement"):
        lines.append(f"      | {facts['statement']}")
    lines += [f"{key}: {facts[key]}" for key in ("sqlstate", "message", "detail", "hint") if facts.get(key)]
    return "\n".join(f"      {line}" for line in lines)


def blank(text: str) -> str:
    """White space as wide as the text is on a terminal, where a kanji takes two columns."""
    return "".join("\t" if char == "\t" else "  " if east_asian_width(char) in "WF" else " " for char in text)


def duration(milliseconds: int) -> str:
    return f"{milliseconds} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def span(seconds: float) -> str:
    """`7 s`, `2 min 05 s`, `1 h 10 min`: for what is still going on, where tenths only flicker."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60:02} s" if whole < 3600 else f"{whole // 3600} h {whole // 60 % 60:02} min"


def size(number: int) -> str:
    """`24 MB`, in powers of 1024 as PostgreSQL's pg_size_pretty counts."""
    value, units = float(number), ["bytes", "kB", "MB", "GB", "TB"]
    while abs(value) >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:.0f} {units[0]}"


def count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


# A sentence with the event's facts in it, or what makes one of them.
SENTENCES: dict[EventName, str | Callable[[dict[str, Any]], str]] = {
    "waiting_for_database": "waiting for the database, {seconds_left:g} s left: {message}",
    "database_created": "created the database {database}",
    "connected": "connected to {server}",
    "waiting_for_lock": _lock_wait_line,
    "plan": lambda facts: f"{count(len(facts['pending']), 'migration')} to apply",
    "migration_resumed": "{migration}: going on after statement {done} of {total}",
    "statement_progress": _progress_line,
    "backfill_started": _backfill_start,
    "backfill_progress": _progress_line,
    "lock_timeout_retry": _retry_line,
    "index_dropped": "{migration}: dropped the invalid index {index} that a failed build left behind",
    "migration_applied": lambda facts: f"{facts['migration']}  {duration(facts['duration_ms'])}",
    "migration_failed": lambda facts: f"{facts['migration']}\n{_sql_error(facts)}",
    "migration_rolled_back": lambda facts: f"{facts['migration']}  rolled back, {duration(facts['duration_ms'])}",
    "warning": "{message}",
    "done": _closing_line,
}
