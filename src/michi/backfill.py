"""A backfill: one UPDATE or DELETE in batches along the primary key, each committed together with its progress."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from michi import ledger
from michi.attempt import Run
from michi.errors import MichiError, StatementInDoubt
from michi.failure import RETRYABLE
from michi.keyset import ESTIMATE, PRIMARY_KEY, Column, check_key, read_sweep

# A batch should be over before anybody who waits for one of its rows, a processor or the log's flush notices: its statement takes
# a millisecond, or half as long as the messages and the commit around it where a network or a disk makes those slow. Nothing is
# won by less, and a writer waits for its own commit as long. The pause leaves most of the time to everybody else.
BATCH_SECONDS = 0.001
LONGEST_BATCH_SECONDS = 0.05
STATEMENT_PER_REST = 0.5
PAUSE_PER_BATCH = 2.0
FIRST_BATCH_ROWS = 100
LARGEST_STEP = 2.0
# What is left is estimated from the last ten seconds, or from the last hundred batches where those take longer.
ESTIMATE_SAMPLES = 100
SAMPLE_SECONDS = 0.1


@dataclass(frozen=True)
class Position:
    """How far a backfill has come: what its ledger row remembers.

    `after` is the key, as text, up to which all rows have been looked at; None before the first batch. `finished` says that
    there are no rows behind it.
    """

    statement_sha256: str
    key: tuple[str, ...]
    after: tuple[str, ...] | None = None
    finished: bool = False
    rows_done: int = 0
    rows_changed: int = 0
    batch_rows: int = FIRST_BATCH_ROWS

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_ledger(cls, found: Mapping[str, Any]) -> Position:
        after = found["after"]
        return cls(**{**found, "key": tuple(found["key"]), "after": tuple(after) if after is not None else None})


class Backfill(Run):
    """One attempt at a migration with `-- michi: backfill`; goes on where an earlier one stopped."""

    position: Position
    key: tuple[Column, ...]

    def _carry_out(self) -> None:
        self.sweep = read_sweep(self.script.statements, self.up_sql)
        (statement,) = self.script.statements
        self.current = statement
        self.connection.execute(self._timeouts(self._patience(statement)))
        self._read_key()
        self.position = self._find_position()
        self.limit = self.migration.directives.backfill_rows or FIRST_BATCH_ROWS
        self.rows = min(self.position.batch_rows, self.limit)
        self.rows_total = self._estimate_rows()
        self.samples: deque[tuple[float, int]] = deque(maxlen=ESTIMATE_SAMPLES)
        attempt = ledger.insert_attempt(
            self.connection, self.schema, self.migration, self.origin,
            verdict="partial", total=1, done=0, error={"backfill": self.position.as_dict()},
        )  # fmt: skip
        self.emit(
            "backfill_started", migration=self.migration.name, rows_done=self.position.rows_done,
            rows_total=self.rows_total, batch_rows=self.rows,
        )  # fmt: skip
        record = self._recorder(attempt)
        while not self.position.finished:
            began = time.monotonic()
            self._retry_while_locked(lambda: self._run_batch(attempt), record)
            self._pause(time.monotonic() - began)
        self._retry_while_locked(self._verify, record)
        ledger.update_attempt(
            self.connection, self.schema, attempt,
            done=1, verdict="applied", error={"backfill": self.position.as_dict()}, duration_ms=self._milliseconds(),
        )  # fmt: skip

    def _read_key(self) -> None:
        rows = self.connection.execute(PRIMARY_KEY, (self.sweep.relation.as_string(self.connection),)).fetchall()
        self.key = tuple(Column(str(name), str(kind)) for name, kind in rows)
        # A table that is not there has no key either; then the server shall say what is wrong.
        if rows or self._table_exists():
            check_key(self.sweep, self.key, self.up_sql)

    def _table_exists(self) -> bool:
        row = self.connection.execute(
            "SELECT to_regclass(%s) IS NOT NULL", (self.sweep.relation.as_string(self.connection),)
        ).fetchone()
        return bool(row and row[0])

    def _estimate_rows(self) -> int | None:
        table = self.sweep.relation.as_string(self.connection)
        row = self.connection.execute(ESTIMATE, {"table": table}).fetchone()
        return max(int(str(row[0])), self.position.rows_done) if row and row[0] is not None else None

    def _find_position(self) -> Position:
        """Where to begin. Raises StatementInDoubt where what has been done belongs to another statement or key."""
        digest = hashlib.sha256(self.sweep.statement.text.encode()).hexdigest()
        beginning = Position(digest, tuple(column.name for column in self.key))
        if self.previous is None:
            return beginning
        found = (self.previous.error or {}).get("backfill")
        if found is None:  # it was tried as a whole: done or not, as the row says
            return replace(beginning, finished=self.previous.statements_done > 0)
        position = Position.from_ledger(found)
        if (position.statement_sha256, position.key) != (beginning.statement_sha256, beginning.key):
            raise StatementInDoubt(
                f"{self.migration.name} stopped after {position.rows_done:,} rows, and its statement or the key of its table"
                " has changed since.",
                f"Restore it, or let it begin anew with `michi resolve --rolled-back {self.migration.name}`.",
                migration=self.migration.name,
            )
        return position

    def _run_batch(self, attempt: int) -> None:
        """Looks at the next rows and remembers it, both or neither."""
        began = time.monotonic()
        try:
            self.connection.execute("BEGIN")
            position, statement_seconds = self._execute_batch()
            ledger.update_attempt(self.connection, self.schema, attempt, done=0, error={"backfill": position.as_dict()})
            self.connection.execute("COMMIT")
        except RETRYABLE:
            self.rows = max(1, self.rows // 2)  # the fewer rows, the fewer somebody else can hold
            raise
        self.position = position
        seconds = time.monotonic() - began
        self._tell(seconds, began)
        self.rows = self._next_batch_rows(statement_seconds, seconds - statement_seconds)

    def _execute_batch(self) -> tuple[Position, float]:
        """Where the batch ends, and the seconds that its statement took."""
        sweep, position = self.sweep, self.position
        upto: tuple[str, ...] | None = None
        looked_at = self.rows
        if self.key:
            bound = self.connection.execute(sweep.bound(self.key, position.after, self.rows)).fetchone()
            upto = tuple(map(str, bound)) if bound is not None else None
            if upto is None:
                counted = self.connection.execute(sweep.rest(self.key, position.after)).fetchone()
                looked_at = int(str(counted[0])) if counted else 0
        query = sweep.batch(self.key, position.after, upto).as_bytes(self.connection)
        began = time.monotonic()
        changed = self._execute_watched(sweep.statement, self.up_sql, query).rowcount
        seconds = time.monotonic() - began
        position = replace(
            position,
            after=upto or position.after,
            finished=upto is None,
            rows_done=position.rows_done + looked_at,
            rows_changed=position.rows_changed + changed,
            batch_rows=self.rows,
        )
        return position, seconds

    def _next_batch_rows(self, seconds: float, rest_seconds: float) -> int:
        """As many rows as should take the time that a statement may take, at most twice and at least half as many as now."""
        wanted = min(LONGEST_BATCH_SECONDS, max(BATCH_SECONDS, rest_seconds * STATEMENT_PER_REST))
        step = min(LARGEST_STEP, max(1 / LARGEST_STEP, wanted / seconds))
        return max(1, min(self.limit, round(self.rows * step)))

    def _pause(self, batch_seconds: float) -> None:
        if self.position.finished:
            return
        declared = self.migration.directives.backfill_pause_seconds
        time.sleep(declared if declared is not None else batch_seconds * PAUSE_PER_BATCH)

    def _tell(self, batch_seconds: float, began: float) -> None:
        done, total = self.position.rows_done, self.rows_total
        if total is not None and (done > total or self.position.finished):
            self.rows_total = total = done  # an estimate that was too low, or too high
        now = began + batch_seconds
        if not self.samples or now - self.samples[-1][0] >= SAMPLE_SECONDS:
            self.samples.append((now, done))
        self.emit(
            "backfill_progress",
            migration=self.migration.name,
            line=self.sweep.statement.line,
            statement=" ".join(self.sweep.statement.text.split())[:500],
            elapsed_seconds=round(time.monotonic() - self.started, 1),
            rows_done=done,
            rows_changed=self.position.rows_changed,
            rows_total=total,
            percent=min(100.0, round(100 * done / total, 1)) if total else None,
            seconds_left=self._seconds_left(done, total),
            batch_rows=self.rows,
            batch_ms=round(batch_seconds * 1000, 1),
        )

    def _seconds_left(self, done: int, total: int | None) -> float | None:
        """At the rate of the last batches, pauses included; None while it is not known."""
        (first_at, first), (last_at, last) = self.samples[0], self.samples[-1]
        if total is None or last <= first or last_at - first_at < 1.0:
            return None
        return round((total - done) * (last_at - first_at) / (last - first), 1)

    def _recorder(self, attempt: int) -> Callable[[dict[str, Any]], bool]:
        def record(failure: dict[str, Any]) -> bool:
            began = self.position.after is not None or self.position.finished or self.previous is not None
            verdict: ledger.Verdict = "partial" if began else "undone"
            ledger.update_attempt(
                self.connection, self.schema, attempt,
                done=0, verdict=verdict, error=failure | {"backfill": self.position.as_dict()},
                duration_ms=self._milliseconds(),
            )  # fmt: skip
            return not began

        return record

    def _record_failure(self, error: Exception, record: Callable[[dict[str, Any]], bool]) -> MichiError:
        told = super()._record_failure(error, record)
        name = self.migration.name
        if self.position.finished:
            told.remedy = (
                f"All rows have been gone through, and stay changed. Mend verify.sql or the rows and deploy again; "
                f"`michi resolve --rolled-back {name}` lets it begin anew."
            )
        elif self.position.rows_done and not isinstance(error, RETRYABLE):
            told.remedy = (
                f"The {self.position.rows_done:,} rows before stay changed, and the next deploy goes on after them. Mend the row;"
                f" to mend the statement, let it begin anew with `michi resolve --rolled-back {name}`."
            )
        return told
