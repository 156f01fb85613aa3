"""What the operator has set; the only reader of the environment."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import urlsplit

from kotobamichi.errors import StartRefused
from michi.settings import Target, find_migrations, find_target, parse_duration, read_secret

SHORTEST_SECRET = 32
MIGRATIONS = Path(__file__).parent / "migrations"
TOKEN_DURATION = re.compile(r"(\d{1,9})([smhdw])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
HOW_TO_MAKE_ONE = "Make one: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"

Choice = TypeVar("Choice", bound=str)
SameSite = Literal["lax", "strict", "none"]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class TokenSettings:
    """How logins are signed and how long they last, in seconds. `secret` None: development, one is made up at the start."""

    secret: str | None
    access_seconds: int
    refresh_seconds: int
    cookie_secure: bool
    cookie_samesite: SameSite


@dataclass(frozen=True)
class MailSettings:
    """`mode` smtp sends, log writes the link to the log (development), off sends nothing. Durations are seconds.

    `app_url` is the web client's address, without a slash at the end: links in mails begin with it.
    """

    mode: Literal["smtp", "log", "off"]
    host: str
    port: int
    implicit_tls: bool
    user: str | None
    password: str | None
    sender: str
    app_url: str
    verification_seconds: int
    verification_cooldown_seconds: int
    verification_daily_limit: int
    reset_seconds: int
    reset_cooldown_seconds: int
    reset_daily_limit: int


@dataclass(frozen=True)
class LimitSettings:
    """Rate limits: shared through Redis where there is a URL. `trusted_proxies` are those whose X-Forwarded-For counts."""

    enabled: bool
    redis_url: str | None
    trusted_proxies: tuple[Network, ...]


@dataclass(frozen=True)
class GoogleSettings:
    """Signing in with Google; `callback_url` is what Google sends people back to."""

    client_id: str
    client_secret: str
    callback_url: str


@dataclass(frozen=True)
class MetricsSettings:
    """Where /metrics answers: on a port of its own, or on the API's port to whoever has the token; nowhere if neither is set."""

    port: int | None
    token: str | None


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
    tokens: TokenSettings
    mail: MailSettings
    limits: LimitSettings
    google: GoogleSettings | None
    metrics: MetricsSettings
    import_folder: Path
    log_format: Literal["text", "json"]
    vocabulary: Literal["jlpt", "none"]
    schema_wait_seconds: float
    migrations: Path


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
        tokens=_read_tokens(environ, production),
        mail=_read_mail(environ, production),
        limits=_read_limits(environ),
        google=_read_google(environ),
        metrics=_read_metrics(environ),
        import_folder=Path(environ.get("IMPORT_FOLDER") or "imports"),
        log_format=_one_of(environ, "LOG_FORMAT", "text", ("text", "json")),
        vocabulary=_one_of(environ, "VOCABULARY", "none", ("jlpt", "none")),
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


