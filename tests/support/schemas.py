"""From one set of models to another and back, on a shadow: what `michi dev` writes, run as a deploy and a rollback run it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import MetaData

from michi.catalogue import Catalogue
from michi.diff import Change, Scope, differences
from michi.drafts import Draft, make_drafts
from michi.folder import Folder, Migration
from michi.judge import Judge
from michi.models import Models, models_created, scope_of
from michi.shadow import Shadow
from michi.steps import Situation
from michi.writing import write_steps

NOTHING = MetaData()


def write(shadow: Shadow, after: MetaData, *, plain: bool = False) -> tuple[list[Change], list[Draft]]:
    """What leads from the shadow as it is to these models."""
    models = Models("test", after)
    before = shadow.catalogue()
    with models_created(shadow.connection, models, shadow.schema) as wanted:
        judge = Judge(shadow.connection)
        changes = differences(before, wanted, scope_of(models, "after"), judge)
        steps = write_steps(Situation(before, wanted, tuple(changes), judge, plain))
    return changes, make_drafts("Test", steps)


def differs(shadow: Shadow, after: MetaData) -> list[str]:
    """What keeps the shadow from being what these models say."""
    return [change.sentence() for change in write(shadow, after)[0]]


def as_folder(drafts: Sequence[Draft], number: int) -> list[Migration]:
    return [
        Migration(
            f"{number:04}0101{part:06}_test",
            Path(f"draft_{part}"),
            {"up.sql": d.up.encode(), "down.sql": d.down.encode()},
        )
        for part, d in enumerate(drafts)
    ]


def round_trip(shadow: Shadow, before: MetaData, after: MetaData, *, plain: bool = False) -> list[Draft]:
    """Builds `before`, goes to `after`, back, and there again. Fails where a difference is left anywhere; gives the files."""
    shadow.wipe()
    base = as_folder(write(shadow, before, plain=True)[1], 1)
    shadow.replay(Folder(Path(), tuple(base), None))
    assert differs(shadow, before) == []
    start = shadow.catalogue()
    _, drafts = write(shadow, after, plain=plain)
    new = as_folder(drafts, 2)
    shown = "\n".join(f"--- up\n{draft.up}--- down\n{draft.down}" for draft in drafts)
    whole = Folder(Path(), (*base, *new), None)
    shadow.replay(whole)
    assert_none(differs(shadow, after), shown)
    there = shadow.catalogue()
    for migration in reversed(new):
        shadow.take_back(migration)
    assert_none(left(start, shadow, validity=False), shown)
    shadow.replay(whole)
    assert_none(left(there, shadow), shown)
    return drafts


def assert_none(differences: list[str], shown: str) -> None:
    assert differences == [], "\n".join([*differences, shown])


def left(expected: Catalogue, shadow: Shadow, *, validity: bool = True) -> list[str]:
    changes = differences(expected, shadow.catalogue(), Scope(validity=validity), Judge(shadow.connection))
    return [change.sentence() for change in changes]
