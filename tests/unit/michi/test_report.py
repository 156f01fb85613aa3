"""michi.report: what people and programs are told."""

from __future__ import annotations

import io
import json
import threading
from typing import Any, get_args

import pytest

from michi.errors import HistoryEdited
from michi.events import EventName
from michi.report import Throttle, can_draw, emitter
from michi.sentences import describe

BLOCKER = {"pid": 42, "application": "psql", "host": "local", "user": "me", "age_seconds": 7, "query": "LOCK\n words"}
FAILURE = {
    "migration": "m", "file": "m/up.sql", "line": 2, "statement": "INSERT INTO x", "sqlstate": "42P01",
    "message": 'relation "x" does not exist', "detail": None, "hint": "Look.", "source": "INSERT INTO x", "column": 13,
}  # fmt: skip
PROGRESS = {
    "migration": "m", "file": "m/up.sql", "line": 4, "statement": "UPDATE x", "elapsed_seconds": 12.0,
    "phase": None, "done": None, "total": None, "unit": None, "percent": None, "seconds_left": None,
    "relation": None, "growth_bytes": None, "blockers": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "facts", "text"),
    [
        ("connected", {"server": "me@h:1/d"}, "connected to me@h:1/d"),
        ("database_created", {"database": "words"}, "created the database words"),
        ("plan", {"pending": ["m"]}, "1 migration to apply"),
        ("plan", {"pending": ["m", "n"]}, "2 migrations to apply"),
        ("migration_applied", {"migration": "m", "duration_ms": 12}, "m  12 ms"),
        ("migration_applied", {"migration": "m", "duration_ms": 61_240}, "m  61.2 s"),
        ("waiting_for_database", {"message": "no", "seconds_left": 3.5}, "waiting for the database, 3.5 s left: no"),
        ("waiting_for_lock", {"holder": None, "seconds_left": 3.0}, "waiting for the deploy lock, 3 s left"),
        (
            "waiting_for_lock",
            {"holder": BLOCKER, "seconds_left": 3.0},
            "waiting for the deploy lock held by pid 42 (psql from local), 3 s left",
        ),
        (
            "lock_timeout_retry",
            {"migration": "m", "line": 3, "retry_in_seconds": 0.5, "blockers": [BLOCKER]},
            "m, line 3: rolled back, trying again in 0.5 s; held up by pid 42 (psql from local, for 7 s): LOCK words",
        ),
        (
            "lock_timeout_retry",
            {"migration": "m", "line": None, "retry_in_seconds": 0.5, "blockers": []},
            "m, at commit: rolled back, trying again in 0.5 s; another session holds the table",
        ),
        ("done", {"applied": 0, "state": "up_to_date", "head": None}, "Nothing to do."),
        ("done", {"applied": 0, "state": "up_to_date", "head": "m"}, "Nothing to do; the database is at m."),
        ("done", {"applied": 2, "state": "up_to_date", "head": "m"}, "Applied 2 migrations; the database is at m."),
        (
            "done",
            {"applied": 0, "state": "ahead", "head": "m"},
            "Nothing to do: the database is ahead of this folder, at m, and compatible.",
        ),
        ("statement_progress", PROGRESS, "m, line 4: running for 12 s"),
        (
            "statement_progress",
            PROGRESS | {"phase": "scanning table", "percent": 62.4, "unit": "blocks", "seconds_left": 125.0},
            "m, line 4: running for 12 s; scanning table 62 %, about 2 min 05 s left",
        ),
        (
            "statement_progress",
            PROGRESS | {"phase": "waiting", "percent": 0.0, "unit": "transactions", "blockers": [BLOCKER]},
            "m, line 4: running for 12 s; waiting; waiting for pid 42 (psql from local, for 7 s): LOCK words",
        ),
        (
            "statement_progress",
            PROGRESS | {"phase": "copying", "done": 25_000_000, "unit": "bytes"},
            "m, line 4: running for 12 s; copying 24 MB",
        ),
        (
            "statement_progress",
            PROGRESS | {"relation": "words", "growth_bytes": 2048, "elapsed_seconds": 4200.0},
            "m, line 4: running for 1 h 10 min; words has grown by 2 kB",
        ),
        ("migration_started", {"migration": "m"}, None),
        ("error", {"message": "m"}, None),
    ],
)
def test_an_event_as_a_sentence(name: EventName, facts: dict[str, Any], text: str | None) -> None:
    assert describe(name, facts) == text


def test_a_failure_shows_the_place_the_source_and_what_postgresql_said() -> None:
    lines = (describe("migration_failed", FAILURE) or "").splitlines()
    assert lines[0] == "m"
    assert [line.strip() for line in lines[1:]] == [
        "m/up.sql:2",
        "2 | INSERT INTO x",
        "^",
        "sqlstate: 42P01",
        'message: relation "x" does not exist',
        "hint: Look.",
    ]
    assert lines[3].index("^") == lines[2].index("x", lines[2].index("INTO"))


def test_the_mark_stands_under_wide_characters_too() -> None:
    source = "INSERT INTO 言葉 VALUES (x)"
    facts = FAILURE | {"source": source, "column": source.index("x)") + 1}
    lines = (describe("migration_failed", facts) or "").splitlines()
    columns_before = len(lines[2].split("x)")[0]) + len("言葉")  # each of the two takes two columns of a terminal
    assert lines[3].index("^") == columns_before


