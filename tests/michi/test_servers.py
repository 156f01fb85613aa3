"""A deploy on the oldest PostgreSQL that michi takes. 17 is what the container tests run, 18 what all other tests run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.michi.chaos import Cluster, clusters
from tests.support.operator import Operator

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
ONE = "20260101000000_one"
TWO = "20260102000000_two"
THREE = "20260103000000_three"


@pytest.fixture(scope="module")
def oldest() -> Iterator[Cluster]:
    assert (PROGRAMS / "postgres").is_file(), (
        f"PostgreSQL 15 is needed for this test, in {PROGRAMS}: apt-get install postgresql-15"
    )
    with clusters(1, PROGRAMS) as (cluster,):
        yield cluster


def test_postgresql_15_applies_fails_resumes_and_tells(oldest: Cluster, tmp_path: Path) -> None:
    operator = Operator(oldest.url("words"), tmp_path)
    assert Operator(oldest.url("postgres"), tmp_path).query("SHOW server_version_num")[0][0].startswith("15")
    operator.write(
        ONE,
        "CREATE TABLE one (id int, word text);\nINSERT INTO one SELECT n, 'word' FROM generate_series(1, 100) n;",
        verify="SELECT count(*) = 100 FROM one;",
    )
    script = "-- michi: transaction = off\nCREATE INDEX CONCURRENTLY one_id ON one (id);\n{};\nDROP INDEX CONCURRENTLY one_id"
    operator.write(TWO, script.format("CREATE UNIQUE INDEX CONCURRENTLY one_word ON one (word)"))
    operator.write(THREE, "CREATE TABLE three (id int);")
    operator.sum()

    failed = operator.deploy()
    assert (failed.exit_code, failed.error["code"]) == (7, "migration.failed"), failed.stderr
    assert operator.ledger() == [(ONE, "applied"), (TWO, "partial")]
    assert operator.exists("one_id")
    assert not operator.exists("one_word")
    status = operator.run("status")
    assert (status.exit_code, status.document["state"]) == (7, "partial")
    assert status.document["failed"][TWO]["sqlstate"] == "23505"

    operator.write(TWO, script.format("CREATE INDEX CONCURRENTLY one_word ON one (word)"))
    operator.sum()
    mended = operator.deploy()
    assert mended.exit_code == 0, mended.stderr
    assert mended.named("migration_resumed")[0]["done"] == 1
    assert [verdict for _, verdict in operator.ledger()] == ["applied", "partial", "applied", "applied"]
    assert not operator.exists("one_id")
    assert operator.query("SELECT indisvalid FROM pg_index WHERE indexrelid = 'one_word'::regclass") == [(True,)]
    assert (operator.run("status").exit_code, operator.run("check").exit_code) == (0, 0)
    assert operator.deploy().named("done")[0]["applied"] == 0
