"""What one pending migration will do to the tables, and the verdict on all of them. Pure; found out in foresight.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from michi.apps import App, too_old
from michi.attempt import Script
from michi.effects import Blocks
from michi.errors import MichiError
from michi.folder import DEFAULT_LOCK_TIMEOUT_SECONDS
from michi.lint import SMALL_BYTES, Finding
from michi.live import Holder
from michi.mentions import Mode
from michi.plan import Choice

Method = Literal["measured", "parse tree"]
Level = Literal["nothing", "safe", "blocks", "doubtful", "refused"]


@dataclass(frozen=True)
class Lock:
    """One relation that a statement locks. `new` relations are in nobody's way; sizes are those of the real database now."""

    relation: str
    new: bool
    mode: Mode
    blocks: Blocks
    rewrites: bool | None
    scans: bool
    bytes: int
    rows: int | None
    seconds: float
    in_the_way: tuple[Holder, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"in_the_way": [holder.as_dict() for holder in self.in_the_way]}


@dataclass(frozen=True)
class Step:
    """One statement. `complete` is False where it may lock more than is seen, `failed` where it failed on a shadow (see `note`).

    `seconds` is a rough guess at how long it works on rows that are there now.
    """

    line: int
    statement: str
    method: Method
    complete: bool
    note: str | None
    failed: bool
    changes_rows: bool
    seconds: float
    locks: tuple[Lock, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"locks": [lock.as_dict() for lock in self.locks]}


@dataclass(frozen=True)
class Blocked:
    """What is kept waiting for longer than a blink: from which line of the file to which, and roughly for how long."""

    relation: str
    blocks: Blocks
    from_line: int
    to_line: int
    seconds: float
    bytes: int
    rows: int | None


@dataclass(frozen=True)
class Forecast:
    """One pending migration. `statements_done` have run already, by an attempt that stopped half-way, and are no steps."""

    script: Script
    steps: tuple[Step, ...]
    broken: tuple[App, ...]
    findings: tuple[Finding, ...]
    out_of_order: bool
    statements_done: int

    @property
    def name(self) -> str:
        return self.script.migration.name

    @property
    def lock_timeout_seconds(self) -> float:
        declared = self.script.migration.directives.lock_timeout_seconds
        return DEFAULT_LOCK_TIMEOUT_SECONDS if declared is None else declared

    @property
    def blocked(self) -> tuple[Blocked, ...]:
        """In one transaction a lock is held to the end, so what comes after it counts; otherwise each statement by itself."""
        groups = [self.steps] if self.script.in_transaction else [(step,) for step in self.steps]
        found = [blocked for steps in groups for blocked in _find_blocked(steps)]
        return tuple(sorted(found, key=lambda blocked: -blocked.seconds))

    def as_dict(self) -> dict[str, Any]:
        directives = self.script.migration.directives
        return {
            "migration": self.name,
            "path": str(self.script.migration.path),
            "phase": directives.phase,
            "safe_from": (directives.safe_from or self.name) if directives.phase == "contract" else None,
            "in_transaction": self.script.in_transaction,
            "backfill_rows": directives.backfill_rows,
            "lock_timeout_seconds": self.lock_timeout_seconds,
            "out_of_order": self.out_of_order,
            "statements_done": self.statements_done,
            "breaks": [app.as_dict() for app in self.broken],
            "blocked": [asdict(blocked) for blocked in self.blocked],
            "statements": [step.as_dict() for step in self.steps],
            "findings": [finding.as_dict() for finding in self.findings],
        }


@dataclass(frozen=True)
class Verdict:
    level: Level
    sentence: str
    error: MichiError | None = None

    @property
    def exit_code(self) -> int:
        return self.error.exit_code if self.error is not None else 0

    def as_dict(self) -> dict[str, Any]:
        error = self.error.as_dict() if self.error is not None else None
        return {"level": self.level, "sentence": self.sentence, "exit_code": self.exit_code, "error": error}


def _find_blocked(steps: Sequence[Step]) -> list[Blocked]:
    """Each relation that is blocked while large ones are worked on."""
    found: dict[str, Blocked] = {}
    for number, step in enumerate(steps):
        for lock in step.locks:
            if lock.blocks == "nothing":
                continue
            working = [
                later
                for later in steps[number:]
                if any(other.seconds and other.bytes > SMALL_BYTES for other in later.locks)
            ]
            if not working:
                continue
            seconds = round(sum(later.seconds for later in working), 3)
            here = Blocked(lock.relation, lock.blocks, step.line, working[-1].line, seconds, lock.bytes, lock.rows)
            known = found.get(lock.relation)
            if known is None or known.blocks == "writes":
                earliest = known.from_line if known is not None and known.blocks == lock.blocks else here.from_line
                found[lock.relation] = replace(here, from_line=earliest)
    return list(found.values())


def judge(forecasts: Sequence[Forecast], choice: Choice, *, even_if_connected: bool) -> Verdict:
    """One sentence on top: what is refused, else what fails, else what is blocked the longest, else that it is safe and why."""
    broken = next((forecast for forecast in forecasts if forecast.broken), None)
    error: MichiError | None = choice.refused
    if broken is not None and not even_if_connected:
        error = too_old(broken.broken, broken.script.migration)
    if error is not None:
        return Verdict("refused", f"refused: {error.message}", error)
    failing = next(((f, step) for f in forecasts for step in f.steps if step.failed), None)
    if failing is not None:
        return Verdict("doubtful", f"doubtful: {failing[0].name}, line {failing[1].line}: {failing[1].note}")
    blocked = sorted((b for forecast in forecasts for b in forecast.blocked), key=lambda b: -b.seconds)
    if blocked:
        first, more = blocked[0], f"; {len(blocked) - 1} more below" if len(blocked) > 1 else ""
        return Verdict(
            "blocks", f"will block {first.blocks} of {describe_table(first)} for {guess(first.seconds)}{more}"
        )
    return Verdict("safe", _why_safe(forecasts)) if forecasts else Verdict("nothing", "nothing to do")


def _why_safe(forecasts: Sequence[Forecast]) -> str:
    hidden = next(((f, step) for f in forecasts for step in f.steps if not step.complete), None)
    if hidden is not None:
        return f"safe as far as can be seen: {hidden[0].name}, line {hidden[1].line} may do more than it shows"
    patience = [
        f.lock_timeout_seconds for f in forecasts for s in f.steps for lock in s.locks if lock.blocks != "nothing"
    ]
    if not patience:
        return "safe: nothing is blocked"
    if 0 in patience:
        return "safe: tables are blocked for moments, once nobody else holds them"
    return f"safe: nothing is blocked for longer than {max(patience):g} s, and that only while others hold a table"


def describe_table(found: Blocked | Lock) -> str:
    """`words (1.2 GB, about 5,000,000 rows)`."""
    rows = f", about {found.rows:,} rows" if found.rows is not None else ""
    return f"{found.relation} ({_size(found.bytes)}{rows})"


def _size(number: int) -> str:
    if number < 1024 * 1024:
        return f"{max(1, round(number / 1024))} kB" if number else "empty"
    for unit, power in (("GB", 30), ("MB", 20)):
        if number >= 2**power:
            return f"{number / 2**power:.1f} {unit}"
    return f"{number} bytes"


def guess(seconds: float) -> str:
    """A rough time in words that promise no more than they can."""
    if seconds < 1:
        return "less than a second"
    for size, unit in ((3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size:
            number = round(seconds / size)
            return f"roughly {number} {unit}{'' if number == 1 else 's'}"
    return "less than a second"
