"""`michi deploy` against other migration tools and bare psql: nothing pending, and everything pending."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import table
from benchmarks.migrate import folders, tools
from benchmarks.migrate.tools import Tool
from benchmarks.postgres import Postgres, server
from benchmarks.process import BenchmarkFailed, hyperfine, peak_memory_mib, run

DATABASE = "race"
DEPLOY_SECONDS = 300.0


def measure(counts: list[int], rounds: int, runs: int) -> dict[str, Any]:
    """Wall times for each number of migrations. A round has `runs` of each tool; rounds are spread over the whole time."""
    installed = tools.install()
    result: dict[str, Any] = {"versions": tools.versions(installed), "counts": {}}
    with server() as postgres, tempfile.TemporaryDirectory(prefix="kotobamichi-bench-") as folder:
        for count in counts:
            where = Path(folder) / str(count)
            folders.write_all(where, count)
            contestants = tools.contestants(installed, postgres, where, DATABASE)
            result["counts"][str(count)] = _measure_count(postgres, contestants, count, rounds, runs)
    return result


def _measure_count(postgres: Postgres, contestants: list[Tool], count: int, rounds: int, runs: int) -> dict[str, Any]:
    results: dict[str, Any] = {
        tool.name: {"idle": {"seconds": []}, "pending": {"seconds": []}, "peak_mib": {}} for tool in contestants
    }
    for number in range(rounds):
        for tool in contestants if number % 2 == 0 else contestants[::-1]:
            timings = results[tool.name]
            prepare = postgres.recreate_command(DATABASE)
            pending = hyperfine(tool.deploy, max(2, runs // 3), tool.env, tool.folder, prepare)
            timings["pending"]["seconds"] += pending["seconds"]
            _check_tables(postgres, tool, count)
            timings["idle"]["seconds"] += hyperfine(tool.idle, runs, tool.env, tool.folder)["seconds"]
    for tool in contestants:
        postgres.recreate(DATABASE)
        peak = results[tool.name]["peak_mib"]
        peak["pending"] = peak_memory_mib(tool.deploy, tool.env, tool.folder)
        peak["idle"] = peak_memory_mib(tool.idle, tool.env, tool.folder)
    return results


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
    return "\n\n".join(
        part for count, contestants in result["counts"].items() for part in (_table(count, contestants),)
    )


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
