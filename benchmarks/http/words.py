"""GET /v1/words of our app against the same route on NestJS: same data, same database, same load, turn and turn about."""

from __future__ import annotations

import json
import random
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import table
from benchmarks.http import imports
from benchmarks.http.load import CONNECTIONS, Asked, load_many, load_one
from benchmarks.postgres import Postgres, server
from benchmarks.process import (
    CACHE,
    HOST,
    INSTALL_SECONDS,
    ROOT,
    SCRIPTS,
    BenchmarkFailed,
    environment,
    get,
    require,
    run,
    serving,
    wait_for_answer,
)

PEER = Path(__file__).parent / "peer"
PORTS = {"ours": 3912, "peer": 3913}
WARM_UP_SECONDS = 3
START_SECONDS = 60.0
# Both servers get as many connections as node-postgres takes by default.
POOL_SIZE = "10"


@dataclass(frozen=True)
class Request:
    """What one measurement asks for; `repeat` sends the answer's ETag back, as a browser does; `any_of` are asked in turn."""

    title: str
    path: str
    repeat: bool = False
    any_of: tuple[str, ...] = ()


ANY_PAGE = tuple(f"/v1/words?limit=20&page={page}" for page in random.Random(20261125).sample(range(1, 418), 417))
REQUESTS = (
    Request("words, 20 a page", "/v1/words?limit=20"),
    Request("words, 10 a page", "/v1/words?page=1&limit=10"),
    Request("words, page 400 of 20", "/v1/words?page=400&limit=20"),
    # What a cache of one page cannot answer.
    Request("words, any page of 20", "/v1/words?page=200&limit=20", any_of=ANY_PAGE),
    Request("repeat read, If-None-Match", "/v1/words?limit=20", repeat=True),
    Request("/v1/health, the ceiling", "/v1/health"),
)


def measure(rounds: int, seconds: int) -> dict[str, Any]:
    """Requests a second and latency percentiles for each request and contestant, one entry a round."""
    main = build_peer()
    with server() as postgres, tempfile.TemporaryDirectory(prefix="kotobamichi-bench-") as logs:
        _prepare_words(postgres)
        with _contestants(postgres, main, Path(logs)):
            _check_same_answers()
            results = _race(rounds, seconds)
            imported = imports.measure(PORTS["ours"], rounds)
    return {
        "rounds": rounds, "seconds": seconds, "connections": CONNECTIONS, "requests": results, "import": imported,
    }  # fmt: skip


def build_peer() -> Path:
    """The peer's main.js, installed from its lock file and compiled in the cache; kept until its sources change."""
    build = CACHE / "peer"
    state = "".join(path.read_text() for path in sorted(PEER.rglob("*")) if path.is_file())
    stamp = build / "built-from"
    if not stamp.is_file() or stamp.read_text() != state:
        shutil.rmtree(build, ignore_errors=True)
        shutil.copytree(PEER, build)
        run([require("npm"), "ci", "--no-audit", "--no-fund"], INSTALL_SECONDS, environment(), build)
        run([require("npm"), "run", "build"], INSTALL_SECONDS, environment(), build)
        stamp.write_text(state)
    return build / "dist" / "main.js"


def _prepare_words(postgres: Postgres) -> None:
    env = environment(DATABASE_URL=postgres.url())
    run([str(SCRIPTS / "michi"), "deploy"], 60, env)
    run([str(SCRIPTS / "kotobamichi"), "words", "load"], 60, env)
    imports.prepare(postgres)
    # What autovacuum does within a minute: without it the peer's count would have to look into the table itself.
    postgres.execute("VACUUM (ANALYZE)")


@contextmanager
def _contestants(postgres: Postgres, main: Path, logs: Path) -> Iterator[None]:
    """Both servers run all the time; only one is asked at a time."""
    common = {"DATABASE_URL": postgres.url(), "DATABASE_POOL_SIZE": POOL_SIZE, "HOST": HOST}
    ours = environment(**common, PORT=str(PORTS["ours"]), WORKERS="1", RATE_LIMIT="off", JWT_SECRET=imports.SECRET)
    # node-postgres reads a socket's folder only where the URL names a host besides.
    url = postgres.url().replace("@/", "@localhost/")
    peer = environment(**common | {"DATABASE_URL": url}, PORT=str(PORTS["peer"]), NODE_ENV="production")
    with (
        serving([str(SCRIPTS / "kotobamichi"), "serve"], ours, ROOT, logs / "ours.log") as first,
        serving([require("node"), str(main)], peer, main.parent, logs / "peer.log") as second,
    ):
        wait_for_answer(first, PORTS["ours"], "/v1/health/ready", START_SECONDS, logs / "ours.log")
        wait_for_answer(second, PORTS["peer"], "/v1/words?limit=1", START_SECONDS, logs / "peer.log")
        yield


def _check_same_answers() -> None:
    """A race between different answers says nothing."""
    for request in REQUESTS:
        if "words" in request.path:
            ours, peer = (json.loads(get(port, request.path)[2]) for port in PORTS.values())
            if ours != peer or not ours["words"] or ours["pagination"]["total"] != 8334:
                raise BenchmarkFailed(f"the two servers do not give the same answer to {request.path}")


def _race(rounds: int, seconds: int) -> dict[str, Any]:
    results: dict[str, Any] = {request.title: {name: [] for name in PORTS} for request in REQUESTS}
    for request in REQUESTS:
        for port in PORTS.values():
            _load(request, port, WARM_UP_SECONDS)
    for number in range(rounds):
        for request in REQUESTS:
            # The order changes from round to round, so that neither always comes second.
            for name in sorted(PORTS, reverse=bool(number % 2)):
                results[request.title][name].append(_load(request, PORTS[name], seconds))
    return results


def _load(request: Request, port: int, seconds: int) -> dict[str, float]:
    headers = {}
    if request.repeat:
        status, answer, _ = get(port, request.path)
        headers = {"If-None-Match": answer.get("etag", "")}
        if status != 200 or get(port, request.path, headers)[0] != 304:
            raise BenchmarkFailed(f"port {port} does not answer 304 to {request.path}")
    if request.any_of:
        return load_many(port, [Asked("GET", path) for path in request.any_of], seconds)
    return load_one(port, request.path, seconds, headers)


def show(result: dict[str, Any]) -> str:
    raced = show_contestants(result["requests"], ("ours", "peer"), ("ours", "NestJS"), lambda ours, peer: ours / peer)
    return f"{raced}\n\n{imports.show(result['import'])}"


def show_contestants(
    requests: Mapping[str, Any],
    names: tuple[str, str],
    titles: tuple[str, str],
    ratio: Callable[[float, float], float],
) -> str:
    """A table of two contestants: medians, their ratio, late answers, and every measurement."""
    first, second = titles
    heads = [
        "requests/s, medians", first, second, "ratio", f"p99 {first}, ms", f"p99 {second}, ms", f"raw {first}", f"raw {second}",
    ]  # fmt: skip
    rows = []
    for title, contestants in requests.items():
        rates = [[entry["requests_per_second"] for entry in contestants[name]] for name in names]
        late = [statistics.median(entry["p99_ms"] for entry in contestants[name]) for name in names]
        medians = [statistics.median(values) for values in rates]
        rows.append(
            [
                title, *map(table.thousands, medians), f"{ratio(medians[0], medians[1]):.2f}",
                *(f"{value:.1f}" for value in late), *map(table.raw, rates),
            ]
        )  # fmt: skip
    return table.markdown(heads, rows)
