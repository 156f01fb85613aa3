"""The first administrator: made at the first start, with a password that is shown once. For commands, not for requests."""

from __future__ import annotations

from dataclasses import dataclass

from kotobamichi.accounts.passwords import generate_password, hash_password
from kotobamichi.db import connect_for_command
from kotobamichi.ids import new_id
from michi.settings import Target

DEFAULT_EMAIL = "admin@kotobamichi.local"


@dataclass(frozen=True)
class NewAdministrator:
    """`password` is None where the operator chose it."""

    email: str
    password: str | None


def create_first_administrator(target: Target, email: str | None, password: str | None) -> NewAdministrator | None:
    """Makes an administrator where there is none yet; a password is made up where none is given. None where there is one."""
    generated = None if password else generate_password()
    with connect_for_command(target) as connection:
        connection.execute("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")
        if connection.execute("SELECT FROM users WHERE role = 'ADMIN' LIMIT 1").fetchone() is not None:
            return None
        address = email or DEFAULT_EMAIL
        connection.execute(
            "INSERT INTO users (id, email, password_hash, role, email_verified_at) VALUES (%s, %s, %s, 'ADMIN', now())"
            " ON CONFLICT (lower(email)) DO UPDATE SET role = 'ADMIN', password_hash = excluded.password_hash,"
            " email_verified_at = coalesce(users.email_verified_at, now()), updated_at = now()",
            (new_id(), address, hash_password(password or generated or "")),
        )
    return NewAdministrator(address, generated)