def test_json_is_one_object_a_line_on_the_output() -> None:
    out, err = io.StringIO(), io.StringIO()
    emit = emitter(as_json=True, out=out, err=err)
    emit("connected", server="言葉")
    emit("done", applied=0, state="ahead", head=None)
    first, second = (json.loads(line) for line in out.getvalue().splitlines())
    assert (first["event"], first["server"], second["event"]) == ("connected", "言葉", "done")
    assert first["at"].endswith("+00:00")
    assert err.getvalue() == ""


def test_plain_lines_go_to_the_error_output_and_the_closing_one_to_the_output() -> None:
    out, err = io.StringIO(), io.StringIO()
    emit = emitter(as_json=False, out=out, err=err)
    emit("migration_applied", migration="m", duration_ms=3)
    emit("statement_done", migration="m", done=1, total=2)
    emit("done", applied=1, state="up_to_date", head="m")
    assert out.getvalue() == "Applied 1 migration; the database is at m.\n"
    assert err.getvalue().endswith("Z ✓ m  3 ms\n")
    assert err.getvalue().count("\n") == 1
    assert "\033" not in err.getvalue()


def test_a_text_from_outside_with_braces_is_shown_as_it_is() -> None:
    facts = {"message": "{seconds_left} {", "seconds_left": 1.0}
    assert describe("waiting_for_database", facts) == "waiting for the database, 1 s left: {seconds_left} {"


def test_an_unknown_event_is_not_for_people() -> None:
    assert "statement_done" in get_args(EventName)
    assert describe("statement_done", {}) is None


def test_an_error_is_what_is_wrong_its_code_and_what_to_do() -> None:
    assert (
        HistoryEdited("It changed.", "Restore it.").as_text("michi")
        == "michi: It changed. [history.edited]\n       Restore it."
    )
    assert HistoryEdited("It changed.").as_text("michi") == "michi: It changed. [history.edited]"


def test_a_query_of_somebody_else_does_not_steer_the_terminal() -> None:
    blocker = BLOCKER | {"query": "LOCK\033[2J words\a"}
    text = describe("statement_progress", PROGRESS | {"blockers": [blocker]})
    assert text is not None
    assert text.endswith("LOCK [2J words")


# Progress comes twice a second; who reads lines is told now and then


def test_progress_is_told_once_in_a_while_and_at_once_when_a_blocker_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("michi.report.time.monotonic", lambda: now)
    throttle = Throttle(5.0)
    told = []
    for elapsed, blockers in [(1, []), (3, []), (4, [BLOCKER]), (5, [BLOCKER]), (6, []), (8, []), (11, [])]:
        now = 100.0 + elapsed
        if throttle.lets_through(PROGRESS | {"elapsed_seconds": float(elapsed), "blockers": blockers}):
            told.append(elapsed)
    assert told == [1, 4, 6, 11]


def test_a_wait_for_the_database_is_told_again_when_its_reason_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("michi.report.time.monotonic", lambda: now)
    err = io.StringIO()
    emit = emitter(as_json=False, out=io.StringIO(), err=err)
    for second, reason in [(0, "away"), (2, "away"), (4, "starting up"), (6, "starting up"), (14, "starting up")]:
        now = 100.0 + second
        emit("waiting_for_database", message=reason, seconds_left=60.0 - second)
    assert [line.split(", ")[1] for line in err.getvalue().splitlines()] == [
        "60 s left: away", "56 s left: starting up", "46 s left: starting up",
    ]  # fmt: skip


def test_plain_lines_pass_over_what_takes_a_few_seconds() -> None:
    out, err = io.StringIO(), io.StringIO()
    emit = emitter(as_json=False, out=out, err=err)
    emit("statement_progress", **PROGRESS | {"elapsed_seconds": 4.0})
    assert err.getvalue() == ""
    emit("statement_progress", **PROGRESS)
    emit("statement_progress", **PROGRESS | {"elapsed_seconds": 13.0})
    assert err.getvalue().count("running for") == 1


def test_lines_from_two_threads_do_not_mix() -> None:
    class Slow(io.StringIO):
        def write(self, text: str) -> int:
            return sum(super(Slow, self).write(char) for char in text)

    out = Slow()
    emit = emitter(as_json=True, out=out)
    threads = [threading.Thread(target=lambda: [emit("warning", message="x" * 200) for _ in range(50)]) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [json.loads(line)["message"] for line in out.getvalue().splitlines()] == ["x" * 200] * 100


class Tty(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured, plain = Tty(), Tty()
    emitter(as_json=False, out=io.StringIO(), err=coloured)("warning", message="m")
    monkeypatch.setenv("NO_COLOR", "1")
    emitter(as_json=False, out=io.StringIO(), err=plain)("warning", message="m")
    assert "\033" in coloured.getvalue()
    assert plain.getvalue() == "! m\n"


def test_only_a_terminal_that_can_is_drawn_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert can_draw(Tty())
    assert not can_draw(io.StringIO())
    monkeypatch.setenv("TERM", "dumb")
    assert not can_draw(Tty())
