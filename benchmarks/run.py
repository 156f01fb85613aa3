"""Runs the benchmarks: `python -m benchmarks.run [NAME ...]`. Prints tables, keeps the raw numbers as JSON."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks import machine
from benchmarks.backfill import large_update
from benchmarks.http import quizzes, words
from benchmarks.migrate import deploy
from benchmarks.plot.drawing import draw
from benchmarks.process import LEFT_OUT, ROOT, BenchmarkFailed
from benchmarks.scale import growth
from benchmarks.start import first_start

RESULTS = Path(__file__).parent / "results"
IMAGES = ROOT / "docs" / "images"


@dataclass(frozen=True)
class Benchmark:
    """`measure` takes whether to be quick. `plot` describes what is drawn into docs/images, if anything is."""

    title: str
    measure: Callable[[bool], dict[str, Any]]
    show: Callable[[dict[str, Any]], str]
    plot: Callable[[dict[str, Any]], dict[str, Any]] | None = None


BENCHMARKS = {
    "http": Benchmark(
        "GET /v1/words against NestJS + Drizzle + node-postgres",
        lambda quick: words.measure(rounds=1, seconds=3) if quick else words.measure(rounds=5, seconds=10),
        words.show,
    ),
    "quizzes": Benchmark(
        "Quizzes, statistics and submissions against NestJS + Drizzle + node-postgres",
        lambda quick: quizzes.measure(rounds=1, seconds=3) if quick else quizzes.measure(rounds=5, seconds=10),
        quizzes.show,
    ),
    "scale": Benchmark(
        "Every route at 8,334 words and 100,000 attempts, and at 1,000,000 words and 10,000,000 attempts",
        lambda quick: growth.measure(1, 3, quick=True) if quick else growth.measure(3, 10),
        growth.show,
    ),
    "migrate": Benchmark(
        "michi deploy against psql, Alembic, Django, dbmate",
        lambda quick: deploy.measure(deploy.QUICK, deploy.QUICK_PAIRS) if quick else deploy.measure(deploy.FULL, deploy.FULL_PAIRS),
        deploy.show,
        deploy.plot,
    ),
    "backfill": Benchmark(
        "A backfill of 5,000,000 rows under a write load",
        lambda quick: large_update.measure(100_000, 5) if quick else large_update.measure(5_000_000, 45),
        large_update.show,
    ),
    "start": Benchmark(
        "kotobamichi up", lambda quick: first_start.measure(1 if quick else 7), first_start.show
    ),
}  # fmt: skip


def main() -> int:
    options = _read_options()
    signal.signal(signal.SIGTERM, _terminate)
    for name in LEFT_OUT:  # for what is measured and for this process's own children alike
        os.environ.pop(name, None)
    facts = machine.describe()
    print("\n".join(machine.lines(facts)), flush=True)
    report: dict[str, Any] = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": facts, "results": {}}
    file = RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    try:
        for name in options.names:
            report["results"][name] = _run(BENCHMARKS[name], options.quick)
            _keep(report, file)
            _draw(name, report["results"][name], RESULTS if options.quick else IMAGES)
    except BenchmarkFailed as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(f"\nRaw numbers: benchmarks/results/{file.name}")
    return 0


def _run(benchmark: Benchmark, quick: bool) -> dict[str, Any]:
    print(f"\n## {benchmark.title}\n", flush=True)
    began = time.monotonic()
    result = benchmark.measure(quick)
    print(benchmark.show(result))
    print(f"\n({time.monotonic() - began:.0f} s)", flush=True)
    return result


def _draw(name: str, result: dict[str, Any], folder: Path) -> None:
    if (describe := BENCHMARKS[name].plot) is not None:
        file = folder / f"{name}.svg"
        draw(describe(result), file)
        print(f"Plot: {file.relative_to(ROOT)}", flush=True)


def _keep(report: dict[str, Any], file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"some of {', '.join(BENCHMARKS)}; all of them if none"
    )
    parser.add_argument("--quick", action="store_true", help="few and short rounds: to see that it works")
    options = parser.parse_args()
    options.names = options.names or list(BENCHMARKS)
    if unknown := set(options.names) - BENCHMARKS.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    return options


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt  # so that every server is stopped on the way out


if __name__ == "__main__":
    sys.exit(main())
