"""Access and refresh tokens: JWTs (RFC 7519) signed with HS256. Pure: who is who is looked up elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import jwt

from kotobamichi.ids import parse_id

ALGORITHM = "HS256"
Role = Literal["USER", "ADMIN"]
Type = Literal["access", "refresh"]


@dataclass(frozen=True)
class AccessClaims:
    """What an access token says. `version` must be the account's token_version: it grows when all tokens are to end.

    `expires` is in seconds since 1970, and known of a token that was read.
    """

    user_id: str
    email: str
    role: str
    version: int
    expires: int = field(default=0, compare=False)


@dataclass(frozen=True)
class RefreshClaims:
    """What a refresh token says; whether it has been used, the table says."""

    user_id: str
    token_id: str


class TokenExpired(Exception):
    """Signed by us and of the right type, and too old."""


class TokenInvalid(Exception):
    """Anything else that is no token of ours: signature, algorithm, type, claims."""


def sign_access(claims: AccessClaims, secret: str, now: datetime, seconds: int) -> str:
    issued = int(now.timestamp())
    return jwt.encode(
        {
            "email": claims.email,
            "sub": claims.user_id,
            "role": claims.role,
            "type": "access",
            "ver": claims.version,
            "iat": issued,
            "exp": issued + seconds,
        },
        secret,
        ALGORITHM,
    )


def sign_refresh(user_id: str, token_id: str, secret: str, issued: int, expires: int) -> str:
    """The same bytes for the same claims, so that a successor can be told twice and need not be stored. Seconds since 1970."""
    claims = {"sub": user_id, "jti": token_id, "type": "refresh", "iat": issued, "exp": expires}
    return jwt.encode(claims, secret, ALGORITHM)


def read_refresh(token: str, secret: str) -> RefreshClaims:
    """Raises TokenExpired, TokenInvalid; an access token is no refresh token."""
    claims = read_claims(token, secret, "refresh")
    if parse_id(str(claims.get("jti"))) is None or parse_id(claims["sub"]) is None:
        raise TokenInvalid
    return RefreshClaims(claims["sub"], claims["jti"])


def read_access(token: str, secret: str) -> AccessClaims:
    """Raises TokenExpired, TokenInvalid; a refresh token is no access token."""
    claims = read_claims(token, secret, "access")
    version = claims.get("ver", 0)
    return AccessClaims(
        user_id=claims["sub"],
        email=str(claims.get("email", "")),
        role=str(claims.get("role", "")),
        version=version if isinstance(version, int) else -1,
        expires=int(claims["exp"]),
    )


def read_claims(token: str, secret: str, kind: Type) -> dict[str, Any]:
    """The verified claims of a token of this type. Raises TokenExpired, TokenInvalid."""
    try:
        claims: dict[str, Any] = jwt.decode(
            token, secret, [ALGORITHM], options={"require": ["sub", "iat", "exp"], "verify_iat": False}
        )
    except jwt.ExpiredSignatureError:
        raise TokenExpired from None
    except (jwt.InvalidTokenError, ValueError):
        raise TokenInvalid from None
    if claims.get("type") != kind:
        raise TokenInvalid
    return claims
