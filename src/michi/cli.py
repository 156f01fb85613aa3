"""The command line: one short function a verb that reads options, calls, prints, and leaves with an exit code."""

from __future__ import annotations

import gc
import os
import random
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from michi import __version__, command
from michi.authoring_verbs import register
from michi.command import JSON, Arguments, Commands, option, show
from michi.errors import ConfigurationMissing, DatabaseUnreachable, MigrationsPending, UsageError
from michi.options import FOLDER, FROM_STDIN, MODELS
from michi.options import duration as _duration
from michi.options import folder_of as _folder
from michi.options import target_of as _target
from michi.settings import Target, find_migrations, parse_duration

if TYPE_CHECKING:
    from michi.database import Connection
    from michi.events import Emit
    from michi.folder import Folder
    from michi.ledger import Attempt
    from michi.plan import Standing
    from michi.repair import Repair

Seen = TypeVar("Seen")

commands = Commands(
    "michi", "Migrations for PostgreSQL that are safe to run as the first container of every deploy.", __version__
)

WAIT_PAUSE_SECONDS = 0.5


@commands.verb(
    "deploy",
    FOLDER,
    FROM_STDIN,
    _duration("--wait", "60s", "how long to wait for the database"),
    _duration("--lock-timeout", "60s", "how long to wait for another deploy"),
    _duration("--lock-retry", "60s", "how long to try again while others hold a table"),
    option("--allow-out-of-order", action="store_true", help="apply pending migrations older than applied ones"),
    option("--phase", choices=("expand", "contract"), help="apply only the migrations of this phase (default: both)"),
    option(
        "--even-if-connected", action="store_true", help="apply a contract migration though it breaks connected apps"
    ),
    option("--metrics-file", type=Path, metavar="FILE", help="write OpenMetrics text there when the deploy ends"),
    JSON,
)
def deploy(arguments: Arguments) -> None:
    """Apply what is pending, in order. Safe to run at every start, by any number at once."""
    from michi.metrics import recording
    from michi.report import telling

    with telling(as_json=arguments.json) as tell, recording(arguments.metrics_file, tell) as emit:
        _deploy(arguments, emit)


def _deploy(arguments: Arguments, emit: Emit) -> None:
    from michi.database import connect
    from michi.deploy_options import Options
    from michi.ledger import Origin
    from michi.runner import deploy as run

    options = Options(
        parse_duration(arguments.lock_timeout, "--lock-timeout"),
        parse_duration(arguments.lock_retry, "--lock-retry"),
        arguments.allow_out_of_order,
        arguments.phase,
        arguments.even_if_connected,
    )
    wait_seconds = parse_duration(arguments.wait, "--wait")
    folder = _folder(arguments)
    server = connect(
        _target(arguments),
        wait_seconds=wait_seconds,
        create=True,
        on_wait=lambda error, left: emit("waiting_for_database", message=error.message, seconds_left=round(left, 1)),
        on_create=lambda name: emit("database_created", database=name),
    )
    with server.connection:
        _collect_garbage()
        emit("connected", server=server.describe())
        run(server, folder, Origin.from_environment(os.environ), options, emit)


@commands.verb(
    "status",
    FOLDER,
    FROM_STDIN,
    option("--drift", action="store_true", help="compare the database with the models, too"),
    MODELS,
    JSON,
)
def status(arguments: Arguments) -> int:
    """Everything that is true: applied, pending, edited, missing, out of order, failed, ahead; the apps that are connected."""
    from michi.apps import list_connected
    from michi.report import status_text
    from michi.views import connected_text

    folder, target = _folder(arguments), _target(arguments)
    standing, where, _, connected = _stand_and(folder, target, list_connected)
    facts = standing.as_dict() | {"server": where} | connected.as_dict()
    text, drifted = f"{status_text(standing, where)}{connected_text(connected, standing.pending)}", False
    if arguments.drift:
        from michi.authoring_verbs import drift

        drift_facts, drift_text, drifted = drift(arguments, folder, target)
        facts, text = facts | drift_facts, f"{text}\n{drift_text}"
    code = standing.exit_code or (3 if drifted else 0)
    show(facts | {"exit_code": code}, text, as_json=arguments.json)
    return code


