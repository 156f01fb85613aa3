"""Contract of michi, row D31, and what the statements of a migration must stay when they are sent together."""

from __future__ import annotations

import random
import signal
import time

import pytest

from tests.support.forwarder import forwarding
from tests.support.operator import Operator, finish, holding, kill, wait_until

ONE, TWO = "20260101000000_one", "20260102000000_two"
TABLE = (
    "CREATE TABLE item_{n} (id int PRIMARY KEY, name text NOT NULL DEFAULT 'x');\nCREATE INDEX ON item_{n} (name);\n"
)


def test_d31_500_pending_are_applied_in_order_and_take_two_round_trips_each(
    operator: Operator, server_url: str
) -> None:
    """The time beside psql is measured by `make bench BENCH=migrate`; what it rests on is counted here. psql takes four."""
    names = [operator.write(f"20260101{number:06}_item", TABLE.format(n=number)) for number in range(500)]
    operator.sum()
    direct = operator.url
    with forwarding(server_url) as forwarder:
        operator.url = forwarder.url(direct)
        answer = operator.deploy()
    operator.url = direct
    assert answer.exit_code == 0, answer.stderr
    assert operator.ledger() == [(name, "applied") for name in names]
    assert operator.query("SELECT count(*) FROM pg_index WHERE indrelid::regclass::text LIKE 'item%'") == [(1000,)]
    assert 2 * 500 <= forwarder.turns < 2 * 500 + 40


@pytest.mark.parametrize("ending", range(4))
def test_a_session_that_ends_at_any_statement_is_a_lost_connection(operator: Operator, ending: int) -> None:
    lines = [f"CREATE TABLE t{number} (id int);" for number in range(4)]
    lines[ending] = "SELECT pg_terminate_backend(pg_backend_pid());"
    operator.write(ONE, "\n".join(lines))
    operator.sum()
    for _ in range(5):
        answer = operator.deploy()
        assert (answer.exit_code, answer.error["code"]) == (6, "database.connection_lost"), answer.stderr
        assert operator.query("SELECT count(*) FROM pg_class WHERE relname ~ '^t[0-9]$'") == [(0,)]


def test_a_session_that_ends_after_the_last_answer_is_a_lost_connection(operator: Operator, server_url: str) -> None:
    """Chaos found it: all statements are answered, and the end of the whole never comes."""
    operator.write(ONE, "CREATE TABLE t0 (id int);")
    operator.sum()
    direct = operator.url
    with forwarding(server_url) as forwarder:
        forwarder.last_word = b"INSERT 0 1\0"  # that of the ledger's row
        operator.url = forwarder.url(direct)
        answer = operator.deploy()
    operator.url = direct
    assert (answer.exit_code, answer.error["code"]) == (6, "database.connection_lost"), answer.stderr
    assert operator.query("SELECT count(*) FROM pg_class WHERE relname = 't0'") == [(0,)]
    assert operator.deploy().exit_code == 0


def test_the_error_of_any_statement_is_its_own_and_undoes_all(operator: Operator) -> None:
    for failing in range(6):
        lines = [f"CREATE TABLE t{number} (id int);" for number in range(6)]
        lines[failing] = "SELECT 1 / 0 AS こと;"
        operator.write(ONE, "\n".join(lines))
        operator.sum()
        answer = operator.deploy()
        facts = answer.error["details"]["error"]
        assert (facts["line"], facts["sqlstate"]) == (failing + 1, "22012")
        assert operator.query("SELECT count(*) FROM pg_class WHERE relname ~ '^t[0-9]$'") == [(0,)]


def test_much_is_sent_and_much_comes_back_without_a_stall(operator: Operator) -> None:
    """More than the buffers of both sockets hold, in both directions at once."""
    row = "x" * 20_000
    script = ["CREATE TABLE big (id int, note text);"]
    script += [f"INSERT INTO big VALUES ({number}, '{row}') RETURNING *;" for number in range(400)]
    operator.write(ONE, "\n".join(script))
    operator.sum()
    assert operator.deploy().exit_code == 0
    assert operator.query("SELECT count(*), sum(length(note)) FROM big") == [(400, 8_000_000)]


@pytest.mark.parametrize(
    ("script", "line", "sqlstate", "message"),
    [
        ("SELECT 1;\nSELECT $1;", 2, "42P02", "there is no parameter $1"),
        ("SELECT 1;\nSELECT $1::int;", 2, "42P02", "there is no parameter $1"),
        ("SELECT 1;\nSELCT 2; SELECT 3;", 2, "42601", 'syntax error at or near "SELCT"'),
        ("SELECT 1;\nSELECT (2; SELECT 3);", 2, "42601", 'syntax error at or near ";"'),
    ],
)  # fmt: skip
def test_what_cannot_be_sent_together_fails_as_in_psql(
    operator: Operator, script: str, line: int, sqlstate: str, message: str
) -> None:
    operator.write(ONE, script)
    operator.sum()
    facts = operator.deploy().error["details"]["error"]
    assert (facts["line"], facts["sqlstate"], facts["message"]) == (line, sqlstate, message)


