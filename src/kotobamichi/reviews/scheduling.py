"""How well a word is known, and when to see it again: the rule of Leitner's box. Pure.

Leitner, S. (1972), *So lernt man lernen*: a card that was known moves up one box, one that was not goes back to the first, and
each box is gone through half as often as the one before. Here a box is a mastery level from 0 to 10, and a level's interval is
twice that of the level before, from one day on. A right answer that comes before the word is due neither lifts its level nor delays
its review: what counts is what is remembered after the interval, and to answer one quiz ten times in a row is no mastery.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

HIGHEST_LEVEL = 10
# From here on a word counts as learned: it was known at the end of intervals of 1, 2, 4 and 8 days.
LEARNED_LEVEL = 5
# The level after an answer, by the level before it.
LEVEL_AFTER_RIGHT = (*range(1, HIGHEST_LEVEL + 1), HIGHEST_LEVEL)
LEVEL_AFTER_WRONG = (0,) * (HIGHEST_LEVEL + 1)
# By level: a word at level 0 is due at once.
INTERVAL_DAYS = (0, *(2**level for level in range(HIGHEST_LEVEL)))


@dataclass(frozen=True)
class Standing:
    """A word's mastery level and when it is due."""

    level: int
    due: datetime


def review(before: Standing | None, right: bool, now: datetime) -> Standing:
    """The standing after an answer; `before` is None for a word that was never answered.

    quizzes/queries.py does the same in SQL for all words of an attempt, from the tables above; a test holds the two together.
    """
    if before is None:
        before = Standing(0, now)
    if right and before.due > now:
        return before
    level = (LEVEL_AFTER_RIGHT if right else LEVEL_AFTER_WRONG)[before.level]
    return Standing(level, now + timedelta(days=INTERVAL_DAYS[level]))
