"""Crash test and race of michi: real deploys, struck down at random moments, must converge with no person.

`python -m tests.michi.chaos --runs 500 --seed 7 --races 30`, or `make chaos`. A run is a database of its own; a server of its own
belongs to each worker, because a fault may be the crash of the server.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import psycopg
from psycopg import sql

from kotobamichi.embedded import find_programs
from michi.folder import read_folder, write_sum
from tests.support.servers import as_plain_user, folder_for_server

WORKERS = 4
DEPLOYS_AT_ONCE = 20
START_SECONDS = 30.0
DEPLOY_SECONDS = 90.0
LAST_TRIES = 3
RETRY_HELPS = frozenset({5, 6})
SIGKILLED = -signal.SIGKILL
KINDS = ("kill the migrator", "kill its backend", "crash the server")
WEIGHTS = (40, 35, 25)
FAULTS_OF_A_RUN = (1, 1, 1, 2, 2, 3)
SHARE_OF_ABSENT_DATABASES = 0.15
SHARE_AT_ANY_MOMENT = 0.2
# A busy machine is slower than the reference run was.
STRETCH = 1.5

ROWS = 3000
MIGRATIONS: dict[str, dict[str, str]] = {
    "20260101000000_tables": {
        "up.sql": """
CREATE TABLE words (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, word text NOT NULL, level int NOT NULL);
CREATE TABLE decks (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE);
COMMENT ON TABLE words IS '言葉; all of them';
""",
        "verify.sql": "SELECT count(*) = 0 FROM words;",
    },
    "20260102000000_fill_words": {
        "up.sql": f"""
INSERT INTO words (word, level) SELECT 'word ' || n, n % 5 FROM generate_series(1, {ROWS}) AS n;
ALTER TABLE words ADD COLUMN reading text;
UPDATE words SET reading = md5(word);
ALTER TABLE words ALTER COLUMN reading SET NOT NULL;
""",
        "verify.sql": f"SELECT count(*) = {ROWS} FROM words;\nSELECT bool_and(reading = md5(word)) FROM words;",
    },
    "20260103000000_index_alone": {"up.sql": "CREATE INDEX CONCURRENTLY words_word ON words (word, reading);"},
    "20260104000000_statement_by_statement": {
        "up.sql": """-- michi: transaction = off
ALTER TABLE words ADD COLUMN note text;
UPDATE words SET note = coalesce(note, '') || 'noted';
CREATE INDEX CONCURRENTLY words_note ON words (note, level);
DROP INDEX CONCURRENTLY words_word;
INSERT INTO decks (name) SELECT 'deck ' || n FROM generate_series(1, 100) AS n;
CREATE UNIQUE INDEX CONCURRENTLY words_word_once ON words (word);
ANALYZE words;
""",
        "verify.sql": "SELECT count(*) = 100 FROM decks;\nSELECT bool_and(note = 'noted') FROM words;",
    },
    "20260105000000_cards": {
        "up.sql": f"""
CREATE TYPE card_state AS ENUM ('new', 'learning', 'review');
CREATE TABLE cards (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    word text NOT NULL REFERENCES words (word),
    deck bigint NOT NULL,
    state card_state NOT NULL DEFAULT 'new'
);
INSERT INTO cards (word, deck) SELECT 'word ' || n, n % 100 FROM generate_series(1, {ROWS}) AS n;
ALTER TABLE cards ADD CONSTRAINT deck_is_known CHECK (deck >= 0);
""",
        "verify.sql": f"SELECT count(*) = {ROWS} FROM cards;",
    },
    "20260106000000_unique_index_alone": {
        "up.sql": "CREATE UNIQUE INDEX CONCURRENTLY cards_word_deck ON cards (word, deck);"
    },
    "20260107000000_view_and_trigger": {
        "up.sql": """
CREATE VIEW due_words AS SELECT w.word, c.state FROM words w JOIN cards c ON c.word = w.word;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.state := 'learning'; RETURN NEW; END $$;
CREATE TRIGGER touched BEFORE UPDATE ON cards FOR EACH ROW EXECUTE FUNCTION touch();
UPDATE cards SET deck = deck + 1 WHERE deck < 50;
""",
    },
    "20260108000000_clean_up": {
        "up.sql": """-- michi: transaction = off
CREATE INDEX CONCURRENTLY cards_state ON cards (state);
VACUUM (ANALYZE) cards;
DROP INDEX CONCURRENTLY words_note;
DELETE FROM decks WHERE id % 2 = 0;
""",
    },
    # Its effect tells how often a row was changed.
    "20260109000000_backfill": {
        "up.sql": """-- michi: backfill = 250