def test_a_function_with_parameters_is_made_as_it_stands(operator: Operator) -> None:
    operator.write(ONE, "CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT $1 * 2';\nSELECT twice(2);")
    operator.sum()
    assert operator.deploy().exit_code == 0
    assert operator.query("SELECT twice(21)") == [(42,)]


@pytest.mark.parametrize(
    "query", ["SELECT 't'::text", "SELECT NULL::bool", "SELECT true WHERE false", "SELECT true, 1"]
)
def test_a_verification_is_true_or_it_fails(operator: Operator, query: str) -> None:
    operator.write(ONE, "CREATE TABLE one (id int);", verify=f"SELECT true;\n{query};\nSELECT true;")
    operator.sum()
    answer = operator.deploy()
    assert (answer.exit_code, answer.error["details"]["error"]["line"]) == (7, 2)
    assert answer.error["details"]["error"]["message"] == f"not true: {query}"
    assert not operator.exists("one")


@pytest.mark.parametrize("level", ["SERIALIZABLE", "REPEATABLE READ"])
def test_a_script_may_choose_its_isolation_and_its_role(operator: Operator, level: str) -> None:
    operator.write(
        ONE,
        f"SET TRANSACTION ISOLATION LEVEL {level};\nSET ROLE pg_read_all_data;\nCREATE TEMP TABLE seen AS\n"
        "SELECT current_user::text AS who, current_setting('transaction_isolation') AS level;\nRESET ROLE;\n"
        "CREATE TABLE told AS SELECT * FROM seen;\nSET ROLE pg_read_all_data;",
    )
    operator.sum()
    answer = operator.deploy()
    assert answer.exit_code == 0, answer.stderr
    assert operator.query("SELECT who, level FROM told") == [("pg_read_all_data", level.lower())]


def test_a_later_statement_that_is_blocked_names_who_blocks_it(operator: Operator) -> None:
    operator.write(ONE, "CREATE TABLE held (id int);")
    operator.sum()
    assert operator.deploy().exit_code == 0
    operator.write(TWO, "-- michi: lock_timeout = 400ms\nSELECT 1;\nSELECT 2;\nALTER TABLE held ADD x int;\nSELECT 3;")
    operator.sum()
    with holding(operator, "LOCK TABLE held"):
        answer = operator.deploy("--lock-retry", "0s")
    assert answer.exit_code == 5
    facts = answer.error["details"]["error"]
    assert facts["line"] == 4
    assert facts["blockers"][0]["application"] == "bystander"


def test_d22_killed_while_its_statements_run_nothing_is_committed_afterwards(operator: Operator) -> None:
    """A server that does not look whether the client is still there goes on with what it was sent, and undoes it at the end."""
    operator.write(
        ONE,
        "SET LOCAL client_connection_check_interval = 0;\nCREATE TABLE one (id int);\n"
        "SELECT pg_advisory_xact_lock(4711);\nCREATE TABLE two (id int);",
    )
    operator.sum()
    with holding(operator, "SELECT pg_advisory_xact_lock(4711)"):
        process = operator.start("deploy")
        operator.wait_for_session("%4711%")
        kill(process)
    wait_until(lambda: not operator.sessions("%"), "the end of the session")
    wait_until(lambda: operator.query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)], "no lock")
    assert not operator.exists("one")
    assert operator.ledger() == []
    assert operator.deploy().exit_code == 0
    assert operator.exists("two")


def test_d30_a_signal_at_any_moment_leaves_whole_migrations_and_no_lock(operator: Operator) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    names = [operator.write(f"20260101{number:06}_item", TABLE.format(n=number)) for number in range(100)]
    operator.sum()
    codes = []
    for _ in range(8):
        process = operator.start("deploy")
        time.sleep(chance.uniform(0.1, 0.8))
        process.send_signal(chance.choice([signal.SIGTERM, signal.SIGINT]))
        answer = finish(process)
        codes.append(answer.exit_code)
        before_michi_listens = answer.exit_code in {-signal.SIGTERM, -signal.SIGINT}
        assert before_michi_listens or answer.exit_code in {0, 130, 143}, answer.stderr
        assert "Traceback" not in answer.stderr
    assert operator.deploy().exit_code == 0, codes
    assert operator.ledger() == [(name, "applied") for name in names]
    assert operator.query("SELECT count(*) FROM pg_index WHERE indrelid::regclass::text LIKE 'item%'") == [(200,)]
