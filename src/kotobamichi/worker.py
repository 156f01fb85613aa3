"""The beginning of each worker process: nothing is imported yet, and a signal to stop is heard.

A worker is forked from the process that watches, and has its handlers, which only take a note for that process. Until the server
sets its own, a signal ends the worker as it would end any program: it answers nobody yet. Without this, one that was told to stop
while it still imported the app would not hear it, and be killed when everybody's time is over.

From then on the first signal ends the worker in good order, and later ones take nothing away from that. uvloop does not look at a
signal that comes while it does not run, as between the start of the app and that of its connections; and Granian, told again and
again, answers nothing that is still in flight.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
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


def hear_one_stop(loop: asyncio.AbstractEventLoop) -> None:
    """Lets this loop hear signals also while it does not run, and the first alone."""

    def add_signal_handler(number: int, callback: Callable[..., object], *arguments: object) -> None:
        def hear(*_: object) -> None:
            for each in STOPS:
                signal.signal(each, signal.SIG_IGN)
            callback(*arguments)

        signal.signal(number, hear)

    loop.add_signal_handler = add_signal_handler  # type: ignore[method-assign,assignment]


def create_app() -> Any:
    """The ASGI app of this process, from the environment."""
    from kotobamichi import app  # noqa: PLC0415 -- most of a worker's start
    from kotobamichi.settings import read_settings  # noqa: PLC0415

    hear_one_stop(asyncio.get_event_loop())  # Granian has made it for this process
    return app.create_app(read_settings(os.environ))
