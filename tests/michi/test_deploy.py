"""Contract of michi, table "Deploy": the real command on a real PostgreSQL, and what stands there afterwards."""

from __future__ import annotations

import signal
import time

import pytest

from tests.support.operator import Answer, Operator, finish, holding, kill, wait_until

ONE = "20260101000000_one"
TWO = "20260102000000_two"
THREE = "20260103000000_three"
FOUR = "20260104000000_four"


def write_three(operator: Operator, second: str) -> None:
    operator.write(ONE, "CREATE TABLE one (id int);")
    operator.write(TWO, second)
    operator.write(THREE, "CREATE TABLE three (id int);")
    operator.sum()


# D01, D02, D05


def test_d01_empty_folder_on_an_empty_database_makes_the_ledger_and_nothing_else(operator: Operator) -> None:
    answer = operator.deploy()
    assert answer.exit_code == 0, answer.stderr
    assert answer.named("done")[0]["applied"] == 0
    assert operator.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == [("_michi_ledger",)]
    assert operator.ledger() == []


def test_d02_one_pending_is_applied_with_one_ledger_row(operator: Operator) -> None:
    operator.environment = {"MICHI_APP_VERSION": "1.2.3", "MICHI_APP_NAME": "words"}
    operator.write(ONE, "CREATE TABLE one (id int);\nINSERT INTO one VALUES (1);")
    operator.sum()
    answer = operator.deploy()
    assert answer.exit_code == 0, answer.stderr
    assert [event["migration"] for event in answer.named("migration_applied")] == [ONE]
    assert operator.query("SELECT id FROM one") == [(1,)]
    columns = "migration, verdict, phase, statements_total, statements_done, error, applied_by, app_version, app_name"
    user = operator.query("SELECT session_user::text")[0][0]
    row = (ONE, "applied", "expand", 2, 2, None, user, "1.2.3", "words")
    assert operator.query(f"SELECT {columns} FROM _michi_ledger") == [row]
    times = "finished_at >= started_at AND duration_ms >= 0 AND host <> '' AND length(checksum) = 64"
    assert operator.query(f"SELECT {times} FROM _michi_ledger") == [(True,)]


def test_d02_the_same_again_writes_no_row_and_takes_no_lock(operator: Operator) -> None:
    operator.write(ONE, "CREATE TABLE one (id int);")
    operator.sum()
    assert operator.deploy().exit_code == 0
    with holding(operator, deploy_lock_statement("public")):
        answer = operator.deploy("--lock-timeout", "0s")
    assert answer.exit_code == 0, answer.stderr
    assert answer.named("done")[0]["applied"] == 0
    assert operator.ledger() == [(ONE, "applied")]


def deploy_lock_statement(schema: str) -> str:
    from michi.lock import lock_key

    return f"SELECT pg_advisory_lock({lock_key(schema)})"


