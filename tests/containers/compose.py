"""Compose stacks of the real files on a real engine, each a project of its own. What is expected of them is in the tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
WORDS = 8334
COMMAND_SECONDS = 300.0
# Generous: other programs may have the machine's processors.
START_SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    """How a command ended. `output` is both streams, for messages."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


def docker(
    *arguments: str, env: dict[str, str] | None = None, check: bool = True, cwd: Path | None = None, stdin: str = ""
) -> Answer:
    """Runs docker with an environment that holds no setting of this project but those given."""
    keep = (
        "PATH",
        "HOME",
        "XDG_RUNTIME_DIR",
        "DOCKER_HOST",
        "DOCKER_CONTEXT",
        "DOCKER_CONFIG",
        "DOCKER_CERT_PATH",
        "DOCKER_TLS_VERIFY",
    )
    environment = {name: os.environ[name] for name in keep if name in os.environ} | (env or {})
    started = time.monotonic()
    done = subprocess.run(
        ["docker", *arguments], env=environment, cwd=cwd, input=stdin, capture_output=True, text=True,
        timeout=COMMAND_SECONDS, check=False,
    )  # fmt: skip
    answer = Answer(done.returncode, done.stdout, done.stderr, time.monotonic() - started)
    assert not check or answer.code == 0, f"docker {' '.join(arguments)} ended with {answer.code}\n{answer.output}"
    return answer


def why_no_engine() -> str | None:
    """None where containers can run, else a reason in a few words."""
    if shutil.which("docker") is None:
        return "there is no docker command"
    if docker("info", check=False).code != 0:
        return "no Docker engine answers"
    if docker("compose", "version", check=False).code != 0:
        return "docker has no compose plugin"
    return None


def inspect(thing: str) -> dict[str, Any]:
    """Everything that the engine knows of a container, image or network."""
    return dict(json.loads(docker("inspect", thing).stdout)[0])


def wait_until(look: Callable[[], T], what: str, seconds: float = START_SECONDS) -> T:
    """Looks until there is something to see."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"did not see {what} within {seconds:g} s"
        time.sleep(0.1)
    return found


@dataclass
class Stack:
    """One Compose project. Port 0 lets the engine choose: two runs at once never ask for the same one."""

    files: Sequence[Path]
    settings: dict[str, str]
    name: str = field(default_factory=lambda: f"kotobamichi-test-{uuid.uuid4().hex[:8]}")

    def compose(self, *arguments: str, check: bool = True, files: Sequence[Path] = ()) -> Answer:
        """Runs `docker compose`. An .env of the developer counts for nothing here."""
        chosen = [part for path in (*self.files, *files) for part in ("--file", str(path))]
        options = ["--project-name", self.name, "--env-file", os.devnull, "--ansi", "never", "--progress", "plain"]
        env = {"PORT": "0", "DATABASE_PUBLISHED_PORT": "0", **self.settings}
        return docker("compose", *options, *chosen, *arguments, env=env, check=check, cwd=self.files[0].parent)

    def up(self, *arguments: str, check: bool = True, files: Sequence[Path] = ()) -> Answer:
        return self.compose("up", "--detach", "--no-build", *arguments, check=check, files=files)

    def down(self) -> None:
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "3", check=False)

    def logs(self, *services: str) -> str:
        return self.compose("logs", "--no-color", *services, check=False).output

    def container(self, service: str) -> str:
        """Its id, also when it has ended."""
        return self.compose("ps", "--all", "--quiet", service).stdout.strip()

    def inspect(self, service: str) -> dict[str, Any]:
        return inspect(self.container(service))

    def state(self, service: str) -> dict[str, Any]:
        return dict(self.inspect(service)["State"])

    def run_seconds(self, service: str) -> float:
        """How long its last run took by the engine's clock, without the engine's own work around it."""
        state = self.state(service)
        started, finished = (datetime.fromisoformat(state[key][:23] + "+00:00") for key in ("StartedAt", "FinishedAt"))
        return (finished - started).total_seconds()

    def is_healthy(self, service: str) -> bool:
        return bool(self.state(service)["Health"]["Status"] == "healthy")

    def url(self, path: str) -> str:
        return f"http://{self.compose('port', 'app', '3000').stdout.strip()}/v1{path}"

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url(path), timeout=10)

    def find_status(self, url: str) -> int | None:
        """The status of an answer, None where nothing answers yet."""
        try:
            return httpx.get(url, timeout=10).status_code
        except httpx.TransportError:
            return None

    def wait_until_ready(self) -> None:
        url = self.url("/health/ready")
        wait_until(lambda: self.find_status(url) == 200, "a ready app")

    def wait_for_words(self, base: str = "") -> int:
        """How many words there are once all have been loaded; `base` is another app's URL than this stack's."""
        url = f"{base}/words?limit=1" if base else self.url("/words?limit=1")
        wait_until(lambda: httpx.get(url, timeout=10).json()["pagination"]["total"] == WORDS, f"{WORDS} words")
        return int(httpx.get(url, timeout=10).json()["pagination"]["total"])
