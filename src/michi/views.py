"""What the reporting verbs show to people: the history, one migration whole, what the doctor found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from michi.apps import Connected
from michi.blockers import one_line
from michi.errors import UsageError
from michi.folder import Migration
from michi.ledger import Attempt
from michi.plan import Standing

if TYPE_CHECKING:
    from michi.doctor import Finding

SYMBOLS = {"ok": "✓", "warning": "!", "failure": "✗"}


def connected_text(connected: Connected, pending: Sequence[Migration]) -> str:
    """The apps that are connected, and what among the pending would break them; begins with a line break, or is empty."""
    lines = []
    for app in connected.apps:
        broken = [migration.name for migration in pending if not app.survives(migration)]
        lines.append(f"  {'!' if broken else '·'} connected     {app.describe()}")
        lines += [f"      does not survive {name}" for name in broken]
    if connected.others:
        told = ", ".join(f"{one_line(name) or 'without a name'} ({number})" for name, number in connected.others)
        lines.append(f"  · connected     without a version: {told}; a pooler may have lost it")
    return "".join(f"\n{line}" for line in lines)


def history_text(where: str, attempts: Sequence[Attempt]) -> str:
    """One attempt a row."""
    if not attempts:
        return f"{where}\nNothing has been attempted."
    header = ("started", "verdict", "took", "migration", "by", "from")
    rows = [
        (
            f"{attempt.started_at:%Y-%m-%d %H:%M:%S}",
            attempt.verdict,
            f"{attempt.duration_ms} ms" if attempt.duration_ms is not None else "-",
            attempt.migration,
            attempt.applied_by,
            " ".join(filter(None, (attempt.host, attempt.app_name, attempt.app_version))),
        )
        for attempt in attempts
    ]
    return f"{where}\n{table(header, rows)}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns two spaces apart, as wide as their widest cell."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [header, *rows]]
    return "\n".join(line.rstrip() for line in lines)


def migration_facts(standing: Standing, attempts: Sequence[Attempt], part: str) -> dict[str, Any]:
    """Everything known of the migration with that name, or the only one whose name holds that part."""
    name = _find_name(standing, attempts, part)
    migration = standing.folder.find(name)
    facts: dict[str, Any] = {"migration": name, "state": _state(standing, name)}
    if migration is not None:
        directives = migration.directives
        facts |= {
            "path": str(migration.path),
            "checksum": migration.checksum,
            "phase": directives.phase,
            "safe_from": directives.safe_from,
            "files": {file: content.decode("utf-8", "replace") for file, content in migration.files.items()},
        }
    return facts | {"attempts": [attempt.as_dict() for attempt in attempts if attempt.migration == name]}


def _find_name(standing: Standing, attempts: Sequence[Attempt], part: str) -> str:
    names = standing.folder.names | {attempt.migration for attempt in attempts}
    if part in names:
        return part
    found = sorted(name for name in names if part in name)
    if not found:
        raise UsageError(
            f"There is no migration {part}, neither in the folder nor in the ledger.", "See `michi history`."
        )
    if len(found) > 1:
        raise UsageError(
            f"{len(found)} migrations have {part} in their name: {', '.join(found[:3])}.", "Give more of it."
        )
    return found[0]


def _state(standing: Standing, name: str) -> str:
    """How it stands, in a word or two."""
    states = (
        ("edited", standing.edited),
        ("missing in the folder", standing.missing),
        ("applied", standing.applied),
        ("applied, not in the folder", tuple(attempt.migration for attempt in standing.unknown_newer)),
        ("stopped half-way", tuple(attempt.migration for attempt in standing.partial)),
        ("pending, out of order", standing.out_of_order),
        ("pending", tuple(migration.name for migration in standing.pending)),
    )
    return next((state for state, names in states if name in names), "not applied, not in the folder")


def migration_text(facts: dict[str, Any]) -> str:
    lines = [facts["migration"], f"  state     {facts['state']}"]
    shown = [key for key in ("phase", "safe_from", "checksum", "path") if facts.get(key)]
    lines += [f"  {key.replace('_', '-'):<9} {facts[key]}" for key in shown]
    for attempt in facts["attempts"]:
        error = attempt["error"] or {}
        reason = error.get("message") or error.get("note")
        lines.append(
            f"  attempt   {attempt['started_at'][:19]} {attempt['verdict']}, {attempt['statements_done']} of"
            f" {attempt['statements_total']} statements, by {attempt['applied_by']}" + (f": {reason}" if reason else "")
        )
    for file, content in facts.get("files", {}).items():
        lines += ["", f"--- {file}", content.rstrip()]
    return "\n".join(lines)


def findings_text(findings: Sequence[Finding]) -> str:
    """A line each, and under what is not well what helps."""
    width = max(len(finding.subject) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{SYMBOLS[finding.level]} {finding.subject.ljust(width)}  {finding.message}")
        if finding.remedy:
            lines.append(f"  {' ' * width}  {finding.remedy}")
    return "\n".join(lines)
