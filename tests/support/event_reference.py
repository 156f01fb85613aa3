"""docs/reference/events.md as data: what programs that read michi's events are promised."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "events.md"
HEADING = re.compile(r"### (\w+)")
ROW = re.compile(r"\| `([\w.]+)` \| ([^|]*) \|")
JSON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array of strings": (list,),
    "array of objects": (list,),
}


@dataclass
class Described:
    """An event as the document has it: each fact's type, and the example lines."""

    facts: dict[str, str] = field(default_factory=dict)
    examples: list[dict[str, Any]] = field(default_factory=list)


@cache
def described_events() -> dict[str, Described]:
    events: dict[str, Described] = {}
    current: Described | None = None
    text = DOCUMENT.read_text()
    for line in text[text.index("## Events") : text.index("## Exit codes")].splitlines():
        if heading := HEADING.fullmatch(line):
            current = events.setdefault(heading[1], Described())
        elif line.startswith("A blocker:"):
            current = Described()  # a table of an inner object
        elif current is not None and (row := ROW.match(line)):
            current.facts[row[1]] = row[2].strip()
        elif line.startswith('{"event"'):
            example = json.loads(line)
            events[example["event"]].examples.append(example)
    return events


def described_codes() -> dict[str, int]:
    """Exit code by error code."""
    text = DOCUMENT.read_text()
    return {code: int(exit_code) for code, exit_code in ROW.findall(text[text.index("## Error codes") :])}


def check_event(event: dict[str, Any]) -> dict[str, Any]:
    """Gives the event back. Fails when it is not what the document says."""
    name = event["event"]
    described = described_events()
    assert name in described, f"{DOCUMENT.name} does not describe the event {name}"
    facts = described[name].facts
    given = event.keys() - {"event", "at"}
    assert given <= facts.keys(), f"{DOCUMENT.name} does not describe these facts of {name}: {given - facts.keys()}"
    required = {fact for fact, kind in facts.items() if "absent" not in kind}
    assert required <= given, f"{name} lacks {required - given}"
    for fact in given:
        kind = facts[fact].removesuffix(", absent")
        if event[fact] is None:
            assert kind.endswith("?"), f"{name}: {fact} is null"
        else:
            assert isinstance(event[fact], JSON_TYPES[kind.removesuffix("?")]), f"{name}: {fact} is no {kind}"
    return event
