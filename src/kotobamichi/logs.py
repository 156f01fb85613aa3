"""How the server logs: an event a line on standard error, as text or JSON, times in UTC. No line holds an address, token or path.

An event has a constant name, and facts with keywords: `log.info("schema.ready", head=head)`. What libraries say in their own words
is cleaned of whatever could forge a line or name a person.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import re
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import psycopg

if TYPE_CHECKING:
    from kotobamichi.routing import Route

Form = Literal["text", "json"]
Level = Literal["debug", "info", "warning", "error"]

REQUESTS = "kotobamichi.http"
FLUSH_SECONDS = 0.1
FLUSH_LINES = 500
LONGEST_FACT = 500
STDERR = 2

EMAIL = re.compile(r"[^\s@<>\"'()=,;:]+@[^\s@<>\"'()=,;:]+\.[^\s@<>\"'()=,;:]+")
TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")
# C0 and C1, and what reorders or breaks a line for a person who reads it.
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
PLAIN = re.compile(r"[^\s\"=]+")


class EventLog:
    """Logs events: `event` is a constant, everything else a fact."""

    def __init__(self, name: str) -> None:
        self.logger = logging.getLogger(name)

    def debug(self, event: str, **facts: object) -> None:
        self._log(logging.DEBUG, event, facts)

    def info(self, event: str, **facts: object) -> None:
        self._log(logging.INFO, event, facts)

    def warning(self, event: str, **facts: object) -> None:
        self._log(logging.WARNING, event, facts)

    def error(self, event: str, **facts: object) -> None:
        self._log(logging.ERROR, event, facts)

    def failure(self, event: str, error: BaseException, **facts: object) -> None:
        """An error that nobody expected, with its trace."""
        self._log(logging.ERROR, event, facts, error)

    def _log(self, level: int, event: str, facts: dict[str, object], error: BaseException | None = None) -> None:
        self.logger.log(level, event, extra={"facts": facts}, exc_info=error)


def get_log(name: str) -> EventLog:
    return EventLog(name)


def clean(text: str) -> str:
    """Without addresses and tokens, and on one line whatever it held."""
    text = TOKEN.sub("<token>", EMAIL.sub("<address>", text))
    return UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def trace_of(error: BaseException) -> list[str]:
    """Where it happened. What PostgreSQL says may quote a row, so of its errors only the facts about the schema are kept."""
    lines = [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, psycopg.Error):
        diag = error.diag
        facts = {"sqlstate": error.sqlstate, "table": diag.table_name, "constraint": diag.constraint_name}
        said = " ".join(f"{name}={value}" for name, value in facts.items() if value)
    else:
        said = str(error)[:LONGEST_FACT]
    lines.append(clean(f"{type(error).__name__}: {said}"))
    if error.__cause__ is not None:
        lines += ["caused by", *trace_of(error.__cause__)]
    return lines


class TextFormatter(logging.Formatter):
    """`2026-01-02T03:04:05.678Z INFO    kotobamichi.health: schema.ready head=...`"""

    def format(self, record: logging.LogRecord) -> str:
        facts = getattr(record, "facts", {})
        said = " ".join([clean(record.getMessage()), *(f"{name}={_text(value)}" for name, value in facts.items())])
        lines = [f"{_instant(record.created)} {record.levelname:<7} {record.name}: {said}"]
        if record.exc_info and record.exc_info[1]:
            lines += [f"  | {line}" for line in trace_of(record.exc_info[1])]
        return "\n".join(lines)


class JsonFormatter(logging.Formatter):
    """An object a line: `at`, `level`, `logger`, `event`, and the event's facts; `trace` is a list."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": _instant(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": clean(record.getMessage()),
        }
        for name, value in getattr(record, "facts", {}).items():
            line[name] = value if isinstance(value, int | float | None) else clean(str(value)[:LONGEST_FACT])
        if record.exc_info and record.exc_info[1]:
            line["trace"] = trace_of(record.exc_info[1])
        return msgspec.json.encode(line).decode()


def _text(value: object) -> str:
    text = clean(str(value)[:LONGEST_FACT])
    return text if PLAIN.fullmatch(text) else msgspec.json.encode(text).decode()


def _instant(seconds: float) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(seconds * 1000) % 1000:03d}Z"


class RequestLog:
    """A line a request, hundreds at a time: formatting and writing each through `logging` would cost more than many an answer.

    Lines wait for a tenth of a second at the most. All that is in them is ours, a number, or an id of harmless letters.
    """

    def __init__(self, form: Form, write: Callable[[bytes], object] | None = None, *, everything: bool = False) -> None:
        """`everything`: health probes, too."""
        self.enabled = logging.getLogger(REQUESTS).isEnabledFor(logging.INFO)
        self.everything = everything or logging.getLogger(REQUESTS).isEnabledFor(logging.DEBUG)
        self.as_json = form == "json"
        self.write = write or (lambda data: os.write(STDERR, data))
        self.lines: list[str] = []
        self.second = 0
        self.instant = ""
        self.flushing: asyncio.TimerHandle | None = None
        atexit.register(self.flush)

    def add(self, route: Route, status: int, seconds: float, request_id: str) -> None:
        if not self.enabled or (route.quiet and not self.everything):
            return
        now = time.time()
        second = int(now)
        if second != self.second:
            self.second, self.instant = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        at = f"{self.instant}.{int((now - second) * 1000):03d}Z"
        if self.as_json:
            self.lines.append(
                f'{{"at":"{at}","level":"info","logger":"{REQUESTS}","event":"request","method":"{route.method}",'
                f'"route":"{route.template}","status":{status},"ms":{seconds * 1000:.1f},"request_id":"{request_id}"}}\n'
            )
        else:
            self.lines.append(
                f"{at} INFO    {REQUESTS}: request method={route.method} route={route.template} status={status}"
                f" ms={seconds * 1000:.1f} request_id={request_id}\n"
            )
        if len(self.lines) >= FLUSH_LINES:
            self.flush()
        elif self.flushing is None:
            self.flushing = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        if self.flushing is not None:
            self.flushing.cancel()
            self.flushing = None
        if self.lines:
            data = "".join(self.lines).encode()
            self.lines.clear()
            self.write(data)


def configuration(form: Form, level: Level) -> dict[str, Any]:
    """For logging.config.dictConfig: our own events from `level` on, the server's and the libraries' from WARNING on."""
    formatter = JsonFormatter if form == "json" else TextFormatter
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": formatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {
            "kotobamichi": {"level": level.upper()},
            "_granian": {"level": "WARNING", "handlers": ["stderr"], "propagate": False},
            # One line for every attempt to connect, while we tell in one that the database is away.
            "psycopg.pool": {"level": "ERROR"},
            "granian.access": {"level": "WARNING"},
        },
    }
