"""A deploy at a terminal: the real command under a pty, and what a person sees."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from michi.lock import lock_key
from tests.support.operator import Operator, holding
from tests.support.terminals import Screen, screen

ONE = "20260101000000_one"
TWO = "20260102000000_two"
HIDE_CURSOR, SHOW_CURSOR = b"\x1b[?25l", b"\x1b[?25h"


@contextmanager
def deploying(operator: Operator, *options: str, columns: int = 100, **environment: str) -> Iterator[Screen]:
    operator.sum()
    command = [argument for argument in operator.command("deploy", *options) if argument != "--json"]
    with screen(command, operator.clean_environment | environment, columns) as seen:
        yield seen


def assert_sane(seen: Screen) -> None:
    assert seen.raw.count(HIDE_CURSOR) == seen.raw.count(SHOW_CURSOR)
    assert seen.raw.rfind(SHOW_CURSOR) >= seen.raw.rfind(HIDE_CURSOR)


def test_what_is_done_stays_as_a_line_and_the_last_one_closes(operator: Operator) -> None:
    operator.write(ONE, "CREATE TABLE one (id int);")
    operator.write(TWO, "SELECT pg_sleep(1.6);")
    with deploying(operator) as seen:
        seen.wait_for("line 1  SELECT pg_sleep(1.6)")
        assert seen.finish() == 0
    assert "2 migrations to apply" in seen.text
    assert f"✓ {ONE}" in seen.text
    assert f"✓ {TWO}" in seen.text
    closing = seen.text.rstrip().splitlines()[-1]
    assert closing.startswith("Applied 2 migrations in ")
    assert closing.endswith(f"; the database is at {TWO}.")
    assert_sane(seen)


def test_nothing_to_do_is_two_calm_lines(operator: Operator) -> None:
    operator.write(ONE, "CREATE TABLE one (id int);")
    operator.sum()
    assert operator.deploy().exit_code == 0
    with deploying(operator) as seen:
        assert seen.finish() == 0
    connected, closing = seen.text.splitlines()
    assert connected.startswith("  connected to ")
    assert closing == f"Nothing to do; the database is at {ONE}."
    assert HIDE_CURSOR not in seen.raw


def test_who_blocks_is_named_and_the_retry_is_shown(operator: Operator) -> None:
    operator.write(ONE, "CREATE TABLE one (id int);")
    operator.sum()
    assert operator.deploy().exit_code == 0
    operator.write(TWO, "ALTER TABLE one ADD COLUMN kana text;")
    with deploying(operator) as seen:
        with holding(operator, "LOCK TABLE one"):
            seen.wait_for("(bystander from ")
            seen.wait_for("rolled back, trying again")
        assert seen.finish() == 0
    assert "after 2 tries" in seen.text or "after 3 tries" in seen.text


def test_another_deploy_is_waited_for_and_named(operator: Operator) -> None:
    operator.write(ONE, "CREATE TABLE one (id int);")
    with deploying(operator) as seen:
        with holding(operator, f"SELECT pg_advisory_xact_lock({lock_key('public')})"):
            seen.wait_for("waiting for the deploy lock held by pid ")
        assert seen.finish() == 0
    assert f"✓ {ONE}" in seen.text


def test_a_failure_shows_the_place_and_what_to_do_next(operator: Operator) -> None:
    operator.write(ONE, "CREATE TABLE one (id int);\nINSERT INTO one (言葉, id)\nVALUES (1, 2);")
    with deploying(operator) as seen:
        assert seen.finish() == 7
    assert f"✗ {ONE}" in seen.text
    lines = [line for line in seen.text.splitlines() if line.strip("\r ")]  # those between are drawn over
    number = next(number for number, line in enumerate(lines) if "INSERT INTO one" in line)
    assert lines[number - 1].strip().endswith("up.sql:2")
    assert lines[number + 1].index("^") == lines[number].index("言葉")
    assert "SQLSTATE 42703" in lines[number + 2]
    assert seen.text.count("SQLSTATE 42703") == 1  # the closing line does not say it all again
    assert f"michi: {ONE} failed at line 2. [migration.failed]" in seen.text
    assert "Mend the file and deploy again" in seen.text
    assert_sane(seen)


def test_ctrl_c_leaves_the_terminal_sane_and_says_what_was_stopped(operator: Operator) -> None:
    operator.write(ONE, "SELECT pg_sleep(60);")
    with deploying(operator) as seen:
        seen.wait_for("line 1  SELECT pg_sleep(60)")
        seen.press_ctrl_c()
        assert seen.finish() == 130
    assert seen.text.rstrip().endswith("michi: interrupted; what was not committed is undone.")
    assert "interrupted\n" in seen.text
    assert_sane(seen)


def test_no_color_and_a_narrow_terminal(operator: Operator) -> None:
    operator.write(ONE, "SELECT pg_sleep(1.6), '言葉言葉言葉言葉言葉言葉言葉言葉言葉';")
    with deploying(operator, columns=40, NO_COLOR="1") as seen:
        seen.wait_for("line 1  SELECT")
        assert seen.finish() == 0
    assert re.search(r"\x1b\[[0-9;]*3[0-7][;m]", seen.raw.decode()) is None


def test_a_server_that_is_not_there_yet_is_waited_for_with_the_time_left(operator: Operator) -> None:
    operator.url = "postgresql://me@localhost:1/words"
    with deploying(operator, "--wait", "2s") as seen:
        seen.wait_for("waiting for the database: me@localhost:1/words cannot be reached")
        assert seen.finish() == 6
    assert "[database.unreachable]" in seen.text
    assert_sane(seen)


def test_what_draws_is_loaded_on_a_terminal_only(operator: Operator) -> None:
    operator.write(ONE, "CREATE TABLE one (id int);")
    operator.sum()
    command = [sys.executable, "-X", "importtime", *operator.command("deploy")[1:]]
    done = subprocess.run(command, env=operator.clean_environment, capture_output=True, text=True, check=True)
    assert "michi.attempt" in done.stderr
    assert " rich" not in done.stderr
