"""Locks as data: modes, what they block and which conflict; what a statement does to which relation. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from michi.mentions import Mode, list_relations

Blocks = Literal["nothing", "writes", "reads and writes"]
MODES: tuple[Mode, ...] = (
    "AccessShare", "RowShare", "RowExclusive", "ShareUpdateExclusive", "Share", "ShareRowExclusive", "Exclusive", "AccessExclusive",
)  # fmt: skip
STRENGTH = {mode: number for number, mode in enumerate(MODES)}
# What an app does takes AccessShare (reads), RowShare (locks rows) and RowExclusive (writes).
BLOCKS: dict[Mode, Blocks] = {
    "AccessShare": "nothing", "RowShare": "nothing", "RowExclusive": "nothing", "ShareUpdateExclusive": "nothing",
    "Share": "writes", "ShareRowExclusive": "writes", "Exclusive": "writes", "AccessExclusive": "reads and writes",
}  # fmt: skip
# Table 13.2 of the manual, by strength: which modes cannot be held together.
CONFLICTS: dict[Mode, frozenset[Mode]] = {
    "AccessShare": frozenset({"AccessExclusive"}),
    "RowShare": frozenset({"Exclusive", "AccessExclusive"}),
    "RowExclusive": frozenset({"Share", "ShareRowExclusive", "Exclusive", "AccessExclusive"}),
    "ShareUpdateExclusive": frozenset(MODES[3:]),
    "Share": frozenset({"RowExclusive", "ShareUpdateExclusive", "ShareRowExclusive", "Exclusive", "AccessExclusive"}),
    "ShareRowExclusive": frozenset(MODES[2:]),
    "Exclusive": frozenset(MODES[1:]),
    "AccessExclusive": frozenset(MODES),
}


@dataclass(frozen=True, order=True)
class Name:
    """A relation as a statement writes it; `schema` None is the search path's."""

    schema: str | None
    relation: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.relation}" if self.schema else self.relation


@dataclass(frozen=True)
class Effect:
    """What a statement does to one relation.

    `rewrites`: all rows are written anew, into a new file; None where only the catalogue can tell. `scans`: all rows may be read
    while the lock is held. `index`: the name is that of an index; the lock is on its table. `index_locked`: an index is locked too,
    so that no query on the table can be planned.
    """

    name: Name
    mode: Mode
    rewrites: bool | None = False
    scans: bool = False
    index: bool = False
    index_locked: bool = False

    @property
    def blocks(self) -> Blocks:
        return "reads and writes" if self.index_locked else BLOCKS[self.mode]


@dataclass(frozen=True)
class Effects:
    """All that is seen of a statement. `known` is False where it may do more than it shows: DO, CALL, functions, CASCADE."""

    on: tuple[Effect, ...] = ()
    creates: frozenset[Name] = frozenset()
    changes_rows: bool = False
    known: bool = True


@dataclass
class Seen:
    """Collects effects; the strongest mode on a relation counts."""

    effects: dict[Name, Effect] = field(default_factory=dict)
    creates: set[Name] = field(default_factory=set)
    changes_rows: bool = False
    known: bool = True

    def lock(
        self,
        name: Name,
        mode: Mode,
        *,
        rewrites: bool | None = False,
        scans: bool = False,
        index: bool = False,
        index_locked: bool = False,
    ) -> None:
        found = self.effects.get(name, Effect(name, mode))
        if found.rewrites is not False and rewrites is not True:
            rewrites = found.rewrites
        strongest = max(mode, found.mode, key=STRENGTH.__getitem__)
        self.effects[name] = Effect(name, strongest, rewrites, scans or found.scans, index, index_locked)

    def read(self, node: Any, but: Name | None = None, *, scans: bool = True) -> None:
        """What a query reads and what it changes in its WITH; row locks of its FOR UPDATE."""
        for relation, mode in list_relations(node):
            name = name_of(relation)
            if name != but:
                self.lock(name, mode, scans=scans)


def name_of(relation: Any) -> Name:
    return Name(relation.schemaname, relation.relname)


def name_from_parts(parts: Any) -> Name:
    """From a list of strings, the relation last."""
    *schema, relation = (part.sval for part in parts)
    return Name(schema[-1] if schema else None, relation)
