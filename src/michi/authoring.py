"""Writes into the migrations folder: a new migration, new timestamps for those that came too late."""

from __future__ import annotations

import re
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
    slug = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")[:LONGEST_SLUG].strip("_")
    if not slug:
        raise UsageError(
            "The name holds no letter from a to z and no digit.",
            "Say in English what changes: `michi new add_reviews`.",
        )
    path = folder.path / f"{_timestamp_after(folder.head, now)}_{slug}"
    path.mkdir(parents=True)
    (path / "up.sql").write_text(UP.format(title=title.strip().replace("\n", " ")), encoding="utf-8")
    (path / "down.sql").write_text(DOWN, encoding="utf-8")
    write_sum(read_folder(folder.path))
    return path


def rebase(standing: Standing, now: datetime) -> list[tuple[str, str]]:
    """Gives pending migrations that are out of order new timestamps, in their order; (old name, new name) of each.

    What `safe-from` says of a renamed one follows. michi.sum is written anew in any case.
    """
    folder = standing.folder
    head = max(filter(None, (folder.head, standing.head)), default=None)
    renamed: list[tuple[str, str]] = []
    for old in standing.out_of_order:
        head = f"{_timestamp_after(head, now)}_{old.split('_', 1)[1]}"
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


def _timestamp_after(head: str | None, now: datetime) -> str:
    """Now, or a second after the newest migration where clocks disagree."""
    stamp = now.astimezone(UTC).strftime(TIMESTAMP)
    if head is None or stamp > head[:14]:
        return stamp
    return (datetime.strptime(head[:14], TIMESTAMP).replace(tzinfo=UTC) + timedelta(seconds=1)).strftime(TIMESTAMP)
