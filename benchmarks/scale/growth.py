"""Every listed route at a small and at a large size, turn and turn about in one run: what grows with the data would show."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from benchmarks.http.load import CONNECTIONS
from benchmarks.http.quizzes import make_scene, race, serving_app
from benchmarks.http.words import show_contestants
from benchmarks.postgres import server
from benchmarks.scale.fill import LARGE, SMALL, Size, fill

SIZES = {"small": (SMALL, 3915), "large": (LARGE, 3916)}
# For a look at whether it works.
LESS = Size(words=20_000, learners=5_000, attempts=20, quizzes=1_000)


def measure(rounds: int, seconds: int, *, quick: bool = False) -> dict[str, Any]:
    """Requests a second and latency percentiles for each request and size, one entry a round; how long filling took."""
    filled, contestants = {}, {}
    with server() as postgres, ExitStack() as running:
        for name, (whole, port) in SIZES.items():
            size = LESS if quick and name == "large" else whole
            filled[name] = fill(postgres, size, name)
            running.enter_context(serving_app(postgres, name, port))
            contestants[name] = (port, make_scene(postgres, name, size))
        results = race(contestants, rounds, seconds)
    return {"rounds": rounds, "seconds": seconds, "connections": CONNECTIONS, "filled": filled, "requests": results}


def show(result: dict[str, Any]) -> str:
    names = ("small", "large")
    shown = show_contestants(result["requests"], names, names, lambda small, large: small / large)
    filled = ", ".join(
        f"{name} {facts['size']} in {facts['seconds']:.0f} s" for name, facts in result["filled"].items()
    )
    return f"{shown}\n\nThe ratio is small / large. Filled: {filled}."