@pytest.mark.parametrize(
    "existing",
    [
        "CREATE TABLE words (id int)",
        "CREATE VIEW words AS SELECT 1 AS id",
        "CREATE MATERIALIZED VIEW words AS SELECT 1 AS id",
        "CREATE TYPE words AS ENUM ('n5', 'n4')",
        "CREATE DOMAIN words AS text CHECK (value <> '')",
        "CREATE TYPE words AS (kanji text, kana text)",
        "CREATE SEQUENCE words",
        "CREATE FUNCTION words() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ],
)
def test_d05_a_schema_with_objects_and_no_ledger_needs_a_baseline(operator: Operator, existing: str) -> None:
    operator.execute(existing)
    operator.write(ONE, "CREATE TABLE one (id int);")
    operator.sum()
    answer = operator.deploy()
    assert (answer.exit_code, answer.error["code"]) == (7, "baseline.needed")
    assert "words" in answer.error["message"]
    assert not operator.exists("one")
    assert not operator.exists("_michi_ledger")


def test_d05_what_an_extension_brought_counts_as_nothing(operator: Operator) -> None:
    available = {row[0] for row in operator.query("SELECT name FROM pg_available_extensions WHERE name <> 'plpgsql'")}
    assert available & {"vector", "pg_trgm"}, "the server has neither vector nor pg_trgm"
    operator.execute(f"CREATE EXTENSION {min(available & {'vector', 'pg_trgm'})}")
    operator.write(ONE, "CREATE TABLE one (id int);")
    operator.sum()
    answer = operator.deploy()
    assert answer.exit_code == 0, answer.stderr


# D09, D10, D23: errors


def test_d09_second_of_three_fails(operator: Operator) -> None:
    write_three(operator, "CREATE TABLE two (id int);\nINSERT INTO two\nVALUES ('言葉');")
    answer = operator.deploy()
    assert (answer.exit_code, answer.error["code"]) == (7, "migration.failed")
    assert operator.ledger() == [(ONE, "applied"), (TWO, "undone")]
    assert operator.exists("one")
    assert not operator.exists("two")
    assert not operator.exists("three")
    error = operator.query("SELECT error FROM _michi_ledger WHERE verdict = 'undone'")[0][0]
    assert (error["sqlstate"], error["line"]) == ("22P02", 3)
    assert error["statement"].startswith("INSERT INTO two")
    assert "up.sql, line 3" in answer.error["message"]
    assert "22P02" in answer.error["message"]


def test_d10_after_the_file_is_mended_the_next_deploy_goes_on(operator: Operator) -> None:
    write_three(operator, "CREATE TABLE two (id nonsense);")
    assert operator.deploy().exit_code == 7
    operator.write(TWO, "CREATE TABLE two (id int);")
    operator.sum()
    answer = operator.deploy()
    assert answer.exit_code == 0, answer.stderr
    assert operator.ledger() == [(ONE, "applied"), (TWO, "undone"), (TWO, "applied"), (THREE, "applied")]
    assert operator.exists("two")
    assert operator.exists("three")


def test_d23_third_of_five_statements_fails_and_all_are_undone(operator: Operator) -> None:
    operator.write(
        ONE,
        "CREATE TABLE a ();\nCREATE TABLE b ();\nSELECT 1 / 0;\nCREATE TABLE c ();\nCREATE TABLE d ();",
    )
    operator.sum()
    answer = operator.deploy()
    assert answer.exit_code == 7
    assert [table for table in "abcd" if operator.exists(table)] == []
    assert operator.ledger() == [(ONE, "undone")]
    assert answer.error["details"]["error"]["line"] == 3


def test_d23_a_constraint_that_fails_at_commit_undoes_all(operator: Operator) -> None:
    operator.write(
        ONE,
        "CREATE TABLE a (id int PRIMARY KEY);\n"
        "CREATE TABLE b (a int REFERENCES a DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO b VALUES (1);",
    )
    operator.sum()
    answer = operator.deploy()
    assert answer.exit_code == 7
    assert "at commit" in answer.error["message"]
    assert "23503" in answer.error["message"]
    assert not operator.exists("a")
    assert operator.ledger() == [(ONE, "undone")]


def test_d23_a_verification_that_is_not_true_undoes_all(operator: Operator) -> None:
    operator.write(ONE, "CREATE TABLE a (id int);", verify="SELECT true;\nSELECT count(*) = 1 FROM a;")
    operator.sum()
    answer = operator.deploy()
    assert answer.exit_code == 7
    assert "verify.sql, line 2" in answer.error["message"]
    assert not operator.exists("a")
    assert operator.ledger() == [(ONE, "undone")]


# D13 to D17: folder and ledger


def test_d13_an_applied_file_was_edited(operator: Operator) -> None:
    operator.write(ONE, "CREATE TABLE one (id int);")
    operator.sum()
    assert operator.deploy().exit_code == 0
    operator.write(ONE, "CREATE TABLE one (id bigint);")
    operator.write(TWO, "CREATE TABLE two (id int);")
    without_new_sum = operator.deploy()
    operator.sum()
    with_new_sum = operator.deploy()
    for answer in (without_new_sum, with_new_sum):
        assert (answer.exit_code, answer.error["code"]) == (7, "history.edited")
        assert ONE in answer.error["message"]
    assert not operator.exists("two")
    assert operator.ledger() == [(ONE, "applied")]


def test_d13_line_ends_are_no_edit(operator: Operator) -> None:
    operator.write(ONE, "CREATE TABLE one (\n  id int\n);\n")
    operator.sum()
    assert operator.deploy().exit_code == 0
    operator.write(ONE, b"CREATE TABLE one (\r\n  id int\r\n);\r\n")
    assert operator.deploy().exit_code == 0


def test_d14_an_older_image_is_compatible_with_newer_expand_migrations(operator: Operator) -> None:
    answer = deploy_older_image(operator, "ALTER TABLE one ADD note text;")
    assert answer.exit_code == 0, answer.stderr
    assert answer.named("done")[0]["state"] == "ahead"
    assert answer.named("done")[0]["head"] == TWO


def test_d14_an_older_image_survives_a_contract_migration_that_is_safe_from_its_head(operator: Operator) -> None:
    header = f"-- michi: phase = contract\n-- michi: safe-from = {ONE}\n"
    answer = deploy_older_image(operator, header + "ALTER TABLE one DROP COLUMN id;")
    assert answer.exit_code == 0, answer.stderr
    assert answer.named("done")[0]["state"] == "ahead"


def test_d14_an_older_image_is_too_old_for_a_contract_migration(operator: Operator) -> None:
    answer = deploy_older_image(operator, "-- michi: phase = contract\nALTER TABLE one DROP COLUMN id;")
    assert (answer.exit_code, answer.error["code"]) == (4, "schema.too_old")
    assert TWO in answer.error["message"]


def deploy_older_image(operator: Operator, second: str) -> Answer:
    """Deploys two migrations, then deploys again from a folder that has only the first."""
    operator.write(ONE, "CREATE TABLE one (id int);")
    newer = Operator(operator.url, operator.folder.with_name("newer"))
    newer.write(ONE, "CREATE TABLE one (id int);")
    newer.write(TWO, second)
    operator.sum()
    newer.sum()
    applied = newer.deploy()
    assert applied.exit_code == 0, applied.stderr
    return operator.deploy()


def test_d15_an_applied_migration_is_missing_from_a_folder_with_later_ones(operator: Operator) -> None:
    write_three(operator, "CREATE TABLE two (id int);")
    assert operator.deploy().exit_code == 0
    remove(operator, TWO)
    operator.write(FOUR, "CREATE TABLE four (id int);")
    operator.sum()
    answer = operator.deploy()
    assert (answer.exit_code, answer.error["code"]) == (7, "history.missing")
    assert TWO in answer.error["message"]
    assert not operator.exists("four")


def remove(operator: Operator, name: str) -> None:
    (operator.folder / name / "up.sql").unlink()
    (operator.folder / name).rmdir()


def test_d16_a_pending_one_that_is_older_than_an_applied_one_is_refused(operator: Operator) -> None:
    apply_one_and_three_then_add_two(operator)
    answer = operator.deploy()
    assert (answer.exit_code, answer.error["code"]) == (7, "history.out_of_order")
    assert "michi rebase" in answer.error["remedy"]
    assert TWO in answer.error["message"]
    assert not operator.exists("two")


def test_d16_out_of_order_is_applied_where_allowed(operator: Operator) -> None:
    apply_one_and_three_then_add_two(operator)
    answer = operator.deploy("--allow-out-of-order")
    assert answer.exit_code == 0, answer.stderr
    assert operator.ledger() == [(ONE, "applied"), (THREE, "applied"), (TWO, "applied")]
    assert operator.exists("two")
    assert operator.deploy().exit_code == 0


def apply_one_and_three_then_add_two(operator: Operator) -> None:
    operator.write(ONE, "CREATE TABLE one (id int);")
    operator.write(THREE, "CREATE TABLE three (id int);")
    operator.sum()
    assert operator.deploy().exit_code == 0
    operator.write(TWO, "CREATE TABLE two (id int);")
    operator.sum()


def test_d17_a_folder_without_up_sql_stops_before_anything_runs(operator: Operator) -> None:
    operator.write(ONE, "CREATE TABLE one (id int);")
    operator.sum()
    (operator.folder / TWO).mkdir()
    answer = operator.deploy()
    assert (answer.exit_code, answer.error["code"]) == (7, "folder.invalid")
    assert TWO in answer.error["message"]
    assert not operator.exists("one")


def test_d17_files_that_michi_sum_does_not_list_stop_before_anything_runs(operator: Operator) -> None:
    operator.write(ONE, "CREATE TABLE one (id int);")
    operator.sum()
    operator.write(ONE, "CREATE TABLE other (id int);")
    answer = operator.deploy()
    assert (answer.exit_code, answer.error["code"]) == (7, "sum.mismatch")
    assert not operator.exists("other")
    assert not operator.exists("_michi_ledger")


# D22, D24: killed


SLOW = "CREATE TABLE one (id int);\nINSERT INTO one VALUES (1);\nSELECT pg_sleep(30);\nCREATE TABLE two (id int);"


def test_d22_killed_in_a_transactional_migration_changes_nothing_and_needs_no_person(operator: Operator) -> None:
    operator.write(ONE, SLOW)
    operator.sum()
    process = operator.start("deploy")
    operator.wait_for_session("%pg_sleep(30)%")
    kill(process)
    wait_until(lambda: not operator.sessions("%pg_sleep(30)%"), "the end of the orphaned statement", 5)
    assert not operator.exists("one")
    assert operator.ledger() == []
    operator.write(ONE, SLOW.replace("pg_sleep(30)", "1"))
    operator.sum()
    answer = operator.deploy()
    assert answer.exit_code == 0, answer.stderr
    assert operator.query("SELECT id FROM one") == [(1,)]
    assert operator.ledger() == [(ONE, "applied")]


@pytest.mark.parametrize("moment_ms", [5, 40, 80, 120, 160, 200])
def test_d22_killed_at_any_moment_the_next_deploy_converges(operator: Operator, moment_ms: int) -> None:
    for number in range(10):
        body = f"CREATE TABLE t{number} (id int);\nSELECT pg_sleep(0.01);\nINSERT INTO t{number} VALUES (1);"
        operator.write(f"2026010{number}000000_t{number}", body)
    operator.sum()
    process = operator.start("deploy")
    assert process.stdout is not None
    process.stdout.readline()  # connected
    time.sleep(moment_ms / 1000)
    kill(process)
    answer = operator.deploy()
    assert answer.exit_code == 0, answer.stderr
    assert [operator.query(f"SELECT id FROM t{number}") for number in range(10)] == [[(1,)]] * 10
    assert [verdict for _, verdict in operator.ledger()] == ["applied"] * 10


INDEX = "CREATE INDEX CONCURRENTLY one_id ON one (id);"


def is_valid(operator: Operator, index: str) -> list[bool]:
    return [
        row[0] for row in operator.query("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", index)
    ]


def deploy_table(operator: Operator) -> None:
    operator.write(ONE, "CREATE TABLE one (id int);\nINSERT INTO one SELECT generate_series(1, 100);")
    operator.sum()
    assert operator.deploy().exit_code == 0


@pytest.mark.parametrize("script", [INDEX, f"-- michi: transaction = off\nINSERT INTO one VALUES (7);\n{INDEX}"])
def test_d24_an_index_is_built_concurrently_outside_a_transaction(operator: Operator, script: str) -> None:
    deploy_table(operator)
    operator.write(TWO, script)
    operator.sum()
    answer = operator.deploy()
    assert answer.exit_code == 0, answer.stderr
    assert is_valid(operator, "one_id") == [True]
    assert operator.ledger() == [(ONE, "applied"), (TWO, "applied")]


@pytest.mark.parametrize("before", ["", "-- michi: transaction = off\nINSERT INTO one VALUES (777);\n"])
def test_d24_killed_while_building_an_index_the_next_deploy_rebuilds_it(operator: Operator, before: str) -> None:
    deploy_table(operator)
    operator.write(TWO, before + "-- michi: lock_timeout = 30s\n" * (not before) + INDEX)
    operator.sum()
    # An open transaction that has written to the table holds the build up half-way, with its index invalid.
    with holding(operator, "INSERT INTO one VALUES (0)"):
        process = operator.start("deploy")
        wait_until(lambda: is_valid(operator, "one_id") == [False], "the half-built index")
        kill(process)
        wait_until(lambda: not operator.sessions("%CONCURRENTLY%"), "the end of the orphaned build", 5)
    assert is_valid(operator, "one_id") == [False]
    assert operator.ledger()[-1] == (TWO, "partial")
    answer = operator.deploy()
    assert answer.exit_code == 0, answer.stderr
    assert len(answer.named("index_dropped")) == 1
    assert is_valid(operator, "one_id") == [True]
    assert operator.ledger()[-1] == (TWO, "applied")
    assert operator.query("SELECT count(*) FROM one WHERE id = 777") == [(1 if before else 0,)]


def test_d24_an_index_finished_before_the_kill_was_noted_is_not_built_again(operator: Operator) -> None:
    deploy_table(operator)
    operator.write(TWO, f"-- michi: transaction = off\n{INDEX}\nINSERT INTO one VALUES (777);")
    operator.sum()
    operator.execute("ALTER TABLE _michi_ledger ADD CHECK (statements_done < 1 OR migration NOT LIKE '%two')")
    assert operator.deploy().exit_code == 7  # the index is built, and noting it fails: as if killed between the two
    operator.execute(
        "UPDATE _michi_ledger SET verdict = 'partial', error = error - 'sqlstate' WHERE verdict = 'undone'"
    )
    before = operator.query("SELECT 'one_id'::regclass::oid")
    operator.execute("ALTER TABLE _michi_ledger DROP CONSTRAINT _michi_ledger_check")
    answer = operator.deploy()
    assert answer.exit_code == 0, answer.stderr
    assert answer.named("migration_resumed")[0]["done"] == 1
    assert operator.query("SELECT 'one_id'::regclass::oid") == before
    assert operator.query("SELECT count(*) FROM one WHERE id = 777") == [(1,)]


def test_d24_a_failed_statement_outside_a_transaction_is_resumed_after_the_ones_that_ran(operator: Operator) -> None:
    deploy_table(operator)
    script = "-- michi: transaction = off\nINSERT INTO one VALUES (777);\nSELECT 1 / 0;\nINSERT INTO one VALUES (888);"
    operator.write(TWO, script)
    operator.sum()
    answer = operator.deploy()
    assert (answer.exit_code, answer.error["code"]) == (7, "migration.failed")
    assert "undone" not in answer.error["remedy"]
    assert operator.ledger()[-1] == (TWO, "partial")
    operator.write(TWO, script.replace("1 / 0", "1 / 1"))
    operator.sum()
    answer = operator.deploy()
    assert answer.exit_code == 0, answer.stderr
    assert operator.query("SELECT id, count(*) FROM one WHERE id > 700 GROUP BY id ORDER BY id") == [(777, 1), (888, 1)]


def test_d24_an_index_that_cannot_be_unique_leaves_no_invalid_index(operator: Operator) -> None:
    deploy_table(operator)
    operator.execute("INSERT INTO one VALUES (1)")
    operator.write(TWO, "CREATE UNIQUE INDEX CONCURRENTLY one_id ON one (id);")
    operator.sum()
    answer = operator.deploy()
    assert answer.exit_code == 7
    assert "23505" in answer.error["message"]
    assert is_valid(operator, "one_id") == []
    assert operator.ledger()[-1] == (TWO, "undone")


# D26, D27: what does not fit into a transaction


def test_d26_concurrently_among_other_statements_is_refused_with_its_line(operator: Operator) -> None:
    write_three(operator, f"ALTER TABLE one ADD x int;\n\n{INDEX}\n")
    answer = operator.deploy()
    assert (answer.exit_code, answer.error["code"]) == (7, "sql.not_in_transaction")
    assert answer.error["details"]["line"] == 3
    assert not operator.exists("one")
    assert operator.ledger() == []


@pytest.mark.parametrize("control", ["BEGIN", "COMMIT", "ROLLBACK", "START TRANSACTION", "SAVEPOINT a"])
def test_d27_a_script_with_its_own_transaction_is_refused_with_the_line(operator: Operator, control: str) -> None:
    write_three(operator, f"CREATE TABLE two (id int);\n{control};\n")
    answer = operator.deploy()
    assert (answer.exit_code, answer.error["code"]) == (7, "sql.transaction_control")
    assert answer.error["details"]["line"] == 2
    assert not operator.exists("one")


# D29: held up by another session

LOCKED = "-- michi: lock_timeout = 200ms\nCREATE TABLE two (id int);\nALTER TABLE one ADD x int;"


def test_d29_a_held_table_is_tried_again_until_the_time_is_up_and_names_its_holder(operator: Operator) -> None:
    deploy_table(operator)
    operator.write(TWO, LOCKED)
    operator.sum()
    with holding(operator, "LOCK TABLE one IN ACCESS SHARE MODE /* a long report */") as other:
        began = time.monotonic()
        answer = operator.deploy("--lock-retry", "1.5s")
        seconds = time.monotonic() - began
        pid = other.info.backend_pid
    assert (answer.exit_code, answer.error["code"]) == (5, "lock.table")
    assert 1.5 <= seconds < 6
    retries = answer.named("lock_timeout_retry")
    assert len(retries) >= 2
    assert {retry["sqlstate"] for retry in retries} == {"55P03"}
    assert len({retry["retry_in_seconds"] for retry in retries}) > 1
    blocker = retries[0]["blockers"][0]
    assert (blocker["pid"], blocker["application"]) == (pid, "bystander")
    assert "a long report" in blocker["query"]
    assert blocker["age_seconds"] >= 0
    assert f"pid {pid}" in answer.error["remedy"]
    assert "a long report" in answer.error["remedy"]
    assert not operator.exists("two")
    assert operator.ledger()[-1] == (TWO, "undone")


def test_d29_a_table_that_is_let_go_in_time_is_changed(operator: Operator) -> None:
    deploy_table(operator)
    operator.write(TWO, LOCKED)
    operator.sum()
    with holding(operator, "LOCK TABLE one IN ACCESS SHARE MODE"):
        process = operator.start("deploy")
        operator.wait_for_session("%ALTER TABLE one%")
        time.sleep(0.4)
    answer = finish(process)
    assert answer.exit_code == 0, answer.stderr
    assert len(answer.named("lock_timeout_retry")) >= 1
    assert operator.exists("two")
    assert operator.ledger() == [(ONE, "applied"), (TWO, "applied")]


def test_d29_readers_get_through_while_the_deploy_waits(operator: Operator) -> None:
    deploy_table(operator)
    operator.write(TWO, LOCKED)
    operator.sum()
    with holding(operator, "LOCK TABLE one IN ACCESS SHARE MODE"):
        process = operator.start("deploy", "--lock-retry", "2s")
        operator.wait_for_session("%ALTER TABLE one%")
        began = time.monotonic()
        assert operator.query("SELECT count(*) FROM one") == [(100,)]
        assert time.monotonic() - began < 1
        assert finish(process).exit_code == 5


# D30, D32: interrupted


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_d30_a_signal_cancels_rolls_back_and_frees_the_lock(operator: Operator, sent: int, code: int) -> None:
    operator.write(ONE, SLOW)
    operator.sum()
    process = operator.start("deploy")
    operator.wait_for_session("%pg_sleep(30)%")
    began = time.monotonic()
    process.send_signal(sent)
    answer = finish(process)
    assert answer.exit_code == code, answer.stderr
    assert time.monotonic() - began < 2
    assert answer.stderr.strip().endswith("what was not committed is undone.")
    assert "Traceback" not in answer.stderr
    assert operator.sessions("%") == []
    assert operator.query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]
    assert not operator.exists("one")
    assert operator.ledger() == []


