"""What operators do with accounts: the first administrator, verification, roles, new passwords. For commands, not for requests."""

from __future__ import annotations

from dataclasses import dataclass

from kotobamichi.accounts.passwords import generate_password, hash_password
from kotobamichi.accounts.tokens import Role
from kotobamichi.bodies import clean, is_email
from kotobamichi.db import CommandConnection, connect_for_command
from kotobamichi.errors import StartRefused
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
    address = clean(email or DEFAULT_EMAIL)
    if not is_email(address):
        raise StartRefused("ADMIN_EMAIL is no address.", f"Write one such as {DEFAULT_EMAIL}, or unset it.")
    generated = None if password else generate_password()
    with connect_for_command(target) as connection:
        connection.execute("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")
        if connection.execute("SELECT FROM users WHERE role = 'ADMIN' LIMIT 1").fetchone() is not None:
            return None
        connection.execute(
            "INSERT INTO users (id, email, password_hash, role, email_verified_at) VALUES (%s, %s, %s, 'ADMIN', now())"
            " ON CONFLICT (lower(email)) DO UPDATE SET role = 'ADMIN', password_hash = excluded.password_hash,"
            " email_verified_at = coalesce(users.email_verified_at, now()), updated_at = now(),"
            " token_version = users.token_version + 1",
            (new_id(), address, hash_password(password or generated or "")),
        )
    return NewAdministrator(address, generated)


def verify_account(target: Target, email: str) -> bool:
    """Vouches for an address, as its mailed link would. False where it was verified before. Raises StartRefused for no account."""
    with connect_for_command(target) as connection:
        user_id = _lock_account(connection, email)
        changed = connection.execute(
            "UPDATE users SET email_verified_at = now(), updated_at = now()"
            " WHERE id = %s AND email_verified_at IS NULL",
            (user_id,),
        )
        return changed.rowcount == 1


def set_role(target: Target, email: str, role: Role) -> bool:
    """False where the account has the role. Its access tokens end. Raises StartRefused: no account, or the last administrator."""
    with connect_for_command(target) as connection:
        # Two demotions at once must not take the last two.
        connection.execute("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")
        user_id = _lock_account(connection, email)
        changed = connection.execute(
            "UPDATE users SET role = %s, token_version = token_version + 1, updated_at = now() WHERE id = %s AND role <> %s",
            (role, user_id, role),
        )
        if connection.execute("SELECT FROM users WHERE role = 'ADMIN' LIMIT 1").fetchone() is None:
            connection.rollback()
            raise StartRefused(
                "This is the only administrator.", "Promote another one first: kotobamichi admin promote EMAIL."
            )
        return changed.rowcount == 1


def reset_password(target: Target, email: str) -> str:
    """A made-up password for the account, whose sessions end. Raises StartRefused for no account."""
    password = generate_password()
    password_hash = hash_password(password)
    with connect_for_command(target) as connection:
        user_id = _lock_account(connection, email)
        connection.execute(
            "UPDATE users SET password_hash = %s, token_version = token_version + 1, updated_at = now() WHERE id = %s",
            (password_hash, user_id),
        )
        connection.execute(
            "UPDATE refresh_tokens SET revoked_at = now() WHERE user_id = %s AND revoked_at IS NULL", (user_id,)
        )
        connection.execute(
            "UPDATE email_tokens SET used_at = now() WHERE user_id = %s AND purpose = 'reset_password' AND used_at IS NULL",
            (user_id,),
        )
    return password


def _lock_account(connection: CommandConnection, email: str) -> object:
    found = connection.execute(
        "SELECT id FROM users WHERE lower(email) = lower(%s) FOR NO KEY UPDATE", (clean(email),)
    ).fetchone()
    if found is None:
        raise StartRefused("There is no account with this address.", "Check how it is spelled.")
    return found[0]