-- michi: backfill_pause = 5ms
UPDATE words SET level = level + 10;
""",
        "verify.sql": "SELECT bool_and(level BETWEEN 10 AND 14) FROM words;",
    },
}
NAMES = tuple(MIGRATIONS)
# What the data must be, whatever numbers an identity column has handed out to attempts that were undone.
CONTENT = """
SELECT (SELECT (count(*), sum(hashtext(word || reading || note || level)))::text FROM words),
       (SELECT count(*)::text FROM decks),
       (SELECT (count(*), sum(hashtext(word || deck || state)))::text FROM cards)
"""
INVALID_INDEXES = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT (indisvalid AND indisready AND indislive)"
LEDGER = "SELECT migration, verdict, statements_done, statements_total, finished_at FROM _michi_ledger ORDER BY id"


def say(text: str) -> None:
    """A line for the person who watches, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class NotConverged(AssertionError):
    """A run that ended otherwise than it must; the text says how."""


@dataclass
class Cluster:
    """A PostgreSQL that is reached through a socket only its owner can open, and may crash at any moment."""

    programs: Path
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def create(self) -> None:
        subprocess.run(
            as_plain_user([
                str(self.programs / "initdb"), "--pgdata", str(self.data), "--username", "postgres", "--auth", "trust",
                "--encoding", "UTF8", "--locale", "C", "--no-sync",
            ]),
            check=True, capture_output=True, timeout=60, cwd="/",
        )  # fmt: skip

    def start(self) -> None:
        """Returns when the server accepts sessions."""
        options = {
            "listen_addresses": "", "unix_socket_directories": self.folder, "fsync": "off", "shared_buffers": "16MB",
            "max_connections": 60, "log_statement": "ddl",
        }  # fmt: skip
        settings = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                as_plain_user([str(self.programs / "postgres"), "-D", str(self.data), *settings]),
                stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd="/",
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"PostgreSQL did not start:\n{(self.folder / 'log').read_text()[-4000:]}")
            time.sleep(0.01)

    def _is_ready(self) -> bool:
        """The eighth line of postmaster.pid says so; the first tells this server from the one that crashed."""
        assert self.process is not None
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0].strip() == str(self.process.pid) and lines[7].strip() == "ready"

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT is the mode `fast` of pg_ctl, SIGQUIT the mode `immediate`: no checkpoint, no farewell."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(START_SECONDS)
            self.process = None

    def crash(self) -> None:
        self.stop(signal.SIGQUIT)

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.url(database), autocommit=True, connect_timeout=10, application_name="bystander")

    def create_database(self, name: str) -> None:
        with self.connect() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE template0 STRATEGY FILE_COPY").format(sql.Identifier(name))
            )

    def drop_database(self, name: str) -> None:
        with self.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextlib.contextmanager
def clusters(count: int, programs: Path) -> Iterator[list[Cluster]]:
    """Running servers; the first is made, the others are copies of it."""
    with contextlib.ExitStack() as stack:
        made: list[Cluster] = []
        for _ in range(count):
            cluster = Cluster(programs, stack.enter_context(folder_for_server()))
            if made:
                subprocess.run(["cp", "-a", str(made[0].data), str(cluster.data)], check=True)
            else:
                cluster.create()
            made.append(cluster)
        for cluster in made:
            stack.callback(cluster.stop, signal.SIGQUIT)
            cluster.start()
        yield made


def write_migrations(folder: Path) -> None:
    for name, files in MIGRATIONS.items():
        (folder / name).mkdir(parents=True)
        for file, content in files.items():
            (folder / name / file).write_text(content)
    write_sum(read_folder(folder))