def test_d32_a_connection_that_drops_undoes_the_migration_and_the_next_deploy_converges(operator: Operator) -> None:
    write_three(operator, SLOW.replace("one", "sleeper"))
    process = operator.start("deploy")
    pid = operator.wait_for_session("%pg_sleep(30)%")
    operator.query("SELECT pg_terminate_backend(%s)", pid)
    answer = finish(process)
    assert (answer.exit_code, answer.error["code"]) == (6, "database.connection_lost")
    assert "Traceback" not in answer.stderr
    assert operator.exists("one")
    assert not operator.exists("sleeper")
    assert operator.ledger() == [(ONE, "applied")]
    operator.write(TWO, "CREATE TABLE two (id int);")
    operator.sum()
    assert operator.deploy().exit_code == 0
    assert operator.ledger() == [(ONE, "applied"), (TWO, "applied"), (THREE, "applied")]


# What a script may do to its session, and what encodings may do to it


def test_what_a_script_sets_is_gone_for_the_next_one(operator: Operator) -> None:
    operator.execute("CREATE SCHEMA elsewhere")
    operator.write(
        ONE, "SET search_path = elsewhere;\nSET statement_timeout = '1ms';\nRESET statement_timeout;\nSELECT 1;"
    )
    operator.write(TWO, "CREATE TABLE two (id int);\nSELECT pg_sleep(0.01);")
    operator.sum()
    answer = operator.deploy()
    assert answer.exit_code == 0, answer.stderr
    assert operator.exists("public.two")


def test_utf8_arrives_in_a_database_of_another_encoding(operator: Operator, server_url: str) -> None:
    name = operator.url.split("?")[0].rsplit("/", 1)[1]
    maintenance = Operator(server_url, operator.folder)
    maintenance.execute(f"DROP DATABASE {name}")
    maintenance.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING LATIN1 LOCALE 'C' LOCALE_PROVIDER libc")
    operator.write(ONE, "CREATE TABLE one (word text);\nINSERT INTO one VALUES ('é');")
    operator.sum()
    answer = operator.deploy()
    assert answer.exit_code == 0, answer.stderr
    assert operator.query("SELECT length(word), ascii(word) FROM one") == [(1, 0xE9)]
