"""Steps become files: which steps share a migration, what its header says, how its SQL is laid out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from textwrap import wrap

from michi.errors import MigrationUnfinished
from michi.folder import Migration
from michi.steps import Stage, Step
from michi.table_steps import FILL_IN

WIDTH = 120
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
    stages = [(stage, list(members)) for stage, members in groupby(_together(steps), key=lambda item: item.stage)]
    drafts: list[Draft] = []
    for number, (stage, members) in enumerate(stages, start=1):
        breaks = any(member.contract for member in members)
        contract = breaks or (bool(drafts) and drafts[-1].contract)
        alone = any(member.alone for member in members)
        heading = title if len(stages) == 1 else f"{title}, part {number} of {len(stages)}"
        drafts.append(
            Draft(
                SUFFIXES[stage] if len(stages) > 1 else "",
                _up(heading, members, contract=contract, breaks=breaks, alone=alone),
                _down(members),
                contract,
                any(member.unfinished for member in members),
            )
        )
    return drafts


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


def check_finished(migration: Migration) -> None:
    """Raises MigrationUnfinished, with the line, where the author has still to say something."""
    if (position := migration.up_sql.find(FILL_IN)) >= 0:
        line = migration.up_sql.count("\n", 0, position) + 1
        raise MigrationUnfinished(
            f"{migration.path / 'up.sql'}, line {line}: {FILL_IN} still stands there.",
            "Say what the column is in rows that exist, then run `michi dev` again.",
            migration=migration.name,
            line=line,
        )
