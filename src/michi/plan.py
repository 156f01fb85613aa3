"""Decides, and touches nothing: a folder and a ledger in, where the database stands and what a deploy would run out."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from michi.errors import (
    ExpandPending,
    HistoryEdited,
    HistoryMissing,
    HistoryOutOfOrder,
    ImageTooOld,
    MichiError,
    MigrationsPending,
)
from michi.folder import Folder, Migration, Phase
from michi.ledger import Attempt, Ledger

State = Literal["up_to_date", "pending", "partial", "diverged", "ahead", "too_old"]
STANDING = frozenset({"applied", "baselined"})


@dataclass(frozen=True)
class Standing:
    """How a ledger and a folder agree. Names are in order; `last` maps a migration to its newest attempt."""

    folder: Folder
    last: dict[str, Attempt]
    applied: tuple[str, ...]
    pending: tuple[Migration, ...]
    edited: tuple[str, ...]
    missing: tuple[str, ...]
    out_of_order: tuple[str, ...]
    unknown_newer: tuple[Attempt, ...]

    @property
    def head(self) -> str | None:
        """The newest migration that the database has."""
        newer = [attempt.migration for attempt in self.unknown_newer]
        return max([*self.applied, *newer, *self.missing], key=str.encode, default=None)

    @property
    def last_common(self) -> str | None:
        """The newest migration that folder and database share."""
        return self.applied[-1] if self.applied else None

    @property
    def partial(self) -> tuple[Attempt, ...]:
        return tuple(
            self.last[m.name] for m in self.pending if m.name in self.last and self.last[m.name].verdict == "partial"
        )

    @property
    def needed(self) -> tuple[Migration, ...]:
        """The pending migrations that an app with this folder cannot do without.

        A contract migration that older apps survive takes away what they no longer use: neither does this app need it done.
        """
        return tuple(m for m in self.pending if m.directives.safe_from is None or m.directives.safe_from >= m.name)

    @property
    def unbearable(self) -> tuple[Attempt, ...]:
        """The newer migrations an app with this folder does not survive: contract ones not safe from our head on."""
        head = self.folder.head or ""
        return tuple(
            attempt
            for attempt in self.unknown_newer
            if attempt.phase == "contract" and (attempt.safe_from is None or attempt.safe_from > head)
        )

    @property
    def state(self) -> State:
        if self.edited or self.missing or self.out_of_order:
            return "diverged"
        if self.unbearable:
            return "too_old"
        if self.partial:
            return "partial"
        if self.pending:
            return "pending"
        return "ahead" if self.unknown_newer else "up_to_date"

    @property
    def exit_code(self) -> int:
        return {"up_to_date": 0, "ahead": 0, "pending": 3, "too_old": 4, "partial": 7, "diverged": 7}[self.state]

    def as_dict(self) -> dict[str, Any]:
        attempts = [self.last[migration.name] for migration in self.pending if migration.name in self.last]
        failed = {attempt.migration: attempt.error for attempt in attempts if (attempt.error or {}).get("message")}
        return {
            "state": self.state,
            "exit_code": self.exit_code,
            "folder_head": self.folder.head,
            "database_head": self.head,
            "last_common": self.last_common,
            "applied": list(self.applied),
            "pending": [migration.name for migration in self.pending],
            "edited": list(self.edited),
            "missing": list(self.missing),
            "out_of_order": list(self.out_of_order),
            "ahead": [attempt.migration for attempt in self.unknown_newer],
            "not_survived": [attempt.migration for attempt in self.unbearable],
            "partial": [attempt.as_dict() for attempt in self.partial],
            "failed": failed,
        }


def compare(folder: Folder, ledger: Ledger) -> Standing:
    """Holds the folder against the ledger. The newest attempt at a migration says whether the database has it.

    A contract migration may be older than applied ones: `deploy --phase expand` leaves it for later.
    """
    last = {attempt.migration: attempt for attempt in ledger.attempts}
    in_database = {name: attempt for name, attempt in last.items() if attempt.verdict in STANDING}
    newest_applied = max(in_database, key=str.encode, default="")
    local_head = folder.head or ""
    applied = tuple(migration.name for migration in folder.migrations if migration.name in in_database)
    pending = tuple(migration for migration in folder.migrations if migration.name not in in_database)
    unknown = sorted(in_database.keys() - folder.names, key=str.encode)
    return Standing(
        folder=folder,
        last=last,
        applied=applied,
        pending=pending,
        edited=tuple(
            m.name for m in folder.migrations if m.name in in_database and in_database[m.name].checksum != m.checksum
        ),
        missing=tuple(name for name in unknown if name < local_head),
        out_of_order=tuple(
            m.name
            for m in pending
            if m.name < newest_applied and not _is_partial(last.get(m.name)) and m.directives.phase == "expand"
        ),
        unknown_newer=tuple(in_database[name] for name in unknown if name > local_head),
    )


def _is_partial(attempt: Attempt | None) -> bool:
    return attempt is not None and attempt.verdict == "partial"


def refusal(standing: Standing, *, allow_out_of_order: bool = False) -> MichiError | None:
    """Why a deploy may not run, or None."""
    if standing.edited:
        return HistoryEdited(
            f"{_names(standing.edited)} changed after having been applied.",
            "Restore the file and write a new migration, or accept it with `michi resolve --accept-edit <migration>`.",
            migrations=list(standing.edited),
        )
    if standing.missing:
        return HistoryMissing(
            f"{_clause(standing.missing, 'stands', 'stand')} in the database but not in the folder, which has later ones.",
            "Restore the missing folder from version control.",
            migrations=list(standing.missing),
        )
    if standing.out_of_order and not allow_out_of_order:
        return HistoryOutOfOrder(
            f"{_clause(standing.out_of_order, 'is', 'are')} pending but older than an applied migration.",
            "Give it a new timestamp with `michi rebase`, or apply it as it is with --allow-out-of-order.",
            migrations=list(standing.out_of_order),
        )
    if standing.unbearable:
        return too_old(standing)
    return None


def too_old(standing: Standing) -> ImageTooOld:
    names = [attempt.migration for attempt in standing.unbearable]
    return ImageTooOld(
        f"This image is too old for the database, which has {_names(names)}.",
        f"Deploy an image that knows {names[-1]}, or roll the database back.",
        migrations=names,
        expected=standing.folder.head,
        actual=standing.head,
    )


@dataclass(frozen=True)
class Choice:
    """What a deploy of one phase, or of both, applies now; `refused` is raised after that."""

    migrations: tuple[Migration, ...]
    held_back: tuple[str, ...] = ()
    refused: MichiError | None = None

    @property
    def is_empty(self) -> bool:
        return not self.migrations and self.refused is None

    def check_finished(self) -> None:
        """Raises MigrationUnfinished where an author has still to say something."""
        for migration in self.migrations:
            migration.check_finished()


def choose(standing: Standing, phase: Phase | None) -> Choice:
    """The pending migrations of a phase. A contract one never overtakes an expand one that it follows; the other way it may."""
    pending = standing.pending
    if phase is None:
        return Choice(pending)
    chosen = tuple(m for m in pending if m.directives.phase == phase)
    first_expand = next((m for m in pending if m.directives.phase == "expand"), None)
    refused = None
    if phase == "contract" and first_expand is not None:
        late = [m.name for m in chosen if m.name > first_expand.name]
        chosen = tuple(m for m in chosen if m.name < first_expand.name)
        if late:
            refused = ExpandPending(
                f"{_clause(late, 'follows', 'follow')} {first_expand.name}, which expands the schema and is pending.",
                "Run `michi deploy --phase expand` first, or `michi deploy` for both.",
                migrations=late,
                expand=first_expand.name,
            )
    return Choice(chosen, tuple(m.name for m in pending if m not in chosen), refused)


def check(standing: Standing) -> MichiError | None:
    """What keeps an app with this folder from running: the database lacks something, or has what it cannot bear."""
    if standing.unbearable:
        return too_old(standing)
    if standing.needed:
        names = [migration.name for migration in standing.needed]
        return MigrationsPending(
            f"The database lacks {_names(names)}.",
            "Run `michi deploy`, or wait for the migration container.",
            migrations=names,
            expected=standing.folder.head,
            actual=standing.head,
        )
    return None


def _clause(names: Collection[str], one: str, many: str) -> str:
    """The names and their verb."""
    return f"{_names(names)} {one if len(names) == 1 else many}"


def _names(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")