class Deploy:
    """A `michi deploy` process and what it has told so far."""

    def __init__(self, url: str, folder: Path) -> None:
        self.began = time.monotonic()
        self.events: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 -- closed with the process's end, in finish
        self.process = subprocess.Popen(
            [sys.executable, "-m", "michi", "deploy", "--migrations", str(folder), "--json"],
            env={"PATH": os.environ["PATH"], "DATABASE_URL": url, "MICHI_TRACE": "1"},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors,
        )  # fmt: skip
        self.complaint = ""
        self.watchdog = threading.Timer(DEPLOY_SECONDS, self.process.kill)
        self.watchdog.daemon = True
        self.watchdog.start()

    def read_event(self) -> dict[str, Any] | None:
        """The next event; None once the process has ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.endswith(b"\n"):  # the end, or what SIGKILL left of a line
            return None
        event: dict[str, Any] = json.loads(line)
        self.events.append(event)
        self.times.append(time.monotonic())
        return event

    def finish(self) -> int:
        """Waits for the process; gives its exit code."""
        while self.read_event() is not None:
            pass
        code = self.process.wait()
        hung = not self.watchdog.is_alive()
        self.watchdog.cancel()
        assert self.process.stdout is not None
        self.process.stdout.close()
        with self.errors:
            self.errors.seek(0)
            self.complaint = self.errors.read().decode(errors="replace")
        if hung:
            raise NotConverged(f"a deploy hung for {DEPLOY_SECONDS} s; {self.told()}")
        return code

    def told(self) -> str:
        lines = [json.dumps(event, ensure_ascii=False) for event in self.events]
        return "its events:\n  " + "\n  ".join(lines) + f"\nits standard error:\n{self.complaint}"


@dataclass(frozen=True)
class Reference:
    """What an undisturbed deploy ends at, and how long it takes: in all, and each migration, in seconds."""

    dump: str
    content: tuple[str, ...]
    seconds: float
    seconds_of: dict[str, float]


@dataclass
class Run:
    """One database, some faults, and then a deploy that must succeed."""

    number: int
    cluster: Cluster
    folder: Path
    reference: Reference
    random: random.Random
    done: list[str] = field(default_factory=list)
    landed: list[tuple[str, str]] = field(default_factory=list)

    @property
    def database(self) -> str:
        return f"run_{self.number}"

    def execute(self) -> None:
        """Raises NotConverged. The database is dropped where all went well."""
        if self.random.random() >= SHARE_OF_ABSENT_DATABASES:
            self.cluster.create_database(self.database)
        for _ in range(self.random.choice(FAULTS_OF_A_RUN)):
            self._strike_a_deploy()
        self._deploy_until_done()
        self._compare()
        self.cluster.drop_database(self.database)

    def _strike_a_deploy(self) -> None:
        kind = self.random.choices(KINDS, WEIGHTS)[0]
        deploy = Deploy(self.cluster.url(self.database), self.folder)
        moment = self._wait_for_moment(deploy)
        seconds = time.monotonic() - deploy.began
        struck_at = self._strike(kind, deploy)
        code = deploy.finish()
        where = self._where_it_landed(deploy, struck_at)
        self.done.append(f"{kind} after {seconds:.3f} s, {moment}; it landed {where}; the deploy ended with {code}")
        self.landed.append((kind, where))
        if code not in {0, SIGKILLED, *RETRY_HELPS}:
            raise NotConverged(f"a deploy that was struck ended with {code}; {deploy.told()}")

    def _wait_for_moment(self, deploy: Deploy) -> str:
        """Any moment of the process's life, or one within a pending migration, so that each is hit equally often."""
        if self.random.random() < SHARE_AT_ANY_MOMENT:
            time.sleep(self.random.uniform(0, self.reference.seconds))
            return "at any moment"
        choice, part = self.random.random(), self.random.random()
        while (event := deploy.read_event()) is not None:
            if event["event"] == "plan":
                name = event["pending"][int(choice * len(event["pending"]))]
            elif event["event"] == "migration_started" and event["migration"] == name:
                delay = part * STRETCH * self.reference.seconds_of[name]
                time.sleep(delay)
                return f"{delay:.3f} s into {name}"
        return "after its end"

    def _strike(self, kind: str, deploy: Deploy) -> str | None:
        """When there was something to strike: the time at which it was, as the events tell theirs."""
        if kind == "kill its backend" and not self._end_its_sessions(deploy):
            return None
        running = kind == "kill its backend" or deploy.process.poll() is None
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        if kind == "kill the migrator":
            deploy.process.kill()
        elif kind == "crash the server":
            self.cluster.crash()
            self.cluster.start()
        return at if running else None

    def _end_its_sessions(self, deploy: Deploy) -> bool:
        """Waits until it has connected, should it not have; False where it ended before."""
        with self.cluster.connect() as connection:
            while deploy.process.poll() is None:
                if connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'michi/%'"
                ).fetchall():
                    return True
                time.sleep(0.002)
        return False

    def _where_it_landed(self, deploy: Deploy, struck_at: str | None) -> str:
        told = [event["event"] for event in deploy.events if struck_at and event["at"] <= struck_at]
        if struck_at is None or "done" in told:
            return "after the last"
        if "plan" not in told:
            return "before the first"
        newest = {row[0]: row for row in self._ledger()}
        name = next((name for name in NAMES if name not in newest or newest[name][1] != "applied"), None)
        if name is None:
            return "after the last"
        if told[-1] == "migration_applied":
            return f"between, before {name}"
        half = f", after statement {newest[name][2]}" if name in newest and newest[name][1] == "partial" else ""
        return f"in {name}{half}"

    def _ledger(self) -> list[tuple[Any, ...]]:
        try:
            with self.cluster.connect(self.database) as connection:
                return connection.execute(LEDGER).fetchall()
        except (psycopg.errors.UndefinedTable, psycopg.OperationalError):
            return []

    def _deploy_until_done(self) -> None:
        for _ in range(LAST_TRIES):
            deploy = Deploy(self.cluster.url(self.database), self.folder)
            code = deploy.finish()
            self.done.append(f"undisturbed deploy, which ended with {code}")
            if code == 0:
                return
            if code not in RETRY_HELPS:
                raise NotConverged(f"an undisturbed deploy ended with {code}; {deploy.told()}")
        raise NotConverged(f"{LAST_TRIES} undisturbed deploys did not do; the last: {deploy.told()}")

    def _compare(self) -> None:
        if (found := dump_schema(self.cluster, self.database)) != self.reference.dump:
            raise NotConverged(f"the schema is not the reference's:\n{found}")
        with self.cluster.connect(self.database) as connection:
            if (content := connection.execute(CONTENT).fetchone()) != self.reference.content:
                raise NotConverged(f"the rows are {content}, not {self.reference.content}")
            if invalid := connection.execute(INVALID_INDEXES).fetchall():
                raise NotConverged(f"invalid indexes: {invalid}")
            ledger = connection.execute(LEDGER).fetchall()
        for name in NAMES:
            attempts = [row for row in ledger if row[0] == name]
            verdicts = [row[1] for row in attempts]
            if verdicts.count("applied") != 1 or verdicts[-1] != "applied" or {*verdicts[:-1]} - {"partial", "undone"}:
                raise NotConverged(f"the ledger has {verdicts} for {name}")
            _, _, statements_done, total, finished_at = attempts[-1]
            if statements_done != total or finished_at is None:
                raise NotConverged(f"the ledger has {attempts[-1]} as the last row")
        if {row[0] for row in ledger} != set(NAMES):
            raise NotConverged(f"the ledger has other migrations: {ledger}")


