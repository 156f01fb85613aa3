"""Leitner's rule: what an answer does to a word's level and its next review."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from kotobamichi.reviews.scheduling import HIGHEST_LEVEL, INTERVAL_DAYS, LEARNED_LEVEL, Standing, review

NOW = datetime(2026, 11, 25, 8, tzinfo=UTC)
DAY = timedelta(days=1)


def test_a_first_right_answer_is_level_1_and_due_tomorrow() -> None:
    assert review(None, True, NOW) == Standing(1, NOW + DAY)


def test_a_first_wrong_answer_is_level_0_and_due_at_once() -> None:
    assert review(None, False, NOW) == Standing(0, NOW)


@pytest.mark.parametrize("level", range(HIGHEST_LEVEL + 1))
def test_a_right_answer_when_due_lifts_by_one_up_to_the_highest(level: int) -> None:
    after = review(Standing(level, NOW), True, NOW)
    assert after.level == min(level + 1, HIGHEST_LEVEL)
    assert after.due == NOW + INTERVAL_DAYS[after.level] * DAY


@pytest.mark.parametrize("due", [NOW - DAY, NOW, NOW + DAY])
def test_a_wrong_answer_goes_back_to_0_whenever_it_comes(due: datetime) -> None:
    assert review(Standing(7, due), False, NOW) == Standing(0, NOW)


def test_a_right_answer_before_it_is_due_changes_nothing() -> None:
    before = Standing(3, NOW + timedelta(seconds=1))
    assert review(before, True, NOW) == before


def test_each_interval_is_twice_the_one_before() -> None:
    assert INTERVAL_DAYS[:2] == (0, 1)
    assert all(later == 2 * earlier for earlier, later in itertools.pairwise(INTERVAL_DAYS[1:]))
    assert len(INTERVAL_DAYS) == HIGHEST_LEVEL + 1


def test_a_word_known_each_time_it_is_due_is_learned_after_15_days() -> None:
    standing, now = review(None, True, NOW), NOW
    while standing.level < LEARNED_LEVEL:
        now = standing.due
        standing = review(standing, True, now)
    assert now - NOW == 15 * DAY
