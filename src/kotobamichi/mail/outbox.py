"""The table of mails that wait: written in the transaction of a request, emptied by workers, any number of them."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import LiteralString

import msgspec

from kotobamichi.db import Connection, Database
from kotobamichi.mail.messages import Letter
from kotobamichi.settings import MailSettings

# Longer than any attempt takes. A worker that dies keeps a mail from the others for so long.
LEASE = timedelta(minutes=5)
LONGEST_ERROR = 500


class Waiting(msgspec.Struct, frozen=True):
    """A mail that this worker alone may send until its lease ends. `attempt` counts from 1."""

    id: int
    recipient: str
    letter: Letter
    created_at: str
    attempt: int


class OutboxCounts(msgspec.Struct, frozen=True):
    """`waiting` includes those that failed and are tried again; `oldest_seconds` is how long the oldest of them has waited."""

    waiting: int
    retrying: int
    given_up: int
    oldest_seconds: float


class Outbox:
    """Where requests leave mails. `wake` tells the worker of this process, where it has one, that there may be something to do."""

    def __init__(self, settings: MailSettings) -> None:
        self.settings = settings
        self.news = asyncio.Event()

    @property
    def open(self) -> bool:
        """False where the operator runs without mail: then nothing is written."""
        return self.settings.mode != "off"

    async def add(self, connection: Connection, recipient: str | None, letter: Letter, now: datetime) -> None:
        """Queues a mail. Without a recipient the same statement stores nothing, so that no time tells whether there was one."""
        if self.open:
            await connection.execute(
                "INSERT INTO outbox (purpose, recipient, subject, body_text, body_html, created_at, next_attempt_at)"
                " SELECT %(purpose)s, %(recipient)s, %(subject)s, %(text)s, %(html)s, %(now)s, %(now)s"
                " WHERE %(recipient)s::text IS NOT NULL",
                {
                    "purpose": letter.purpose, "recipient": recipient, "subject": letter.subject, "text": letter.text,
                    "html": letter.html, "now": now,
                },
            )  # fmt: skip

    def wake(self) -> None:
        """To be called after the commit."""
        self.news.set()


async def claim_mails(database: Database, most: int, now: datetime) -> list[Waiting]:
    """Due mails, the oldest first, for this worker alone. No lock is held while they are sent: a lease keeps others away."""
    async with database.transaction() as connection:
        cursor = await connection.execute(
            "WITH due AS MATERIALIZED (SELECT id FROM outbox WHERE sent_at IS NULL AND given_up_at IS NULL"
            " AND next_attempt_at <= %(now)s ORDER BY next_attempt_at LIMIT %(most)s FOR UPDATE SKIP LOCKED)"
            " UPDATE outbox o SET attempts = o.attempts + 1, next_attempt_at = %(until)s FROM due WHERE o.id = due.id"
            " RETURNING o.id, o.recipient, o.purpose, o.subject, o.body_text, o.body_html, o.created_at, o.attempts",
            {"until": now + LEASE, "now": now, "most": most},
        )
        return [Waiting(row[0], row[1], Letter(*row[2:6]), row[6], row[7]) for row in await cursor.fetchall()]


async def mark_sent(database: Database, mail: Waiting, now: datetime) -> None:
    """The text is erased: it holds a link that would still work."""
    await _close(database, mail, "sent_at = %(now)s, last_error = NULL", now, None)


async def mark_given_up(database: Database, mail: Waiting, error: str, now: datetime) -> None:
    """Nobody tries again; the row stays for a while, for the operator to see."""
    await _close(database, mail, "given_up_at = %(now)s, last_error = %(error)s", now, error)


async def _close(database: Database, mail: Waiting, how: LiteralString, now: datetime, error: str | None) -> None:
    async with database.transaction() as connection:
        await connection.execute(
            f"UPDATE outbox SET {how}, body_text = NULL, body_html = NULL WHERE id = %(id)s AND attempts = %(attempt)s",
            {"id": mail.id, "attempt": mail.attempt, "now": now, "error": error and error[:LONGEST_ERROR]},
        )


async def mark_failed(database: Database, mail: Waiting, error: str, again_at: datetime) -> None:
    async with database.transaction() as connection:
        await connection.execute(
            "UPDATE outbox SET next_attempt_at = %s, last_error = %s WHERE id = %s AND attempts = %s",
            (again_at, error[:LONGEST_ERROR], mail.id, mail.attempt),
        )


async def outbox_counts(database: Database) -> OutboxCounts:
    """For metrics."""
    row = await database.fetch_one(
        "SELECT count(*) FILTER (WHERE given_up_at IS NULL),"
        " count(*) FILTER (WHERE given_up_at IS NULL AND last_error IS NOT NULL),"
        " count(*) FILTER (WHERE given_up_at IS NOT NULL),"
        " coalesce(extract(epoch FROM now() - min(created_at) FILTER (WHERE given_up_at IS NULL)), 0)::float8"
        " FROM outbox WHERE sent_at IS NULL"
    )
    assert row is not None
    return OutboxCounts(*row)