def _whole_number(environ: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not least <= int(text) <= most:
        raise StartRefused(
            f"{name} is not a whole number from {least} to {most}.", f"Set it, or unset it for {default}."
        )
    return int(text)


def _one_of(environ: Mapping[str, str], name: str, default: Choice, choices: tuple[Choice, ...]) -> Choice:
    text = (environ.get(name) or default).lower()
    for choice in choices:
        if text == choice:
            return choice
    raise StartRefused(f"{name} is none of {', '.join(choices)}.", f"Set it to one of them, or unset it for {default}.")


def _switch(environ: Mapping[str, str], name: str, *, default: bool) -> bool:
    match (environ.get(name) or "").lower():
        case "":
            return default
        case "true" | "1" | "on" | "yes":
            return True
        case "false" | "0" | "off" | "no":
            return False
        case _:
            raise StartRefused(f"{name} is neither true nor false.", "Set it to true or false, or unset it.")


def _token_seconds(environ: Mapping[str, str], name: str, default: str) -> int:
    match = TOKEN_DURATION.fullmatch(environ.get(name) or default)
    if match is None or int(match[1]) == 0:
        raise StartRefused(
            f"{name} is not a duration.",
            f"Write a number and s, m, h, d or w, such as 15m or 7d; unset, it is {default}.",
        )
    return int(match[1]) * SECONDS[match[2]]


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


def _read_tokens(environ: Mapping[str, str], production: bool) -> TokenSettings:
    secret = read_secret(environ, "JWT_SECRET") or None
    if production and secret is None:
        raise StartRefused("JWT_SECRET is not set, and in production it must be.", HOW_TO_MAKE_ONE)
    if production and secret is not None and len(secret) < SHORTEST_SECRET:
        raise StartRefused(f"JWT_SECRET is shorter than {SHORTEST_SECRET} characters.", HOW_TO_MAKE_ONE)
    secure = _switch(environ, "COOKIE_SECURE", default=production)
    samesite: SameSite = _one_of(environ, "COOKIE_SAMESITE", "none" if production else "lax", ("lax", "strict", "none"))
    if samesite == "none" and not secure:
        raise StartRefused(
            "COOKIE_SAMESITE is none without COOKIE_SECURE, and browsers refuse such cookies.",
            "Set COOKIE_SECURE=true, or COOKIE_SAMESITE=lax.",
        )
    return TokenSettings(
        secret=secret,
        access_seconds=_token_seconds(environ, "ACCESS_TOKEN_EXPIRES_IN", "15m"),
        refresh_seconds=_token_seconds(environ, "REFRESH_TOKEN_EXPIRES_IN", "7d"),
        cookie_secure=secure,
        cookie_samesite=samesite,
    )


def _read_mail(environ: Mapping[str, str], production: bool) -> MailSettings:
    host = environ.get("SMTP_HOST") or ""
    off = not _switch(environ, "MAIL", default=True)
    if production and not host and not off:
        raise StartRefused(
            "SMTP_HOST is not set: nobody could verify an address or reset a password.",
            "Set SMTP_HOST, or MAIL=off to run without mail.",
        )
    app_url = (environ.get("APP_URL") or "").rstrip("/")
    if production and not off and not app_url:
        raise StartRefused(
            "APP_URL is not set, and links in mails begin with it.",
            "Set it to the address of your web client, such as https://learn.example.org.",
        )
    if app_url and urlsplit(app_url).scheme not in {"http", "https"}:
        raise StartRefused("APP_URL is no http or https address.", "Write one such as https://learn.example.org.")
    implicit_tls = _switch(environ, "SMTP_SECURE", default=False)
    return MailSettings(
        mode="off" if off else "smtp" if host else "log",
        host=host,
        port=_whole_number(environ, "SMTP_PORT", 465 if implicit_tls else 587, 1, 65535),
        implicit_tls=implicit_tls,
        user=read_secret(environ, "SMTP_USER") or None,
        password=read_secret(environ, "SMTP_PASS") or None,
        sender=environ.get("SMTP_FROM") or "KotobaMichi <no-reply@localhost>",
        app_url=app_url or "http://localhost:3001",
        verification_seconds=_token_seconds(environ, "EMAIL_VERIFICATION_EXPIRES_IN", "1d"),
        verification_cooldown_seconds=_whole_number(environ, "EMAIL_VERIFICATION_COOLDOWN_SECONDS", 60, 0, 86_400),
        verification_daily_limit=_whole_number(environ, "EMAIL_VERIFICATION_DAILY_LIMIT", 10, 1, 1000),
        reset_seconds=_token_seconds(environ, "PASSWORD_RESET_EXPIRES_IN", "1h"),
        reset_cooldown_seconds=_whole_number(environ, "PASSWORD_RESET_COOLDOWN_SECONDS", 60, 0, 86_400),
        reset_daily_limit=_whole_number(environ, "PASSWORD_RESET_DAILY_LIMIT", 10, 1, 1000),
    )


def _read_limits(environ: Mapping[str, str]) -> LimitSettings:
    proxies: list[Network] = []
    for text in (environ.get("TRUSTED_PROXIES") or "").split(","):
        if not text.strip():
            continue
        try:
            proxies.append(ipaddress.ip_network(text.strip(), strict=False))
        except ValueError:
            raise StartRefused(
                "TRUSTED_PROXIES holds something that is no address.",
                "Write addresses or networks such as 10.0.0.5 or 172.16.0.0/12, with commas between.",
            ) from None
    redis_url = read_secret(environ, "REDIS_URL") or None
    if redis_url and urlsplit(redis_url).scheme not in {"redis", "rediss", "unix"}:
        raise StartRefused("REDIS_URL is no address of a Redis server.", "Write one such as redis://cache:6379/0.")
    return LimitSettings(_switch(environ, "RATE_LIMIT", default=True), redis_url, tuple(proxies))


def _read_google(environ: Mapping[str, str]) -> GoogleSettings | None:
    client_id = environ.get("GOOGLE_CLIENT_ID")
    if not client_id:
        return None
    secret = read_secret(environ, "GOOGLE_CLIENT_SECRET")
    callback = environ.get("GOOGLE_CALLBACK_URL")
    if not secret or not callback:
        missing = "GOOGLE_CLIENT_SECRET" if not secret else "GOOGLE_CALLBACK_URL"
        raise StartRefused(
            f"GOOGLE_CLIENT_ID is set and {missing} is not.", f"Set {missing}, or unset GOOGLE_CLIENT_ID."
        )
    return GoogleSettings(client_id, secret, callback)


def _read_metrics(environ: Mapping[str, str]) -> MetricsSettings:
    port = _whole_number(environ, "METRICS_PORT", 0, 0, 65535) or None
    return MetricsSettings(port, read_secret(environ, "METRICS_TOKEN") or None)
