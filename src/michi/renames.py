"""Renames: what may be one is asked about, never guessed. A rename that was decided is made on the shadow by PostgreSQL itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from michi.catalogue import Catalogue
from michi.database import Connection
from michi.ddl import literal, quote
from michi.diff import Change
from michi.errors import RenameUndecided, UsageError
from michi.questions import Questions
from michi.steps import Order, Stage, Step, step

LEAST_SHARED_COLUMNS = 0.5
HOW_TO = (
    "A rename: an app that knows only the old name breaks at once, and one that knows only the new name does not work before."
    " docs/how-to/rename-a-column.md has the way without downtime."
)


@dataclass(frozen=True)
class Rename:
    """`owner` is the table of a column or the enum of a value, under the name it has once tables are renamed."""

    kind: Literal["table", "column", "value"]
    owner: str
    old: str
    new: str

    @property
    def option(self) -> str:
        return f"{self.old}:{self.new}" if self.kind == "table" else f"{self.owner}.{self.old}:{self.new}"

    @property
    def statements(self) -> tuple[str, str]:
        """There, and back again."""
        if self.kind == "table":
            return (
                f"ALTER TABLE {quote(self.old)} RENAME TO {quote(self.new)}",
                f"ALTER TABLE {quote(self.new)} RENAME TO {quote(self.old)}",
            )
        if self.kind == "column":
            alter = f"ALTER TABLE {quote(self.owner)} RENAME COLUMN"
            return f"{alter} {quote(self.old)} TO {quote(self.new)}", f"{alter} {quote(self.new)} TO {quote(self.old)}"
        alter = f"ALTER TYPE {quote(self.owner)} RENAME VALUE"
        return (
            f"{alter} {literal(self.old)} TO {literal(self.new)}",
            f"{alter} {literal(self.new)} TO {literal(self.old)}",
        )

    def as_step(self) -> Step:
        up, down = self.statements
        return step(Stage.RENAMES, Order.TYPES, up, down, contract=True)

    def apply(self, connection: Connection) -> None:
        connection.execute(self.statements[0].encode())


def find_candidates(changes: Sequence[Change]) -> Iterator[Rename]:
    """Pairs of something gone and something new that might be the same thing: tables that share half their columns, columns of one
    table and one type, values of one enum."""
    gone = [change for change in changes if change.action == "drop" and change.kind in {"table", "column"}]
    new = [change for change in changes if change.action == "add" and change.kind in {"table", "column"}]
    for old in gone:
        for now in new:
            if old.kind != now.kind or old.table != now.table:
                continue
            if old.kind == "table" and _share_columns(old, now):
                yield Rename("table", "", old.name, now.name)
            elif old.kind == "column" and old.before.type == now.after.type:
                yield Rename("column", old.table or "", old.name, now.name)
    for change in changes:
        if (change.action, change.kind) == ("alter", "enum"):
            for old_label in [label for label in change.before.labels if label not in change.after.labels]:
                for new_label in [label for label in change.after.labels if label not in change.before.labels]:
                    yield Rename("value", change.name, old_label, new_label)


def _share_columns(old: Change, now: Change) -> bool:
    before, after = old.before.columns, now.after.columns
    shared = sum(1 for name, column in before.items() if name in after and after[name].type == column.type)
    return shared > 0 and shared >= LEAST_SHARED_COLUMNS * max(len(before), len(after))


def parse_rename(text: str, catalogue: Catalogue) -> Rename:
    """`words:terms`, `words.kanji:spelling`, `mood.sad:unhappy`. Raises UsageError for what is not there."""
    old, found, new = text.rpartition(":")
    new = new.rpartition(".")[2] if old.count(".") and new.startswith(f"{old.split('.')[0]}.") else new
    owner, dot, inner = old.partition(".")
    if found and new and not dot and old in catalogue.tables:
        return Rename("table", "", old, new)
    if found and new and dot and owner in catalogue.tables and inner in catalogue.tables[owner].columns:
        return Rename("column", owner, inner, new)
    if found and new and dot and owner in catalogue.enums and inner in catalogue.enums[owner].labels:
        return Rename("value", owner, inner, new)
    raise UsageError(
        f"--rename {text} names nothing that the migrations have.",
        "Write old:new for a table, table.old:new for a column, enum.old:new for a value of an enum.",
    )


def decide(
    given: Sequence[str],
    questions: Questions,
    compare: Callable[[], tuple[Catalogue, list[Change]]],
    apply: Callable[[Rename], None],
    *,
    none: bool,
) -> list[Rename]:
    """All renames, in order, made on the shadow with `apply`. `compare` gives the catalogue and what differs now.

    Raises RenameUndecided where something may be a rename, nobody has said so and nobody can be asked.
    """
    catalogue, changes = compare()
    made = _make_given(given, catalogue, changes, apply, compare)
    declined: set[Rename] = set()
    while not none:
        _, changes = compare()
        candidates = [candidate for candidate in find_candidates(changes) if candidate not in declined]
        if not candidates:
            break
        if not questions.possible:
            raise _undecided(candidates)
        first = candidates[0]
        if questions.confirm(
            f"Was {_described(first)} renamed to {first.new}? Otherwise it is dropped, and a new one made."
        ):
            apply(first)
            made.append(first)
        else:
            declined.add(first)
    return made


def _make_given(
    given: Sequence[str],
    catalogue: Catalogue,
    changes: Sequence[Change],
    apply: Callable[[Rename], None],
    compare: Callable[[], tuple[Catalogue, list[Change]]],
) -> list[Rename]:
    """Tables first. A column may be named under the old name of its table as well as under the new one."""
    made: list[Rename] = []
    tables = [text for text in given if "." not in text.rpartition(":")[0]]
    for text in [*tables, *(text for text in given if text not in tables)]:
        owner = text.partition(".")[0]
        now = next((rename.new for rename in made if rename.kind == "table" and rename.old == owner), None)
        asked = f"{now}.{text.partition('.')[2]}" if now is not None and "." in text else text
        rename = parse_rename(asked, catalogue)
        if not _is_wanted(rename, changes):
            raise UsageError(
                f"--rename {text}: the models still have {rename.old}, or have no {rename.new}.",
                "Give the rename that the models make.",
            )
        apply(rename)
        made.append(rename)
        catalogue, changes = compare()
    return made


def _is_wanted(rename: Rename, changes: Sequence[Change]) -> bool:
    if rename.kind == "value":
        found = next((c for c in changes if c.kind == "enum" and c.name == rename.owner and c.action == "alter"), None)
        return found is not None and rename.new in found.after.labels and rename.old not in found.after.labels
    seen = {(change.action, change.kind, change.table or "", change.name) for change in changes}
    owner = rename.owner
    return {("drop", rename.kind, owner, rename.old), ("add", rename.kind, owner, rename.new)} <= seen


def _described(rename: Rename) -> str:
    return f"the {rename.kind} {rename.old}" + (f" of {rename.owner}" if rename.owner else "")


def _undecided(candidates: Sequence[Rename]) -> RenameUndecided:
    first = candidates[0]
    more = f" and {len(candidates) - 1} more" if len(candidates) > 1 else ""
    what = _described(first)
    return RenameUndecided(
        f"{what[:1].upper()}{what[1:]} may have been renamed to {first.new}{more}, and nobody can be asked.",
        f"Say --rename {first.option} if it was, --no-rename if nothing was.",
        candidates=[candidate.option for candidate in candidates],
    )
