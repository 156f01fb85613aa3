"""Development: drops the schema, builds it again from the migrations, runs the seed. Guarded against the wrong database."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

import psycopg
from psycopg import sql

from michi import ledger, runner
from michi.database import Connection, Server
from michi.deploy_options import Options
from michi.errors import PrivilegeMissing, ProductionProtected, Refused, SeedFailed
from michi.events import Emit
from michi.folder import Folder
from michi.ledger import Origin
from michi.lock import deploy_lock
from michi.questions import Questions
from michi.settings import Target, is_production, libpq_environment

SEED_SECONDS = 3600.0
GRANTS = """
SELECT format('GRANT %%s ON SCHEMA %%I TO %%s%%s', a.privilege_type, n.nspname,
              CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
              CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) a WHERE n.nspname = %(schema)s
"""
OWNER = "SELECT quote_ident(pg_get_userbyid(nspowner)) FROM pg_namespace WHERE nspname = %(schema)s"


@dataclass(frozen=True)
class Consent:
    """What the person said: `force` answers the question, `destroy` names a database that is marked as production."""

    force: bool
    destroy: str | None


def check_environment(target: Target, consent: Consent, questions: Questions, environ: Mapping[str, str]) -> None:
    """Refuses before anything is connected to or created: no terminal and no word given, or APP_ENV says production."""
    if is_production(environ):
        _check_destroy("APP_ENV is production", target.dbname, consent)
    if not (consent.force or consent.destroy or questions.possible):
        raise Refused(
            f"A reset drops everything in the schema {target.schema} of {target.dbname}, and nobody can be asked.",
            "Say --force if that is meant.",
        )


def check_database(server: Server, consent: Consent, questions: Questions) -> None:
    """Refuses a database that is marked as production, and asks where the word was not given before."""
    if ledger.is_production(server.connection, server.target.schema):
        _check_destroy("it is marked as production", server.database, consent)
    if consent.force or consent.destroy == server.database:
        return
    typed = questions.answer(
        f"This drops everything in the schema {server.target.schema} of {server.target.describe()}."
        f" Type the name of the database to go on: "
    )
    if typed != server.database:
        raise Refused("Nothing was dropped.", "Type the name of the database, or say --force.")


def _check_destroy(reason: str, database: str, consent: Consent) -> None:
    if consent.destroy != database:
        raise ProductionProtected(
            f"{database} is protected: {reason}.",
            f"Nothing was dropped. If it must go with all that is in it: --destroy {database}.",
        )


def reset(server: Server, folder: Folder, origin: Origin, options: Options, emit: Emit) -> int:
    """Drops and rebuilds the schema; the number of migrations applied. The rest of the database stays."""
    folder.check_sum()
    with deploy_lock(server, options.lock_timeout_seconds, emit):
        _drop_schema(server)
    runner.deploy(server, folder, origin, options, emit)
    return len(folder.migrations)


def _drop_schema(server: Server) -> None:
    """The schema comes back with the same owner and the same grants."""
    connection, schema = server.connection, server.target.schema
    name = sql.Identifier(schema)
    owner = connection.execute(OWNER, {"schema": schema}).fetchone()
    grants = _texts(connection, GRANTS, schema)
    try:
        with connection.transaction():
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(name))
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(name))
            if owner is not None:
                connection.execute(
                    sql.SQL("ALTER SCHEMA {} OWNER TO ").format(name).as_bytes(None) + str(owner[0]).encode()
                )
            for grant in grants:
                connection.execute(grant.encode())
    except psycopg.errors.InsufficientPrivilege:
        raise PrivilegeMissing(
            f"The role {server.user} does not own the schema {schema}, so it may not drop it.",
            f'As an administrator: ALTER DATABASE "{server.database}" OWNER TO "{server.user}";',
        ) from None


def _texts(connection: Connection, query: str, schema: str) -> list[str]:
    return [str(text) for (text,) in connection.execute(query.encode(), {"schema": schema}).fetchall()]


def run_seed(command: str, target: Target, environ: Mapping[str, str]) -> None:
    """Runs the seed command with the way to the database as PGHOST and its kin. Its output goes where ours goes for people."""
    try:
        done = subprocess.run(
            shlex.split(command),
            env={**environ, **libpq_environment(target)},
            stdout=2,
            timeout=SEED_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SeedFailed(
            f"The seed command cannot be run: {reason}.", "Mend `seed` of [tool.michi] in pyproject.toml."
        ) from None
    if done.returncode:
        raise SeedFailed(
            f"The seed command ended with exit code {done.returncode}: {command}",
            "The schema is rebuilt; mend the seed and run it again.",
        )