def dump_schema(cluster: Cluster, database: str) -> str:
    """pg_dump's text without the key that is drawn anew for each dump."""
    done = subprocess.run(
        [str(cluster.programs / "pg_dump"), "--schema-only", cluster.url(database)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return "\n".join(line for line in done.stdout.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))


def measure_reference(cluster: Cluster, folder: Path) -> Reference:
    cluster.create_database("reference")
    deploy = Deploy(cluster.url("reference"), folder)
    code = deploy.finish()
    seconds = time.monotonic() - deploy.began
    if code != 0:
        raise NotConverged(f"the reference deploy ended with {code}; {deploy.told()}")
    starts = {
        e["migration"]: at
        for e, at in zip(deploy.events, deploy.times, strict=True)
        if e["event"] == "migration_started"
    }
    ends = {
        e["migration"]: at
        for e, at in zip(deploy.events, deploy.times, strict=True)
        if e["event"] == "migration_applied"
    }
    with cluster.connect("reference") as connection:
        content = connection.execute(CONTENT).fetchone()
    assert content is not None
    seconds_of = {name: ends[name] - starts[name] for name in NAMES}
    return Reference(dump_schema(cluster, "reference"), content, seconds, seconds_of)


@dataclass
class Chaos:
    """The runs of one seed: where faults landed, and which runs did not converge."""

    seed: int
    landed: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    finished: int = 0

    def execute(self, servers: Sequence[Cluster], numbers: Sequence[int], folder: Path, *, progress: bool) -> None:
        reference = measure_reference(servers[0], folder)
        free: SimpleQueue[Cluster] = SimpleQueue()
        for cluster in servers:
            free.put(cluster)
        lock = threading.Lock()

        def work(number: int) -> None:
            cluster = free.get()
            run = Run(number, cluster, folder, reference, random.Random(f"{self.seed}/{number}"))
            failure = None
            try:
                run.execute()
            except Exception as error:  # noqa: BLE001 -- whatever it was, it belongs to this run and its story
                failure = f"run {number} of seed {self.seed}: {type(error).__name__}: {error}\nwhat was done:\n  " + (
                    "\n  ".join(run.done)
                )
            finally:
                free.put(cluster)
            with lock:
                self.finished += 1
                self.landed.update(run.landed)
                if failure is not None:
                    self.failures.append(failure)
                    say(failure)
                if progress and self.finished % 50 == 0:
                    say(f"{self.finished} runs, {len(self.failures)} failed")

        with ThreadPoolExecutor(len(servers)) as pool:
            list(pool.map(work, numbers))

    def histogram(self) -> str:
        """Where the faults landed, by the ledger that they left."""
        rows = sorted({where for _, where in self.landed}, key=_place)
        lines = [f"{'where it landed':58}" + "".join(f"{kind:>20}" for kind in KINDS)]
        lines += [f"{where:58}" + "".join(f"{self.landed[kind, where]:>20}" for kind in KINDS) for where in rows]
        totals = [sum(count for (kind, _), count in self.landed.items() if kind == wanted) for wanted in KINDS]
        return "\n".join([*lines, f"{'in all':58}" + "".join(f"{total:>20}" for total in totals)])


def _place(where: str) -> tuple[int, str]:
    """Before, then by migration: before it, in it; then after."""
    name = next((name for name in NAMES if name in where), "")
    rank = 0 if where.startswith("before") else 2 if where.startswith("after") else 1
    return rank, f"{name} {where}"


def run_chaos(runs: int, seed: int, *, only: int | None = None, progress: bool = False) -> Chaos:
    """Executes the runs on servers of their own; failures are printed as they happen, and kept."""
    chaos = Chaos(seed)
    numbers = range(runs) if only is None else [only]
    with clusters(min(WORKERS, len(numbers)), find_programs()) as servers, tempfile.TemporaryDirectory() as folder:
        write_migrations(Path(folder))
        chaos.execute(servers, numbers, Path(folder), progress=progress)
        if chaos.failures:
            kept = Path(tempfile.mkdtemp(prefix="michi-chaos-logs-"))
            for index, cluster in enumerate(servers):
                shutil.copy(cluster.folder / "log", kept / f"postgresql-{index}.log")
            say(f"the servers' logs are in {kept}")
    return chaos


def race(url: str, folder: Path) -> None:
    """Many deploys at once on a fresh database: one applies, the others find nothing to do, all end with 0."""
    deploys = [Deploy(url, folder) for _ in range(DEPLOYS_AT_ONCE)]
    codes = [deploy.finish() for deploy in deploys]
    if set(codes) != {0}:
        told = "\n".join(deploy.told() for deploy, code in zip(deploys, codes, strict=True) if code != 0)
        raise NotConverged(f"the deploys ended with {codes}\n{told}")
    applied = sorted(event["applied"] for deploy in deploys for event in deploy.events if event["event"] == "done")
    if applied != [0] * (DEPLOYS_AT_ONCE - 1) + [len(NAMES)]:
        raise NotConverged(f"the deploys applied {applied}")
    with psycopg.connect(url) as connection:
        ledger = [row[:2] for row in connection.execute(LEDGER)]
        invalid = connection.execute(INVALID_INDEXES).fetchall()
    if ledger != [(name, "applied") for name in NAMES] or invalid:
        raise NotConverged(f"the ledger has {ledger}, and these indexes are invalid: {invalid}")


def run_races(times: int) -> None:
    """Raises NotConverged at the first race that somebody lost."""
    with clusters(1, find_programs()) as (cluster,), tempfile.TemporaryDirectory() as folder:
        write_migrations(Path(folder))
        for number in range(times):
            cluster.create_database(f"race_{number}")
            race(cluster.url(f"race_{number}"), Path(folder))
            cluster.drop_database(f"race_{number}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--races", type=int, default=30)
    parser.add_argument("--only", type=int, metavar="RUN", help="one run of the seed, by its number")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1_000_000)
    began = time.monotonic()
    say(f"chaos: {given.runs} runs, seed {seed}")
    chaos = run_chaos(given.runs, seed, only=given.only, progress=True)
    say(chaos.histogram())
    say(
        f"{chaos.finished} runs, {chaos.landed.total()} faults, {len(chaos.failures)} runs that did not converge,"
        f" seed {seed}, {time.monotonic() - began:.0f} s"
    )
    if given.only is None and given.races:
        began = time.monotonic()
        run_races(given.races)
        say(
            f"{given.races} races of {DEPLOYS_AT_ONCE} deploys: one applied each time, all ended with 0,"
            f" {time.monotonic() - began:.0f} s"
        )
    return 1 if chaos.failures else 0


if __name__ == "__main__":
    sys.exit(main())
