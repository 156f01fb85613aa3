"""Running other programs: to the end, under hyperfine, or as a server that is always stopped. What is measured is elsewhere."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SCRIPTS = Path(sys.executable).parent
# Tools and the builds of peers, kept between runs. Never inside the repository.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kotobamichi-benchmarks"
HOST = "127.0.0.1"
POLL_SECONDS = 0.01
STOP_SECONDS = 20.0
INSTALL_SECONDS = 600.0
# Without compiled modules every start of a Python program would compile its source: nobody's deploy does that.
LEFT_OUT = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONSTARTUP", "NODE_OPTIONS")
OWN_SETTINGS = ("DATABASE_", "MIGRATION_", "MICHI_", "KOTOBAMICHI_", "PG", "DBMATE_", "DJANGO_", "REDIS_")


class BenchmarkFailed(Exception):
    """A program that was to be measured is missing, failed, or gave a wrong answer: there is no number."""


def environment(**settings: str) -> dict[str, str]:
    """This process's environment without what would change a measured program, and with `settings`."""
    kept = {
        name: value for name, value in os.environ.items() if name not in LEFT_OUT and not name.startswith(OWN_SETTINGS)
    }
    return kept | settings


def require(program: str) -> str:
    """The path of a program of this machine."""
    path = shutil.which(program)
    if path is None:
        raise BenchmarkFailed(f"{program} is not installed; on Debian and Ubuntu: apt install {program}")
    return path


def run(command: Sequence[str], seconds: float, env: Mapping[str, str] | None = None, cwd: Path = ROOT) -> str:
    """What the command says on standard output. Raises BenchmarkFailed with its last words where it fails."""
    try:
        done = subprocess.run(
            command, env=env or environment(), cwd=cwd, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkFailed(f"{command[0]} took more than {seconds:g} s") from None
    if done.returncode != 0:
        words = "\n".join((done.stderr or done.stdout).strip().splitlines()[-8:])
        raise BenchmarkFailed(f"{shlex.join(command)[:200]} ended with {done.returncode}:\n{words}")
    return done.stdout


def peak_memory_mib(command: Sequence[str], env: Mapping[str, str], cwd: Path, seconds: float = 300.0) -> float:
    """Of the biggest process, by GNU time: a child that Python starts itself would inherit Python's own peak."""
    with tempfile.NamedTemporaryFile("r", prefix="kotobamichi-peak-") as report:
        run([require("time"), "--format", "%M", "--output", report.name, *command], seconds, env, cwd)
        return int(report.read().split()[-1]) / 1024


def hyperfine(
    command: Sequence[str],
    runs: int,
    env: Mapping[str, str],
    cwd: Path,
    prepare: Sequence[str] | None = None,
    warmup: int = 1,
) -> dict[str, Any]:
    """Wall times of the command, in seconds, one a run; before each, untimed, `prepare`."""
    with tempfile.NamedTemporaryFile("r", prefix="kotobamichi-hyperfine-", suffix=".json") as report:
        options = ["--runs", str(runs), "--warmup", str(warmup), "--export-json", report.name, "--style", "none", "-N"]
        if prepare:
            options += ["--prepare", shlex.join(prepare)]
        run([require("hyperfine"), *options, shlex.join(command)], 600, env, cwd)
        result = json.load(report)["results"][0]
    return {"seconds": result["times"], "user": result["user"], "system": result["system"]}


@contextmanager
def serving(command: Sequence[str], env: Mapping[str, str], cwd: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server while the block runs. It has a process group of its own, and none of the group outlives the block."""
    with log.open("ab") as output:
        server = subprocess.Popen(
            command, env=env, cwd=cwd, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield server
    finally:
        server.terminate()
        with suppress(subprocess.TimeoutExpired):
            server.wait(STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def get(port: int, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
    """Status, headers with lower-case names, body."""
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("GET", path, headers=dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def wait_for_answer(server: subprocess.Popen[bytes], port: int, path: str, seconds: float, log: Path) -> bytes:
    """The body of the first 200. Raises BenchmarkFailed where the server ends or the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(OSError, http.client.HTTPException):
            status, _, body = get(port, path)
            if status == 200:
                return body
        if server.poll() is not None:
            break
        time.sleep(POLL_SECONDS)
    words = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
    raise BenchmarkFailed(f"no answer from {path} on port {port} within {seconds:g} s:\n{words}")
