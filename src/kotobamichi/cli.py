"""The command line: start everything, serve, load words, make administrators. Short functions; the work is elsewhere."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from kotobamichi import __version__
from kotobamichi.errors import PortInUse
from kotobamichi.settings import Settings, data_folder, has_database, read_port, read_settings
from michi import command
from michi.command import Arguments, Commands, option
from michi.errors import ConfigurationMissing, DatabaseUnreachable, MichiError, MigrationsPending

commands = Commands(
    "kotobamichi", "KotobaMichi (言葉道): a self-hosted backend for learning Japanese vocabulary.", __version__
)

STOP_SECONDS = 20


@commands.verb("up")
def up(_arguments: Arguments) -> None:
    """Start everything: PostgreSQL (embedded, unless DATABASE_URL is set), migrations, vocabulary, the API."""
    environ = os.environ
    _refuse_port_in_use(environ.get("HOST") or "0.0.0.0", read_port(environ))  # noqa: S104 -- see settings.py
    with _database(environ) as where:
        settings = read_settings(environ)
        _say(f"PostgreSQL: {where}")
        _migrate(settings)
        _load_words(settings)
        _create_administrator(settings)
        _announce(settings)
        _serve(settings)
    _say("Stopped.")


@commands.verb("serve")
def serve(_arguments: Arguments) -> None:
    """Serve the API. Waits for the schema that the migration container brings; ready says 503 until then."""
    settings = read_settings(os.environ)
    _refuse_port_in_use(settings.host, settings.port)
    obstacle = _find_obstacle(settings)
    if obstacle is not None and not isinstance(obstacle, MigrationsPending | DatabaseUnreachable):
        raise obstacle  # waiting will not make it right
    _say(
        f"KotobaMichi {__version__} on http://{settings.host}:{settings.port}/v1, database {settings.target.describe()}"
    )
    _serve(settings)
    if obstacle is not None and (obstacle := _find_obstacle(settings)) is not None:
        raise obstacle  # the server gave up waiting: this is why


@commands.verb("words load")
def load_words(_arguments: Arguments) -> None:
    """Load the JLPT vocabulary, or what is missing of it."""
    from kotobamichi.words.imports import load_vocabulary

    settings = _settings_for_command()
    with _progress("Loading words") as told:
        stored = load_vocabulary(settings.target, again=True, told=told)
    if stored is not None:
        print(f"{stored.total} words: {stored.imported} new, {stored.duplicates} already there.")


@commands.verb("words import", option("file", metavar="FILE", help="a CSV in UTF-8; - reads standard input"))
def import_words(arguments: Arguments) -> int:
    """Import words from a CSV. Good rows are stored, in one transaction; exit code 1 says that others were not.

    The first row names the columns: Kanji, Hiragana (needed), Romaji, English (needed), Level, PronunciationURL, Topic, Part of
    Speech, Katakana. A word that is there already is passed over.
    """
    from kotobamichi.words.files import import_words

    report = import_words(_settings_for_command().target, arguments.file)
    for detail in report.error_details:
        print(detail, file=sys.stderr)
    print(
        f"{report.total} rows: {report.imported} new words, {report.duplicates} already there, {report.errors} with errors."
    )
    return 1 if report.errors else 0


@commands.verb(
    "words export", option("file", metavar="FILE", nargs="?", default="-", help="standard output if not given")
)
def export_words(arguments: Arguments) -> None:
    """Write all words as a CSV that import reads back.

    Values are written exactly as they are, also those that a spreadsheet would take for formulas.
    """
    from kotobamichi.words.files import export_words

    count = export_words(_settings_for_command().target, arguments.file)
    print(f"{count} words exported.", file=sys.stderr)


@commands.verb("admin create")
def create_admin(_arguments: Arguments) -> None:
    """Make the first administrator; ADMIN_EMAIL and ADMIN_PASSWORD may say who. A made-up password is shown once."""
    if not _create_administrator(_settings_for_command()):
        print("There is an administrator already; nothing was changed.")


@contextmanager
def _database(environ: Any) -> Iterator[str]:
    """The configured database, or an embedded one that lives as long as this command."""
    if has_database(environ):
        yield read_settings(environ).target.describe()
        return
    if environ.get("APP_ENV") == "production":
        raise ConfigurationMissing(
            "No database is configured, and in production it must be.", "Set DATABASE_URL or DATABASE_URL_FILE."
        )
    from kotobamichi.embedded import running

    folder = data_folder(environ, Path.cwd())
    _say(
        "Starting PostgreSQL ..."
        if (folder / "postgres").exists()
        else f"Creating a PostgreSQL cluster in {folder} ..."
    )
    with running(folder) as url:
        environ["DATABASE_URL"] = url  # for this process and the server's workers
        yield f"embedded, data in {folder}"


def _migrate(settings: Settings) -> None:
    from michi.attempt import Options
    from michi.database import connect
    from michi.folder import read_folder
    from michi.ledger import Origin
    from michi.report import emitter
    from michi.runner import deploy
    from michi.settings import find_target

    # A separate, direct URL for migrations counts here too.
    target = find_target(os.environ) if os.environ.get("MIGRATION_DATABASE_URL") else settings.target
    server = connect(target, wait_seconds=60, create=True)
    with server.connection:
        origin = Origin.from_environment(
            {"MICHI_APP_NAME": "kotobamichi", "MICHI_APP_VERSION": __version__, **os.environ}
        )
        deploy(server, read_folder(settings.migrations), origin, Options(), emitter(as_json=False))


def _load_words(settings: Settings) -> None:
    from kotobamichi.words.imports import load_vocabulary

    with _progress("Loading words") as told:
        stored = load_vocabulary(settings.target, again=False, told=told)
    if stored is not None:
        _say(f"Loaded {stored.imported} words, N5 to N1.")


def _create_administrator(settings: Settings) -> bool:
    from kotobamichi.accounts.administrators import create_first_administrator
    from michi.settings import read_secret

    created = create_first_administrator(
        settings.target, os.environ.get("ADMIN_EMAIL"), read_secret(os.environ, "ADMIN_PASSWORD")
    )
    if created is None:
        return False
    _say(f"Administrator: {created.email}")
    if created.password is not None:
        _say(f"Password:      {created.password}   (shown only this once)")
    return True


def _announce(settings: Settings) -> None:
    base = f"http://localhost:{settings.port}/v1"
    _say("")
    _say(f"  KotobaMichi {__version__} serves on {base}")
    _say(f"  Documentation   {base}/docs")
    _say(f"  Try             curl '{base}/words?search=water&limit=3'")
    _say(f"                  curl '{base}/words?level=N5&limit=5'")
    _say("  Ctrl-C stops all of it; the data stays.")
    _say("")


def _serve(settings: Settings) -> None:
    """Runs the server until a signal ends it; requests in flight are answered first."""
    from granian.constants import HTTPModes, Interfaces, Loops
    from granian.log import LogLevels
    from granian.server import Server

    from kotobamichi.logs import configuration

    if settings.tokens.secret is None:
        os.environ["JWT_SECRET"] = secrets.token_urlsafe(48)  # one for all workers
        _say("JWT_SECRET is not set: logins end when this server stops.")
    server = Server(
        "kotobamichi.app:create_app_from_environment",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        workers=settings.workers,
        workers_kill_timeout=STOP_SECONDS,
        factory=True,
        http=HTTPModes.http1,
        loop=Loops.auto,
        websockets=False,
        log_enabled=True,
        log_level=LogLevels.warning,
        log_dictconfig=configuration(),
        process_name=None,
    )
    # The server handles SIGINT and SIGTERM itself and returns.
    server.serve()


def _refuse_port_in_use(host: str, port: int) -> None:
    """Binds as the server will: with SO_REUSEADDR, so that connections of an earlier run do not count."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortInUse(
                f"Port {port} on {host} cannot be used: {error.strerror}.", "Stop the program that has it, or set PORT."
            ) from None


def _settings_for_command() -> Settings:
    """Raises what keeps a command from using the database."""
    settings = read_settings(os.environ)
    if (obstacle := _find_obstacle(settings)) is not None:
        raise obstacle
    return settings


def _find_obstacle(settings: Settings) -> MichiError | None:
    """What keeps this app from using the database: too new for it, behind it, away. None where all is well."""
    from michi.database import connect
    from michi.folder import read_folder
    from michi.ledger import read_ledger
    from michi.plan import check, compare

    folder = read_folder(settings.migrations)
    try:
        server = connect(settings.target)
        with server.connection:
            return check(compare(folder, read_ledger(server.connection, settings.target.schema)))
    except MichiError as error:
        return error


@contextmanager
def _progress(title: str) -> Iterator[Any]:
    """A counter on a terminal, silence elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _count: None
        return

    def told(count: int) -> None:
        if count % 200 == 0:
            print(f"\r{title} ... {count}", end="", file=sys.stderr, flush=True)

    try:
        yield told
    finally:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _say(text: str) -> None:
    print(text, flush=True)


def main() -> NoReturn:
    """The `kotobamichi` command."""
    command.main(commands)


if __name__ == "__main__":
    main()
