"""Executes a plan: takes the lock, applies what is pending in order. What to run is decided in plan.py, how in attempt.py."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg

from michi import ledger
from michi.database import Server, connection_lost
from michi.deploy_options import Options
from michi.errors import BaselineNeeded, PrivilegeMissing
from michi.events import Emit
from michi.folder import Folder
from michi.ledger import Ledger, Origin
from michi.lock import deploy_lock
from michi.plan import Choice, Standing, choose, compare, refusal

if TYPE_CHECKING:
    from michi.attempt import Run, Script


def deploy(server: Server, folder: Folder, origin: Origin, options: Options, emit: Emit) -> Standing:
    """Applies what is pending, in order, and gives how the database stood before.

    Raises one of michi's errors; what had been applied until then stays, what failed is undone or recorded as partial.
    Where nothing is pending, no lock is taken and nothing is written.
    """
    if folder.sum_lines is None and folder.migrations:
        emit("warning", message="michi.sum is missing, so a changed file goes unnoticed; `michi sum` writes it.")
    try:
        standing = _stand(server, folder, options)
        folder.check_sum()
        if standing is not None and (choice := choose(standing, options.phase)).is_empty:
            _finish(standing, choice, emit)
            return standing
        with deploy_lock(server, options.lock_timeout_seconds, emit):
            standing = _stand(server, folder, options)
            if standing is None:
                ledger.prepare_ledger(server.connection, server.target.schema)
                standing = compare(folder, Ledger(True))
            else:
                ledger.check_writable(server.connection, server.target.schema)
            if origin.production:
                _mark_production(server)
            from michi.attempt import read_script  # noqa: PLC0415 -- what a no-op deploy does not import costs it nothing

            choice = choose(standing, options.phase)
            if not options.allow_unfinished:
                choice.check_finished()
            scripts = [read_script(migration) for migration in choice.migrations]
            if scripts:
                _apply(server, scripts, standing, origin, options, emit)
    except psycopg.OperationalError as error:
        if server.connection.broken or server.connection.closed:
            raise connection_lost(error, server) from None
        raise
    if choice.refused is not None:
        raise choice.refused
    _finish(standing, choice, emit)
    return standing


def _mark_production(server: Server) -> None:
    """So that nobody resets it later by mistake. A role that does not own the ledger cannot, and deploys all the same."""
    with suppress(PrivilegeMissing):
        ledger.mark_production(server.connection, server.target.schema)


def _stand(server: Server, folder: Folder, options: Options) -> Standing | None:
    """How folder and ledger agree; None where michi has never deployed here. Raises what forbids a deploy."""
    found = read_ledger(server)
    if not found.exists:
        return None
    standing = compare(folder, found)
    if (error := refusal(standing, allow_out_of_order=options.allow_out_of_order)) is not None:
        raise error
    return standing


def read_ledger(server: Server) -> Ledger:
    """The ledger; one that does not exist stands for an empty schema. Raises BaselineNeeded, LedgerTooNew."""
    connection, schema = server.connection, server.target.schema
    found = ledger.read_ledger(connection, schema)
    if not found.exists and (objects := ledger.list_foreign_objects(connection, schema)):
        # A first deploy makes the ledger before anything else, so these may be its tables, made between our two looks.
        found = ledger.read_ledger(connection, schema)
        if not found.exists:
            raise _baseline_needed(server, objects)
    if found.exists:
        ledger.check_version(connection, schema)
    return found


def _baseline_needed(server: Server, objects: list[tuple[str, str]]) -> BaselineNeeded:
    shown = ", ".join(f"{kind} {name}" for kind, name in objects[:3])
    more = f" and {len(objects) - 3} more" if len(objects) > 3 else ""
    return BaselineNeeded(
        f"The schema {server.target.schema} is not empty ({shown}{more}) and michi has never deployed to it.",
        "Mark what is there as applied with `michi baseline`, or deploy to an empty database.",
        objects=[{"kind": kind, "name": name} for kind, name in objects],
    )


def _finish(standing: Standing, choice: Choice, emit: Emit) -> None:
    applied = [migration.name for migration in choice.migrations]
    state = standing.state if not applied else "pending" if choice.held_back else "up_to_date"
    held_back = {"held_back": list(choice.held_back)} if choice.held_back else {}
    head = max([*applied, *([standing.head] if standing.head else [])], key=str.encode, default=None)
    emit("done", applied=len(applied), state=state, head=head, **held_back)


def _apply(
    server: Server, scripts: list[Script], standing: Standing, origin: Origin, options: Options, emit: Emit
) -> None:
    from michi.watch import Watch  # noqa: PLC0415 -- see deploy

    emit("plan", pending=[script.migration.name for script in scripts], head=standing.head)
    with Watch(server, emit) as watch:
        for script in scripts:
            previous = standing.last.get(script.migration.name)
            kind = _kind(script, resumed=previous is not None and previous.verdict == "partial")
            kind(server, script, previous, origin, options, emit, watch).apply()


def _kind(script: Script, *, resumed: bool) -> type[Run]:
    """How it is carried out. Most deploys need the first kind alone, and import no other."""
    if script.migration.directives.backfill_rows is not None:
        from michi.backfill import Backfill  # noqa: PLC0415

        return Backfill
    if resumed or not script.in_transaction:
        from michi.stepwise import Stepwise  # noqa: PLC0415

        return Stepwise
    from michi.attempt import Run  # noqa: PLC0415

    return Run
