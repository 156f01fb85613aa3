"""michi.plan: every way in which a folder and a ledger can agree or not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from michi.errors import HistoryEdited, HistoryMissing, HistoryOutOfOrder, ImageTooOld, MigrationsPending
from michi.folder import Folder, Migration
from michi.ledger import Attempt, Ledger, Verdict
from michi.plan import Standing, check, compare, refusal

A, B, C, D = (f"2026010{number}000000_{letter}" for number, letter in enumerate("abcd", start=1))
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def migration(name: str, content: bytes = b"SELECT 1;") -> Migration:
    return Migration(name, Path(name), {"up.sql": content})


def attempt(name: str, verdict: Verdict = "applied", *, phase: str = "expand", safe_from: str | None = None) -> Attempt:
    checksum = migration(name).checksum
    error = {"message": "no"} if verdict == "undone" else None
    return Attempt(1, name, checksum, phase, safe_from, NOW, NOW, 1, 3, 1, verdict, error, "me", "here", None, None)


def stand(folder: str, *attempts: Attempt | str) -> Standing:
    """Folder of the letters; the attempts, oldest first, a letter being an applied one."""
    names = dict(zip("abcd", (A, B, C, D), strict=True))
    migrations = tuple(migration(names[letter]) for letter in folder)
    rows = tuple(attempt(names[row]) if isinstance(row, str) else row for row in attempts)
    return compare(Folder(Path(), migrations, None), Ledger(True, rows))


@pytest.mark.parametrize(
    ("standing", "state", "code", "refused", "checked"),
    [
        (stand(""), "up_to_date", 0, None, None),
        (stand("ab", "a", "b"), "up_to_date", 0, None, None),
        (stand("ab", "a"), "pending", 3, None, MigrationsPending),
        (stand("ab", "a", attempt(B, "undone")), "pending", 3, None, MigrationsPending),
        (stand("ab", "a", "b", attempt(B, "rolled_back")), "pending", 3, None, MigrationsPending),
        (stand("ab", attempt(A, "baselined"), "b"), "up_to_date", 0, None, None),
        (stand("ab", "a", attempt(B, "undone"), "b"), "up_to_date", 0, None, None),
        (stand("abc", "a", attempt(B, "partial")), "partial", 7, None, MigrationsPending),
        (stand("a", "a", "b"), "ahead", 0, None, None),
        (stand("a", "a", attempt(B, phase="contract")), "too_old", 4, ImageTooOld, ImageTooOld),
        (stand("ab", "a", "b", attempt(C, phase="contract", safe_from=B)), "ahead", 0, None, None),
        (stand("abc", "a", "b", "c", attempt(D, phase="contract", safe_from=B)), "ahead", 0, None, None),
        (stand("a", "a", "b", attempt(C, phase="contract", safe_from=B)), "too_old", 4, ImageTooOld, ImageTooOld),
        (stand("", attempt(A, phase="contract")), "too_old", 4, ImageTooOld, ImageTooOld),
        (stand("a", "a", attempt(B, "undone", phase="contract")), "up_to_date", 0, None, None),
        (stand("ac", "a", "b", "c"), "diverged", 7, HistoryMissing, None),
        (stand("abc", "a", "c"), "diverged", 7, HistoryOutOfOrder, MigrationsPending),
        (stand("ab", "b"), "diverged", 7, HistoryOutOfOrder, MigrationsPending),
    ],
)  # fmt: skip
def test_every_state(
    standing: Standing, state: str, code: int, refused: type[Exception] | None, checked: type[Exception] | None
) -> None:
    assert (standing.state, standing.exit_code) == (state, code)
    assert type(refusal(standing)) is (refused or type(None))
    assert type(check(standing)) is (checked or type(None))
    assert standing.as_dict()["state"] == state


@pytest.mark.parametrize(
    ("standing", "said"),
    [
        (stand("ac", "a", "b", "c"), f"{B} stands in the database"),
        (stand("ad", "a", "b", "c", "d"), f"{B}, {C} stand in the database"),
        (stand("abc", "a", "c"), f"{B} is pending"),
        (stand("abcd", "a", "d"), f"{B}, {C} are pending"),
    ],
)
def test_one_stands_and_several_stand(standing: Standing, said: str) -> None:
    assert said in str(refusal(standing))


def test_an_edited_file_goes_before_all_else() -> None:
    folder = Folder(Path(), (migration(A, b"SELECT 2;"), migration(C)), None)
    standing = compare(folder, Ledger(True, (attempt(A), attempt(B), attempt(D, phase="contract"))))
    assert standing.edited == (A,)
    error = refusal(standing)
    assert isinstance(error, HistoryEdited)
    assert error.details["migrations"] == [A]


def test_a_pending_one_that_was_edited_after_it_failed_is_just_pending() -> None:
    folder = Folder(Path(), (migration(A, b"SELECT 2;"),), None)
    assert compare(folder, Ledger(True, (attempt(A, "undone"),))).state == "pending"


def test_out_of_order_may_be_allowed_but_missing_may_not() -> None:
    assert refusal(stand("abc", "a", "c"), allow_out_of_order=True) is None
    assert isinstance(refusal(stand("ac", "a", "b", "c"), allow_out_of_order=True), HistoryMissing)


def test_a_partial_one_that_is_older_than_an_applied_one_is_resumed() -> None:
    standing = stand("abc", "a", "c", attempt(B, "partial"))
    assert standing.state == "partial"
    assert refusal(standing) is None


def test_heads_and_the_last_common_one() -> None:
    standing = stand("ab", "a", "b", "c")
    assert (standing.folder.head, standing.head, standing.last_common) == (B, C, B)
    empty = stand("")
    assert (empty.folder.head, empty.head, empty.last_common) == (None, None, None)
    assert stand("acd", "a", "b").last_common == A


def test_the_error_of_the_last_attempt_stands_beside_what_is_pending() -> None:
    assert stand("ab", "a", attempt(B, "undone")).as_dict()["failed"] == {B: {"message": "no"}}
    assert stand("ab", "a", attempt(B, "partial")).as_dict()["failed"] == {}


def test_too_old_names_what_the_image_lacks() -> None:
    error = check(stand("a", "a", "b", attempt(C, phase="contract")))
    assert error is not None
    assert C in error.message
    assert B not in error.message
    assert (error.details["expected"], error.details["actual"]) == (A, C)


def test_many_names_are_cut_short() -> None:
    error = check(stand("abcd"))
    assert error is not None
    assert error.message == f"The database lacks {A}, {B}, {C} and 1 more."
    assert error.details["migrations"] == [A, B, C, D]
