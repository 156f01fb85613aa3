"""Lines of the log: one an event, that nothing in it can forge and that names nobody."""

from __future__ import annotations

import asyncio
import json
import logging
import re

import psycopg
import pytest

from kotobamichi.incoming import MOST_BODY_BYTES
from kotobamichi.logs import REQUESTS, JsonFormatter, RequestLog, TextFormatter, clean, get_log
from kotobamichi.routing import Route

WORDS = Route(1, "GET", "/v1/words/{word_id}", 100, MOST_BODY_BYTES, secret=False, quiet=False)
HEALTH = Route(2, "GET", "/v1/health", None, MOST_BODY_BYTES, secret=False, quiet=True)


@pytest.mark.parametrize(
    ("said", "cleaned"),
    [
        ("a\r\nb", "a\\u000d\\u000ab"),
        ("\x1b[31mred\x00", "\\u001b[31mred\\u0000"),
        ("\u2028\u202e\x85", "\\u2028\\u202e\\u0085"),
        ("to hanako.yamada+1@mail.example.org, twice", "to <address>, twice"),
        ("Key (email)=(hanako@example.org) exists", "Key (email)=(<address>) exists"),
        ("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "Bearer <token>"),
        ("日本語 stays", "日本語 stays"),
    ],
)
def test_what_could_forge_or_name_is_cleaned(said: str, cleaned: str) -> None:
    assert clean(said) == cleaned


def test_an_event_is_its_name_and_its_facts(caplog: pytest.LogCaptureFixture) -> None:
    get_log("kotobamichi.test").warning("thing.done", count=3, who="a b@example.org", none=None, forged='x" y=1\n2026')
    text = TextFormatter().format(caplog.records[0])
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING kotobamichi\.test: thing\.done count=3 who=\"a <address>\" none=None"
        r' forged="x\\" y=1\\\\u000a2026"',
        text,
    ), text
    line = json.loads(JsonFormatter().format(caplog.records[0]))
    assert line.pop("at").endswith("Z")
    assert line == {
        "level": "warning", "logger": "kotobamichi.test", "event": "thing.done", "count": 3, "who": "a <address>", "none": None,
        "forged": 'x" y=1\\u000a2026',
    }  # fmt: skip


def test_a_trace_says_where_and_of_a_database_error_no_values(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise psycopg.errors.UniqueViolation("duplicate key\nDETAIL:  Key (email)=(hanako) already exists.")
    except psycopg.Error as error:
        get_log("kotobamichi.test").failure("request.failed", error)
    text = TextFormatter().format(caplog.records[0])
    assert "UniqueViolation: sqlstate=23505" in text
    assert "test_logs.py" in text
    assert "hanako" not in text
    assert all(line.startswith("  | ") for line in text.splitlines()[1:])
    assert "sqlstate=23505" in json.loads(JsonFormatter().format(caplog.records[0]))["trace"][-1]


@pytest.mark.parametrize("form", ["text", "json"])
def test_requests_are_lines_that_wait_for_a_moment(form: str) -> None:
    written: list[bytes] = []

    async def work() -> None:
        log = RequestLog("json" if form == "json" else "text", written.append)
        for _ in range(3):
            log.add(WORDS, 200, 0.0123, "an-id")
            log.add(HEALTH, 200, 0.0001, "a-probe")
        assert not written
        for _ in range(3000):
            if written:
                return
            await asyncio.sleep(0.01)

    logging.getLogger(REQUESTS).setLevel(logging.INFO)
    asyncio.run(work())
    lines = b"".join(written).decode().splitlines()
    assert len(lines) == 3
    if form == "json":
        line = json.loads(lines[0])
        assert line["at"].endswith("Z")
        assert line["route"] == "/v1/words/{word_id}"
        assert (line["status"], line["ms"], line["request_id"]) == (200, 12.3, "an-id")
    else:
        assert lines[0].endswith("request method=GET route=/v1/words/{word_id} status=200 ms=12.3 request_id=an-id")


def test_probes_are_told_when_everything_is() -> None:
    written: list[bytes] = []

    async def work() -> None:
        log = RequestLog("text", written.append, everything=True)
        log.add(HEALTH, 200, 0.0001, "a-probe")
        log.flush()

    logging.getLogger(REQUESTS).setLevel(logging.INFO)
    asyncio.run(work())
    assert b"route=/v1/health " in written[0]
