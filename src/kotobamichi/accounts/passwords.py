"""Passwords: how they are hashed and made. Who has which is in queries.py."""

from __future__ import annotations

import secrets

from argon2 import PasswordHasher

# No 0, O, 1, l, I: a person may have to type it from a terminal.
ALPHABET = "23456789abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ"
GENERATED_LENGTH = 20

_hasher = PasswordHasher()


def hash_password(password: str) -> str:
    """Argon2id with the library's defaults, RFC 9106's low-memory profile."""
    return _hasher.hash(password)


def generate_password() -> str:
    """116 bits of randomness in characters that are hard to confuse."""
    return "".join(secrets.choice(ALPHABET) for _ in range(GENERATED_LENGTH))
