"""`kotobamichi worker`: the worker as a process of its own, in place of the one inside the app or beside it."""

from __future__ import annotations

import asyncio
import logging
import logging.config
import signal
from contextlib import suppress

from kotobamichi.db import Database
from kotobamichi.health import SchemaGate
from kotobamichi.logs import configuration, get_log
from kotobamichi.mail.outbox import Outbox
from kotobamichi.mail.sender import make_sender
from kotobamichi.mail.worker import Worker, end_softly, work_when_ready
from kotobamichi.settings import Settings
from kotobamichi.shared import attach
from michi.folder import read_folder

log = get_log("kotobamichi.mail")

# Mails are claimed and marked one after another, and sent without a connection.
CONNECTIONS = 4


async def run_worker(settings: Settings) -> str | None:
    """Works until SIGTERM or SIGINT, and ends once the mails in hand are sent. Gives a sentence where the schema never came."""
    logging.config.dictConfig(configuration(settings.log_format, settings.log_level))
    folder = read_folder(settings.migrations)
    database = Database(settings.target, CONNECTIONS, f"kotobamichi-worker/{folder.head or 'none'}")
    gate = SchemaGate(database, folder, attach(None))
    worker = Worker(database, Outbox(settings.mail), make_sender(settings.mail))
    refusals: list[str] = []

    def give_up(sentence: str) -> None:
        refusals.append(sentence)
        stopped.set()

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await database.open()
    waiting = asyncio.create_task(gate.wait(settings.schema_wait_seconds, give_up))
    working = asyncio.create_task(work_when_ready(gate, worker))
    try:
        await stopped.wait()
    finally:
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
        worker.stop()
        await end_softly(working)
        await database.close()
    return refusals[0] if refusals else None
