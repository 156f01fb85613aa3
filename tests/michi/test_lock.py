"""Contract of michi, table "Connection, lock", the rows L: many deploys at once, and one that does not let go."""

from __future__ import annotations

import time

from tests.support.operator import Operator, finish, holding, kill, wait_until
from tests.support.servers import PasswordServer, pgbouncer

ONE = "20260101000000_one"
TWO = "20260102000000_two"
SLEEPING = "SELECT pg_sleep(60);"


def test_l01_of_twenty_deploys_at_once_exactly_one_applies(operator: Operator) -> None:
    operator.write(ONE, "CREATE TABLE one (id int);\nSELECT pg_sleep(0.2);\nINSERT INTO one VALUES (1);")
    operator.write(TWO, "CREATE TABLE two (id int);")
    operator.sum()
    answers = [finish(process) for process in [operator.start("deploy") for _ in range(20)]]
    assert [answer.exit_code for answer in answers] == [0] * 20, [answer.stderr for answer in answers]
    assert sorted(answer.named("done")[0]["applied"] for answer in answers) == [0] * 19 + [2]
    assert operator.ledger() == [(ONE, "applied"), (TWO, "applied")]
    assert operator.query("SELECT id FROM one") == [(1,)]


def test_l02_a_lock_held_too_long_ends_with_its_holder_named(operator: Operator) -> None:
    operator.write(ONE, SLEEPING)
    operator.sum()
    holder = operator.start("deploy")
    pid = operator.wait_for_session("%pg_sleep(60)%")
    began = time.monotonic()
    answer = operator.deploy("--lock-timeout", "1s")
    seconds = time.monotonic() - began
    kill(holder)
    assert (answer.exit_code, answer.error["code"]) == (5, "lock.busy")
    assert 1 <= seconds < 5
    details = answer.error["details"]["holder"]
    assert (details["pid"], details["application"].split("/")[0]) == (pid, "michi")
    assert details["host"] == "local"
    assert details["age_seconds"] >= 0
    assert "pg_sleep(60)" in details["query"]
    text = answer.error["message"] + answer.error["remedy"]
    assert f"pid {pid}" in text
    assert "from local" in text
    assert f"SELECT pg_terminate_backend({pid});" in text
    assert answer.named("waiting_for_lock")[0]["holder"]["pid"] == pid


def test_l06_pgbouncer_in_transaction_mode_is_refused(
    operator: Operator, running_password_server: PasswordServer
) -> None:
    operator.write(ONE, "CREATE TABLE one (id int);")
    operator.sum()
    direct = running_password_server.address
    with pgbouncer(direct, "transaction") as pooler:
        operator.url = pooler.url("postgres")
        answer = operator.deploy()
    assert (answer.exit_code, answer.error["code"]) == (8, "pooler.detected")
    assert "MIGRATION_DATABASE_URL" in answer.error["remedy"]
    assert pooler.password not in answer.stdout + answer.stderr
    operator.url = direct.url("postgres")
    assert not operator.exists("_michi_ledger")


def test_l06_pgbouncer_in_transaction_mode_is_refused_while_the_app_keeps_it_busy(
    operator: Operator, running_password_server: PasswordServer
) -> None:
    operator.sum()
    with pgbouncer(running_password_server.address, "transaction") as pooler:
        operator.url = pooler.url("postgres")
        with holding(operator, "SELECT 1"), holding(operator, "SELECT 2"):
            answer = operator.deploy()
    assert (answer.exit_code, answer.error["code"]) == (8, "pooler.detected")


def test_l06_pgbouncer_in_session_mode_keeps_the_lock_and_is_used(
    operator: Operator, running_password_server: PasswordServer
) -> None:
    operator.write(ONE, "CREATE TABLE through_pgbouncer (id int);")
    operator.sum()
    with pgbouncer(running_password_server.address, "session") as pooler:
        operator.url = pooler.url("postgres") + "?schema=through_pgbouncer"
        answer = operator.deploy()
    assert answer.exit_code == 0, answer.stderr
    assert answer.named("done")[0]["applied"] == 1


def test_l07_two_schemas_of_a_database_do_not_wait_for_each_other(operator: Operator) -> None:
    operator.write(ONE, SLEEPING)
    operator.sum()
    holder = operator.start("deploy")
    operator.wait_for_session("%pg_sleep(60)%")
    other = Operator(operator.url + "&schema=other", operator.folder.with_name("other"))
    other.write(ONE, "CREATE TABLE one (id int);")
    other.sum()
    answer = other.deploy("--lock-timeout", "0s")
    kill(holder)
    assert answer.exit_code == 0, answer.stderr
    assert operator.exists("other.one")
    assert operator.exists("other._michi_ledger")
    assert not operator.exists("public.one")


def test_l08_three_deploys_wait_while_one_builds_an_index_concurrently(operator: Operator) -> None:
    operator.write(ONE, "CREATE TABLE one (id int);\nINSERT INTO one SELECT generate_series(1, 1000);")
    operator.sum()
    assert operator.deploy().exit_code == 0
    operator.write(TWO, "-- michi: lock_timeout = 20s\nCREATE INDEX CONCURRENTLY one_id ON one (id);")
    operator.sum()
    with holding(operator, "INSERT INTO one VALUES (0)"):
        builder = operator.start("deploy")
        operator.wait_for_session("%CREATE INDEX CONCURRENTLY%")
        waiters = [operator.start("deploy") for _ in range(3)]
        polls = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE query LIKE 'SELECT pg_try_advisory_lock%%' AND datname = current_database()"
        )
        wait_until(lambda: operator.query(polls) == [(3,)], "three deploys that wait for the lock")
    answers = [finish(process, 20) for process in (builder, *waiters)]
    assert [answer.exit_code for answer in answers] == [0] * 4, [answer.stderr for answer in answers]
    assert [answer.named("done")[0]["applied"] for answer in answers] == [1, 0, 0, 0]
    assert answers[0].named("index_dropped") == []
    assert operator.query("SELECT indisvalid FROM pg_index WHERE indexrelid = 'one_id'::regclass") == [(True,)]
    assert operator.ledger() == [(ONE, "applied"), (TWO, "applied")]


def test_l09_the_lock_of_a_killed_deploy_is_free_within_three_seconds(operator: Operator) -> None:
    operator.write(ONE, SLEEPING)
    operator.sum()
    holder = operator.start("deploy")
    operator.wait_for_session("%pg_sleep(60)%")
    operator.write(ONE, "CREATE TABLE one (id int);")
    operator.sum()
    kill(holder)
    began = time.monotonic()
    answer = operator.deploy()
    assert time.monotonic() - began < 3
    assert answer.exit_code == 0, answer.stderr
    assert operator.ledger() == [(ONE, "applied")]
