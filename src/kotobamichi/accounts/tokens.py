"""Access and refresh tokens: JWTs (RFC 7519) signed with HS256. Pure: who is who is looked up elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import jwt

ALGORITHM = "HS256"
Role = Literal["USER", "ADMIN"]
Type = Literal["access", "refresh"]


@dataclass(frozen=True)
class AccessClaims:
    """What an access token says. `version` must be the account's token_version: it grows when all tokens are to end."""

    user_id: str
    email: str
    role: str
    version: int


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


def read_access(token: str, secret: str) -> AccessClaims:
    """Raises TokenExpired, TokenInvalid; a refresh token is no access token."""
    claims = read_claims(token, secret, "access")
    version = claims.get("ver", 0)
    return AccessClaims(
        user_id=claims["sub"],
        email=str(claims.get("email", "")),
        role=str(claims.get("role", "")),
        version=version if isinstance(version, int) else -1,
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
