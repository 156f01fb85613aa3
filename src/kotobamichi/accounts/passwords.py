"""Passwords: how they are hashed, compared and made. Slow on purpose; who hashes how many at once is in hashing.py."""

from __future__ import annotations

import secrets

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# No 0, O, 1, l, I: a person may have to type it from a terminal.
ALPHABET = "23456789abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ"
GENERATED_LENGTH = 20
BCRYPT_PREFIXES = ("$2a$", "$2b$", "$2y$")
# What bcrypt takes of a password; the older backend passed over the rest in silence.
BCRYPT_BYTES = 72

_hasher = PasswordHasher()


def hash_password(password: str) -> str:
    """Argon2id with the library's defaults, RFC 9106's low-memory profile."""
    return _hasher.hash(password)


def verify_password(password: str, password_hash: str) -> bool:
    """Whether the hash is of this password: Argon2id, or bcrypt from an older backend, which knew only the first 72 bytes."""
    if password_hash.startswith(BCRYPT_PREFIXES):
        try:
            return bcrypt.checkpw(password.encode()[:BCRYPT_BYTES], password_hash.encode())
        except ValueError:
            return False
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


def needs_rehash(password_hash: str) -> bool:
    """Whether a password that was right should be hashed anew: bcrypt, or weaker parameters than today's."""
    return password_hash.startswith(BCRYPT_PREFIXES) or _hasher.check_needs_rehash(password_hash)


def generate_password() -> str:
    """116 bits of randomness in characters that are hard to confuse."""
    return "".join(secrets.choice(ALPHABET) for _ in range(GENERATED_LENGTH))
