"""Race, the short form of `make chaos`: of twenty deploys at once one applies, and nobody fails."""

from __future__ import annotations

import pytest

from tests.michi.chaos import race, write_migrations
from tests.support.operator import Operator


@pytest.mark.parametrize("time", [1, 2, 3])
def test_of_twenty_deploys_at_once_one_applies_and_nobody_fails(operator: Operator, time: int) -> None:
    write_migrations(operator.folder)
    race(operator.url, operator.folder)
