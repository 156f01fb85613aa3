"""Steps become files: which steps share a migration, what its header says, how its SQL is laid out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from textwrap import wrap

from michi.steps import Stage, Step

WIDTH = 120
# The most rows of a batch; how many it is, michi finds out by itself.
BACKFILL_ROWS = 10_000
SUFFIXES = {
    Stage.RENAMES: "renames",
    Stage.VALUES: "enum_values",
    Stage.EXPAND: "",
    Stage.BACKFILL: "backfill",
    Stage.INDEXES: "indexes",
    Stage.ATTACH: "unique",
    Stage.CONSTRAINTS: "constraints",
    Stage.VALIDATE: "validate",
    Stage.NOT_NULL: "not_null",
    Stage.CONTRACT: "contract",
}
CONTRACT = "An app that does not know this change breaks: it is deployed when none runs any more."
AFTER_CONTRACT = "It follows a migration that only apps which know it survive."


@dataclass(frozen=True)
class Draft:
    """One migration to be written. `suffix` is added to the slug where several are written at once."""

    suffix: str
    up: str
    down: str
    contract: bool
    unfinished: bool


def make_drafts(title: str, steps: Sequence[Step]) -> list[Draft]:
    """A migration a stage, in the order in which they run. From the first contract one on, all are: they build on it."""
    stages = list(_migrations(steps))
    drafts: list[Draft] = []
    for number, (suffix, members) in enumerate(stages, start=1):
        breaks = any(member.contract for member in members)
        contract = breaks or (bool(drafts) and drafts[-1].contract)
        alone = any(member.alone for member in members)
        heading = title if len(stages) == 1 else f"{title}, part {number} of {len(stages)}"
        drafts.append(
            Draft(
                suffix if len(stages) > 1 else "",
                _up(heading, members, contract=contract, breaks=breaks, alone=alone),
                _down(members),
                contract,
                any(member.unfinished for member in members),
            )
        )
    return drafts


def _migrations(steps: Iterable[Step]) -> Iterator[tuple[str, list[Step]]]:
    """Which steps make a migration, with its suffix: those of a stage, but each backfill by itself."""
    for stage, group in groupby(_together(steps), key=lambda item: item.stage):
        members = list(group)
        together = [item for item in members if not item.backfill]
        parts = [[item] for item in members if item.backfill] + ([together] if together else [])
        for number, part in enumerate(parts, start=1):
            yield SUFFIXES[stage] + (f"_{number}" if number > 1 else ""), part


def _together(steps: Iterable[Step]) -> list[Step]:
    """Stages that need no migration of their own join another: what comes after renames anyway, what is all contract."""
    found = list(steps)
    if any(item.stage is Stage.RENAMES for item in found):
        joined = [item for item in found if item.stage in {Stage.RENAMES, Stage.EXPAND}]
        rest = [item for item in found if item.stage not in {Stage.RENAMES, Stage.EXPAND}]
        values = [item for item in rest if item.stage is Stage.VALUES]
        moved = [Step(**{**item.__dict__, "stage": Stage.RENAMES}) for item in joined]
        return [*moved, *values, *(item for item in rest if item.stage is not Stage.VALUES)]
    return found


def _up(heading: str, steps: Sequence[Step], *, contract: bool, breaks: bool, alone: bool) -> str:
    lines = [f"-- {heading}"]
    if contract:
        lines += ["--", *_comment(CONTRACT if breaks else AFTER_CONTRACT)]
    directives = ["-- michi: phase = contract"] if contract else []
    statements = [statement for item in steps for statement in item.up]
    directives += ["-- michi: transaction = off"] if alone and len(statements) > 1 else []
    directives += [f"-- michi: backfill = {BACKFILL_ROWS}" for item in steps if item.backfill]
    lines += ["--", *directives] if directives else []
    return "\n".join(lines) + "\n\n" + layout((item.why, item.up) for item in steps)


def _down(steps: Sequence[Step]) -> str:
    body = layout((item.down_why, item.down) for item in reversed(steps))
    return "-- Takes back what up.sql does.\n" + (f"\n{body}" if body else "")


def layout(parts: Iterable[tuple[str, Sequence[str]]]) -> str:
    """Each part its reason and its statements; parts with a reason, and statements of several lines, stand apart."""
    blocks: list[str] = []
    apart = True
    for why, statements in parts:
        if not (why or statements):
            continue
        text = "\n".join([*_comment(why), *(f"{statement};" for statement in statements)])
        if any("\n" in statement for statement in statements):
            text = "\n".join(_comment(why)) + ("\n" if why else "") + "\n\n".join(_gathered(statements))
        large = bool(why) or "\n" in text
        if blocks and not (apart or large):
            blocks[-1] += f"\n{text}"
        else:
            blocks.append(text)
        apart = large
    return "\n\n".join(blocks) + ("\n" if blocks else "")


def _gathered(statements: Sequence[str]) -> list[str]:
    """Statements of one line each stay together."""
    blocks: list[str] = []
    previous = "\n"
    for statement in statements:
        if blocks and "\n" not in statement and "\n" not in previous:
            blocks[-1] += f"\n{statement};"
        else:
            blocks.append(f"{statement};")
        previous = statement
    return blocks


def _comment(text: str) -> list[str]:
    return [f"-- {line}" for line in wrap(text, WIDTH - 3)] if text else []
