"""Query parameters: read from text, and refused with a sentence for every wrong one. An empty value is an absent one."""

from __future__ import annotations

from kotobamichi.ids import parse_id

# More digits than any page or limit can have; beyond them a number is junk.
LONGEST_NUMBER = 15


def read_positive(text: str | None, name: str, default: int, wrong: list[str]) -> int:
    """A whole number from 1; what is wrong is added to `wrong`."""
    if not text:
        return default
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= LONGEST_NUMBER):
        wrong.append(f"{name} must be an integer number")
        return default
    if int(text) < 1:
        wrong.append(f"{name} must not be less than 1")
    return int(text)


def read_text(text: str | None, name: str, wrong: list[str]) -> str | None:
    if text is not None and "\0" in text:
        wrong.append(f"{name} must not contain a NUL character")
    return (text or "").strip() or None


def read_cursor(text: str | None, what: str, wrong: list[str]) -> str | None:
    """The parameter `after`: the id of the last thing already seen."""
    if text and parse_id(text) is None:
        wrong.append(f"after must be the id of {what}")
    return text or None