@commands.verb("check", FOLDER, FROM_STDIN, JSON)
def check(arguments: Arguments) -> None:
    """Whether an app with these migrations can run on the database: 0 yes, 3 not yet, 4 no longer."""
    from michi.plan import check as find_obstacle

    standing, where = _standing(_folder(arguments), _target(arguments))
    if (obstacle := find_obstacle(standing)) is not None:
        raise obstacle
    facts = {"state": standing.state, "expected": standing.folder.head, "actual": standing.head, "server": where}
    show(facts, f"The database has what is needed: {standing.folder.head or 'nothing'}.", as_json=arguments.json)


@commands.verb("wait", FOLDER, FROM_STDIN, _duration("--timeout", "10m", "when to give up"), JSON)
def wait(arguments: Arguments) -> None:
    """`check` again and again until the database has what is needed. Survives a database that is absent or starting."""
    from michi.plan import check as find_obstacle
    from michi.report import emitter

    emit = emitter(as_json=arguments.json)
    deadline = time.monotonic() + parse_duration(arguments.timeout, "--timeout")
    folder, target, reason = _folder(arguments), _target(arguments), ""
    _collect_garbage()
    while True:
        try:
            standing, _ = _standing(folder, target)
            if (obstacle := find_obstacle(standing)) is not None:
                raise obstacle
        except (DatabaseUnreachable, MigrationsPending) as error:
            left = deadline - time.monotonic()
            if left <= 0:
                raise
            if error.message != reason:
                reason = error.message
                emit("waiting_for_database", message=reason, seconds_left=round(left, 1))
            time.sleep(min(WAIT_PAUSE_SECONDS * random.uniform(0.5, 1.5), left))  # noqa: S311 -- jitter, not a secret
        else:
            emit("done", applied=0, state=standing.state, head=standing.head)
            return


@commands.verb(
    "plan",
    FOLDER,
    FROM_STDIN,
    option("--phase", choices=("expand", "contract"), help="what a deploy of this phase would do"),
    option("--allow-out-of-order", action="store_true", help="as in deploy"),
    option("--even-if-connected", action="store_true", help="as in deploy"),
    option("--no-shadow", action="store_true", help="make no throw-away database: tell locks from the parse tree"),
    JSON,
)
def plan(arguments: Arguments) -> int:
    """What a deploy would do: locks, what they block and for how long, who is in the way, who survives. Changes nothing."""
    import psycopg

    from michi.database import connect, connection_lost
    from michi.foresight import Wishes, foresee
    from michi.outlook import print_plan

    wishes = Wishes(arguments.phase, arguments.allow_out_of_order, arguments.even_if_connected, not arguments.no_shadow)
    folder = _folder(arguments)
    server = connect(_target(arguments))
    with server.connection:
        try:
            foreseen = foresee(server, folder, wishes)
        except psycopg.OperationalError as error:
            raise connection_lost(error, server) from None
    if arguments.json:
        show(foreseen.as_dict(), "", as_json=True)
    else:
        print_plan(foreseen, sys.stdout)
    return foreseen.verdict.exit_code


@commands.verb(
    "lint",
    option("names", nargs="*", metavar="MIGRATION", help="names or parts of them (default: those that are pending)"),
    option("--all", action="store_true", help="all migrations of the folder"),
    FOLDER,
    FROM_STDIN,
    JSON,
)
def lint(arguments: Arguments) -> int:
    """squawk's rules and michi's own, as severe as the tables are large. Without a database every table counts as large."""
    from michi.linting import lint_folder
    from michi.outlook import print_findings

    found = lint_folder(_folder(arguments), _optional_target(arguments), arguments.names, everything=arguments.all)
    if arguments.json:
        show(found.as_dict(), "", as_json=True)
    else:
        print_findings(found.findings, found.where, sys.stdout)
    return found.exit_code


