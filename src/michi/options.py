"""Options that several verbs share, and what they stand for."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from michi.command import Arguments, Option, option
from michi.settings import Target, find_migrations, find_target

if TYPE_CHECKING:
    from michi.folder import Folder

FOLDER = option("--migrations", type=Path, metavar="FOLDER", help="the migrations folder (default: ./migrations)")
FROM_STDIN = option("--database-url-stdin", action="store_true", help="read the database URL from standard input")
MODELS = option(
    "--models",
    metavar="MODULE:NAME",
    help="the SQLAlchemy MetaData (default: `models` of [tool.michi] in pyproject.toml)",
)


def duration(name: str, default: str, text: str) -> Option:
    return option(name, default=default, metavar="TIME", help=f"{text} (default: {default})")


def folder_of(arguments: Arguments) -> Folder:
    from michi.folder import read_folder  # noqa: PLC0415 -- verbs import what they need

    return read_folder(find_migrations(os.environ, arguments.migrations, Path.cwd()))


def target_of(arguments: Arguments) -> Target:
    return find_target(os.environ, sys.stdin if arguments.database_url_stdin else None)
