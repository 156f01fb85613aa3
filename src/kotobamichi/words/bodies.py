"""What administrators send for a word as JSON, and what it becomes; what clients are given is in schemas.py."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from kotobamichi.bodies import MAYBE_BLANK, OptionalText, Text, WebAddress, decode_object, read_object
from kotobamichi.errors import BadRequest
from kotobamichi.words.schemas import Level

# What a client has from us and sends back with the rest of a word.
IGNORED = frozenset({"id", "createdAt", "updatedAt", "contentHash", "examples"})
# A topic and a part of speech are in an index, whose entries have a bound.
LONGEST_LABEL = 200

Label = Annotated[str, msgspec.Meta(max_length=LONGEST_LABEL), MAYBE_BLANK]


class WordChanges(msgspec.Struct, rename="camel"):
    """Any subset of a word's fields. `meaning` is another name for `english`, `pronunciation` for `pronunciationUrl`."""

    hiragana: Text | UnsetType = UNSET
    english: Text | UnsetType = UNSET
    meaning: Text | UnsetType = UNSET
    kanji: OptionalText | UnsetType | None = UNSET
    katakana: OptionalText | UnsetType | None = UNSET
    romaji: OptionalText | UnsetType | None = UNSET
    pronunciation_url: WebAddress | UnsetType | None = UNSET
    pronunciation: WebAddress | UnsetType | None = UNSET
    level: Level | UnsetType | None = UNSET
    topic: Label | UnsetType | None = UNSET
    part_of_speech: Label | UnsetType | None = UNSET


class NewWord(WordChanges, rename="camel", kw_only=True):
    """A word to be added, for the documentation: the meaning is needed too, by one name or the other."""

    hiragana: Text


PAIRS = (("english", "meaning"), ("pronunciation_url", "pronunciation"))


def read_new_word(content: bytes) -> dict[str, Any]:
    """The columns of a word to be added. Raises BadRequest with a message for every wrong field."""
    columns, messages = _read(content)
    for needed, names in (("hiragana", ("hiragana ",)), ("english", ("english ", "meaning "))):
        if needed not in columns and not any(message.startswith(names) for message in messages):
            messages += [f"{needed} should not be empty", f"{needed} must be a string"]
    return _refuse_or_give(columns, messages)


def read_word_changes(content: bytes) -> dict[str, Any]:
    """The columns to be changed, by name; None empties one. Raises BadRequest with a message for every wrong field."""
    return _refuse_or_give(*_read(content))


def _read(content: bytes) -> tuple[dict[str, Any], list[str]]:
    messages: list[str] = []
    columns = read_object(decode_object(content), WordChanges, IGNORED, "", messages)
    for name, other in PAIRS:
        if other not in columns:
            continue
        value = columns.pop(other)
        if columns.setdefault(name, value) != value:
            names = ("pronunciationUrl", other) if other == "pronunciation" else (name, other)
            messages.append("{} and {} must be the same, or only one of them given".format(*names))
    return columns, messages


def _refuse_or_give(columns: dict[str, Any], messages: list[str]) -> dict[str, Any]:
    if messages:
        raise BadRequest(messages)
    return columns