@commands.verb(
    "resolve",
    FOLDER,
    FROM_STDIN,
    option("--applied", metavar="MIGRATION", help="it is in the database: mark it as applied without running it"),
    option("--rolled-back", metavar="MIGRATION", help="it is not in the database: the next deploy applies it"),
    option("--accept-edit", metavar="MIGRATION", help="its file was changed on purpose after it was applied"),
    option("--force", action="store_true", help="with --rolled-back: also for one that counts as applied"),
    _duration("--lock-timeout", "60s", "how long to wait for another deploy"),
    JSON,
)
def resolve(arguments: Arguments) -> None:
    """Repair the ledger when you know what michi cannot see. Says what it did."""
    from michi.database import connect
    from michi.ledger import Origin
    from michi.repair import resolve as repair
    from michi.report import emitter

    asked: dict[Repair, str | None] = {
        "applied": arguments.applied,
        "rolled-back": arguments.rolled_back,
        "accept-edit": arguments.accept_edit,
    }
    given = [(name, value) for name, value in asked.items() if value is not None]
    if len(given) != 1:
        raise UsageError("Say one of --applied, --rolled-back and --accept-edit.", "See `michi resolve --help`.")
    lock_timeout = parse_duration(arguments.lock_timeout, "--lock-timeout")
    folder = _folder(arguments)
    server = connect(_target(arguments))
    with server.connection:
        done = repair(
            server, folder, Origin.from_environment(os.environ), *given[0],
            force=arguments.force, lock_timeout_seconds=lock_timeout, emit=emitter(as_json=False),
        )  # fmt: skip
    facts = {"migration": done.migration, "changed": done.changed, "message": done.sentence}
    show(facts, done.sentence, as_json=arguments.json)


@commands.verb(
    "history", FOLDER, FROM_STDIN, option("--limit", type=int, metavar="N", help="only the newest N attempts"), JSON
)
def history(arguments: Arguments) -> None:
    """The ledger, one attempt a row, oldest first."""
    from michi.views import history_text

    _, where, attempts = _stand(_folder(arguments), _target(arguments))
    chosen = attempts[-arguments.limit :] if arguments.limit and arguments.limit > 0 else attempts
    facts = {"server": where, "attempts": [attempt.as_dict() for attempt in chosen]}
    show(facts, history_text(where, chosen), as_json=arguments.json)


@commands.verb(
    "show", option("migration", metavar="MIGRATION", help="its name, or a part of it"), FOLDER, FROM_STDIN, JSON
)
def show_migration(arguments: Arguments) -> None:
    """One migration whole: its files, directives and attempts."""
    from michi.views import migration_facts, migration_text

    standing, _, attempts = _stand(_folder(arguments), _target(arguments))
    facts = migration_facts(standing, attempts, arguments.migration)
    show(facts, migration_text(facts), as_json=arguments.json)


@commands.verb("new", option("name", metavar="NAME", help="what changes, such as add_reviews"), FOLDER, JSON)
def new(arguments: Arguments) -> None:
    """An empty migration with a template that states the rules."""
    from michi.authoring import new_migration, shown_path
    from michi.folder import read_folder

    path = find_migrations(os.environ, arguments.migrations, Path.cwd())
    path.mkdir(parents=True, exist_ok=True)
    made = new_migration(read_folder(path), arguments.name, datetime.now(UTC))
    facts = {"migration": made.name, "path": str(made)}
    show(facts, f"{shown_path(made)}: write up.sql and down.sql, then run `michi sum`.", as_json=arguments.json)


