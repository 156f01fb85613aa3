"""michi.progress: the estimate of what is left."""

from __future__ import annotations

from michi.progress import Counted, Estimate


def counted(done: int | None, *, total: int | None = 1000, phase: str = "scanning", unit: str = "blocks") -> Counted:
    return Counted(phase, done, total, unit, "words")


def test_the_rest_is_estimated_from_the_measured_rate() -> None:
    estimate = Estimate()
    assert estimate.seconds_left(counted(100), 10.0) is None
    assert estimate.seconds_left(counted(300), 12.0) == 7.0


def test_nothing_is_estimated_before_a_second_has_been_measured() -> None:
    estimate = Estimate()
    estimate.seconds_left(counted(100), 10.0)
    assert estimate.seconds_left(counted(200), 10.5) is None


def test_a_phase_that_does_not_move_has_no_estimate() -> None:
    estimate = Estimate()
    estimate.seconds_left(counted(100), 10.0)
    assert estimate.seconds_left(counted(100), 20.0) is None


def test_a_new_phase_is_measured_anew() -> None:
    estimate = Estimate()
    estimate.seconds_left(counted(100), 10.0)
    assert estimate.seconds_left(counted(900, phase="loading"), 12.0) is None
    assert estimate.seconds_left(counted(950, phase="loading"), 13.0) == 1.0


def test_a_slower_rate_counts_once_the_faster_looks_are_old() -> None:
    estimate = Estimate()
    for second in range(100):
        left = estimate.seconds_left(counted(second * 100 if second < 50 else 5000 + second - 50, total=6000), second)
    assert left == 951.0


def test_how_long_others_take_is_not_estimated() -> None:
    estimate = Estimate()
    estimate.seconds_left(counted(1, unit="transactions"), 10.0)
    assert estimate.seconds_left(counted(2, unit="transactions"), 20.0) is None
