"""michi as an operator runs it: a folder of migrations, the real command in a process of its own, and its answers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import psycopg

import michi.cli
import michi.report
import michi.runner
import michi.sql
from michi.folder import read_folder, write_sum
from tests.support.event_reference import check_event

# Imported and built here once, so that a forked command finds it: see Operator.run.
michi.sql.split("SELECT 1; VACUUM", Path("up.sql"))

T = TypeVar("T")
COMMAND_SECONDS = 60.0
ROW = tuple[Any, ...]


@dataclass(frozen=True)
class Answer:
    """How a command ended and what it printed."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every line of the output, each held against docs/reference/events.md."""
        return [check_event(json.loads(line)) for line in self.stdout.splitlines()]

    def named(self, name: str) -> list[dict[str, Any]]:
        """The facts of every event of that name."""
        return [event for event in self.events if event["event"] == name]

    @property
    def error(self) -> dict[str, Any]:
        """The one error event."""
        (error,) = self.named("error")
        return error

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document of a reporting verb."""
        document: dict[str, Any] = json.loads(self.stdout)
        return document


@dataclass
class Operator:
    """Runs michi on one database and one folder of migrations, in the folder `home` where one is given."""

    url: str
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    home: Path | None = None

    def write(self, name: str, up: str | bytes, *, verify: str | None = None) -> str:
        """Puts a migration into the folder; gives its name. Does not touch michi.sum."""
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        (path / "up.sql").write_bytes(up if isinstance(up, bytes) else up.encode())
        if verify is not None:
            (path / "verify.sql").write_text(verify)
        return name

    def sum(self) -> None:
        write_sum(read_folder(self.folder))

    def command(self, *arguments: str) -> list[str]:
        verb, *options = arguments
        return [sys.executable, "-m", "michi", verb, "--migrations", str(self.folder), "--json", *options]

    @property
    def clean_environment(self) -> dict[str, str]:
        """What the shell of the developer holds is kept away, all but the way to Python."""
        return {"PATH": os.environ["PATH"], "DATABASE_URL": self.url, "MICHI_TRACE": "1", **self.environment}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """The command as a shell starts it, for tests that kill it, signal it, or run many at once."""
        return subprocess.Popen(
            self.command(*arguments),
            env=self.clean_environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=self.home,
        )

    def run(self, *arguments: str) -> Answer:
        """The command in a process forked from this one, which spares the 0.2 s of starting Python anew."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            pid = os.fork()
            if pid == 0:
                os.chdir(self.home or Path.cwd())
                _become_michi(self.command(*arguments)[3:], self.clean_environment, out.fileno(), err.fileno())
            code = _wait_for_exit(pid)
            out.seek(0)
            err.seek(0)
            return Answer(code, out.read().decode(), err.read().decode())

    def deploy(self, *options: str) -> Answer:
        return self.run("deploy", *options)

    def connect(self) -> psycopg.Connection[ROW]:
        return psycopg.connect(self.url, autocommit=True, connect_timeout=10, application_name="bystander")

    def query(self, statement: str, *parameters: object) -> list[ROW]:
        with self.connect() as connection:
            return connection.execute(statement, parameters or None).fetchall()  # type: ignore[arg-type]

    def execute(self, statement: str) -> None:
        with self.connect() as connection:
            connection.execute(statement)  # type: ignore[arg-type]

    def exists(self, relation: str) -> bool:
        return bool(self.query("SELECT to_regclass(%s) IS NOT NULL", relation)[0][0])

    def ledger(self) -> list[tuple[str, str]]:
        """(migration, verdict) of every attempt, oldest first."""
        return [(row[0], row[1]) for row in self.query("SELECT migration, verdict FROM _michi_ledger ORDER BY id")]

    def sessions(self, like: str) -> list[int]:
        """Backends of michi that now run a statement like this."""
        rows = self.query(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'michi/%%'"
            " AND state = 'active' AND query LIKE %s",
            like,
        )
        return [row[0] for row in rows]

    def wait_for_session(self, like: str) -> int:
        return wait_until(lambda: self.sessions(like), f"a session of michi that runs {like}")[0]


def finish(process: subprocess.Popen[str], seconds: float = COMMAND_SECONDS) -> Answer:
    """Waits for a started command; one that hangs is killed and fails the test."""
    try:
        stdout, stderr = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        stdout, stderr = process.communicate()
        raise AssertionError(f"still running after {seconds} s\n{stdout}\n{stderr}") from None
    return Answer(process.returncode, stdout, stderr)


def _become_michi(arguments: list[str], environment: dict[str, str], out: int, err: int) -> NoReturn:
    """In the forked child: what `python -m michi` would be. Leaves without any of the parent's clean-up."""
    code: object = 99
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode) for number, mode in enumerate("rww"))
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = ["michi", *arguments]
        michi.cli.main()
    except SystemExit as leaving:
        code = leaving.code
    except BaseException:  # noqa: BLE001 -- a traceback belongs into the answer, not into the parent
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 99)


def _wait_for_exit(pid: int) -> int:
    deadline = time.monotonic() + COMMAND_SECONDS
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError(f"still running after {COMMAND_SECONDS} s")
        time.sleep(0.005)


def kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL: no handler runs, no rollback is sent."""
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)


def wait_until(look: Callable[[], T], what: str, seconds: float = 15.0) -> T:
    """Looks until there is something to see."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"did not see {what} within {seconds} s"
        time.sleep(0.02)
    return found


@contextmanager
def holding(operator: Operator, statement: str) -> Iterator[psycopg.Connection[ROW]]:
    """Another session that has run the statement in a transaction and keeps it open."""
    with operator.connect() as connection:
        connection.execute("BEGIN")
        connection.execute(statement)  # type: ignore[arg-type]
        yield connection
        if not connection.closed:
            connection.execute("ROLLBACK")
