"""Load on a server with wrk, and what wrk says of it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.process import HOST, BenchmarkFailed, environment, require, run

SCRIPT = Path(__file__).parent / "requests.lua"
CONNECTIONS = 32
WRK_ERRORS = re.compile(r"Socket errors:.*|Non-2xx.*")


@dataclass(frozen=True)
class Asked:
    """One of the requests of a load, each with who asks and what is sent."""

    method: str
    path: str
    token: str = "-"
    body: str = "-"

    @property
    def line(self) -> str:
        return "\t".join((self.method, self.path, self.token, self.body))


def load_one(
    port: int, path: str, seconds: int, headers: Mapping[str, str] | None = None, script: Path | None = None
) -> dict[str, float]:
    """The same GET again and again, unless a script chooses others: requests a second and latency in milliseconds."""
    options = [part for name, value in (headers or {}).items() for part in ("-H", f"{name}: {value}")]
    if script is not None:
        options += ["-s", str(script)]
    return _wrk(port, path, seconds, options, [])


def load_many(port: int, requests: Sequence[Asked], seconds: int) -> dict[str, float]:
    """These requests in turn, from the start again after the last."""
    with tempfile.NamedTemporaryFile("w", prefix="kotobamichi-requests-") as file:
        file.write("".join(f"{request.line}\n" for request in requests))
        file.flush()
        return _wrk(port, "/", seconds, ["-s", str(SCRIPT)], ["--", file.name])


def _wrk(port: int, path: str, seconds: int, options: Sequence[str], arguments: Sequence[str]) -> dict[str, float]:
    command = [require("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "20s", "--latency", *options]
    said = run([*command, f"http://{HOST}:{port}{path}", *arguments], seconds + 60, environment())
    # wrk counts a 304 among neither its errors nor its failures.
    if (wrong := WRK_ERRORS.search(said)) is not None:
        raise BenchmarkFailed(f"wrk on {path}: {wrong[0]}")
    return {
        "requests_per_second": _number(r"Requests/sec:\s+([\d.]+)", said),
        "p50_ms": _milliseconds("50", said),
        "p99_ms": _milliseconds("99", said),
    }


def _number(pattern: str, text: str) -> float:
    match = re.search(pattern, text)
    if match is None:
        raise BenchmarkFailed(f"wrk's report was not understood:\n{text}")
    return float(match[1])


def _milliseconds(percentile: str, text: str) -> float:
    match = re.search(rf"^\s+{percentile}%\s+([\d.]+)(us|ms|s)\s*$", text, re.MULTILINE)
    if match is None:
        raise BenchmarkFailed(f"wrk's report was not understood:\n{text}")
    return float(match[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[match[2]]
