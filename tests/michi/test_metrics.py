"""`deploy --metrics-file`: what monitoring reads, after deploys that went well and others."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import pytest

from michi.lock import lock_key
from tests.support.operator import Operator, finish, holding

ONE = "20260101000000_one"
TWO = "20260102000000_two"

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
META = re.compile(rf"# (TYPE|UNIT|HELP) ({NAME}) (\S.*)")
SAMPLE = re.compile(rf'({NAME})(\{{[a-z]+="[^"\\\n]*"\}})? (-?\d+(?:\.\d+)?)')


def parse(path: Path) -> dict[str, float]:
    """The samples. Strict: families in one piece, metadata first and once, units that end the name, EOF last."""
    text = path.read_text()
    assert text.endswith("\n# EOF\n")
    samples: dict[str, float] = {}
    family, meta, closed = "", set[str](), set[str]()
    for line in text.removesuffix("# EOF\n").splitlines():
        if match := META.fullmatch(line):
            kind, name, value = match.groups()
            if name != family:
                assert name not in closed
                assert kind == "TYPE"
                closed.add(family)
                family, meta = name, set()
            assert kind not in meta
            assert not any(sample.split("{")[0] == name for sample in samples)
            meta.add(kind)
            # node_exporter's parser knows no other type that would fit
            assert kind != "TYPE" or value == "gauge"
            assert kind != "UNIT" or name.endswith(f"_{value}")
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample, f"not OpenMetrics: {line!r}"
        assert sample[1] == family
        assert {"TYPE", "HELP"} <= meta
        key = sample[1] + (sample[2] or "")
        assert key not in samples
        samples[key] = float(sample[3])
    return samples


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "michi.prom"


def deploy(operator: Operator, path: Path, *options: str) -> int:
    operator.sum()
    return operator.deploy("--metrics-file", str(path), *options).exit_code


def test_a_deploy_that_goes_well(operator: Operator, path: Path) -> None:
    operator.write(ONE, "CREATE TABLE one (id int);")
    operator.write(TWO, "SELECT pg_sleep(0.2);")
    assert deploy(operator, path) == 0
    samples = parse(path)
    assert 0.2 <= samples.pop("michi_deploy_duration_seconds") < 30
    assert abs(samples.pop("michi_deploy_timestamp_seconds") - time.time()) < 60
    assert samples == {
        "michi_deploy_exit_code": 0,
        "michi_deploy_success": 1,
        "michi_deploy_migrations_applied": 2,
        "michi_deploy_migrations_pending": 0,
        'michi_deploy_lock_wait_seconds{lock="deploy"}': 0,
        'michi_deploy_lock_wait_seconds{lock="table"}': 0,
        f'michi_schema_info{{head="{TWO}"}}': 1,
    }
    assert [file.name for file in path.parent.iterdir() if file.is_file()] == ["michi.prom"]
    assert path.stat().st_mode & 0o044 == 0o044  # node_exporter is another user


def test_nothing_to_do(operator: Operator, path: Path) -> None:
    operator.write(ONE, "CREATE TABLE one (id int);")
    assert deploy(operator, path) == 0
    assert deploy(operator, path) == 0
    samples = parse(path)
    assert (samples["michi_deploy_migrations_applied"], samples["michi_deploy_migrations_pending"]) == (0, 0)
    assert f'michi_schema_info{{head="{ONE}"}}' in samples


def test_a_deploy_that_fails_says_so_and_replaces_the_file(operator: Operator, path: Path) -> None:
    path.write_text("old\n")
    operator.write(ONE, "CREATE TABLE one (id int);")
    operator.write(TWO, "SELECT 1 / 0;")
    assert deploy(operator, path) == 7
    samples = parse(path)
    assert (samples["michi_deploy_exit_code"], samples["michi_deploy_success"]) == (7, 0)
    assert (samples["michi_deploy_migrations_applied"], samples["michi_deploy_migrations_pending"]) == (1, 1)
    assert f'michi_schema_info{{head="{ONE}"}}' in samples


def test_what_is_not_known_is_left_out(operator: Operator, path: Path) -> None:
    operator.url = "postgresql://me@localhost:1/words"
    assert deploy(operator, path, "--wait", "0s") == 6
    samples = parse(path)
    assert samples["michi_deploy_exit_code"] == 6
    assert not [name for name in samples if "pending" in name or "schema_info" in name]


def test_waiting_for_another_deploy_is_measured(operator: Operator, path: Path) -> None:
    operator.write(ONE, "CREATE TABLE one (id int);")
    with holding(operator, f"SELECT pg_advisory_xact_lock({lock_key('public')})"):
        assert deploy(operator, path, "--lock-timeout", "1s") == 5
    assert 0.8 <= parse(path)['michi_deploy_lock_wait_seconds{lock="deploy"}'] < 10


def test_waiting_for_a_table_is_measured(operator: Operator, path: Path) -> None:
    operator.write(ONE, "CREATE TABLE one (id int);")
    assert deploy(operator, path) == 0
    operator.write(TWO, "-- michi: lock_timeout = 2s\nALTER TABLE one ADD COLUMN n int;")
    with holding(operator, "LOCK TABLE one"):
        assert deploy(operator, path, "--lock-retry", "0s") == 5
    assert 0.5 <= parse(path)['michi_deploy_lock_wait_seconds{lock="table"}'] < 10


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_deploy_that_is_stopped_leaves_its_metrics(operator: Operator, path: Path, sent: int, code: int) -> None:
    operator.write(ONE, "SELECT pg_sleep(60);")
    operator.sum()
    process = operator.start("deploy", "--metrics-file", str(path))
    operator.wait_for_session("SELECT pg_sleep%")
    process.send_signal(sent)
    assert finish(process).exit_code == code
    assert parse(path)["michi_deploy_exit_code"] == code


@pytest.mark.parametrize("place", ["absent/michi.prom", "", "folder"])
@pytest.mark.parametrize(("script", "code"), [("CREATE TABLE one (id int);", 0), ("SELECT 1 / 0;", 7)])
def test_a_file_that_cannot_be_written_is_one_sentence_and_changes_nothing_else(
    operator: Operator, tmp_path: Path, place: str, script: str, code: int
) -> None:
    (tmp_path / "folder").mkdir()
    operator.write(ONE, script)
    operator.sum()
    answer = operator.deploy("--metrics-file", str(tmp_path / place))
    assert answer.exit_code == code, answer.stderr
    (warning,) = answer.named("warning")
    assert re.fullmatch(r"The metrics file .* could not be written: .*\.", warning["message"])
    assert "Traceback" not in answer.stderr
    assert not list(tmp_path.rglob("*.tmp"))
