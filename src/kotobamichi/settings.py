"""What the operator has set; the only reader of the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from kotobamichi.errors import StartRefused
from michi.settings import Target, find_migrations, find_target, parse_duration, read_secret

SHORTEST_SECRET = 32
MIGRATIONS = Path(__file__).parent / "migrations"


@dataclass(frozen=True)
class Settings:
    """`cors_origins` None means localhost, on any port. Durations are seconds."""

    production: bool
    target: Target
    host: str
    port: int
    workers: int
    pool_size: int
    cors_origins: tuple[str, ...] | None
    jwt_secret: str | None
    vocabulary: Literal["jlpt", "none"]
    schema_wait_seconds: float
    migrations: Path


@dataclass(frozen=True)
class MailServer:
    """Where mail is handed over. `secure` is TLS from the first byte; without it STARTTLS is used where it is offered."""

    host: str
    port: int
    secure: bool
    user: str
    password: str = field(repr=False)


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Raises StartRefused or one of michi's configuration errors, naming the setting, never its value when it is a secret."""
    production = environ.get("APP_ENV", "development") == "production"
    return Settings(
        production=production,
        target=find_target(without_migration_url(environ)),
        host=environ.get("HOST") or "0.0.0.0",  # noqa: S104 -- a container's port is published on purpose
        port=read_port(environ),
        workers=_whole_number(environ, "WORKERS", 1, 1, 64),
        pool_size=_whole_number(environ, "DATABASE_POOL_SIZE", 10, 1, 500),
        cors_origins=_read_origins(environ, production),
        jwt_secret=_read_jwt_secret(environ, production),
        vocabulary=_read_vocabulary(environ),
        schema_wait_seconds=parse_duration(environ.get("SCHEMA_WAIT") or "10m", "SCHEMA_WAIT"),
        migrations=find_migrations(
            {}, Path(environ["MICHI_MIGRATIONS"]) if environ.get("MICHI_MIGRATIONS") else MIGRATIONS, Path()
        ),
    )


def without_migration_url(environ: Mapping[str, str]) -> dict[str, str]:
    """The app reads DATABASE_URL; MIGRATION_DATABASE_URL is for michi, past the pooler that the app may use."""
    return {name: value for name, value in environ.items() if not name.startswith("MIGRATION_DATABASE_URL")}


def has_database(environ: Mapping[str, str]) -> bool:
    """Whether any of the ways to name a database is used; without one, `kotobamichi up` starts the embedded server."""
    names = ("DATABASE_URL", "DATABASE_URL_FILE", "DATABASE_HOST", "DATABASE_HOST_FILE", "DATABASE_SECRET_DIR")
    return any(environ.get(name) for name in names)


def data_folder(environ: Mapping[str, str], here: Path) -> Path:
    """Where the embedded server keeps its data."""
    return Path(environ.get("KOTOBAMICHI_DATA") or here / ".kotobamichi").expanduser().absolute()


def read_port(environ: Mapping[str, str]) -> int:
    return _whole_number(environ, "PORT", 3000, 1, 65535)


def find_redis_url(environ: Mapping[str, str]) -> str | None:
    """Where rate limits are shared between processes, or None where each counts for itself."""
    return read_secret(environ, "REDIS_URL") or None


def find_mail_server(environ: Mapping[str, str]) -> MailServer | None:
    """None where mail is off: by MAIL=off, or in development without SMTP_HOST. In production the absence is an error."""
    if environ.get("MAIL") == "off":
        return None
    host = environ.get("SMTP_HOST")
    if not host:
        if environ.get("APP_ENV") == "production":
            raise StartRefused(
                "SMTP_HOST is not set, and in production it must be.", "Name the mail server, or set MAIL=off."
            )
        return None
    secure = environ.get("SMTP_SECURE", "").lower() in {"1", "true", "yes", "on"}
    return MailServer(
        host=host,
        port=_whole_number(environ, "SMTP_PORT", 465 if secure else 587, 1, 65535),
        secure=secure,
        user=environ.get("SMTP_USER") or "",
        password=read_secret(environ, "SMTP_PASS") or "",
    )


def _whole_number(environ: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not least <= int(text) <= most:
        raise StartRefused(
            f"{name} is not a whole number from {least} to {most}.", f"Set it, or unset it for {default}."
        )
    return int(text)


def _read_origins(environ: Mapping[str, str], production: bool) -> tuple[str, ...] | None:
    text = environ.get("CORS_ORIGIN")
    if not text:
        return () if production else None
    origins = tuple(origin.strip().rstrip("/") for origin in text.split(",") if origin.strip())
    if any("://" not in origin for origin in origins):
        raise StartRefused(
            "CORS_ORIGIN holds something that is no origin.",
            "Write origins such as https://example.org, with commas between.",
        )
    return origins


def _read_jwt_secret(environ: Mapping[str, str], production: bool) -> str | None:
    secret = read_secret(environ, "JWT_SECRET")
    if not production:
        return secret
    advice = "Make one: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
    if not secret:
        raise StartRefused("JWT_SECRET is not set, and in production it must be.", advice)
    if len(secret) < SHORTEST_SECRET:
        raise StartRefused(f"JWT_SECRET is shorter than {SHORTEST_SECRET} characters.", advice)
    return secret


def _read_vocabulary(environ: Mapping[str, str]) -> Literal["jlpt", "none"]:
    match environ.get("VOCABULARY") or "none":
        case "jlpt":
            return "jlpt"
        case "none":
            return "none"
        case _:
            raise StartRefused(
                "VOCABULARY is neither jlpt nor none.",
                "Set it to jlpt to have the JLPT words loaded at the first start.",
            )
