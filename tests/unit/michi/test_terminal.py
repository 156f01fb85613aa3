"""michi.terminal: what is drawn, without a database."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.cells import cell_len

from michi.terminal import Terminal, sql_error
from tests.unit.michi.test_report import BLOCKER, FAILURE, PROGRESS, Tty


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("LINES", "24")
    return Terminal(io.StringIO(), Tty())


def frame(terminal: Terminal) -> list[str]:
    with terminal.console.capture() as capture:
        terminal.console.print(terminal._frame())
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capture.get()).splitlines()


def begin(terminal: Terminal, name: str = "20260101000000_one", statements: int = 1) -> None:
    terminal("plan", pending=[name, "b", "c", "d", "e", "f"], head=None)
    terminal("migration_started", migration=name, statements=statements, phase="expand")


def test_the_running_one_stands_above_the_next_three(terminal: Terminal) -> None:
    begin(terminal)
    first, *rest = frame(terminal)
    assert first[2:].split() == ["20260101000000_one", "0", "s"]
    assert rest == ["· b", "· c", "· d", "  and 2 more"]


def test_progress_shows_the_statement_a_bar_and_the_estimate(terminal: Terminal) -> None:
    begin(terminal)
    facts = PROGRESS | {"phase": "scanning", "percent": 50.0, "unit": "blocks", "seconds_left": 3.0}
    terminal("statement_progress", **facts)
    assert frame(terminal)[1:3] == ["  line 4  UPDATE x", f"  {'━' * 12}{'╌' * 12}  scanning 50 %, about 3 s left"]


def test_who_blocks_is_shown_while_it_waits_and_gone_after(terminal: Terminal) -> None:
    begin(terminal, statements=3)
    terminal("statement_progress", **PROGRESS | {"blockers": [BLOCKER]})
    assert "waiting for pid 42 (psql from local, for 7 s): LOCK" in " ".join(frame(terminal))
    terminal("statement_done", migration="20260101000000_one", done=1, total=3)
    assert "pid 42" not in " ".join(frame(terminal))
    assert "statement 2 of 3" in frame(terminal)[0]


def test_a_retry_is_shown_and_counted(terminal: Terminal) -> None:
    begin(terminal)
    retry: dict[str, Any] = {"statement": "UPDATE x", "line": 1, "blockers": [BLOCKER], "seconds_left": 50.0}
    terminal("lock_timeout_retry", migration="m", sqlstate="55P03", retry_in_seconds=0.3, **retry)
    assert "rolled back, trying again (try 2), 49 s left; held up by pid 42" in re.sub(
        r"\s+", " ", " ".join(frame(terminal))
    )
    terminal("migration_applied", migration="20260101000000_one", statements=1, duration_ms=3100, lock_wait_seconds=3.0)
    assert "3.1 s" in terminal.console.file.getvalue()  # type: ignore[attr-defined]
    assert "after 2 tries" in terminal.console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("columns", ["1", "12", "30", "60"])
def test_no_line_is_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", columns)
    terminal = Terminal(io.StringIO(), Tty())
    begin(terminal, "20260101000000_a_migration_with_a_long_name_that_fits_nowhere", 2)
    facts = PROGRESS | {"statement": "INSERT INTO 言葉 " * 9, "phase": "scanning", "percent": 50.0, "unit": "blocks"}
    terminal("statement_progress", **facts)
    assert max(cell_len(line) for line in frame(terminal)) <= int(columns)


def test_the_mark_of_an_error_stands_under_its_place_in_wide_text_and_in_long_lines() -> None:
    for source in ("INSERT INTO 言葉 VALUES (x)", "SELECT '" + "言葉" * 60 + "', (x)"):
        facts = FAILURE | {"source": source, "column": source.index("x)") + 1}
        _, shown, mark, *said = [line.plain for line in sql_error(facts, 60)]
        assert cell_len(shown[: shown.index("x)")]) == mark.index("^")
        assert cell_len(shown) <= 60
        assert said == ['  relation "x" does not exist (SQLSTATE 42P01)', "  Hint: Look."]


def test_nothing_to_do_after_waiting_for_another_deploy_ends_the_live_view(terminal: Terminal) -> None:
    with terminal:
        terminal("waiting_for_lock", holder=None, seconds_left=60.0)
        assert "waiting for the deploy lock, 59 s left" in frame(terminal)[0]
        terminal("done", applied=0, state="up_to_date", head="m")
        assert not terminal.live.is_started
    assert terminal.out.getvalue() == "Nothing to do; the database is at m.\n"  # type: ignore[attr-defined]


def test_the_count_of_statements_ends_with_the_last_one(terminal: Terminal) -> None:
    begin(terminal, statements=2)
    terminal("statement_done", migration="20260101000000_one", done=2, total=2)
    assert "statement" not in frame(terminal)[0]
