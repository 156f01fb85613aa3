"""Contract of michi, section Cost: what a deploy loads, and the memory it takes. Times are `make bench BENCH=migrate`."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.support.operator import Operator

MOST_MEGABYTES = 60
# In a small process of its own: a child's peak begins with that of whoever starts it.
MEASURE = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
print(json.dumps([done.returncode, done.stderr, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024]))
"""
NOT_FOR_NOTHING = (
    "pglast",
    "rich",
    "michi.attempt",
    "michi.watch",
    "michi.pipeline",
    "michi.refusals",
    "michi.terminal",
)
TABLE = (
    "CREATE TABLE item_{n} (id int PRIMARY KEY, name text NOT NULL DEFAULT $$x$$);\nCREATE INDEX ON item_{n} (name);\n"
)


def measure(operator: Operator, *python: str) -> tuple[int, str, float]:
    """Exit code, standard error, and peak memory in MiB of a deploy."""
    command = operator.command("deploy")
    measured = subprocess.run(
        [sys.executable, "-I", "-S", "-c", MEASURE, command[0], *python, *command[1:]],
        env=operator.clean_environment, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    exit_code, stderr, megabytes = json.loads(measured.stdout)
    return exit_code, stderr, megabytes


def test_a_deploy_of_200_and_one_of_nothing_stay_below_60_megabytes(operator: Operator) -> None:
    for number in range(200):
        operator.write(f"20260101{number:06}_item", TABLE.format(n=number))
    operator.sum()
    for _ in range(2):
        exit_code, stderr, megabytes = measure(operator)
        assert exit_code == 0, stderr
        assert 10 < megabytes < MOST_MEGABYTES
    assert len(operator.ledger()) == 200
    exit_code, imports, _ = measure(operator, "-X", "importtime")
    loaded = {line.rpartition("|")[2].strip() for line in imports.splitlines()}
    assert exit_code == 0
    assert {"psycopg", "michi.ledger"} <= loaded
    assert loaded.isdisjoint(NOT_FOR_NOTHING)
