"""Roles that lack a right: one sentence, and the GRANT that helps, which is then tried."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.support.operator import Answer, Operator
from tests.support.servers import Address, PasswordServer, password_server

ONE = "20260101000000_one"
TWO = "20260102000000_two"
PASSWORD = "only-for-the-plain-role"


class Deployment:
    """A database that belongs to the superuser, and a plain role that is to deploy to it."""

    def __init__(self, address: Address, folder: Path) -> None:
        self.name = f"plain_{uuid.uuid4().hex[:8]}"
        self.owner = Operator(address.url(self.name), folder)
        self.plain = Operator(Address(address.port, user=self.name, password=PASSWORD).url(self.name), folder)
        folder.mkdir()

    def grant(self, answer: Answer, *, which: int = 0) -> None:
        """Runs one of the statements that the message prints, as its owner would paste it."""
        self.owner.execute(re.findall(r"GRANT [^;]*;", answer.error["remedy"])[which])


@pytest.fixture
def deployment(running_password_server: PasswordServer, tmp_path: Path) -> Iterator[Deployment]:
    address = running_password_server.address
    made = Deployment(address, tmp_path / "migrations")
    name = sql.Identifier(made.name)
    with psycopg.connect(address.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, sql.Literal(PASSWORD)))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        try:
            yield made
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
            connection.execute(sql.SQL("DROP ROLE {}").format(name))


def write(operator: Operator, name: str, up: str) -> None:
    operator.write(name, up)
    operator.sum()


def assert_refused(answer: Answer, exit_code: int, code: str) -> None:
    assert (answer.exit_code, answer.error["code"]) == (exit_code, code), answer.stderr
    assert answer.error["remedy"]
    assert "Traceback" not in answer.stderr


def assert_deploys(operator: Operator) -> None:
    answer = operator.deploy()
    assert answer.exit_code == 0, answer.stderr


def test_a_role_without_rights_on_public_is_told_the_grant_that_helps(deployment: Deployment) -> None:
    write(deployment.plain, ONE, "CREATE TABLE one (id int);")
    refused = deployment.plain.deploy()
    assert_refused(refused, 2, "database.privilege")
    assert f'GRANT USAGE, CREATE ON SCHEMA "public" TO "{deployment.name}";' in refused.error["remedy"]
    assert deployment.owner.exists("_michi_ledger") is False
    deployment.grant(refused)
    assert_deploys(deployment.plain)
    assert deployment.plain.ledger() == [(ONE, "applied")]


def test_a_role_that_may_not_create_the_schema_is_told_the_grant_that_helps(deployment: Deployment) -> None:
    deployment.plain.url += "?schema=words"
    write(deployment.plain, ONE, "CREATE TABLE one (id int);")
    refused = deployment.plain.deploy()
    assert_refused(refused, 2, "database.privilege")
    deployment.grant(refused, which=1)
    assert_deploys(deployment.plain)
    assert deployment.owner.exists("words.one")


def test_a_role_that_may_read_the_ledger_but_not_write_it(deployment: Deployment) -> None:
    write(deployment.owner, ONE, "SELECT 1;")
    assert_deploys(deployment.owner)
    deployment.owner.execute(f'GRANT SELECT ON _michi_ledger TO "{deployment.name}"')
    assert_deploys(deployment.plain)  # nothing is pending, so nothing needs to be written
    write(deployment.plain, TWO, "SELECT 2;")
    assert deployment.plain.run("status").exit_code == 3
    refused = deployment.plain.deploy()
    assert_refused(refused, 2, "database.privilege")
    assert "may read public._michi_ledger but not write it" in refused.error["message"]
    deployment.grant(refused)
    assert_deploys(deployment.plain)
    assert deployment.plain.ledger() == [(ONE, "applied"), (TWO, "applied")]


@pytest.mark.parametrize("verb", ["deploy", "status", "check"])
def test_a_role_that_may_not_read_the_ledger(deployment: Deployment, verb: str) -> None:
    write(deployment.owner, ONE, "SELECT 1;")
    assert_deploys(deployment.owner)
    refused = deployment.plain.run(verb)
    assert_refused(refused, 2, "database.privilege")
    assert "may not read public._michi_ledger" in refused.error["message"]
    deployment.grant(refused, which=1)
    assert deployment.plain.run(verb).exit_code == 0


def test_a_role_that_may_not_enter_the_schema_of_the_ledger(deployment: Deployment) -> None:
    owner = Operator(deployment.owner.url + "?schema=closed", deployment.owner.folder)
    deployment.plain.url += "?schema=closed"
    write(owner, ONE, "SELECT 1;")
    assert_deploys(owner)
    refused = deployment.plain.run("status")
    assert_refused(refused, 2, "database.privilege")
    deployment.grant(refused, which=0)
    deployment.grant(refused, which=1)
    assert deployment.plain.run("status").exit_code == 0


def test_a_database_that_the_role_may_not_connect_to(deployment: Deployment) -> None:
    deployment.owner.execute(f'REVOKE CONNECT ON DATABASE "{deployment.name}" FROM PUBLIC')
    refused = deployment.plain.deploy()
    assert_refused(refused, 2, "database.credentials")
    assert "permission denied for database" in refused.error["message"]
    assert refused.named("waiting_for_database") == []


@pytest.mark.parametrize("deployed_before", [False, True])
def test_a_role_whose_transactions_are_read_only(deployment: Deployment, *, deployed_before: bool) -> None:
    if deployed_before:
        write(deployment.owner, ONE, "SELECT 1;")
        assert_deploys(deployment.owner)
        deployment.owner.execute(f'GRANT SELECT, INSERT, UPDATE ON _michi_ledger TO "{deployment.name}"')
    write(deployment.plain, TWO, "SELECT 2;")
    deployment.owner.execute(
        f'GRANT CREATE ON SCHEMA public TO "{deployment.name}";'
        f'ALTER ROLE "{deployment.name}" SET default_transaction_read_only = on'
    )
    assert_refused(deployment.plain.deploy(), 6, "database.read_only")
    deployment.owner.execute(f'ALTER ROLE "{deployment.name}" RESET default_transaction_read_only')
    assert_deploys(deployment.plain)


def test_a_standby_takes_no_deploy_but_answers_status(tmp_path: Path) -> None:
    with password_server() as server:
        server.start()
        operator = Operator(server.address.url("words"), tmp_path)
        write(operator, ONE, "CREATE TABLE one (id int);")
        assert_deploys(operator)
        server.stop()
        (server.folder / "data" / "standby.signal").touch()
        server.start()
        assert_deploys(operator)  # nothing is pending
        write(operator, TWO, "SELECT 2;")
        assert_refused(operator.deploy(), 6, "database.read_only")
        assert operator.run("status").exit_code == 3
        operator.url = server.address.url("postgres")
        assert_refused(operator.deploy(), 6, "database.read_only")
