"""The contestants: how each is installed and called. All get the same server, through the same socket."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.postgres import Postgres
from benchmarks.process import CACHE, INSTALL_SECONDS, SCRIPTS, environment, require, run

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Tool:
    """`deploy` applies what is pending; `idle` is what is timed when nothing is, and differs for psql alone."""

    name: str
    deploy: tuple[str, ...]
    idle: tuple[str, ...]
    env: dict[str, str]
    folder: Path


def install() -> Path:
    """A folder in the cache with the peers at their pinned versions; made anew when a pin changes."""
    folder = CACHE / "migrate"
    pins = [HERE / name for name in ("requirements.txt", "package.json")]
    state = sys.version + "".join(path.read_text() for path in pins)
    stamp = folder / "built-from"
    if not stamp.is_file() or stamp.read_text() != state:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for path in pins:
            shutil.copy(path, folder)
        run([sys.executable, "-m", "venv", str(folder / "venv")], INSTALL_SECONDS)
        pip = [str(folder / "venv" / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-input"]
        run([*pip, "--only-binary", ":all:", "--require-hashes", "-r", "requirements.txt"], INSTALL_SECONDS, cwd=folder)
        # Not `npm ci`: a lock file would have to list dbmate's binary for every platform, and its one version is pinned anyway.
        npm = [require("npm"), "install", "--no-package-lock", "--no-audit", "--no-fund"]
        run(npm, INSTALL_SECONDS, cwd=folder)
        stamp.write_text(state)
    return folder


def versions(installed: Path) -> dict[str, str]:
    listed = run([str(installed / "venv" / "bin" / "python"), "-m", "pip", "list", "--format", "freeze"], 60)
    found = dict(line.split("==") for line in listed.splitlines() if "==" in line)
    dbmate = run([str(_dbmate(installed)), "--version"], 30).split()[-1]
    names = ("alembic", "SQLAlchemy", "Django", "psycopg")
    return {name.lower(): found[name] for name in names} | {"dbmate": dbmate}


def contestants(installed: Path, postgres: Postgres, folder: Path, database: str) -> list[Tool]:
    """Every tool on `database`, with the migrations that folders.write_all has put below `folder`."""
    python = str(installed / "venv" / "bin" / "python")
    url = postgres.url(database)
    settings = postgres.settings(database)
    psql = (*postgres.psql, "-d", url)
    return [
        _same("michi", (str(SCRIPTS / "michi"), "deploy"), {"DATABASE_URL": url, "MICHI_MIGRATIONS": "migrations"}, folder),
        Tool("psql", (*psql, "-f", "all.sql"), (*psql, "-c", "SELECT 1"), environment(), folder / "psql"),
        _same(
            "alembic", (str(installed / "venv" / "bin" / "alembic"), "upgrade", "head"),
            {"SQLALCHEMY_URL": url.replace("postgresql://", "postgresql+psycopg://")}, folder,
        ),
        _same("django", (python, "manage.py", "migrate", "--no-input", "-v", "1"), settings, folder),
        # Without the schema dump, which would start pg_dump: none of the others makes one.
        _same(
            "dbmate", (str(_dbmate(installed)), "--migrations-dir", ".", "--no-dump-schema", "migrate"),
            {"DATABASE_URL": f"postgres://{settings['PGUSER']}@/{database}?socket={settings['PGHOST']}"}, folder,
        ),
    ]  # fmt: skip


def _same(name: str, command: tuple[str, ...], env: dict[str, str], folder: Path) -> Tool:
    return Tool(name, command, command, environment(**env), folder / name)


def _dbmate(installed: Path) -> Path:
    """The binary itself; the package's own starter would add the start of Node to every run."""
    return next(path for path in (installed / "node_modules" / "@dbmate").glob("*/bin/dbmate") if path.is_file())
