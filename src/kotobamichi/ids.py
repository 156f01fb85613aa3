"""Identifiers: UUIDs of version 7 (RFC 9562), which sort by the time they were made."""

from __future__ import annotations

from uuid import UUID

import uuid_utils
import uuid_utils.compat


def new_id() -> UUID:
    """Greater than every id this process made before."""
    return uuid_utils.compat.uuid7()


def new_ids(count: int) -> list[str]:
    """Many new ids as text, each greater than the one before."""
    return [str(uuid_utils.uuid7()) for _ in range(count)]


def parse_id(text: str) -> UUID | None:
    """The id a client wrote in the usual 36 characters; None for anything else."""
    if len(text) != 36:
        return None
    try:
        parsed = UUID(text)
    except ValueError:
        return None
    # Python passes over hyphens anywhere; PostgreSQL does not.
    return parsed if str(parsed) == text.lower() else None
