"""PostgreSQL servers for tests: one that takes passwords over TCP, and PgBouncer before it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kotobamichi.account import server_account
from kotobamichi.embedded import find_programs

PASSWORD = "s3cret-of-the-owner"
START_SECONDS = 20.0
STOP_SECONDS = 10.0
ROOM_BYTES = 4 * 1024**3


@dataclass(frozen=True)
class Address:
    """Where a server listens, and its superuser `postgres`."""

    port: int
    host: str = "127.0.0.1"
    user: str = "postgres"
    password: str = PASSWORD

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{database}"


@contextlib.contextmanager
def folder_for_server() -> Iterator[Path]:
    """A short path, whose owner is the account that servers run under.

    In memory where there is room: a database is some hundred files, and making one for each test takes most of the time on a disk.
    """
    shared = Path("/dev/shm")
    roomy = shared.is_dir() and os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > ROOM_BYTES
    folder = Path(tempfile.mkdtemp(prefix="michi-test-", dir=shared if roomy else "/tmp"))
    try:
        server_account().give(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def as_plain_user(command: list[str]) -> list[str]:
    """PostgreSQL and PgBouncer refuse to run as root."""
    return server_account().command(command)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class PasswordServer:
    """A cluster with SCRAM passwords over TCP that can be started late, stopped and started again on its port."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> Address:
        return Address(self.port)

    def create(self) -> None:
        secret = self.folder / "password"
        secret.write_text(PASSWORD + "\n")
        subprocess.run(
            as_plain_user([
                str(find_programs() / "initdb"), "--pgdata", str(self.folder / "data"), "--username", "postgres",
                "--auth", "scram-sha-256", "--pwfile", str(secret), "--encoding", "UTF8", "--locale", "C", "--no-sync",
            ]),
            check=True, capture_output=True, timeout=60, cwd="/",
        )  # fmt: skip

    def start(self) -> None:
        """Returns when the server accepts sessions."""
        options = {
            "listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": "", "fsync": "off",
            "shared_buffers": "16MB", "max_connections": 100,
        }  # fmt: skip
        settings = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        command = [str(find_programs() / "postgres"), "-D", str(self.folder / "data"), *settings]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                as_plain_user(command), stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd="/"
            )
        wait_for_port(self.port, self.process, self.folder / "log")
        deadline = time.monotonic() + START_SECONDS
        while "ready" not in self._pid_file():
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.02)

    def _pid_file(self) -> str:
        try:
            return (self.folder / "data" / "postmaster.pid").read_text()
        except OSError:
            return ""

    def stop(self) -> None:
        """As a restart does it: open sessions are ended at once."""
        if self.process is not None:
            self.process.send_signal(2)
            self.process.wait(STOP_SECONDS)
            self.process = None


@contextlib.contextmanager
def password_server() -> Iterator[PasswordServer]:
    """A cluster that is made but not yet started."""
    with folder_for_server() as folder:
        server = PasswordServer(folder, free_port())
        server.create()
        try:
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def pgbouncer(server: Address, pool_mode: str) -> Iterator[Address]:
    """A PgBouncer before the server. Fails, and does not skip, where the program is not installed."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    assert program is not None, "PgBouncer is needed for this test: apt-get install pgbouncer"
    port = free_port()
    with folder_for_server() as folder:
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(
            f"[databases]\n* = host={server.host} port={server.port} user={server.user} password={server.password}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\npool_mode = {pool_mode}\n"
            "unix_socket_dir =\nignore_startup_parameters = extra_float_digits\n"
        )
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                as_plain_user([program, str(configuration)]), stdout=log, stderr=subprocess.STDOUT, cwd="/"
            )
        try:
            wait_for_port(port, process, folder / "log")
            yield Address(port)
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise AssertionError(f"nothing listens on port {port}: {log.read_text()}")
