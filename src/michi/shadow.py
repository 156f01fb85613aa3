"""Throw-away databases, on which migrations are tried: never left behind, and never the database of a person."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg import sql

from michi.database import Connection, Server, connect, open_connection
from michi.errors import Refused
from michi.settings import Target


class Shadow:
    """An empty database to try things on. Everything in it is lost."""

    def __init__(self, server: Server) -> None:
        self.server = server

    @property
    def connection(self) -> Connection:
        return self.server.connection


@contextmanager
def shadow_database(target: Target) -> Iterator[Shadow]:
    """A database beside `target`, gone afterwards whatever happens. Raises Refused where the role may not create databases."""
    name = f"michi_shadow_{secrets.token_hex(8)}"
    with open_connection(target) as keeper:
        try:
            keeper.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        except psycopg.errors.InsufficientPrivilege:
            raise Refused(
                f"The role {keeper.info.user} may not create databases, and a shadow database is needed.",
                f'As an administrator: ALTER ROLE "{keeper.info.user}" CREATEDB;',
            ) from None
        server: Server | None = None
        try:
            server = connect(target.with_database(name))
            yield Shadow(server)
        finally:
            if server is not None:
                server.connection.close()
            with suppress(psycopg.Error):
                keeper.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
