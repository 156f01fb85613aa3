"""The beginning of each worker process: nothing is imported yet, and a signal to stop is heard.

A worker is forked from the process that watches, and has its handlers, which only take a note for that process. Until the server
sets its own, a signal ends the worker as it would end any program: it answers nobody yet. Without this, one that was told to stop
while it still imported the app would not hear it, and be killed when everybody's time is over.
"""

from __future__ import annotations

import os
import signal
from typing import Any

STOPS = (signal.SIGINT, signal.SIGTERM)


def hear_stops_from_the_start() -> None:
    """For all processes that are forked from this one. A signal that comes while one is forked is held until it can be heard."""
    os.register_at_fork(before=_hold, after_in_parent=_let_through, after_in_child=_begin)


def _hold() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)


def _let_through() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


def _begin() -> None:
    for number in STOPS:
        signal.signal(number, signal.SIG_DFL)
    _let_through()


def create_app() -> Any:
    """The ASGI app of this process, from the environment."""
    from kotobamichi import app  # noqa: PLC0415 -- most of a worker's start
    from kotobamichi.settings import read_settings  # noqa: PLC0415

    return app.create_app(read_settings(os.environ))
