"""How long `kotobamichi up` takes: from an empty data folder, and again on the same data."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import table
from benchmarks.process import ROOT, SCRIPTS, BenchmarkFailed, environment, get, serving, wait_for_answer

PORT = 3911
WORDS = 8334
START_SECONDS = 60.0


def measure(runs: int) -> dict[str, Any]:
    """Seconds, one of each a run: `first` on an empty folder, `second` on what the first one left."""
    seconds: dict[str, list[float]] = {"first": [], "second": []}
    for _ in range(runs):
        with tempfile.TemporaryDirectory(prefix="kotobamichi-bench-", ignore_cleanup_errors=True) as folder:
            Path(folder).chmod(0o755)
            for values in seconds.values():
                values.append(_start(Path(folder)))
    return seconds


def _start(folder: Path) -> float:
    """Until the app says that it is ready and shows every word."""
    env = environment(KOTOBAMICHI_DATA=str(folder / "data"), PORT=str(PORT), HOST="127.0.0.1")
    log = folder / "up.log"
    began = time.perf_counter()
    with serving([str(SCRIPTS / "kotobamichi"), "up"], env, ROOT, log) as server:
        wait_for_answer(server, PORT, "/v1/health/ready", START_SECONDS, log)
        total = json.loads(get(PORT, "/v1/words?limit=1")[2])["pagination"]["total"]
        took = time.perf_counter() - began
    if total != WORDS:
        raise BenchmarkFailed(f"ready with {total} words instead of {WORDS}")
    return took


def show(result: dict[str, Any]) -> str:
    names = {"first": "empty data folder", "second": "second start"}
    rows = [
        [names[name], f"{statistics.median(values):.2f}", f"{max(values):.2f}", table.raw(values, digits=2)]
        for name, values in result.items()
    ]
    return table.markdown(["`kotobamichi up`, ready with 8,334 words", "median, s", "slowest, s", "raw, s"], rows)
