"""The verbs of authors: dev, diff, baseline, rollback, reset, verify. As in cli.py each reads options, calls and prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from michi.command import JSON, Arguments, Commands, option, show
from michi.errors import ModelsInvalid, ProductionProtected, UsageError
from michi.options import FOLDER, FROM_STDIN, MODELS, duration, folder_of, target_of
from michi.settings import (
    Target,
    find_known_targets,
    find_migrations,
    find_models,
    find_seed,
    is_production,
    parse_duration,
)

if TYPE_CHECKING:
    from michi.dev import Outcome
    from michi.events import Emit, EventName
    from michi.folder import Folder
    from michi.models import Models
    from michi.questions import Questions

LOCK_TIMEOUT = duration("--lock-timeout", "60s", "how long to wait for another deploy")
SIDES = ("empty", "migrations", "models", "database")


def register(commands: Commands) -> None:
    """Adds these verbs to the command."""
    commands.verb(
        "dev",
        option("--name", metavar="TITLE", help='what the migration does, such as "Add review cards"'),
        option("--create-only", action="store_true", help="write the migration, apply nothing"),
        option("--accept-data-loss", action="store_true", help="drop tables and columns although they hold data"),
        option(
            "--rename", action="append", default=[], metavar="OLD:NEW",
            help="a rename: table:new, table.column:new or enum.value:new; may be given several times",
        ),
        option("--no-rename", action="store_true", help="nothing was renamed: what is gone is dropped, what is new is made"),
        option("--plain", action="store_true", help="short forms for existing tables too, which lock them: all of them are small"),
        MODELS, FOLDER, FROM_STDIN, duration("--wait", "60s", "how long to wait for the database"), JSON,
    )(dev)  # fmt: skip
    commands.verb(
        "diff",
        option("--from", dest="before", required=True, choices=SIDES, help="what is there"),
        option("--to", dest="after", required=True, choices=SIDES, help="what there should be"),
        option("--script", action="store_true", help="print the SQL that leads from one to the other"),
        option("--exit-code", action="store_true", help="exit with 3 where there is a difference"),
        MODELS, FOLDER, FROM_STDIN, JSON,
    )(diff)  # fmt: skip
    commands.verb(
        "baseline",
        option("--to", metavar="MIGRATION", help="mark only those up to this one (default: all)"),
        option("--trust", action="store_true", help="do not compare the database with what the migrations make"),
        FOLDER, FROM_STDIN, LOCK_TIMEOUT, JSON,
    )(baseline)  # fmt: skip
    commands.verb(
        "rollback",
        option("--steps", type=int, metavar="N", help="how many, newest first (default: 1)"),
        option("--to", metavar="MIGRATION", help="all that are newer than this one, which stays"),
        FOLDER, FROM_STDIN, LOCK_TIMEOUT,
        duration("--lock-retry", "60s", "how long to try again while others hold a table"), JSON,
    )(rollback)  # fmt: skip
    commands.verb(
        "reset",
        option("--force", action="store_true", help="do not ask"),
        option("--destroy", metavar="DATABASE", help="its name, to reset even one that is marked as production"),
        option("--no-seed", action="store_true", help="do not run the seed command"),
        FOLDER, FROM_STDIN, duration("--wait", "60s", "how long to wait for the database"), LOCK_TIMEOUT, JSON,
    )(reset)  # fmt: skip
    commands.verb("verify", MODELS, FOLDER, FROM_STDIN, JSON)(verify)


def dev(arguments: Arguments) -> None:
    """Write the next migration from the changed models, prove it on a shadow database, apply it. For development."""
    from michi.database import connect
    from michi.dev import Session, Wishes
    from michi.ledger import Origin
    from michi.ledger import is_production as is_marked
    from michi.shadow import shadow_database

    if arguments.rename and arguments.no_rename:
        raise UsageError("--rename and --no-rename exclude each other.", "Keep one of them.")
    target, models = target_of(arguments), _models(arguments)
    wishes = Wishes(
        arguments.name, arguments.create_only, arguments.accept_data_loss, arguments.rename, arguments.no_rename,
        arguments.plain, find_known_targets(os.environ, Path.cwd()),
    )  # fmt: skip
    if is_production(os.environ):
        raise _protected(target.dbname, "APP_ENV is production")
    path = find_migrations(os.environ, arguments.migrations, Path.cwd())
    path.mkdir(parents=True, exist_ok=True)
    folder, questions = folder_of(arguments), _questions(arguments)
    with _progress() as emit:
        server = connect(
            target, wait_seconds=parse_duration(arguments.wait, "--wait"), create=True,
            on_wait=lambda error, left: emit("waiting_for_database", message=error.message, seconds_left=round(left, 1)),
            on_create=lambda name: emit("database_created", database=name),
        )  # fmt: skip
        with server.connection:
            emit("connected", server=server.describe())
            if is_marked(server.connection, target.schema):
                raise _protected(target.dbname, "it is marked as production")
            with shadow_database(target) as shadow:
                session = Session(server, folder, models, shadow, questions, emit, _say)
                outcome = session.run(wishes, Origin.from_environment(os.environ), datetime.now(UTC))
    show(outcome.as_dict() | {"server": server.describe()}, _outcome_text(outcome), as_json=arguments.json)


def _protected(database: str, reason: str) -> ProductionProtected:
    return ProductionProtected(
        f"{database} is protected from `michi dev`: {reason}.",
        "Develop on a database of your own; `michi deploy` is for this one.",
    )


def _outcome_text(outcome: Outcome) -> str:
    from michi.authoring import shown_path

    if outcome.unfinished:
        files = ", ".join(shown_path(path / "up.sql") for path in outcome.unfinished)
        return f"Nothing applied yet: say in {files} what rows that exist shall hold, then run `michi dev` again."
    if outcome.applied:
        number = len(outcome.applied)
        return f"Applied {number} migration{'' if number == 1 else 's'}; the database is at {outcome.applied[-1]}."
    if outcome.written:
        return "Written, not applied: look at it, then run `michi dev` again, or `michi deploy`."
    return "In sync: models, migrations and database say the same."


def diff(arguments: Arguments) -> int:
    """What leads from one of empty, migrations, models and database to another."""
    from michi.sides import Sources, compare_sides

    sides = {arguments.before, arguments.after}
    needs_database = sides != {"empty"}
    models = _models(arguments) if "models" in sides else None
    folder = (
        folder_of(arguments) if "migrations" in sides else _folder_if_there(arguments) if "models" in sides else None
    )
    sources = Sources(target_of(arguments) if needs_database else None, folder, models)
    found = compare_sides(arguments.before, arguments.after, sources)
    lines = [found.sentence(), *(f"  {change.sentence()}" for change in found.changes)]
    text = found.script.rstrip("\n") if arguments.script else "\n".join(lines)
    if arguments.json or text:
        show(found.as_dict(), text, as_json=arguments.json)
    if arguments.script and not arguments.json:
        _say(found.sentence().rstrip(":") + ("." if found.changes else ""))
    return 3 if arguments.exit_code and found.changes else 0


def drift(arguments: Arguments, folder: Folder, target: Target) -> tuple[dict[str, Any], str, bool]:
    """For `status --drift`: what differs between the database and the models, as data and for people."""
    from michi.sides import Sources, compare_sides

    found = compare_sides("database", "models", Sources(target, folder, _models(arguments)))
    lines = [f"  {change.sentence()}" for change in found.changes]
    said = "The database is what the models say." if not lines else "To be what the models say, the database needs:"
    return {"drift": [change.as_dict() for change in found.changes]}, "\n".join([said, *lines]), bool(lines)


def baseline(arguments: Arguments) -> None:
    """Take over an existing database: mark migrations as applied after proving that its schema is what they make."""
    from michi.baseline import make_baseline
    from michi.database import connect
    from michi.ledger import Origin

    lock_timeout = parse_duration(arguments.lock_timeout, "--lock-timeout")
    folder = folder_of(arguments)
    server = connect(target_of(arguments))
    with server.connection, _progress() as emit:
        made = make_baseline(
            server, folder, Origin.from_environment(os.environ), to=arguments.to, trust=arguments.trust,
            lock_timeout_seconds=lock_timeout, emit=emit,
        )  # fmt: skip
    how = (
        "The database is what they make" if made.proved else "Nobody has looked whether the database is what they make"
    )
    number = len(made.marked)
    text = f"Marked {number} migration{'' if number == 1 else 's'} as applied, up to {made.marked[-1]}. {how}; nothing was run."
    show(
        {"marked": list(made.marked), "proved": made.proved, "server": server.describe()}, text, as_json=arguments.json
    )


def rollback(arguments: Arguments) -> None:
    """Take migrations back with their down.sql, newest first, each in one transaction with its row in the ledger."""
    from michi.database import connect
    from michi.ledger import Origin
    from michi.rollback import roll_back

    if arguments.steps is not None and arguments.to is not None:
        raise UsageError("--steps and --to exclude each other.", "Keep one of them.")
    if arguments.steps is not None and arguments.steps < 1:
        raise UsageError("--steps is not a number above 0.", "Say how many migrations to take back.")
    waits = [parse_duration(getattr(arguments, name), f"--{name}") for name in ("lock_timeout", "lock_retry")]
    folder = folder_of(arguments)
    server = connect(target_of(arguments))
    with server.connection, _progress() as emit:
        emit("connected", server=server.describe())
        names = roll_back(
            server, folder, Origin.from_environment(os.environ), steps=arguments.steps, to=arguments.to,
            lock_timeout_seconds=waits[0], lock_retry_seconds=waits[1], emit=emit,
        )  # fmt: skip
    number = len(names)
    text = f"Rolled back {number} migration{'' if number == 1 else 's'}." if names else "Nothing to roll back."
    show({"rolled_back": names, "server": server.describe()}, text, as_json=arguments.json)


def reset(arguments: Arguments) -> None:
    """Development: drop the schema, build it again from the migrations, run the seed command."""
    from michi import reset as work
    from michi.database import connect
    from michi.deploy_options import Options
    from michi.ledger import Origin

    consent = work.Consent(arguments.force, arguments.destroy)
    target, folder, questions = target_of(arguments), folder_of(arguments), _questions(arguments)
    options = Options(parse_duration(arguments.lock_timeout, "--lock-timeout"))
    work.check_environment(target, consent, questions, os.environ)
    with _progress() as emit:
        server = connect(
            target, wait_seconds=parse_duration(arguments.wait, "--wait"), create=True,
            on_create=lambda name: emit("database_created", database=name),
        )  # fmt: skip
        with server.connection:
            emit("connected", server=server.describe())
            work.check_database(server, consent, questions)
            applied = work.reset(server, folder, Origin.from_environment(os.environ), options, emit)
        seed = None if arguments.no_seed else find_seed(Path.cwd())
        if seed is not None:
            work.run_seed(seed, target, os.environ)
    text = f"Reset {server.database}: {applied} migration{'' if applied == 1 else 's'} applied"
    facts = {"applied": applied, "seeded": seed is not None, "head": folder.head, "server": server.describe()}
    show(facts, text + (", seed run." if seed is not None else "."), as_json=arguments.json)


def verify(arguments: Arguments) -> int:
    """For CI: prove on a shadow database that the migrations are whole, equal the models, and can be taken back."""
    from michi.shadow import shadow_database
    from michi.verification import verdict_text
    from michi.verification import verify as examine

    folder = folder_of(arguments)
    models = _models(arguments) if find_models(os.environ, arguments.models, Path.cwd()) else None
    with shadow_database(target_of(arguments)) as shadow:
        verdict = examine(shadow, folder, models)
    show(verdict.as_dict(), verdict_text(verdict), as_json=arguments.json)
    return verdict.exit_code


def _models(arguments: Arguments) -> Models:
    from michi.models import load_models

    where = find_models(os.environ, arguments.models, Path.cwd())
    if where is None:
        raise ModelsInvalid(
            "It is not known where the models are.",
            'Say --models module:metadata, set MICHI_MODELS, or write models = "module:metadata" under [tool.michi] of'
            " pyproject.toml.",
        )
    return load_models(where, Path.cwd())


def _folder_if_there(arguments: Arguments) -> Folder | None:
    path = find_migrations(os.environ, arguments.migrations, Path.cwd())
    return folder_of(arguments) if path.is_dir() else None


def _questions(arguments: Arguments) -> Questions:
    from michi.questions import Questions

    return Questions(sys.stdin, sys.stderr, as_json=arguments.json)


def _say(line: str) -> None:
    """For people, beside the progress."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def _progress() -> Iterator[Emit]:
    """What happens, for people, on standard error. The closing line is the verb's own."""
    from michi.report import telling

    with telling(as_json=False) as tell:

        def emit(name: EventName, /, **facts: Any) -> None:
            if name != "done":
                tell(name, **facts)

        yield emit
