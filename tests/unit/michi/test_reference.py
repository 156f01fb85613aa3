"""docs/reference/events.md against the code."""

from __future__ import annotations

from typing import get_args

import pytest

from michi.errors import MichiError
from michi.events import EventName
from tests.support.event_reference import DOCUMENT, check_event, described_codes, described_events


def errors_of(family: type[MichiError]) -> dict[str, int]:
    """michi's own: other programs that use its boundary have codes of their own."""
    found = {family.code: family.exit_code}
    for error in family.__subclasses__():
        if error.__module__.startswith("michi."):
            found |= errors_of(error)
    return found


def test_every_event_is_described_with_an_example_and_no_other_is() -> None:
    described = described_events()
    assert set(described) == set(get_args(EventName))
    assert [name for name, event in described.items() if not event.facts or not event.examples] == []


@pytest.mark.parametrize("name", get_args(EventName))
def test_the_examples_have_the_described_facts(name: str) -> None:
    for example in described_events()[name].examples:
        check_event(example)


def test_every_error_code_is_described_with_its_exit_code_and_no_other_is() -> None:
    assert described_codes() == errors_of(MichiError)


def test_every_exit_code_is_described() -> None:
    text = DOCUMENT.read_text()
    table = text[text.index("## Exit codes") : text.index("## Error codes")]
    assert [code for code in sorted(set(errors_of(MichiError).values())) if f"\n| {code} |" not in table] == []


def test_an_undescribed_fact_is_noticed() -> None:
    with pytest.raises(AssertionError, match="does not describe these facts of plan"):
        check_event({"event": "plan", "at": "", "pending": [], "head": None, "secret": 1})
