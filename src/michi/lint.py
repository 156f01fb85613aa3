"""The linter: squawk's rules and our own on migrations, as severe as the tables they are about are large."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from michi.attempt import Script
from michi.breaking import find_breaks
from michi.effects import STRENGTH, Effect, Effects, Name
from michi.errors import UsageError
from michi.live import Relation
from michi.locks import find_effects
from michi.sql import Statement, first_line

Severity = Literal["error", "warning", "note"]

# Up to here a lock is held for a blink; from there on it is felt. In bytes, without indexes.
SMALL_BYTES = 1024 * 1024
LARGE_BYTES = 100 * 1024 * 1024
SQUAWK_SECONDS = 60.0
ORDER: dict[Severity, int] = {"error": 0, "warning": 1, "note": 2}

# michi does these for every migration, or does better: timeouts, one transaction, going on after a kill.
NOT_FOR_US = (
    "require-lock-timeout", "require-statement-timeout", "require-timeout-settings", "prefer-robust-stmts", "transaction-nesting",
    "ban-concurrent-index-creation-in-transaction", "ban-uncommitted-transaction",
)  # fmt: skip
# About a lock held for as long as the table is large.
ABOUT_LOCKS = frozenset({
    "require-concurrent-index-creation", "require-concurrent-index-deletion", "require-concurrent-reindex",
    "require-concurrent-partition-detach", "constraint-missing-not-valid", "adding-foreign-key-constraint",
    "adding-not-nullable-field", "adding-field-with-default", "adding-serial-primary-key-field",
    "disallowed-unique-constraint",
})  # fmt: skip
# About apps that run: the phase says that it is meant, `undeclared-contract` that it is not.
ABOUT_APPS = frozenset({
    "ban-drop-column", "ban-drop-table", "ban-drop-view", "ban-drop-function", "ban-drop-type", "ban-drop-schema",
    "ban-drop-sequence", "ban-drop-domain", "ban-drop-not-null", "ban-drop-constraint", "ban-drop-default",
    "ban-drop-generated-expression", "renaming-column", "renaming-table", "renaming-object", "ban-set-schema",
    "adding-required-field", "changing-column-type",
})  # fmt: skip
# A matter of taste, or of what only the author knows.
TASTE = re.compile(r"prefer-|ban-char-field|identifier-too-long|require-table-schema|require-enum-value-ordering")


@dataclass(frozen=True)
class Finding:
    """One thing to look at. `relation` is what it is about and `bytes` its live size, where they are known."""

    migration: str
    file: str
    line: int
    rule: str
    severity: Severity
    message: str
    remedy: str | None = None
    relation: str | None = None
    bytes: int | None = None
    ignored_because: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Tables:
    """What is known of the tables of one migration: nothing, or what the database says. `new` are those it has created itself."""

    def __init__(self, live: dict[Name, Relation] | None) -> None:
        self.live = live
        self.new: set[Name] = set()

    def size(self, name: Name) -> int | None:
        """0 for a table that is new or not there; None where nobody can say."""
        if name in self.new:
            return 0
        if self.live is None:
            return None
        return self.live[name].size if name in self.live else 0

    def severity(self, name: Name) -> Severity:
        """Of a lock for as long as the table is large. A table of which nothing is known may be large."""
        size = self.size(name)
        return "error" if size is None or size >= LARGE_BYTES else "warning" if size > SMALL_BYTES else "note"


def lint(scripts: Sequence[Script], live: dict[Name, Relation] | None, version: int | None) -> list[Finding]:
    """Findings in the order of the files. `live` None is: without a database. Raises UsageError where squawk is not installed."""
    by_squawk = run_squawk(scripts, version)
    findings: list[Finding] = []
    for script in scripts:
        findings += _apply_ignores(script, _lint_script(script, by_squawk.get(script.migration.name, []), Tables(live)))
    return findings


def _lint_script(script: Script, squawked: list[dict[str, Any]], tables: Tables) -> list[Finding]:
    found: list[Finding] = []
    effects = [find_effects(statement.text) for statement in script.statements]
    for number, (statement, effect) in enumerate(zip(script.statements, effects, strict=True)):
        following = script.statements[number + 1].line if number + 1 < len(script.statements) else sys.maxsize
        theirs = [item for item in squawked if statement.line <= item["line"] + 1 < following]
        breaks = list(_breaks(script, statement, tables))
        said = bool(breaks) or script.migration.directives.phase == "contract"
        found += breaks
        found += [
            _from_squawk(script, i, effect, tables) for i in theirs if not (said and i["rule_name"] in ABOUT_APPS)
        ]
        if not any(item["rule_name"] in ABOUT_LOCKS for item in theirs):
            found += list(_long_locks(script, statement, effect, tables))
        tables.new |= effect.creates
    found += list(_work_under_lock(script, effects, tables))
    return sorted(_without_doubles(found), key=lambda finding: (finding.line, ORDER[finding.severity], finding.rule))


def _without_doubles(findings: Iterable[Finding]) -> list[Finding]:
    """squawk has two rules about the lock of some statements; one of them is enough."""
    seen: dict[tuple[object, ...], Finding] = {}
    for finding in findings:
        about = ("lock",) if finding.rule in ABOUT_LOCKS else (finding.rule, finding.message)
        seen.setdefault((finding.line, *about), finding)
    return list(seen.values())


def _finding(script: Script, line: int, rule: str, severity: Severity, message: str, **more: Any) -> Finding:
    file = str(script.migration.path / "up.sql")
    return Finding(script.migration.name, file, line, rule, severity, message, **more)


def _from_squawk(script: Script, item: dict[str, Any], effects: Effects, tables: Tables) -> Finding:
    rule = item["rule_name"]
    target = max(effects.on, key=lambda effect: STRENGTH[effect.mode], default=None)
    severity: Severity = "warning"
    if rule.startswith("syntax-error") or rule == "ban-drop-database":
        severity = "error"
    elif rule in ABOUT_LOCKS:
        severity = tables.severity(target.name) if target is not None else "error"
    elif rule in ABOUT_APPS or TASTE.match(rule):
        severity = "note"
    return _finding(
        script, item["line"] + 1, rule, severity, item["message"], remedy=item["help"],
        relation=str(target.name) if target is not None else None,
        bytes=tables.size(target.name) if target is not None else None,
    )  # fmt: skip


# Our own rules


def _breaks(script: Script, statement: Statement, tables: Tables) -> Iterable[Finding]:
    if script.migration.directives.phase == "contract":
        return
    for what in find_breaks(statement.text, frozenset(tables.new)):
        yield _finding(
            script, statement.line, "undeclared-contract", "error",
            f"It {what}: an app that does not know this migration breaks.",
            remedy="Say `-- michi: phase = contract` at the top of a migration of its own, once no app uses it any more.",
        )  # fmt: skip


def _long_locks(script: Script, statement: Statement, effects: Effects, tables: Tables) -> Iterable[Finding]:
    """A lock that keeps apps waiting while all rows are read or written, and a change of all rows at once."""
    for effect in effects.on:
        if effect.name in tables.new:
            continue
        severity = tables.severity(effect.name)
        size = tables.size(effect.name)
        if effect.blocks != "nothing" and (effect.rewrites is True or effect.scans):
            doing = (
                "written anew"
                if effect.rewrites
                else "read"
                if effect.rewrites is False
                else "read, perhaps written anew"
            )
            yield _finding(
                script, statement.line, "long-lock", severity,
                f"It blocks {effect.blocks} of {effect.name} while all its rows are {doing}.",
                remedy=_safer_form(statement), relation=str(effect.name), bytes=size,
            )  # fmt: skip
        if (
            effects.changes_rows
            and effect.mode == "RowExclusive"
            and effect.scans
            and script.migration.directives.backfill_rows is None
        ):
            yield _finding(
                script, statement.line, "change-without-backfill", _milder(severity) if size is None else severity,
                f"It may change all rows of {effect.name} in one transaction, which holds their locks to the end.",
                remedy="Put it into a migration of its own with `-- michi: backfill = 10000`.",
                relation=str(effect.name), bytes=size,
            )  # fmt: skip


def _milder(severity: Severity) -> Severity:
    return "warning" if severity == "error" else severity


SAFER_FORMS = (
    (r"alter\s+table\b.*\battach\s+partition\b", "First give the partition a CHECK that implies its bounds; then no row is read."),
    (r"refresh\s+materialized\s+view\b", "CONCURRENTLY blocks no reads; it needs a unique index."),
    (r"(?:vacuum|cluster)\b", "Run it outside deploys, at a quiet time, or use pg_repack."),
    (r"alter\s+table\b.*\badd\s+column\b", "Add the column without it, fill it with a backfill, then set default and constraints."),
)  # fmt: skip


def _safer_form(statement: Statement) -> str | None:
    return next(
        (form for pattern, form in SAFER_FORMS if re.match(pattern, statement.text, re.IGNORECASE | re.DOTALL)), None
    )


def _work_under_lock(script: Script, effects: Sequence[Effects], tables: Tables) -> Iterable[Finding]:
    """In one transaction a lock is held to the end: what comes after it, however harmless by itself, makes it long."""
    if not script.in_transaction:
        return
    held: tuple[Statement, Effect] | None = None
    rewriting = 0
    for statement, seen in zip(script.statements, effects, strict=True):
        works = [e for e in seen.on if (e.rewrites is True or e.scans) and tables.size(e.name) != 0]
        rewriting += sum(effect.rewrites is True for effect in works)
        if held is not None and works:
            lock, largest = held[1], max(works, key=lambda effect: tables.size(effect.name) or 0)
            yield _finding(
                script, statement.line, "work-under-lock", _milder(tables.severity(largest.name)),
                f"It reads or changes rows of {largest.name} while line {held[0].line} still blocks {lock.blocks} of {lock.name}.",
                remedy="Put the two into migrations of their own: a transaction keeps its locks to the end.",
                relation=str(lock.name), bytes=tables.size(lock.name),
            )  # fmt: skip
        for effect in seen.on:
            if held is None and effect.blocks != "nothing" and tables.size(effect.name) != 0:
                held = statement, effect
    if rewriting > 1:
        yield _finding(
            script, script.statements[0].line, "several-rewrites", "warning",
            f"{rewriting} statements write whole tables anew in one transaction.",
            remedy="One migration for each; for one table, one ALTER TABLE with several actions.",
        )  # fmt: skip


# What the author has decided


def _apply_ignores(script: Script, findings: list[Finding]) -> list[Finding]:
    ignored = script.migration.directives.ignored
    unused = [rule for rule in ignored if rule not in {finding.rule for finding in findings}]
    marked = [replace(finding, ignored_because=ignored.get(finding.rule)) for finding in findings]
    return marked + [
        _finding(script, 1, "unused-ignore", "note", f"Nothing breaks the rule {rule} here.", remedy="Remove the line.")
        for rule in unused
    ]


# squawk


def find_squawk() -> str | None:
    """The program that the extra `authoring` installs beside this Python, or one on the path."""
    beside = Path(sys.executable).parent / "squawk"
    return str(beside) if beside.exists() else shutil.which("squawk")


def run_squawk(scripts: Sequence[Script], version: int | None) -> dict[str, list[dict[str, Any]]]:
    """squawk's reports by migration. `version` is the server's number; the oldest supported where there is none."""
    program = find_squawk()
    if program is None:
        raise UsageError(
            "The linter needs squawk, which is not installed here.",
            "It comes with `pip install 'kotobamichi[authoring]'`, and is not in the migration image.",
        )
    found: dict[str, list[dict[str, Any]]] = {}
    for in_transaction in (True, False):
        files = {
            str(s.migration.path / "up.sql"): s.migration.name for s in scripts if s.in_transaction is in_transaction
        }
        if files:
            for item in _call_squawk(program, list(files), version, in_transaction):
                found.setdefault(files[item["file"]], []).append(item)
    return found


def _call_squawk(program: str, files: list[str], version: int | None, in_transaction: bool) -> list[dict[str, Any]]:
    number = f"{version // 10000}.0" if version else "15.0"
    wrapped = "--assume-in-transaction" if in_transaction else "--no-assume-in-transaction"
    command = [
        program,
        "--reporter",
        "json",
        "--pg-version",
        number,
        wrapped,
        "--exclude",
        ",".join(NOT_FOR_US),
        *files,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SQUAWK_SECONDS, check=False)
    try:
        reports: list[dict[str, Any]] = json.loads(done.stdout)
    except json.JSONDecodeError:
        raise UsageError(
            f"squawk did not answer as expected: {first_line(done.stderr or done.stdout)}",
            "Check .squawk.toml, if there is one.",
        ) from None
    return reports


def names_in(scripts: Iterable[Script]) -> set[Name]:
    """Every relation that the scripts are about: what to ask the database for."""
    return {
        effect.name
        for script in scripts
        for statement in script.statements
        for effect in find_effects(statement.text).on
    }


def worst(findings: Iterable[Finding]) -> Severity | None:
    """Of those that are not ignored."""
    counted = [finding.severity for finding in findings if finding.ignored_because is None]
    return min(counted, key=ORDER.__getitem__, default=None)
