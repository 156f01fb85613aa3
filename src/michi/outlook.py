"""A plan and the linter's findings as a person reads them: the verdict on top, one line for each thing that matters. Needs rich."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.text import Text

from michi.blockers import one_line
from michi.forecast import Forecast, Level, Lock, Step, describe_table, guess
from michi.foresight import Foresight
from michi.lint import Finding, Severity
from michi.live import Holder
from michi.sentences import count, span

VERDICTS: dict[Level, tuple[str, str]] = {
    "nothing": ("✓", "green"), "safe": ("✓", "green"), "blocks": ("!", "bold yellow"), "doubtful": ("!", "bold yellow"),
    "refused": ("✗", "bold red"),
}  # fmt: skip
SEVERITIES: dict[Severity, tuple[str, str]] = {"error": ("✗", "red"), "warning": ("!", "yellow"), "note": ("·", "dim")}
MARGIN = "            "


def print_plan(plan: Foresight, out: TextIO) -> None:
    console = Console(file=out, highlight=False, markup=False, emoji=False)
    for line, margin in _plan(plan):
        _print(console, line, margin)


def print_findings(findings: Sequence[Finding], where: str, out: TextIO) -> None:
    console = Console(file=out, highlight=False, markup=False, emoji=False)
    for finding in findings:
        if finding.ignored_because is None:
            _print(console, _place(finding), 0)
            for line in _finding(finding):
                _print(console, Text.assemble("    ", line), 4)
    counted = [f for f in findings if f.ignored_because is None]
    numbers = ", ".join(count(sum(f.severity == kind for f in counted), kind) for kind in SEVERITIES)
    ignored = len(findings) - len(counted)
    _print(console, Text(f"{where}: {numbers}{f'; {ignored} ignored, with a reason' if ignored else ''}."), 0)


def _place(finding: Finding) -> Text:
    mark, style = SEVERITIES[finding.severity]
    path = Path(finding.file)
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return Text.assemble((mark, style), f" {shown}:{finding.line}  ", (finding.rule, style))


def _print(console: Console, line: Text, margin: int) -> None:
    """Wrapped to the terminal, later lines under the first; whole where nobody watches."""
    if not console.is_terminal:
        console.print(line, soft_wrap=True)
        return
    first = line.wrap(console, console.width)[0]
    console.print(first, soft_wrap=True)
    rest = line[len(first.plain) :]
    rest = rest[len(rest.plain) - len(rest.plain.lstrip()) :]
    if rest.plain:
        for part in rest.wrap(console, max(20, console.width - margin)):
            console.print(Text.assemble(" " * margin, part), soft_wrap=True)


def _plan(plan: Foresight) -> Iterator[tuple[Text, int]]:
    mark, style = VERDICTS[plan.verdict.level]
    yield (
        Text.assemble((mark, style), " ", (f"{plan.verdict.sentence[:1].upper()}{plan.verdict.sentence[1:]}", style)),
        2,
    )
    if plan.verdict.error is not None and plan.verdict.error.remedy:
        yield Text(f"  {plan.verdict.error.remedy}"), 2
    yield Text(f"  {plan.server}", "dim"), 2
    if plan.forecasts:
        how = "measured on a shadow of the schema" if plan.method == "measured" else "from the parse tree"
        because = f", because {plan.method_note.rstrip('.')}" if plan.method_note else ""
        yield Text(f"  Locks are {how}{because}; sizes are those of now, times are rough.", "dim"), 2
    for forecast in plan.forecasts:
        yield Text(""), 0
        yield from _forecast(forecast)
    yield from _surroundings(plan)


def _forecast(forecast: Forecast) -> Iterator[tuple[Text, int]]:
    yield Text.assemble((forecast.name, "bold"), f"  {_conditions(forecast)}"), 2
    for app in forecast.broken:
        yield Text.assemble(("  ✗ ", "red"), f"breaks {app.describe()}"), 4
    for blocked in forecast.blocked:
        lines = f"line {blocked.from_line}"
        lines += f" to {blocked.to_line}" if blocked.to_line != blocked.from_line else ""
        text = f"blocks {blocked.blocks} of {describe_table(blocked)} for {guess(blocked.seconds)}, {lines}"
        yield Text.assemble(("  ! ", "yellow"), text), 4
    for step in forecast.steps:
        yield from _step(step, forecast.script.migration.directives.backfill_rows)
        for finding in forecast.findings:
            if finding.line == step.line and finding.ignored_because is None:
                mark, style = SEVERITIES[finding.severity]
                for number, line in enumerate(_finding(finding)):
                    first = Text.assemble(f"{MARGIN}", (mark, style), f" {finding.rule}: ", line)
                    yield (first if number == 0 else Text.assemble(f"{MARGIN}  ", line)), len(MARGIN) + 2


def _conditions(forecast: Forecast) -> str:
    directives = forecast.script.migration.directives
    if directives.phase == "expand":
        survivors = "expand: every app survives it"
    else:
        survivors = f"contract: apps that know {directives.safe_from or forecast.name} survive it"
    if directives.backfill_rows is not None:
        how = f"in batches of at most {directives.backfill_rows:,} rows"
    else:
        how = "in one transaction" if forecast.script.in_transaction else "statement by statement"
    resumed = f"; goes on after statement {forecast.statements_done}" if forecast.statements_done else ""
    return f"{survivors}; {how}{'; out of order' if forecast.out_of_order else ''}{resumed}"


def _step(step: Step, backfill_rows: int | None) -> Iterator[tuple[Text, int]]:
    yield Text.assemble((f"{step.line:>6} │ ", "dim"), one_line(step.statement)), 9
    told = [lock for lock in step.locks if not lock.new and (lock.blocks != "nothing" or lock.mode != "AccessShare")]
    new = [lock for lock in step.locks if lock.new and lock.mode != "AccessShare"]
    for lock in told or step.locks[:0]:
        style = "" if lock.blocks == "nothing" else "yellow"
        yield Text.assemble(f"{MARGIN}{lock.relation}  ", (_lock(lock, step, backfill_rows), style)), len(MARGIN) + 2
        for holder in lock.in_the_way:
            yield Text.assemble(f"{MARGIN}  ", (f"now in the way: {_holder(holder)}", "yellow")), len(MARGIN) + 4
    if new and not told:
        yield Text(f"{MARGIN}{new[0].relation} is new: nobody waits for it", "dim"), len(MARGIN) + 2
    elif not told:
        yield Text(f"{MARGIN}blocks nothing", "dim"), len(MARGIN)
    if not step.complete:
        yield Text(f"{MARGIN}it may lock more than it shows", "yellow"), len(MARGIN)
    if step.note:
        yield Text(f"{MARGIN}{step.note}", "yellow" if step.failed else "dim"), len(MARGIN)


def _lock(lock: Lock, step: Step, backfill_rows: int | None) -> str:
    """`ACCESS EXCLUSIVE blocks reads and writes; writes all rows anew (1.2 GB, about 5,000,000 rows), roughly 30 seconds`."""
    mode = "".join(f" {char}" if char.isupper() else char for char in lock.mode).strip().upper()
    parts = [f"{mode} blocks {lock.blocks}"]
    size = describe_table(lock).removeprefix(f"{lock.relation} ")
    if lock.rewrites:
        parts.append(f"writes all rows anew {size}, {guess(lock.seconds)}")
    elif lock.rewrites is None:
        parts.append(f"may write all rows anew {size}, {guess(lock.seconds)}")
    elif lock.scans and step.changes_rows and lock.mode == "RowExclusive":
        each = "batch by batch" if backfill_rows is not None else "those rows stay locked to the end"
        parts.append(f"may change all rows {size}, {guess(lock.seconds)}; {each}")
    elif lock.scans:
        parts.append(f"reads all rows {size}, {guess(lock.seconds)}")
    return "; ".join(parts)


def _finding(finding: Finding) -> Iterator[Text]:
    yield Text(finding.message)
    if finding.remedy:
        yield Text(finding.remedy, "dim")


def _holder(holder: Holder) -> str:
    age = f", for {span(holder.age_seconds)}" if holder.age_seconds is not None else ""
    query = f": {one_line(holder.query)}" if holder.query else ""
    return (
        f"pid {holder.pid} ({one_line(holder.application) or 'no name'}, {holder.state or 'state unknown'}{age}){query}"
    )


def _surroundings(plan: Foresight) -> Iterator[tuple[Text, int]]:
    lines: list[Text] = [Text(f"· held back: {name}") for name in plan.held_back]
    lines += [Text(f"· connected: {app.describe()}") for app in plan.connected.apps]
    if plan.connected.others:
        names = ", ".join(f"{one_line(name) or 'no name'} ({number})" for name, number in plan.connected.others)
        lines.append(Text(f"· connected without a version: {names}; a pooler may have lost it"))
    lines += [
        Text.assemble(
            ("! ", "yellow"), f"long transaction, which CREATE INDEX CONCURRENTLY would wait for: {_holder(holder)}"
        )
        for holder in plan.long_transactions
    ]
    if plan.linter_note:
        lines.append(Text(f"· no linter: {plan.linter_note}"))
    if lines:
        yield Text(""), 0
    for line in lines:
        yield line, 2
