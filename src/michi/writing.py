"""From changes to steps in their order: which module writes which kind of change."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from michi.constraint_steps import constraint_aspect_steps, constraint_steps, index_aspect_steps, index_steps
from michi.diff import Change
from michi.steps import Situation, Step
from michi.table_steps import column_aspect_steps, column_steps, table_aspect_steps, table_steps
from michi.type_steps import comment_steps, enum_steps, other_steps, sequence_steps

Writer = Callable[[Change, Situation], Iterator[Step]]

WRITERS: dict[str, Writer] = {
    "enum": enum_steps,
    "comment of enum": comment_steps,
    "sequence": sequence_steps,
    "comment of sequence": comment_steps,
    "table": table_steps,
    "comment of table": table_aspect_steps,
    "logging": table_aspect_steps,
    "options": table_aspect_steps,
    "column": column_steps,
    **dict.fromkeys(("type", "default", "null", "identity", "generated", "comment of column"), column_aspect_steps),
    **dict.fromkeys(("primary key", "unique", "check", "foreign key", "exclusion"), constraint_steps),
    "validity": constraint_aspect_steps,
    "comment of constraint": constraint_aspect_steps,
    "index": index_steps,
    "invalid index": index_aspect_steps,
    "comment of index": index_aspect_steps,
}


def write_steps(situation: Situation) -> list[Step]:
    """Everything to be done, in order; taken back in the opposite one."""
    steps = [item for change in situation.changes for item in WRITERS.get(change.kind, other_steps)(change, situation)]
    positions = {name: number for number, name in enumerate(situation.before.tables)}
    return sorted(_drops_reversed(steps, positions), key=lambda item: (item.stage, item.order))


def _drops_reversed(steps: list[Step], positions: dict[str, int]) -> list[Step]:
    """Tables go in the opposite order of their making, so that none goes while another points to it."""

    def position(item: Step) -> int:
        name = item.up[0].removeprefix("DROP TABLE ").strip('"').replace('""', '"')
        return -positions.get(name, 0) if item.up[0].startswith("DROP TABLE ") else 0

    return sorted(steps, key=position)
