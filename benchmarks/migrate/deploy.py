"""`michi deploy` against other migration tools and bare psql: nothing pending, and everything pending."""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import table
from benchmarks.migrate import folders, tools
from benchmarks.migrate.tools import Tool
from benchmarks.postgres import Postgres, server
from benchmarks.process import BenchmarkFailed, hyperfine, peak_memory_mib, run

DATABASE = "race"
DEPLOY_SECONDS = 300.0
# Row D31 of what michi promises: 500 pending take at most so many times what psql takes.
PAIRED, PAIRED_LIMIT = 500, 1.2


@dataclass(frozen=True)
class Plan:
    """How often each number of migrations is measured: rounds, which are spread over time, and runs of each kind in a round."""

    count: int
    rounds: int
    idle_runs: int
    pending_runs: int


FULL = (Plan(1, 3, 7, 4), Plan(200, 3, 7, 2), Plan(1000, 2, 7, 1))
FULL_PAIRS = 9
QUICK = (Plan(1, 1, 3, 2), Plan(200, 1, 3, 1))
QUICK_PAIRS = 3


def measure(plans: tuple[Plan, ...], pairs: int) -> dict[str, Any]:
    """Wall times of every tool for each plan, and of michi and psql one after the other, `pairs` times, with 500 pending."""
    installed = tools.install()
    result: dict[str, Any] = {"versions": tools.versions(installed), "counts": {}}
    with server() as postgres, tempfile.TemporaryDirectory(prefix="kotobamichi-bench-") as folder:

        def contestants(count: int) -> list[Tool]:
            folders.write_all(Path(folder) / str(count), count)
            return tools.contestants(installed, postgres, Path(folder) / str(count), DATABASE)

        for plan in plans:
            result["counts"][str(plan.count)] = _measure_count(postgres, contestants(plan.count), plan)
        result["pairs"] = _measure_pairs(postgres, contestants(PAIRED), pairs)
    return result


def _measure_count(postgres: Postgres, contestants: list[Tool], plan: Plan) -> dict[str, Any]:
    results: dict[str, Any] = {
        tool.name: {"idle": {"seconds": []}, "pending": {"seconds": []}, "peak_mib": {}} for tool in contestants
    }
    for number in range(plan.rounds):
        for tool in contestants if number % 2 == 0 else contestants[::-1]:
            timings = results[tool.name]
            timings["pending"]["seconds"] += _pending(postgres, tool, plan.count, plan.pending_runs)
            timings["idle"]["seconds"] += hyperfine(tool.idle, plan.idle_runs, tool.env, tool.folder)["seconds"]
    for tool in contestants:
        postgres.recreate(DATABASE)
        peak = results[tool.name]["peak_mib"]
        peak["pending"] = peak_memory_mib(tool.deploy, tool.env, tool.folder)
        peak["idle"] = peak_memory_mib(tool.idle, tool.env, tool.folder)
    return results


def _measure_pairs(postgres: Postgres, contestants: list[Tool], pairs: int) -> dict[str, list[float]]:
    """Turn and turn about, the order changing each time: on a machine whose speed drifts, only neighbours can be compared."""
    two = [tool for tool in contestants if tool.name in {"michi", "psql"}]
    results: dict[str, list[float]] = {tool.name: [] for tool in two}
    for number in range(pairs + 1):
        for tool in two if number % 2 == 0 else two[::-1]:
            seconds = _pending(postgres, tool, PAIRED, 1)
            if number > 0:  # the first one warms the caches
                results[tool.name] += seconds
    return results


def _pending(postgres: Postgres, tool: Tool, count: int, runs: int) -> list[float]:
    """Wall times, in seconds, each on an empty database. Without a first one that does not count: nobody deploys twice."""
    prepare = postgres.recreate_command(DATABASE)
    seconds: list[float] = hyperfine(tool.deploy, runs, tool.env, tool.folder, prepare, warmup=0)["seconds"]
    _check_tables(postgres, tool, count)
    return seconds


def _check_tables(postgres: Postgres, tool: Tool, count: int) -> None:
    """Equal work: every table, with its index, its five columns and their defaults."""
    seen = postgres.execute(
        "SELECT count(DISTINCT c.oid), count(*) FILTER (WHERE a.attnum > 0), count(DISTINCT i.indexrelid)"
        " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_index i ON i.indrelid = c.oid AND NOT indisprimary"
        " WHERE c.relname ~ '^item_[0-9]{4}$' AND c.relkind = 'r'",
        database=DATABASE,
    ).strip()
    if seen != f"{count}|{count * 5}|{count}":
        raise BenchmarkFailed(f"{tool.name} made tables|columns|indexes {seen} instead of {count}|{count * 5}|{count}")
    run(tool.idle, DEPLOY_SECONDS, tool.env, tool.folder)


def show(result: dict[str, Any]) -> str:
    tables = [_table(count, contestants) for count, contestants in result["counts"].items()]
    return "\n\n".join([*tables, _pairs(result["pairs"])])


def _pairs(pairs: dict[str, list[float]]) -> str:
    ratios = [ours / theirs for ours, theirs in zip(pairs["michi"], pairs["psql"], strict=True)]
    heads = [f"{PAIRED} pending", "median, s", "raw, ms"]
    rows = [[name, f"{statistics.median(seconds):.3f}", table.raw(seconds, 1000)] for name, seconds in pairs.items()]
    rows.append([f"michi to psql, at most {PAIRED_LIMIT}", f"{statistics.median(ratios):.2f}", table.raw(ratios, 1, 2)])
    return table.markdown(heads, rows)


def plot(result: dict[str, Any]) -> dict[str, Any]:
    """For benchmarks.plot: the medians of both kinds over the number of migrations."""
    panels = []
    for kind, title in (("pending", "all pending"), ("idle", "nothing pending")):
        series: dict[str, list[tuple[int, float]]] = {}
        for count, contestants in result["counts"].items():
            for name, timings in contestants.items():
                series.setdefault(name, []).append((int(count), statistics.median(timings[kind]["seconds"])))
        panels.append({"title": title, "x": "migrations", "y": "seconds", "series": series})
    return {"title": "A deploy, from start to end (less is better)", "ours": "michi", "panels": panels}


def _table(count: str, contestants: dict[str, Any]) -> str:
    noun = "migration" if count == "1" else "migrations"
    heads = [
        f"{count} {noun}", "nothing pending, s", "to michi", "all pending, s", "to psql", "peak MiB", "raw, nothing pending, ms",
        "raw, all pending, ms",
    ]  # fmt: skip
    median = {
        name: {kind: statistics.median(timings[kind]["seconds"]) for kind in ("idle", "pending")}
        for name, timings in contestants.items()
    }
    rows = [
        [
            name, f"{median[name]['idle']:.3f}", f"{median[name]['idle'] / median['michi']['idle']:.2f}",
            f"{median[name]['pending']:.3f}", f"{median[name]['pending'] / median['psql']['pending']:.2f}",
            f"{timings['peak_mib']['idle']:.0f} / {timings['peak_mib']['pending']:.0f}",
            table.raw(timings["idle"]["seconds"], 1000), table.raw(timings["pending"]["seconds"], 1000),
        ]
        for name, timings in contestants.items()
    ]  # fmt: skip
    return table.markdown(heads, rows)
