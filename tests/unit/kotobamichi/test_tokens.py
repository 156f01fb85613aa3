"""Tokens: what is one, and what only looks like one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import jwt
import pytest

from kotobamichi.accounts.tokens import (
    AccessClaims,
    TokenExpired,
    TokenInvalid,
    read_access,
    read_refresh,
    sign_access,
    sign_refresh,
)
from kotobamichi.ids import new_id

SECRET = "a secret of the tests alone, as long as it has to be"
NOW = datetime.now(UTC)
CLAIMS = AccessClaims(str(new_id()), "mika@example.org", "ADMIN", 3)


def signed(secret: str = SECRET, algorithm: str = "HS256", **changes: object) -> str:
    seconds = int(NOW.timestamp())
    claims: dict[str, object] = {
        "sub": CLAIMS.user_id, "email": CLAIMS.email, "role": "ADMIN", "type": "access", "ver": 3, "jti": str(new_id()),
        "iat": seconds, "exp": seconds + 900,
    } | changes  # fmt: skip
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, secret, algorithm)


def test_an_access_token_says_what_was_signed() -> None:
    assert read_access(sign_access(CLAIMS, SECRET, NOW, 900), SECRET) == CLAIMS
    assert read_access(signed(), SECRET) == CLAIMS


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "refresh"}, {"type": "google"}, {"type": None}, {"sub": None}, {"sub": 7}, {"exp": None}, {"iat": None},
        {"exp": "soon"}, {"secret": "another secret that is as long as it has to be"},
        {"algorithm": "none", "secret": ""}, {"algorithm": "HS512", "secret": SECRET * 2},
    ],
)  # fmt: skip
def test_whatever_else_looks_like_an_access_token_is_none(changes: dict[str, object]) -> None:
    token = signed(**changes)  # type: ignore[arg-type]
    with pytest.raises(TokenInvalid):
        read_access(token, SECRET)


@pytest.mark.parametrize("token", ["", "a.b.c", "junk", "あ.い.う", "." * 1000, "eyJhbGciOiJub25lIn0.e30."])
def test_junk_is_no_token(token: str) -> None:
    for read in (read_access, read_refresh):
        with pytest.raises(TokenInvalid):
            read(token, SECRET)


def test_an_old_token_is_told_from_a_wrong_one() -> None:
    token = sign_access(CLAIMS, SECRET, NOW - timedelta(hours=1), 900)
    with pytest.raises(TokenExpired):
        read_access(token, SECRET)
    with pytest.raises(TokenInvalid):
        read_access(token[:-4] + "AAAA", SECRET)


def test_a_refresh_token_is_the_same_whenever_it_is_signed_and_is_no_access_token() -> None:
    user, token_id, issued = str(new_id()), str(new_id()), int(NOW.timestamp())
    token = sign_refresh(user, token_id, SECRET, issued, issued + 60)
    assert token == sign_refresh(user, token_id, SECRET, issued, issued + 60)
    claims = read_refresh(token, SECRET)
    assert (claims.user_id, claims.token_id) == (user, token_id)
    with pytest.raises(TokenInvalid):
        read_access(token, SECRET)
    with pytest.raises(TokenInvalid):
        read_refresh(signed(), SECRET)


@pytest.mark.parametrize("changes", [{"jti": "7"}, {"jti": None}, {"sub": "somebody"}])
def test_a_refresh_token_names_a_session_and_an_account(changes: dict[str, object]) -> None:
    with pytest.raises(TokenInvalid):
        read_refresh(signed(type="refresh", **changes), SECRET)
