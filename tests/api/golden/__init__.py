"""The contract's requests and answers as tables: one module per feature, each with its `CASES`, played in order by test_golden.py.

To add a case is to add an entry. In paths, bodies and cookies `{name}` is what an earlier case kept under that name. In an expected
answer a text may be a placeholder or a regular expression, and a list that ends with `...` has any number of what is before it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

# `learner` and `other` are two accounts without rights, `admin` is an administrator; each table has its own three.
Who = Literal["nobody", "learner", "other", "admin"]

UUID = "<uuid>"
INSTANT = "<instant>"
TOKEN = "<token>"
TEXT = "<text>"
NUMBER = "<number>"
PLACEHOLDERS = {
    UUID: re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
    INSTANT: re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"),
    TOKEN: re.compile(r"[\w-]+\.[\w-]+\.[\w-]+"),
    TEXT: re.compile(r".+", re.DOTALL),
}


@dataclass(frozen=True)
class Case:
    """A request and the answer it must have.

    `body` is sent as JSON; bytes are sent as they are. `keep` names values of the answer for later cases, by their path in it,
    such as `{"quiz": "id", "first": "words.0.id"}`, or `mail:ADDRESS` for the token of the link that was mailed there.
    """

    name: str
    who: Who
    method: str
    path: str
    body: Any
    status: int
    expected: Any
    keep: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def bad_request(*messages: str) -> dict[str, Any]:
    """The answer to a request with wrong fields."""
    return {"message": list(messages), "error": "Bad Request", "statusCode": 400}


def refusal(status: int, error: str, message: str) -> dict[str, Any]:
    """The answer of a rule that says no."""
    return {"message": message, "error": error, "statusCode": status}


UNAUTHENTICATED = {"message": "Unauthorized", "statusCode": 401}
FORBIDDEN = refusal(403, "Forbidden", "Forbidden resource")


def fill(template: Any, kept: Mapping[str, Any]) -> Any:
    """The template with every `{name}` that was kept replaced; a text that is nothing else becomes the value itself."""
    if isinstance(template, str):
        if template[1:-1] in kept and template[0] + template[-1] == "{}":
            return kept[template[1:-1]]
        return re.sub(r"\{(\w+)\}", lambda match: str(kept.get(match[1], match[0])), template)
    if isinstance(template, dict):
        return {key: fill(value, kept) for key, value in template.items()}
    return [fill(value, kept) for value in template] if isinstance(template, list) else template


def differences(expected: Any, actual: Any, where: str = "answer") -> list[str]:
    """What is not as expected, one line each."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        lines = [f"{where}.{key} is missing" for key in expected.keys() - actual.keys()]
        lines += [f"{where}.{key} should not be there" for key in actual.keys() - expected.keys()]
        for key in expected.keys() & actual.keys():
            lines += differences(expected[key], actual[key], f"{where}.{key}")
        return lines
    if isinstance(expected, list) and isinstance(actual, list):
        if expected and expected[-1] is ...:
            repeated = len(actual) - len(expected) + 2
            expected = [*expected[:-2], *([expected[-2]] * repeated)]
        if len(expected) != len(actual):
            return [f"{where} has {len(actual)} items, expected {len(expected)}"]
        return [line for i, item in enumerate(expected) for line in differences(item, actual[i], f"{where}.{i}")]
    if matches(expected, actual):
        return []
    return [f"{where} is {actual!r}, expected {expected!r}"]


def matches(expected: Any, actual: Any) -> bool:
    if isinstance(expected, re.Pattern):
        return isinstance(actual, str) and expected.fullmatch(actual) is not None
    if expected == NUMBER:
        return isinstance(actual, int | float) and not isinstance(actual, bool)
    if isinstance(expected, str) and expected in PLACEHOLDERS:
        return isinstance(actual, str) and PLACEHOLDERS[expected].fullmatch(actual) is not None
    return type(expected) is type(actual) and bool(expected == actual)


def value_at(path: str, answer: Any) -> Any:
    for part in path.split("."):
        answer = answer[int(part)] if isinstance(answer, list) else answer[part]
    return answer
