"""What is done beside requests: mails sent, tried again, given up; and old rows cleared away. Any number of workers may run."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import psycopg
from psycopg_pool import PoolTimeout

from kotobamichi.db import Database
from kotobamichi.logs import get_log
from kotobamichi.mail.housekeeping import clear_old_rows
from kotobamichi.mail.messages import AddressUnusable, compose
from kotobamichi.mail.outbox import Outbox, Waiting, claim_mails, mark_failed, mark_given_up, mark_sent
from kotobamichi.mail.sender import MailDelayed, MailRefused, Sender

log = get_log("kotobamichi.mail")

STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Pace:
    """How often a worker looks, and how long it waits after a failure: twice as long each time, up to the longest.

    With these numbers a mail is given up about seven hours after it was written.
    """

    poll_seconds: float = 2.0
    at_once: int = 5
    first_wait_seconds: float = 30.0
    longest_wait_seconds: float = 3600.0
    most_attempts: int = 14
    clear_seconds: float = 3600.0

    def wait_after(self, attempt: int) -> timedelta:
        return timedelta(seconds=min(self.first_wait_seconds * 2 ** (attempt - 1), self.longest_wait_seconds))


class Worker:
    """Sends what is in the outbox until it is stopped. Without a sender it only clears away."""

    def __init__(self, database: Database, outbox: Outbox, sender: Sender | None, pace: Pace | None = None) -> None:
        self.database = database
        self.outbox = outbox
        self.sender = sender
        self.pace = pace or Pace()
        self.stopping = False
        self.away = False

    def stop(self) -> None:
        """Ends `run` once the mails in hand are sent."""
        self.stopping = True
        self.outbox.wake()

    async def run(self) -> None:
        """A database that is away is told once, and asked again at every poll."""
        loop = asyncio.get_running_loop()
        clear_at = loop.time()
        while not self.stopping:
            self.outbox.news.clear()
            worked = 0
            try:
                worked = await self.work()
                if loop.time() >= clear_at:
                    clear_at = loop.time() + self.pace.clear_seconds
                    await clear_old_rows(self.database, _now())
                self.away = False
            except (psycopg.OperationalError, PoolTimeout) as error:
                if not self.away:
                    log.warning("mail.database_away", error=type(error).__name__)
                self.away = True
            if worked < self.pace.at_once:
                await self.pause()

    async def pause(self) -> None:
        """Until there is news, or it is time to look again."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.pace.poll_seconds):
                await self.outbox.news.wait()

    async def work(self) -> int:
        """One round: sends what is due, some mails at once, and says how many were tried."""
        if self.sender is None or self.stopping:
            return 0
        mails = await claim_mails(self.database, self.pace.at_once, _now())
        ended = await asyncio.gather(*(self._deliver(mail, self.sender) for mail in mails), return_exceptions=True)
        for error in ended:
            if error is not None:
                raise error
        return len(mails)

    async def _deliver(self, mail: Waiting, sender: Sender) -> None:
        try:
            await sender.send(compose(mail.letter, mail.recipient, self.outbox.settings.sender, _id_of(mail), _now()))
        except (AddressUnusable, MailRefused) as error:
            await self._give_up(mail, str(error))
        except MailDelayed as error:
            if mail.attempt >= self.pace.most_attempts:
                await self._give_up(mail, str(error))
                return
            wait = self.pace.wait_after(mail.attempt)
            log.warning(
                "mail.not_sent", mail=mail.id, attempt=mail.attempt, again_in_seconds=wait.seconds, reason=error
            )
            await mark_failed(self.database, mail, str(error), _now() + wait)
        else:
            await mark_sent(self.database, mail, _now())

    async def _give_up(self, mail: Waiting, error: str) -> None:
        log.error("mail.given_up", mail=mail.id, purpose=mail.letter.purpose, attempts=mail.attempt, reason=error)
        await mark_given_up(self.database, mail, error, _now())


def _id_of(mail: Waiting) -> str:
    """The same for every attempt, so that a mail sent twice by a crash is shown once."""
    return f"{mail.id}.{mail.created_at.translate(str.maketrans('', '', '-:.'))}"


def _now() -> datetime:
    return datetime.now(UTC)


class Gate(Protocol):
    """Says whether the database has the schema."""

    open: bool


async def work_when_ready(gate: Gate, worker: Worker) -> None:
    """Works from when the schema is there until the worker is stopped; begins again after an error, which is a bug and told."""
    while not worker.stopping:
        if gate.open:
            task = asyncio.create_task(worker.run())
            try:
                await asyncio.wait({task})
            finally:
                task.cancel()
            if not task.cancelled() and (error := task.exception()) is not None:
                log.failure("mail.worker_failed", error, then="it starts again")
        await worker.pause()


async def end_softly(working: asyncio.Task[None]) -> None:
    """Waits for the mails in hand, and not for ever: their lease ends, and another worker sends them."""
    with suppress(asyncio.CancelledError):
        await asyncio.wait({working}, timeout=STOP_SECONDS)
        working.cancel()
        await working
