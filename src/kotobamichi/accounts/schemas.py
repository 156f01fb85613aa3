"""What clients send and are given for accounts."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from kotobamichi.accounts.tokens import Role
from kotobamichi.bodies import VERBATIM, Email, Password, Text

# A password that is compared, not set: whatever its length, it is right or wrong.
GivenPassword = Annotated[str, msgspec.Meta(min_length=1, max_length=1024), VERBATIM]


class Credentials(msgspec.Struct):
    """A new account: an address, and a password of six characters or more."""

    email: Email
    password: Password


class Login(msgspec.Struct):
    email: Email
    password: GivenPassword


class Address(msgspec.Struct):
    email: Email


class LinkToken(msgspec.Struct):
    """What stands behind `token=` in a mailed link."""

    token: Text


class NewPassword(msgspec.Struct, rename="camel"):
    token: Text
    new_password: Password


class PasswordChange(msgspec.Struct, rename="camel"):
    current_password: GivenPassword
    new_password: Password


class User(msgspec.Struct):
    id: str
    email: str
    role: Role


class SignedInUser(msgspec.Struct):
    """A session: both tokens, and whose they are."""

    access_token: str
    refresh_token: str
    user: User


class Message(msgspec.Struct):
    message: str


class Success(msgspec.Struct):
    success: Literal[True] = True


class Validation(msgspec.Struct, kw_only=True):
    valid: Literal[True] = True
    user: User
