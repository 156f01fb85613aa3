"""Writes into the migrations folder: a new migration, new timestamps for those that came too late."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from michi.errors import UsageError
from michi.folder import Folder, read_folder, write_sum
from michi.plan import Standing

TIMESTAMP = "%Y%m%d%H%M%S"
LONGEST_SLUG = 60

UP = """\
-- {title}
--
-- michi runs this file in one transaction with its row in the ledger: all of it happens, or nothing. So no BEGIN or COMMIT here.
-- Once applied anywhere but on your machine it is never changed; what is wrong in it is mended by the next migration.
--
-- A lock that others hold is waited for 3 seconds, then everything is rolled back and tried again.
--
-- Directives, as `-- michi: key = value` above the first statement:
--   transaction = off           statement by statement, for CREATE INDEX CONCURRENTLY and its like among others
--   phase = contract            an app that does not know this change breaks (a drop, a rename, a new NOT NULL)
--   safe-from = <migration>     with contract: the oldest app that survives it is the one that knows that migration
--   lock_timeout = 3s, statement_timeout = 10min
--   backfill = 10000            one UPDATE or DELETE of a large table, in batches of at most so many rows, each committed by itself
--   ignore = <rule> because <reason>     for `michi lint`
--
-- `michi plan` says what it would lock and for how long, `michi lint` what is better written in another way.

"""
DOWN = """\
-- Takes back what up.sql does. Remove this file where that cannot be done.

"""


def new_migration(folder: Folder, title: str, now: datetime) -> Path:
    """Makes `<now>_<slug>` with a template that states the rules, later than all others; brings michi.sum up to date."""
    name = f"{timestamp_after(folder.head, now)}_{read_slug(title)}"
    up = UP.format(title=title.strip().replace("\n", " "))
    return write_migration(folder.path, name, {"up.sql": up.encode(), "down.sql": DOWN.encode()})


def read_slug(title: str) -> str:
    """What a title is in a folder's name: `add_review_cards`. Raises UsageError where nothing is left of it."""
    slug = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")[:LONGEST_SLUG].strip("_")
    if not slug:
        raise UsageError(
            "The name holds no letter from a to z and no digit.",
            "Say in English what changes: `michi new add_reviews`.",
        )
    return slug


def write_migration(folder: Path, name: str, files: Mapping[str, bytes]) -> Path:
    """Writes the folder `name` with these files, and michi.sum; gives its path."""
    path = folder / name
    path.mkdir(parents=True)
    for file, content in files.items():
        (path / file).write_bytes(content)
    write_sum(read_folder(folder))
    return path


def shown_path(path: Path) -> str:
    """As a person would type it from the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def rebase(standing: Standing, now: datetime) -> list[tuple[str, str]]:
    """Gives pending migrations that are out of order new timestamps, in their order; (old name, new name) of each.

    What `safe-from` says of a renamed one follows. michi.sum is written anew in any case.
    """
    folder = standing.folder
    head = max(filter(None, (folder.head, standing.head)), default=None)
    renamed: list[tuple[str, str]] = []
    for old in standing.out_of_order:
        head = f"{timestamp_after(head, now)}_{old.split('_', 1)[1]}"
        (folder.path / old).rename(folder.path / head)
        renamed.append((old, head))
    for migration in read_folder(folder.path).migrations:
        if migration.name in standing.applied:
            continue
        for old, new in renamed:
            _follow(migration.path / "up.sql", old, new)
    write_sum(read_folder(folder.path))
    return renamed


def _follow(path: Path, old: str, new: str) -> None:
    content = path.read_bytes()
    pattern = rb"(?m)^(\s*--\s*michi:\s*safe-from\s*=\s*)" + re.escape(old).encode() + rb"(\s*)$"
    changed = re.sub(pattern, rb"\g<1>" + new.encode() + rb"\g<2>", content)
    if changed != content:
        path.write_bytes(changed)


def timestamp_after(head: str | None, now: datetime) -> str:
    """Now, or a second after the newest migration where clocks disagree."""
    stamp = now.astimezone(UTC).strftime(TIMESTAMP)
    if head is None or stamp > head[:14]:
        return stamp
    return (datetime.strptime(head[:14], TIMESTAMP).replace(tzinfo=UTC) + timedelta(seconds=1)).strftime(TIMESTAMP)
