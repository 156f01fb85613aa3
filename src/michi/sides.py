"""The sides that can be compared, `empty`, `migrations`, `models`, `database`, and the comparison of any two."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from michi.catalogue import Catalogue, read_catalogue
from michi.database import connect
from michi.diff import Change, Scope, differences
from michi.drafts import layout
from michi.errors import ShadowFailed
from michi.folder import Folder
from michi.judge import Judge
from michi.models import Models, models_created, scope_of
from michi.settings import Target
from michi.shadow import Shadow, shadow_database
from michi.steps import Situation
from michi.writing import write_steps

Side = Literal["empty", "migrations", "models", "database"]
SIDES: tuple[Side, ...] = ("empty", "migrations", "models", "database")


@dataclass(frozen=True)
class Difference:
    """What turns `before` into `after`; `script` is the SQL that does."""

    before: str
    after: str
    changes: list[Change]
    script: str

    def as_dict(self) -> dict[str, Any]:
        return {
            "from": self.before,
            "to": self.after,
            "different": bool(self.changes),
            "changes": [change.as_dict() for change in self.changes],
            "script": self.script,
        }

    def sentence(self) -> str:
        if not self.changes:
            return f"No difference between {self.before} and {self.after}."
        number = len(self.changes)
        noun = "difference" if number == 1 else "differences"
        return f"{number} {noun}; to get from {self.before} to {self.after}:"


@dataclass(frozen=True)
class Sources:
    """Where each side comes from; what a side needs may be None where the side is not asked for."""

    target: Target | None = None
    folder: Folder | None = None
    models: Models | None = None


def compare_sides(before: Side, after: Side, sources: Sources) -> Difference:
    """Reads both sides, with a shadow where one of them is not a database, and compares them."""
    with ExitStack() as stack:
        shadow = None
        if {before, after} & {"migrations", "models"}:
            assert sources.target is not None
            shadow = stack.enter_context(shadow_database(sources.target))
            _replay(shadow, sources, needed="migrations" in {before, after})
        # Models stand on the shadow while they are compared, so they come last.
        order: list[Side] = sorted({before, after}, key=lambda side: side == "models")
        read = {side: stack.enter_context(_read(side, sources, shadow)) for side in order}
        scope = _scope(before, after, sources)
        judge = Judge(shadow.connection if shadow is not None else None)
        changes = differences(read[before], read[after], scope, judge)
        script = make_script(read[before], read[after], changes, judge)
    return Difference(before, after, changes, script)


def _replay(shadow: Shadow, sources: Sources, *, needed: bool) -> None:
    """The migrations. For models alone they only bring the functions and extensions that a model may use."""
    if sources.folder is None:
        return
    try:
        shadow.replay(sources.folder)
    except ShadowFailed:
        if needed:
            raise
        shadow.wipe()


@contextmanager
def _read(side: Side, sources: Sources, shadow: Shadow | None) -> Iterator[Catalogue]:
    match side:
        case "empty":
            yield Catalogue()
        case "database":
            assert sources.target is not None
            server = connect(sources.target)
            with server.connection:
                yield read_catalogue(server.connection, sources.target.schema)
        case "migrations":
            assert shadow is not None
            yield shadow.catalogue()
        case "models":
            assert shadow is not None
            assert sources.models is not None
            with models_created(shadow.connection, sources.models, shadow.schema) as catalogue:
                yield catalogue


def _scope(before: Side, after: Side, sources: Sources) -> Scope:
    if "models" not in {before, after}:
        return Scope()
    assert sources.models is not None
    return scope_of(sources.models, "after" if after == "models" else "before")


def make_script(before: Catalogue, after: Catalogue, changes: list[Change], judge: Judge) -> str:
    """The short form: `michi dev` writes the one that keeps nobody waiting."""
    steps = write_steps(Situation(before, after, tuple(changes), judge, plain=True))
    text = layout((step.why, step.up) for step in steps)
    late = any(change.kind in {"function", "procedure"} and change.action != "drop" for change in changes)
    return ("SET check_function_bodies = off;\n\n" if late else "") + text
