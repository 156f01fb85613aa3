"""How the server logs: one line an event on standard error, times in UTC."""

from __future__ import annotations

import logging
import time
from typing import Any


class UtcFormatter(logging.Formatter):
    converter = staticmethod(time.gmtime)


def configuration() -> dict[str, Any]:
    """For logging.config.dictConfig: our own events from INFO on, the server's and the libraries' from WARNING on."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": UtcFormatter,
                "format": "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s: %(message)s",
                "datefmt": "%Y-%m-%dT%H:%M:%S",
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {
            "kotobamichi": {"level": "INFO"},
            "_granian": {"level": "WARNING", "handlers": ["stderr"], "propagate": False},
            # One line for every attempt to connect, while we tell in one that the database is away.
            "psycopg.pool": {"level": "ERROR"},
            "granian.access": {"level": "WARNING"},
        },
    }
