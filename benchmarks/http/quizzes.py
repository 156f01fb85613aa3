"""Quizzes, statistics and submissions against NestJS: 8,334 words, 200 public quizzes of 20 words, learners with a history."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from benchmarks.http.load import CONNECTIONS, Asked, load_many, load_one
from benchmarks.http.words import build_peer, show_contestants
from benchmarks.postgres import Postgres, server
from benchmarks.process import HOST, ROOT, SCRIPTS, BenchmarkFailed, environment, get, require, serving, wait_for_answer
from benchmarks.scale.fill import SMALL, Size, fill

from kotobamichi.accounts.tokens import AccessClaims, sign_access

PORTS = {"ours": 3914, "peer": 3917}
START_SECONDS = 60.0
WARM_UP_SECONDS = 3
SECRET = "of the benchmarks alone, and as long as it has to be"
TOKEN_SECONDS = 86_400
# Enough learners that two of their submissions seldom meet, few enough that wrk holds their requests in memory.
LEARNERS = 500
# The first of a quiz is new to a learner; how many quizzes each has taken before is up to fill.sql.
TAKEN = 5
NEW_IDS = "SELECT id FROM users WHERE role = 'USER' ORDER BY id"


@dataclass(frozen=True)
class Scene:
    """What there is to ask for: ids in the order of their making, tokens of learners, right and wrong answers of each quiz."""

    quizzes: list[str]
    learners: list[str]
    tokens: list[str]
    submissions: list[str]


Load = Callable[[int, Scene, int], dict[str, float]]


def same(path: str, *, repeat: bool = False) -> Load:
    """One GET; `repeat` sends the ETag of the answer back, as a browser does."""

    def load(port: int, _scene: Scene, seconds: int) -> dict[str, float]:
        headers: Mapping[str, str] = {}
        if repeat:
            status, answer, _ = get(port, path)
            headers = {"If-None-Match": answer.get("etag", "")}
            if status != 200 or get(port, path, headers)[0] != 304:
                raise BenchmarkFailed(f"port {port} does not answer 304 to {path}")
        return load_one(port, path, seconds, headers)

    return load


def details(port: int, scene: Scene, seconds: int) -> dict[str, float]:
    """Every public quiz in turn."""
    return load_many(port, [Asked("GET", f"/v1/quizzes/{quiz}") for quiz in scene.quizzes], seconds)


def stats(port: int, scene: Scene, seconds: int) -> dict[str, float]:
    """Each learner in turn."""
    return load_many(port, [Asked("GET", "/v1/users/me/stats", token) for token in scene.tokens], seconds)


def submit(*, again: bool) -> Load:
    """Twenty answers, half of them right; words that the learner has met before or mostly new ones."""

    def load(port: int, scene: Scene, seconds: int) -> dict[str, float]:
        requests = []
        for turn in range(8):
            for number, token in enumerate(scene.tokens):
                first = number * 7 + turn % TAKEN
                quiz = (first if again else first + TAKEN + turn * 11) % len(scene.quizzes)
                path = f"/v1/quizzes/{scene.quizzes[quiz]}/submit"
                requests.append(Asked("POST", path, token, scene.submissions[quiz]))
        return load_many(port, requests, seconds)

    return load


REQUESTS: dict[str, Load] = {
    "words list, 20 a page": same("/v1/words?limit=20"),
    "words, page 400 of 20": same("/v1/words?page=400&limit=20"),
    "words list, If-None-Match": same("/v1/words?limit=20", repeat=True),
    "public quizzes, all 200": same("/v1/quizzes"),
    "quiz detail": details,
    "stats": stats,
    "submit of 20, words met before": submit(again=True),
    "submit of 20, words mostly new": submit(again=False),
}


def measure(rounds: int, seconds: int) -> dict[str, Any]:
    """Requests a second and latency percentiles for each request and contestant, one entry a round."""
    main = build_peer()
    with server() as postgres:
        filled = fill(postgres, SMALL, "small")
        with serving_app(postgres, "small", PORTS["ours"]), _serving_peer(postgres, "small", main):
            scene = make_scene(postgres, "small", SMALL)
            _check_same_answers(scene)
            results = race({name: (port, scene) for name, port in PORTS.items()}, rounds, seconds)
    return {"rounds": rounds, "seconds": seconds, "connections": CONNECTIONS, "filled": filled, "requests": results}


def _check_same_answers(scene: Scene) -> None:
    """A race between different answers says nothing. Ours has two numbers more in the statistics."""
    signed_in = {"Authorization": f"Bearer {scene.tokens[7]}"}
    for path in ("/v1/quizzes", f"/v1/quizzes/{scene.quizzes[3]}", "/v1/users/me/stats"):
        headers = signed_in if path.endswith("stats") else {}
        ours, peer = (json.loads(get(port, path, headers)[2]) for port in PORTS.values())
        if path.endswith("stats"):
            ours = {key: ours[key] for key in peer}
        if ours != peer or not ours:
            raise BenchmarkFailed(f"the two servers do not give the same answer to {path}")


@contextmanager
def _serving_peer(postgres: Postgres, database: str, main: Path) -> Iterator[None]:
    # node-postgres reads a socket's folder only where the URL names a host besides.
    url = postgres.url(database).replace("@/", "@localhost/")
    settings = {"DATABASE_URL": url, "PORT": str(PORTS["peer"]), "JWT_SECRET": SECRET, "NODE_ENV": "production"}
    with tempfile.TemporaryDirectory(prefix="kotobamichi-bench-") as logs:
        log = Path(logs) / "peer.log"
        with serving([require("node"), str(main)], environment(**settings), main.parent, log) as process:
            wait_for_answer(process, PORTS["peer"], "/v1/words?limit=1", START_SECONDS, log)
            yield


@contextmanager
def serving_app(postgres: Postgres, database: str, port: int) -> Iterator[None]:
    """Our app with one worker on this database."""
    settings = {"DATABASE_URL": postgres.url(database), "HOST": HOST, "PORT": str(port), "WORKERS": "1"}
    env = environment(**settings, RATE_LIMIT="off", JWT_SECRET=SECRET)
    with tempfile.TemporaryDirectory(prefix="kotobamichi-bench-") as logs:
        log = Path(logs) / "ours.log"
        with serving([str(SCRIPTS / "kotobamichi"), "serve"], env, ROOT, log) as process:
            wait_for_answer(process, port, "/v1/health/ready", START_SECONDS, log)
            yield


def make_scene(postgres: Postgres, database: str, size: Size) -> Scene:
    """Reads what is there and signs the learners in; they are spread over all there are."""
    quizzes = _column(postgres, database, "SELECT id FROM quizzes WHERE is_public ORDER BY id")
    step = size.learners // LEARNERS
    learners = _column(postgres, database, NEW_IDS)[:: max(step, 1)][:LEARNERS]
    now = datetime.now(UTC)
    tokens = [
        sign_access(AccessClaims(learner, _address(learner), "USER", 0), SECRET, now, TOKEN_SECONDS)
        for learner in learners
    ]
    return Scene(quizzes, learners, tokens, [_submission(postgres, database, quiz) for quiz in quizzes])


def _address(learner: str) -> str:
    return f"learner-{UUID(learner).int & 0xFFFFFFFF}@example.org"


def _submission(postgres: Postgres, database: str, quiz: str) -> str:
    words = (
        f"SELECT w.id || ' ' || w.hiragana FROM quiz_words k JOIN words w ON w.id = k.word_id WHERE quiz_id = '{quiz}'"
    )
    rows = [row.split(" ", 1) for row in _column(postgres, database, words)]
    if len(rows) != SMALL.words_each:
        raise BenchmarkFailed(f"quiz {quiz} has {len(rows)} words")
    answers = [
        {"wordId": word, "answer": right if number % 2 else "wrong"} for number, (word, right) in enumerate(rows)
    ]
    return json.dumps({"answers": answers}, ensure_ascii=False, separators=(",", ":"))


def _column(postgres: Postgres, database: str, query: str) -> list[str]:
    return postgres.execute(query, database=database).splitlines()


def race(contestants: Mapping[str, tuple[int, Scene]], rounds: int, seconds: int) -> dict[str, Any]:
    """Every request at every contestant, turn and turn about; all wait while one is asked."""
    results: dict[str, Any] = {title: {name: [] for name in contestants} for title in REQUESTS}
    for load in REQUESTS.values():
        for port, scene in contestants.values():
            load(port, scene, WARM_UP_SECONDS)
    for number in range(rounds):
        for title, load in REQUESTS.items():
            # The order changes from round to round, so that neither always comes second.
            for name in sorted(contestants, reverse=bool(number % 2)):
                port, scene = contestants[name]
                results[title][name].append(load(port, scene, seconds))
    return results


def show(result: dict[str, Any]) -> str:
    return show_contestants(result["requests"], ("ours", "peer"), ("ours", "NestJS"), lambda ours, peer: ours / peer)
