"""The processes that serve: one that watches, and its workers. Starts them, replaces one that crashed, ends them in good order."""

from __future__ import annotations

import os
import secrets
import threading
from typing import Any

from granian.constants import HTTPModes, Interfaces, Loops
from granian.log import LogLevels
from granian.server import MPServer

from kotobamichi.logs import configuration, get_log
from kotobamichi.settings import SHARED_MEMORY, Settings
from kotobamichi.shared import Shared, offered
from kotobamichi.worker import hear_stops_from_the_start

log = get_log("kotobamichi.server")

# Requests in flight are answered in this time after a signal; then the workers are killed.
STOP_SECONDS = 20


class WatchedServer(MPServer):
    """Granian's server, less what it does not know of us: it says that it stops before it does, and what has crashed."""

    shared: Shared
    stop_delay_seconds = 0.0
    told = False

    def signal_handler_interrupt(self, *arguments: Any, **keywords: Any) -> None:
        """First, readiness says 503 and connections are closed after their answer; then, no connections are accepted any more."""
        again, self.told = self.told, True
        self.shared.say_stopping()
        if again or not self.stop_delay_seconds:
            super().signal_handler_interrupt(*arguments, **keywords)  # type: ignore[no-untyped-call]
            return
        timer = threading.Timer(self.stop_delay_seconds, super().signal_handler_interrupt)
        timer.daemon = True
        timer.start()

    def _respawn_workers(self, workers: Any, *arguments: Any, **keywords: Any) -> None:
        for number in workers:
            if (exit_code := self.wrks[number].inner.exitcode) is not None:
                log.error("worker.crashed", worker=number + 1, exit_code=exit_code, replaced=True)
        super()._respawn_workers(workers, *arguments, **keywords)


def serve(settings: Settings) -> None:
    """Returns after a signal, when requests in flight are answered."""
    if settings.tokens.secret is None:
        os.environ["JWT_SECRET"] = secrets.token_urlsafe(48)  # one for all workers
    with offered() as (shared, path):
        os.environ[SHARED_MEMORY] = str(path)
        server = WatchedServer(
            "kotobamichi.worker:create_app",
            address=settings.host,
            port=settings.port,
            interface=Interfaces.ASGI,
            workers=settings.workers,
            workers_kill_timeout=STOP_SECONDS,
            respawn_failed_workers=True,
            factory=True,
            http=HTTPModes.http1,
            loop=Loops.auto,
            websockets=False,
            log_enabled=True,
            log_level=LogLevels.warning,
            log_dictconfig=configuration(settings.log_format, settings.log_level),
            process_name=None,
        )
        hear_stops_from_the_start()
        server.shared = shared
        server.stop_delay_seconds = settings.stop_delay_seconds
        # The server handles SIGINT and SIGTERM itself and returns.
        server.serve()