@commands.verb("rebase", FOLDER, FROM_STDIN, JSON)
def rebase(arguments: Arguments) -> None:
    """Give pending migrations that are out of order a new timestamp, and write michi.sum anew."""
    from michi.authoring import rebase as give_new_timestamps

    standing, _ = _standing(_folder(arguments), _target(arguments))
    renamed = give_new_timestamps(standing, datetime.now(UTC))
    lines = [f"{old} is now {new_name}" for old, new_name in renamed] or ["Nothing is out of order."]
    show({"renamed": dict(renamed)}, "\n".join(lines), as_json=arguments.json)


@commands.verb("doctor", FOLDER, FROM_STDIN, JSON)
def doctor(arguments: Arguments) -> int:
    """Look at everything outside the migrations that could make a deploy fail or wait. Changes nothing."""
    from michi.doctor import examine
    from michi.views import findings_text

    findings = examine(_target(arguments), find_migrations(os.environ, arguments.migrations, Path.cwd()))
    show({"findings": [finding.as_dict() for finding in findings]}, findings_text(findings), as_json=arguments.json)
    return next((finding.exit_code for finding in findings if finding.level == "failure"), 0)


@commands.verb("sum", FOLDER, JSON)
def write_sum(arguments: Arguments) -> None:
    """Write michi.sum anew after a meant change of a pending migration."""
    from michi.folder import write_sum as write

    folder = _folder(arguments)
    changed = write(folder)
    number = len(folder.migrations)
    text = f"michi.sum lists {number} migration{'' if number == 1 else 's'}" + ("." if changed else ", as it did.")
    show({"changed": changed, "migrations": len(folder.migrations)}, text, as_json=arguments.json)


@commands.verb("mark-production", FROM_STDIN, option("--undo", action="store_true", help="take the mark away"), JSON)
def mark_production(arguments: Arguments) -> None:
    """Mark the database as production, as the first deploy with APP_ENV=production does: `reset` and `dev` refuse it."""
    from michi.database import connect
    from michi.ledger import mark_production as mark
    from michi.runner import read_ledger

    server = connect(_target(arguments))
    with server.connection:
        if not read_ledger(server).exists:
            raise UsageError(
                "michi has never deployed there, so there is no ledger to mark.", "Run `michi deploy` first."
            )
        changed = mark(server.connection, server.target.schema, production=not arguments.undo)
    state = "no longer marked as production" if arguments.undo else "marked as production"
    text = f"{server.database} is {state}." if changed else f"{server.database} is {state}, as it was."
    show({"production": not arguments.undo, "changed": changed}, text, as_json=arguments.json)


def _collect_garbage() -> None:
    """For verbs that may go on for long: what is imported by now stays and is passed over (see __main__.py)."""
    gc.freeze()
    gc.enable()


def _optional_target(arguments: Arguments) -> Target | None:
    """None where no database is configured at all; one that is configured badly is an error."""
    try:
        return _target(arguments)
    except ConfigurationMissing:
        return None


def _standing(folder: Folder, target: Target) -> tuple[Standing, str]:
    standing, where, _ = _stand(folder, target)
    return standing, where


def _stand(folder: Folder, target: Target) -> tuple[Standing, str, tuple[Attempt, ...]]:
    standing, where, attempts, _ = _stand_and(folder, target, lambda _connection: None)
    return standing, where, attempts


def _stand_and(
    folder: Folder, target: Target, look: Callable[[Connection], Seen]
) -> tuple[Standing, str, tuple[Attempt, ...], Seen]:
    """Reads the ledger, and looks at something else on the same connection. Creates nothing, waits for nothing."""
    import psycopg

    from michi.database import connect, connection_lost
    from michi.plan import compare
    from michi.runner import read_ledger

    server = connect(target)
    with server.connection:
        try:
            ledger = read_ledger(server)
            seen = look(server.connection)
        except psycopg.OperationalError as error:
            raise connection_lost(error, server) from None
    return compare(folder, ledger), server.describe(), ledger.attempts, seen


register(commands)


def main() -> NoReturn:
    """The `michi` command."""
    command.main(commands)


if __name__ == "__main__":
    main()
