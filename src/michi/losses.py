"""What a change would throw away, counted in the database it is for; and which tables are empty everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from michi.database import Connection, open_connection
from michi.diff import Change
from michi.errors import DataLoss, MichiError, Refused
from michi.questions import Questions
from michi.renames import Rename
from michi.settings import Target


@dataclass(frozen=True)
class Loss:
    """`rows` that would be gone, or whose value would."""

    kind: str
    name: str
    rows: int

    def as_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "name": self.name, "rows": self.rows}

    def sentence(self) -> str:
        what = "rows" if self.kind == "table" else "values"
        return f"the {self.kind} {self.name} has {self.rows:,} {what if self.rows != 1 else what[:-1]}"


def find_losses(
    connection: Connection, schema: str, changes: Sequence[Change], renames: Sequence[Rename]
) -> list[Loss]:
    """Of tables and columns that are dropped. What is computed from others is no loss."""
    found = [_count(connection, schema, change, renames) for change in changes if _drops_data(change)]
    return [loss for loss in found if loss is not None and loss.rows]


def _drops_data(change: Change) -> bool:
    if change.kind == "generated":  # made anew, from other columns
        return not change.before.generated
    return change.action == "drop" and (
        change.kind == "table" or (change.kind == "column" and not change.before.generated)
    )


def _count(connection: Connection, schema: str, change: Change, renames: Sequence[Rename]) -> Loss | None:
    """None where the database does not have it yet. The database still knows what is renamed by its old name."""
    table = change.name if change.kind == "table" else change.table or ""
    stored = next((rename.old for rename in renames if rename.kind == "table" and rename.new == table), table)
    counted = sql.SQL("*") if change.kind == "table" else sql.Identifier(change.name)
    query = sql.SQL("SELECT count({}) FROM {}").format(counted, sql.Identifier(schema, stored))
    try:
        row = connection.execute(query).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        return None
    assert row is not None
    assert isinstance(row[0], int)
    return Loss("table" if change.kind == "table" else "column", change.path, row[0])


def accept_losses(losses: Sequence[Loss], questions: Questions, *, accepted: bool) -> None:
    """Passes where nothing is lost, or a person takes it. Raises DataLoss where nobody said so, Refused for a no."""
    if not losses or accepted:
        return
    listed = "; ".join(loss.sentence() for loss in losses)
    if not questions.possible:
        raise DataLoss(
            f"The change would throw data away: {listed}.",
            "Nothing was written. Keep what is needed elsewhere first, or say --accept-data-loss.",
            losses=[loss.as_dict() for loss in losses],
        )
    if not questions.confirm(f"This throws data away: {listed}. Go on?"):
        raise Refused("Nothing was written.", "Change the models, or keep what is needed elsewhere first.")


def find_empty_tables(names: Iterable[str], targets: Sequence[Target]) -> frozenset[str]:
    """Tables without a row in each of these databases; none where there are no databases to ask, or one cannot be asked."""
    empty = set(names) if targets else set()
    for target in targets:
        try:
            with open_connection(target) as connection:
                empty = {name for name in empty if _is_empty(connection, target.schema, name)}
        except (MichiError, psycopg.Error):
            return frozenset()
    return frozenset(empty)


def _is_empty(connection: Connection, schema: str, table: str) -> bool:
    try:
        query = sql.SQL("SELECT FROM {} LIMIT 1").format(sql.Identifier(schema, table))
        return connection.execute(query).fetchone() is None
    except psycopg.errors.UndefinedTable:
        return True
