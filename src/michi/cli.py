"""The command line: one short function a verb that reads options, calls, prints, and leaves with an exit code."""

from __future__ import annotations

import gc
import os
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from michi import __version__, command
from michi.command import JSON, Arguments, Commands, option, show
from michi.errors import DatabaseUnreachable, MigrationsPending
from michi.settings import Target, find_migrations, find_target, parse_duration

if TYPE_CHECKING:
    from michi.folder import Folder
    from michi.plan import Standing

commands = Commands(
    "michi", "Migrations for PostgreSQL that are safe to run as the first container of every deploy.", __version__
)

FOLDER = option("--migrations", type=Path, metavar="FOLDER", help="the migrations folder (default: ./migrations)")
FROM_STDIN = option("--database-url-stdin", action="store_true", help="read the database URL from standard input")
WAIT_PAUSE_SECONDS = 0.5


def _duration(name: str, default: str, text: str) -> command.Option:
    return option(name, default=default, metavar="TIME", help=f"{text} (default: {default})")


@commands.verb(
    "deploy",
    FOLDER,
    FROM_STDIN,
    _duration("--wait", "60s", "how long to wait for the database"),
    _duration("--lock-timeout", "60s", "how long to wait for another deploy"),
    _duration("--lock-retry", "60s", "how long to try again while others hold a table"),
    option("--allow-out-of-order", action="store_true", help="apply pending migrations older than applied ones"),
    JSON,
)
def deploy(arguments: Arguments) -> None:
    """Apply what is pending, in order. Safe to run at every start, by any number at once."""
    from michi.attempt import Options
    from michi.database import connect
    from michi.ledger import Origin
    from michi.report import emitter
    from michi.runner import deploy as run

    emit = emitter(as_json=arguments.json)
    options = Options(
        parse_duration(arguments.lock_timeout, "--lock-timeout"),
        parse_duration(arguments.lock_retry, "--lock-retry"),
        arguments.allow_out_of_order,
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


@commands.verb("status", FOLDER, FROM_STDIN, JSON)
def status(arguments: Arguments) -> int:
    """Everything that is true: applied, pending, edited, missing, out of order, failed, ahead."""
    from michi.report import status_text

    standing, where = _standing(_folder(arguments), _target(arguments))
    show(standing.as_dict() | {"server": where}, status_text(standing, where), as_json=arguments.json)
    return standing.exit_code


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


@commands.verb("sum", FOLDER, JSON)
def write_sum(arguments: Arguments) -> None:
    """Write michi.sum anew after a meant change of a pending migration."""
    from michi.folder import write_sum as write

    folder = _folder(arguments)
    changed = write(folder)
    text = f"michi.sum lists {len(folder.migrations)} migrations" + ("." if changed else ", as it did.")
    show({"changed": changed, "migrations": len(folder.migrations)}, text, as_json=arguments.json)


def _collect_garbage() -> None:
    """For verbs that may go on for long: what is imported by now stays and is passed over (see __main__.py)."""
    gc.freeze()
    gc.enable()


def _folder(arguments: Arguments) -> Folder:
    from michi.folder import read_folder

    return read_folder(find_migrations(os.environ, arguments.migrations, Path.cwd()))


def _target(arguments: Arguments) -> Target:
    return find_target(os.environ, sys.stdin if arguments.database_url_stdin else None)


def _standing(folder: Folder, target: Target) -> tuple[Standing, str]:
    """Reads the ledger. Creates nothing, waits for nothing."""
    import psycopg

    from michi.database import connect, connection_lost
    from michi.plan import compare
    from michi.runner import read_ledger

    server = connect(target)
    with server.connection:
        try:
            return compare(folder, read_ledger(server)), server.describe()
        except psycopg.OperationalError as error:
            raise connection_lost(error, server) from None


def main() -> NoReturn:
    """The `michi` command."""
    command.main(commands)


if __name__ == "__main__":
    main()
