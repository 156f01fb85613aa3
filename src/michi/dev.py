"""Development: from changed models to the next migration, proved on a shadow before a file is written, then applied."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from michi import runner
from michi.authoring import read_slug, shown_path, timestamp_after, write_migration
from michi.catalogue import Catalogue, read_catalogue
from michi.database import Server
from michi.deploy_options import Options
from michi.diff import Change, Scope, differences
from michi.drafts import Draft, check_finished, make_drafts
from michi.errors import CannotWrite, MichiError, NotInSync, ShadowFailed, UsageError
from michi.events import Emit
from michi.folder import Folder, Migration, read_folder, sum_lines, write_sum
from michi.judge import Judge
from michi.ledger import Origin
from michi.losses import accept_losses, find_empty_tables, find_losses
from michi.models import Models, models_created, scope_of
from michi.plan import Standing, compare
from michi.questions import Questions
from michi.renames import Rename, decide
from michi.runner import read_ledger
from michi.settings import Target
from michi.shadow import Shadow
from michi.steps import Situation
from michi.writing import write_steps


@dataclass(frozen=True)
class Wishes:
    """What the author asked for. `known` are other databases, asked whether a table is empty."""

    name: str | None
    create_only: bool = False
    accept_data_loss: bool = False
    renames: Sequence[str] = ()
    no_rename: bool = False
    plain: bool = False
    known: Sequence[Target] = ()


@dataclass
class Outcome:
    """`state` is in_sync, written (nothing applied) or applied."""

    state: str = "in_sync"
    changes: list[Change] = field(default_factory=list)
    renames: list[Rename] = field(default_factory=list)
    written: list[Path] = field(default_factory=list)
    unfinished: list[Path] = field(default_factory=list)
    applied: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "changes": [change.as_dict() for change in self.changes],
            "renames": [rename.option for rename in self.renames],
            "written": [str(path) for path in self.written],
            "unfinished": [str(path / "up.sql") for path in self.unfinished],
            "applied": self.applied,
        }


class Session:
    """One run of `michi dev`: the database that is developed on, its folder, the models, and a shadow."""

    def __init__(
        self,
        server: Server,
        folder: Folder,
        models: Models,
        shadow: Shadow,
        questions: Questions,
        emit: Emit,
        say: Callable[[str], None],
    ) -> None:
        self.server = server
        self.folder = folder
        self.models = models
        self.shadow = shadow
        self.questions = questions
        self.emit = emit
        self.say = say
        self.scope = scope_of(models, "after")
        self.title = ""

    def run(self, wishes: Wishes, origin: Origin, now: datetime) -> Outcome:
        """Raises NotInSync, ShadowFailed, RenameUndecided, DataLoss, CannotWrite before anything is written."""
        standing = self._check_standing()
        self.shadow.replay(self.folder)
        before = self.shadow.catalogue()
        renames = decide(
            wishes.renames, self.questions, self._compare, lambda rename: rename.apply(self.shadow.connection),
            none=wishes.no_rename,
        )  # fmt: skip
        outcome = Outcome(renames=renames)
        with self._models() as (catalogue, wanted, changes):
            outcome.changes = changes
            self._say_changes(outcome)
            losses = find_losses(self.server.connection, self.shadow.schema, changes, renames)
            accept_losses(losses, self.questions, accepted=wishes.accept_data_loss)
            drafts = self._draft(wishes, catalogue, wanted, outcome)
        if drafts:
            self._prove(before, wanted, drafts)
            self._write(drafts, outcome, now)
        self._apply(standing, wishes, outcome, origin)
        return outcome

    def _say_changes(self, outcome: Outcome) -> None:
        for rename in outcome.renames:
            self.say(f"  ~ rename {rename.kind} {rename.option.replace(':', ' to ')}")
        for change in outcome.changes:
            self.say(f"  {change.sentence()}")

    # What must be true before

    def _check_standing(self) -> Standing:
        standing = compare(self.folder, read_ledger(self.server))
        problems = [("edited", name) for name in standing.edited]
        problems += [("missing", name) for name in standing.missing]
        problems += [("ahead", attempt.migration) for attempt in standing.unknown_newer]
        problems += [("out of order", name) for name in standing.out_of_order]
        problems += [("failed", attempt.migration) for attempt in standing.partial]
        if not (standing.missing or standing.unknown_newer or standing.partial):
            problems += [("drift", change.sentence()) for change in self._find_drift(standing)]
        if problems:
            raise NotInSync(
                "The database is not what the applied migrations make of it.",
                "Restore what was changed (`michi status` and `michi diff --from migrations --to database` say more), or begin anew"
                " with `michi reset`.",
                listing=[f"✗ {kind:<13} {what}" for kind, what in problems],
                problems=[{"kind": kind, "what": what} for kind, what in problems],
            )
        return standing

    def _find_drift(self, standing: Standing) -> list[Change]:
        """What was changed in the database by hand."""
        applied = [m for m in self.folder.migrations if m.name in standing.applied]
        try:
            self.shadow.replay(replace(self.folder, migrations=tuple(applied)))
        except ShadowFailed:
            if standing.edited:
                return []
            raise
        expected = self.shadow.catalogue()
        found = read_catalogue(self.server.connection, self.server.target.schema)
        return differences(expected, found, Scope(), Judge(self.shadow.connection))

    # What differs

    @contextmanager
    def _models(self) -> Iterator[tuple[Catalogue, Catalogue, list[Change]]]:
        """What the shadow has, what the models want, and how they differ; while the block runs, the models' tables stand there."""
        catalogue = self.shadow.catalogue()
        with models_created(self.shadow.connection, self.models, self.shadow.schema) as wanted:
            yield catalogue, wanted, differences(catalogue, wanted, self.scope, Judge(self.shadow.connection))

    def _compare(self) -> tuple[Catalogue, list[Change]]:
        with self._models() as (catalogue, _, changes):
            return catalogue, changes

    def _draft(self, wishes: Wishes, before: Catalogue, wanted: Catalogue, outcome: Outcome) -> list[Draft]:
        if not (outcome.changes or outcome.renames):
            return []
        small = find_empty_tables(before.tables, [self.server.target, *wishes.known]) if wishes.known else frozenset()
        judge = Judge(self.shadow.connection)
        situation = Situation(before, wanted, tuple(outcome.changes), judge, wishes.plain, small)
        steps = [*(rename.as_step() for rename in outcome.renames), *write_steps(situation)]
        self.title = self._title(wishes)
        return make_drafts(self.title, steps)

    def _title(self, wishes: Wishes) -> str:
        name = wishes.name
        if name is None and self.questions.possible:
            name = self.questions.answer("What does the migration do, in a few words? ")
        if not name:
            raise UsageError(
                "The models have changed, and the migration needs a name.", 'Say what it does: --name "Add reviews".'
            )
        read_slug(name)
        return name.strip().replace("\n", " ")

    # The proof

    def _prove(self, before: Catalogue, wanted: Catalogue, drafts: Sequence[Draft]) -> None:
        """The written SQL makes exactly what the models say, and its way back leads to where it began."""
        new = [
            Migration(f"99991231{number:06}_draft", Path(f"draft {number}"), _files(draft))
            for number, draft in enumerate(drafts)
        ]
        self.shadow.wipe()
        self.shadow.replay(self.folder)
        try:
            self.shadow.replay(replace(self.folder, migrations=(*self.folder.migrations, *new)))
            left = differences(self.shadow.catalogue(), wanted, self.scope, Judge(self.shadow.connection))
            for migration in reversed(new):
                self.shadow.take_back(migration)
        except ShadowFailed as error:
            raise _cannot_write(error.message, drafts) from None
        if left:
            raise _cannot_write("; ".join(change.sentence() for change in left), drafts)
        left = differences(before, self.shadow.catalogue(), Scope(validity=False), Judge(self.shadow.connection))
        if left:
            raise _cannot_write("the way back leaves " + "; ".join(change.sentence() for change in left), drafts)

    # What is done

    def _write(self, drafts: Sequence[Draft], outcome: Outcome, now: datetime) -> None:
        slug = read_slug(self.title)
        head = self.folder.head
        for draft in drafts:
            head = f"{timestamp_after(head, now)}_{slug}" + (f"_{draft.suffix}" if draft.suffix else "")
            path = write_migration(self.folder.path, head, _files(draft))
            outcome.written.append(path)
            self.say(f"wrote {shown_path(path)}")
            if draft.unfinished:
                outcome.unfinished.append(path)
        self.folder = read_folder(self.folder.path)
        outcome.state = "written"

    def _apply(self, standing: Standing, wishes: Wishes, outcome: Outcome, origin: Origin) -> None:
        if wishes.create_only or outcome.unfinished:
            return
        pending = [migration for migration in self.folder.migrations if migration.name not in standing.applied]
        for migration in pending:
            check_finished(migration)
        if pending:
            self._bring_sum_up_to_date(pending[0])
            runner.deploy(self.server, self.folder, origin, Options(), self.emit)
            outcome.applied = [migration.name for migration in pending]
            outcome.state = "applied"

    def _bring_sum_up_to_date(self, first: Migration) -> None:
        """The author has worked on what is pending. What was applied must be as michi.sum has it."""
        lines = sum_lines(self.folder.migrations)
        there = self.folder.sum_lines or ()
        applied = self.folder.migrations.index(first) + 1
        if there[:applied] == tuple(lines[:applied]) and write_sum(self.folder):
            self.folder = read_folder(self.folder.path)


def _files(draft: Draft) -> dict[str, bytes]:
    return {"up.sql": draft.up.encode(), "down.sql": draft.down.encode()}


def _cannot_write(reason: str, drafts: Sequence[Draft]) -> MichiError:
    return CannotWrite(
        f"michi cannot write this change: {reason}",
        "Nothing was written. Write it by hand with `michi new`, or in smaller parts; --json shows what michi tried.",
        tried=[draft.up for draft in drafts],
    )
