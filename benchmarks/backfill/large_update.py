"""A backfill of a large table under a write load: what the load's latency is idle, during the backfill, and during one UPDATE."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import table
from benchmarks.postgres import DATABASE, Postgres, server
from benchmarks.process import SCRIPTS, BenchmarkFailed, environment, run

from kotobamichi.embedded import find_programs

DEPLOY_SECONDS = 420.0
LOAD_SECONDS = 600
SETTLE_SECONDS = 3.0
# Half of what two cores do at most or less, so that waiting is the backfill's doing and not the load's own.
TRANSACTIONS_PER_SECOND = 100
CLIENTS = 4

TABLE = """\
CREATE TABLE words (
    id bigint PRIMARY KEY, kana text NOT NULL, romaji text, level integer NOT NULL, seen bigint NOT NULL DEFAULT 0
);
INSERT INTO words (id, kana, level) SELECT n, 'kana ' || n, n % 5 FROM generate_series(1, {rows}) AS n;
CREATE INDEX words_level_idx ON words (level);
"""
STATEMENT = "UPDATE words SET romaji = upper(kana) WHERE romaji IS NULL"
BACKFILL = f"-- michi: backfill = 50000\n{STATEMENT};\n"
DONE = "SELECT count(*) FROM words WHERE romaji IS NULL OR romaji <> upper(kana)"
# What an app does: changes of single rows of the same table.
LOAD = "\\set id random(1, {rows})\nUPDATE words SET seen = seen + 1 WHERE id = :id;\n"


def measure(rows: int, idle_seconds: float, *, peer: bool = True) -> dict[str, Any]:
    """Latencies in milliseconds, from the moment at which a transaction was due."""
    with server() as postgres, tempfile.TemporaryDirectory(prefix="kotobamichi-bench-") as name:
        folder = Path(name)
        _prepare(postgres, folder, rows)
        results = {"rows": rows, "idle": _under_load(postgres, folder, rows, lambda: time.sleep(idle_seconds))}
        told: list[dict[str, Any]] = []
        results["backfill"] = _under_load(postgres, folder, rows, lambda: told.extend(_deploy(postgres, folder)))
        results["backfill"] |= _batches(told)
        if postgres.execute(DONE).strip() != "0":
            raise BenchmarkFailed("the backfill left rows behind")
        if peer:
            postgres.execute("UPDATE words SET romaji = NULL WHERE id <= 1", "VACUUM words")
            whole = STATEMENT.partition(" WHERE")[0]
            psql = [*postgres.psql, "-d", postgres.url(), "-c", whole]
            results["one UPDATE"] = _under_load(
                postgres, folder, rows, lambda: run(psql, DEPLOY_SECONDS, environment())
            )
        results["idle again"] = _under_load(postgres, folder, rows, lambda: time.sleep(idle_seconds))
        return results


def _prepare(postgres: Postgres, folder: Path, rows: int) -> None:
    _write(folder, "20260101000000_words", TABLE.format(rows=rows))
    _deploy(postgres, folder)
    postgres.execute("VACUUM (ANALYZE) words", "CHECKPOINT")
    _write(folder, "20260102000000_fill_romaji", BACKFILL)


def _write(folder: Path, name: str, up: str) -> None:
    path = folder / "migrations" / name
    path.mkdir(parents=True)
    (path / "up.sql").write_text(up)


def _deploy(postgres: Postgres, folder: Path) -> list[dict[str, Any]]:
    michi, migrations = str(SCRIPTS / "michi"), ["--migrations", str(folder / "migrations")]
    env = environment(DATABASE_URL=postgres.url())
    run([michi, "sum", *migrations], 60, env)
    told = run([michi, "deploy", *migrations, "--json", "--lock-retry", "300s"], DEPLOY_SECONDS, env)
    return [json.loads(line) for line in told.splitlines()]


def _batches(told: list[dict[str, Any]]) -> dict[str, Any]:
    progress = [event for event in told if event["event"] == "backfill_progress"]
    return {
        "batch_rows": [event["batch_rows"] for event in progress],
        "batch_ms": [event["batch_ms"] for event in progress],
        "retries": sum(event["event"] == "lock_timeout_retry" for event in told),
    }


def _under_load(postgres: Postgres, folder: Path, rows: int, work: Callable[[], object]) -> dict[str, Any]:
    """Runs the work while pgbench changes rows; latencies of the transactions that were due meanwhile, and how long it took."""
    with tempfile.TemporaryDirectory(dir=folder) as logs:
        script = Path(logs) / "load.sql"
        script.write_text(LOAD.format(rows=rows))
        command = [
            str(find_programs() / "pgbench"), "--no-vacuum", "--protocol", "prepared", "--file", str(script),
            "--client", str(CLIENTS), "--rate", str(TRANSACTIONS_PER_SECOND), "--time", str(LOAD_SECONDS),
            "--log", "--log-prefix", str(Path(logs) / "log"), "--random-seed", "7",
        ]  # fmt: skip
        settings = environment(**postgres.settings(DATABASE))
        load = subprocess.Popen(command, env=settings, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=logs)
        try:
            time.sleep(SETTLE_SECONDS)
            if load.poll() is not None:
                raise BenchmarkFailed(f"pgbench ended: {load.stderr.read().decode() if load.stderr else ''}")
            began = time.time()
            work()
            ended = time.time()
            time.sleep(SETTLE_SECONDS)  # what was due at the end has to end as well
        finally:
            load.terminate()
            load.wait(20)
        latencies = _latencies(Path(logs), began, ended)
    if not latencies:
        raise BenchmarkFailed("pgbench wrote no latency")
    return {"seconds": round(ended - began, 1), **summarize(latencies)}


def _latencies(logs: Path, began: float, ended: float) -> list[float]:
    """Milliseconds. A line: client, transaction, latency in microseconds from when it was due, script, second, microsecond, lag."""
    found = []
    for file in logs.glob("log.*"):
        for line in file.read_text().splitlines():
            fields = line.split()
            if len(fields) < 6:
                continue  # cut where pgbench was stopped
            latency, at = int(fields[2]) / 1000, int(fields[4]) + int(fields[5]) / 1e6
            if began <= at - latency / 1000 <= ended:
                found.append(latency)
    return sorted(found)


def summarize(latencies: list[float]) -> dict[str, Any]:
    def percentile(share: float) -> float:
        return round(latencies[min(len(latencies) - 1, math.ceil(share * len(latencies)) - 1)], 2)

    return {
        "transactions": len(latencies), "p50": percentile(0.5), "p95": percentile(0.95), "p99": percentile(0.99),
        "p999": percentile(0.999), "max": round(latencies[-1], 2),
    }  # fmt: skip


def show(result: dict[str, Any]) -> str:
    heads = ["write load", "seconds", "transactions", "p50 ms", "p95 ms", "p99 ms", "to idle", "p99.9 ms", "max ms"]
    idle = result["idle"]["p99"]
    names = [name for name in ("idle", "backfill", "one UPDATE", "idle again") if name in result]
    rows = [
        [
            name, f"{found['seconds']:.0f}", table.thousands(found["transactions"]), f"{found['p50']:.1f}",
            f"{found['p95']:.1f}", f"{found['p99']:.1f}", f"{found['p99'] / idle:.2f}", f"{found['p999']:.1f}",
            table.thousands(found["max"]),
        ]
        for name in names
        for found in (result[name],)
    ]  # fmt: skip
    backfill = result["backfill"]
    rate = result["rows"] / backfill["seconds"]
    told = (
        f"{table.thousands(result['rows'])} rows in {backfill['seconds']:.0f} s, {table.thousands(rate)} rows/s;"
        f" of the batches told of, the median looked at {table.thousands(statistics.median(backfill['batch_rows']))} rows"
        f" in {statistics.median(backfill['batch_ms']):.1f} ms; {backfill['retries']} retries"
    )
    raw = [
        f"batches, {unit}: {table.raw(backfill[fact])}" for unit, fact in (("rows", "batch_rows"), ("ms", "batch_ms"))
    ]
    return "\n\n".join([table.markdown(heads, rows), told, *raw])
