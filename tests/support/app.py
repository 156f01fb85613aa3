"""The app as an operator starts it: a process with an environment of its own, and a client to talk to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from kotobamichi.settings import MIGRATIONS
from michi.attempt import Options
from michi.database import connect
from michi.folder import read_folder
from michi.ledger import Origin
from michi.runner import deploy
from michi.settings import parse_url
from tests.support.servers import free_port

START_SECONDS = 30.0
STOP_SECONDS = 20.0


@dataclass
class App:
    """A running `kotobamichi` command with its settings. `output` is what it has printed so far."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    settings: dict[str, str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=20.0)

    def wait_until_alive(self) -> App:
        return self._wait("/v1/health", 200)

    def wait_until_ready(self) -> App:
        return self._wait("/v1/health/ready", 200)

    def _wait(self, path: str, status: int) -> App:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the app ended with {self.process.returncode}:\n{self.output}")
            try:
                if httpx.get(self.url + path, timeout=5.0).status_code == status:
                    return self
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"{path} did not answer {status} within {START_SECONDS:g} s:\n{self.output}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Asks the app to end and gives its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(STOP_SECONDS)


def deploy_app_schema(url: str) -> None:
    """Brings a database to the schema of this app, as the migration container does; makes the database where it is absent."""
    server = connect(parse_url(url, "test"), create=True)
    with server.connection:
        deploy(server, read_folder(MIGRATIONS), Origin("test", None, None), Options(), lambda _name, **_facts: None)


def environment(**settings: str) -> dict[str, str]:
    """What an operator's shell holds, less anything that would configure the app, plus these settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, **settings}


def kotobamichi(*arguments: str, timeout: float = 60.0, **settings: str) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    command = [sys.executable, "-m", "kotobamichi.cli", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, env=environment(**settings), check=False
    )


@contextmanager
def started(*arguments: str, **settings: str) -> Iterator[App]:
    """Starts a command that goes on, such as `serve`, on a free port; ends it after the block."""
    port = int(settings.setdefault("PORT", str(free_port())))
    settings.setdefault("HOST", "127.0.0.1")
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "output"
        with log.open("wb") as output:
            command = [sys.executable, "-m", "kotobamichi.cli", *arguments]
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=environment(**settings), start_new_session=True
            )
        app = App(process, port, log, settings)
        try:
            yield app
        finally:
            try:
                app.stop()
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
