"""What a deploy would do, before it does it: locks, sizes, who is in the way, who survives, and a verdict. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from michi.apps import Connected, find_too_old, list_connected
from michi.attempt import Script, read_script
from michi.database import Server
from michi.effects import BLOCKS, Name
from michi.errors import MichiError, Refused, UsageError
from michi.folder import Folder, Phase
from michi.forecast import Forecast, Lock, Method, Step, Verdict, judge
from michi.lint import Finding, lint, names_in
from michi.live import Holder, Relation, find_holders, find_long_transactions, find_relations, in_the_way
from michi.plan import Choice, Standing, choose, compare, refusal
from michi.rehearsal import Outcome, Rehearsal, Touched, from_parse_tree
from michi.runner import read_ledger
from michi.shadow import shadow_database
from michi.sql import Statement, first_line

# Rough rates of one session on ordinary disks, to tell a second from an hour.
SCANNED_BYTES_PER_SECOND = 100e6
REWRITTEN_BYTES_PER_SECOND = 40e6
BACKFILLED_ROWS_PER_SECOND = 40e3  # pauses included (docs/benchmarks.md)


@dataclass(frozen=True)
class Foresight:
    """The whole plan. `method_note` says why nothing was measured, `linter_note` why there are no findings."""

    server: str
    head: str | None
    verdict: Verdict
    forecasts: tuple[Forecast, ...]
    held_back: tuple[str, ...]
    method: Method
    method_note: str | None
    linter_note: str | None
    connected: Connected
    long_transactions: tuple[Holder, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "server": self.server,
            "head": self.head,
            "verdict": self.verdict.as_dict(),
            "migrations": [forecast.as_dict() for forecast in self.forecasts],
            "held_back": list(self.held_back),
            "method": self.method,
            "method_note": self.method_note,
            "linter_note": self.linter_note,
            **self.connected.as_dict(),
            "long_transactions": [holder.as_dict() for holder in self.long_transactions],
        }


@dataclass(frozen=True)
class Wishes:
    """The options of the deploy that is foreseen, and whether a shadow may be made."""

    phase: Phase | None = None
    allow_out_of_order: bool = False
    even_if_connected: bool = False
    shadow: bool = True


def foresee(server: Server, folder: Folder, wishes: Wishes) -> Foresight:
    """Everything that can be known of the next deploy. A deploy that would be refused gives the refusal as the verdict.

    Raises what keeps even this from being told, as an unreachable database.
    """
    connected = list_connected(server.connection)
    standing: Standing | None = None
    try:
        folder.check_sum()
        standing = compare(folder, read_ledger(server))
        if (error := refusal(standing, allow_out_of_order=wishes.allow_out_of_order)) is not None:
            raise error
        choice = choose(standing, wishes.phase)
        choice.check_finished()
        scripts = [read_script(migration) for migration in choice.migrations]
    except MichiError as error:
        if error.exit_code not in {4, 7, 8}:
            raise
        return _refused_at_once(server, standing, connected, error)
    return _foresee(server, standing, choice, scripts, wishes, connected)


def _refused_at_once(server: Server, standing: Standing | None, connected: Connected, error: MichiError) -> Foresight:
    head = standing.head if standing is not None else None
    verdict = Verdict("refused", f"refused: {error.message}", error)
    return Foresight(server.describe(), head, verdict, (), (), "parse tree", None, None, connected, ())


def _foresee(
    server: Server, standing: Standing, choice: Choice, scripts: list[Script], wishes: Wishes, connected: Connected
) -> Foresight:
    connection = server.connection
    method_note: str | None = "it was not asked for" if not wishes.shadow else None
    outcomes: list[list[Outcome]] | None = None
    if scripts and wishes.shadow:
        outcomes, method_note = _rehearse(server, standing, scripts)
    if outcomes is None:
        made: set[Name] = set()
        outcomes = [[from_parse_tree(statement, made) for statement in script.statements] for script in scripts]
        method: Method = "parse tree"
    else:
        method = "measured"
    names = {t.name for found in outcomes for outcome in found for t in outcome.touched if t.name is not None}
    live = find_relations(connection, names | names_in(scripts))
    holders = find_holders(connection, [relation.oid for relation in live.values()])
    findings, linter_note = _lint(scripts, live, server.version)
    forecasts = tuple(
        Forecast(
            script,
            tuple(_steps(script, found, live, holders))[done:],
            tuple(find_too_old(connected, script.migration)),
            tuple(finding for finding in findings if finding.migration == script.migration.name),
            script.migration.name in standing.out_of_order,
            done,
        )
        for script, found in zip(scripts, outcomes, strict=True)
        for done in (_statements_done(standing, script),)
    )
    long_transactions = tuple(find_long_transactions(connection))
    verdict = judge(forecasts, choice, even_if_connected=wishes.even_if_connected)
    return Foresight(
        server.describe(), standing.head, verdict, forecasts, choice.held_back, method, method_note if scripts else None,
        linter_note, connected, long_transactions,
    )  # fmt: skip


def _statements_done(standing: Standing, script: Script) -> int:
    """By an earlier attempt that stopped half-way; the next deploy goes on after them."""
    last = standing.last.get(script.migration.name)
    return last.statements_done if last is not None and last.verdict == "partial" else 0


def _rehearse(
    server: Server, standing: Standing, scripts: Sequence[Script]
) -> tuple[list[list[Outcome]] | None, str | None]:
    """None and the reason where there can be no shadow, or it cannot be brought to where the database is."""
    try:
        with shadow_database(server.target) as shadow:
            rehearsal = Rehearsal(shadow.server)
            applied = [read_script(m) for m in standing.folder.migrations if m.name in set(standing.applied)]
            if (failure := rehearsal.replay(applied)) is not None:
                return None, failure
            return [rehearsal.measure(script) for script in scripts], None
    except Refused as error:
        return None, error.message


def _lint(scripts: Sequence[Script], live: dict[Name, Relation], version: int) -> tuple[list[Finding], str | None]:
    try:
        return (lint(scripts, live, version) if scripts else []), None
    except UsageError as error:
        return [], f"{error.message} {error.remedy}"


def _steps(
    script: Script, found: Sequence[Outcome], live: dict[Name, Relation], holders: dict[int, list[Holder]]
) -> Iterator[Step]:
    """What each statement does to the tables that are there now. A backfill takes its time by rows, not by bytes."""
    in_batches = script.migration.directives.backfill_rows is not None
    for statement, outcome in zip(script.statements, found, strict=True):
        locks = [_lock(touched, outcome.changes_rows, live, holders) for touched in outcome.touched]
        if in_batches:
            locks = [replace(lock, seconds=_batches_seconds(lock)) for lock in locks]
        yield _step(statement, outcome, tuple(locks))


def _batches_seconds(lock: Lock) -> float:
    works = lock.mode == "RowExclusive" and lock.scans
    return round((lock.rows or 0) / BACKFILLED_ROWS_PER_SECOND, 3) if works else lock.seconds


def _step(statement: Statement, outcome: Outcome, locks: tuple[Lock, ...]) -> Step:
    return Step(
        statement.line,
        first_line(statement.text, 500),
        "measured" if outcome.measured else "parse tree",
        outcome.known,
        outcome.note,
        outcome.failed,
        outcome.changes_rows,
        round(sum(lock.seconds for lock in locks), 3),
        locks,
    )


def _lock(touched: Touched, changes_rows: bool, live: dict[Name, Relation], holders: dict[int, list[Holder]]) -> Lock:
    relation = live.get(touched.name) if touched.name is not None else None
    size = relation.size if relation is not None else 0
    writes = touched.rewrites is not False or (changes_rows and touched.mode == "RowExclusive" and touched.scans)
    rate = REWRITTEN_BYTES_PER_SECOND if writes else SCANNED_BYTES_PER_SECOND
    works = size if writes or touched.scans else 0
    return Lock(
        touched.shown,
        relation is None,
        touched.mode,
        "nothing" if relation is None else "reads and writes" if touched.index_locked else BLOCKS[touched.mode],
        touched.rewrites,
        touched.scans,
        size,
        relation.rows if relation is not None else None,
        round(works / rate, 3),
        tuple(in_the_way(holders.get(relation.oid, []), touched.mode)) if relation is not None else (),
    )
