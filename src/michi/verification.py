"""For CI: proves on a shadow that the folder is whole, equals the models, and can be taken back and applied again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from michi.catalogue import Catalogue
from michi.diff import Change, Scope, differences
from michi.errors import MichiError, ShadowFailed, SumMismatch
from michi.folder import SUM_FILE, Folder, Migration
from michi.judge import Judge
from michi.models import Models, models_created, scope_of
from michi.shadow import Shadow


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. `subject` is sum, unfinished, up, down, again or models; `changes` are what differs."""

    subject: str
    message: str
    migration: str | None = None
    changes: tuple[Change, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        changes = [change.as_dict() for change in self.changes]
        return {"subject": self.subject, "message": self.message, "migration": self.migration, "changes": changes}


@dataclass
class Verdict:
    """`checked` says in short sentences what was proved, `notes` what could not be."""

    findings: list[Finding] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """7 where the folder is not sound, 3 where it only differs from the models."""
        if not self.findings:
            return 0
        return 3 if all(finding.subject == "models" for finding in self.findings) else 7

    def as_dict(self) -> dict[str, Any]:
        return {
            "exit_code": self.exit_code,
            "findings": [finding.as_dict() for finding in self.findings],
            "checked": self.checked,
            "notes": self.notes,
        }


def verify(shadow: Shadow, folder: Folder, models: Models | None) -> Verdict:
    """Looks at everything, and goes on where it can after something wrong."""
    verdict = Verdict()
    _check_files(folder, verdict)
    try:
        catalogues = _replay_there_and_back(shadow, folder, verdict)
    except ShadowFailed as error:
        verdict.findings.append(Finding("up", error.message, error.details.get("migration")))
        return verdict
    number = len(folder.migrations)
    verdict.checked.append(
        f"{number} migration{'' if number == 1 else 's'} appl{'ies' if number == 1 else 'y'} to an empty database"
    )
    if models is None:
        verdict.notes.append("no models are configured, so nothing was compared with them")
    else:
        _compare_with_models(shadow, models, verdict)
    _take_all_back(shadow, folder, catalogues, verdict)
    return verdict


def _check_files(folder: Folder, verdict: Verdict) -> None:
    try:
        folder.check_sum()
    except SumMismatch as error:
        verdict.findings.append(Finding("sum", f"{error.message} {error.remedy}"))
    else:
        if folder.sum_lines is None:
            verdict.findings.append(Finding("sum", f"There is no {SUM_FILE}; `michi sum` writes it."))
        else:
            verdict.checked.append(f"{SUM_FILE} is right")
    for migration in folder.migrations:
        try:
            migration.check_finished()
        except MichiError as error:
            verdict.findings.append(Finding("unfinished", error.message, migration.name))


def _replay_there_and_back(shadow: Shadow, folder: Folder, verdict: Verdict) -> list[Catalogue]:
    """Each migration up, down and up again; the catalogue before the first and after each."""
    catalogues = [shadow.catalogue()]
    sound = 0
    for number, migration in enumerate(folder.migrations, start=1):
        up_to_here = replace(folder, migrations=folder.migrations[:number])
        shadow.replay(up_to_here)
        after = shadow.catalogue()
        if "down.sql" not in migration.files:
            verdict.notes.append(f"{migration.name} has no down.sql, so it cannot be taken back")
        else:
            sound += _there_and_back(shadow, up_to_here, migration, catalogues[-1], after, verdict)
        catalogues.append(after)
    if sound:
        verdict.checked.append(f"{sound} of them, each taken back and applied again, leave the same catalogue")
    return catalogues


def _there_and_back(
    shadow: Shadow, up_to_here: Folder, migration: Migration, before: Catalogue, after: Catalogue, verdict: Verdict
) -> bool:
    """Whether all is well. What its down.sql leaves wrong is mended by building the shadow anew."""
    found = len(verdict.findings)
    try:
        shadow.take_back(migration)
        _expect(shadow, before, Scope(validity=False), "down", migration, "down.sql does not lead back", verdict)
        if len(verdict.findings) == found:  # what is left behind would only be in the way
            shadow.replay(up_to_here)
            _expect(shadow, after, Scope(), "again", migration, "up.sql after down.sql makes something else", verdict)
    except ShadowFailed as error:
        verdict.findings.append(Finding("down", error.message, migration.name))
    if len(verdict.findings) == found:
        return True
    shadow.wipe()
    shadow.replay(up_to_here)
    return False


def _expect(
    shadow: Shadow,
    expected: Catalogue,
    scope: Scope,
    subject: str,
    migration: Migration,
    message: str,
    verdict: Verdict,
) -> None:
    changes = differences(expected, shadow.catalogue(), scope, Judge(shadow.connection))
    if changes:
        verdict.findings.append(Finding(subject, f"{migration.name}: {message}", migration.name, tuple(changes)))


def _compare_with_models(shadow: Shadow, models: Models, verdict: Verdict) -> None:
    catalogue = shadow.catalogue()
    with models_created(shadow.connection, models, shadow.schema) as wanted:
        changes = differences(catalogue, wanted, scope_of(models, "after"), Judge(shadow.connection))
    if changes:
        message = f"the migrations do not make what {models.where} says; `michi dev` writes what is missing"
        verdict.findings.append(Finding("models", message, changes=tuple(changes)))
    else:
        verdict.checked.append(f"together they make what {models.where} says")


def _take_all_back(shadow: Shadow, folder: Folder, catalogues: list[Catalogue], verdict: Verdict) -> None:
    """All of them, newest first, and all up again: what one leaves behind may trouble another."""
    if verdict.exit_code == 7 or any("down.sql" not in migration.files for migration in folder.migrations):
        return
    try:
        for migration in reversed(folder.migrations):
            shadow.take_back(migration)
        empty = differences(catalogues[0], shadow.catalogue(), Scope(), Judge(shadow.connection))
        if empty:
            verdict.findings.append(Finding("down", "all down.sql together leave something behind", None, tuple(empty)))
        shadow.replay(folder)
        again = differences(catalogues[-1], shadow.catalogue(), Scope(), Judge(shadow.connection))
        if again:
            verdict.findings.append(
                Finding("again", "all up.sql after all down.sql make something else", None, tuple(again))
            )
        if not (empty or again):
            verdict.checked.append("all taken back and applied again leave the same catalogue")
    except ShadowFailed as error:
        verdict.findings.append(Finding("down", error.message, error.details.get("migration")))


def verdict_text(verdict: Verdict) -> str:
    lines = [f"✓ {sentence}" for sentence in verdict.checked]
    lines += [f"! {sentence}" for sentence in verdict.notes]
    for finding in verdict.findings:
        lines.append(f"✗ {finding.message}")
        lines += [f"    {change.sentence()}" for change in finding.changes]
    number = len(verdict.findings)
    closing = "Verified." if not number else f"{number} {'thing is' if number == 1 else 'things are'} wrong."
    return "\n".join([*lines, closing])
