"""Crash test, the short form of `make chaos`: deploys struck down at random moments converge with no person."""

from __future__ import annotations

import random

from tests.michi.chaos import KINDS, run_chaos, say

RUNS = 50


def test_deploys_that_are_struck_down_converge() -> None:
    seed = random.SystemRandom().randrange(1_000_000)
    say(f"seed {seed}; again: make chaos RUNS={RUNS} SEED={seed}")
    chaos = run_chaos(RUNS, seed)
    say(chaos.histogram())
    assert chaos.failures == []
    assert chaos.finished == RUNS
    assert {kind for kind, _ in chaos.landed} == set(KINDS)
    assert any(where.startswith("in ") for _, where in chaos.landed)
