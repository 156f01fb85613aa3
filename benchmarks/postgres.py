"""The PostgreSQL server that a benchmark runs on: the embedded one, with our own defaults, for every contestant alike."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from benchmarks.process import environment, run

from kotobamichi.embedded import DATABASE, USER, find_programs, running

# Always there, unlike our own database, which the first `michi deploy` makes.
MAINTENANCE = "postgres"
STATEMENT_SECONDS = 120.0


@dataclass(frozen=True)
class Postgres:
    """A running server, reached through its socket. `folder` holds the socket."""

    folder: Path

    @property
    def psql(self) -> list[str]:
        """psql of the server's own version, without anybody's psqlrc."""
        return [str(find_programs() / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1"]

    def url(self, database: str = DATABASE) -> str:
        return f"postgresql://{USER}@/{database}?host={quote(str(self.folder), safe='')}"

    def settings(self, database: str) -> dict[str, str]:
        """For programs that read libpq's variables."""
        return {"PGHOST": str(self.folder), "PGUSER": USER, "PGDATABASE": database}

    def execute(self, *statements: str, database: str = DATABASE) -> str:
        commands = [part for statement in statements for part in ("-c", statement)]
        return run([*self.psql, "-A", "-t", "-d", self.url(database), *commands], STATEMENT_SECONDS, environment())

    def recreate_command(self, database: str) -> list[str]:
        """A command that leaves an empty database behind, whatever was there."""
        return [
            *self.psql, "-d", self.url(MAINTENANCE), "-c", f"DROP DATABASE IF EXISTS {database} WITH (FORCE)",
            "-c", f"CREATE DATABASE {database}",
        ]  # fmt: skip

    def recreate(self, database: str) -> None:
        run(self.recreate_command(database), STATEMENT_SECONDS)


@contextmanager
def server() -> Iterator[Postgres]:
    """A new cluster, gone with the block."""
    with tempfile.TemporaryDirectory(prefix="kotobamichi-bench-", ignore_cleanup_errors=True) as folder:
        data = Path(folder)
        data.chmod(0o755)  # the server may run as another user, who has to pass through
        with running(data):
            yield Postgres(data / "postgres")
