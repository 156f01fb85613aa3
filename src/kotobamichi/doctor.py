"""Looks at what the app needs and does not hold itself: settings, database, schema, Redis, mail, clock. Changes nothing."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

from kotobamichi.settings import LimitSettings, MailSettings, Settings, read_settings
from michi.database import Server, connect
from michi.doctor import Finding
from michi.errors import DatabaseUnreachable, MichiError, UsageError
from michi.folder import read_folder
from michi.ledger import read_ledger
from michi.plan import check, compare

PROBE_SECONDS = 5.0
# Tokens carry times to the second and live for minutes: what is further off than this makes them end early or start late.
LARGEST_CLOCK_DIFFERENCE_SECONDS = 5.0
UNREACHABLE = DatabaseUnreachable.exit_code


def examine(environ: Mapping[str, str]) -> list[Finding]:
    """One finding for each thing, in the order in which to mend them: with wrong settings there is no more to look at.

    Never raises for what is wrong with any of them.
    """
    try:
        settings = read_settings(environ)
    except MichiError as error:
        return [_failure("settings", error)]
    told = "production" if settings.production else "development"
    findings = [Finding("settings", "ok", f"{told}, {settings.workers} worker(s), port {settings.port}")]
    return [*findings, *_database(settings), _redis(settings.limits), _mail(settings.mail)]


def _database(settings: Settings) -> list[Finding]:
    """Database, schema and clock: without the first there is nothing to say of the others."""
    try:
        server = connect(settings.target)
    except MichiError as error:
        return [_failure("database", error)]
    with server.connection:
        encrypted = "TLS" if server.tls else "no TLS"
        version = f"PostgreSQL {server.version // 10000}.{server.version % 10000}"
        found = Finding("database", "ok", f"{server.target.describe()}, {version}, {encrypted}")
        return [found, _schema(server, settings), _clock(server)]


def _schema(server: Server, settings: Settings) -> Finding:
    try:
        standing = compare(read_folder(settings.migrations), read_ledger(server.connection, server.target.schema))
        if (obstacle := check(standing)) is not None:
            return _failure("schema", obstacle)
    except MichiError as error:
        return _failure("schema", error)
    return Finding("schema", "ok", f"at {standing.head}, which this app can use")


def _clock(server: Server) -> Finding:
    row = server.connection.execute("SELECT clock_timestamp()").fetchone()
    now = datetime.now(UTC)
    assert row is not None
    assert isinstance(row[0], datetime)
    off = (now - row[0]).total_seconds()
    if abs(off) <= LARGEST_CLOCK_DIFFERENCE_SECONDS:
        return Finding("clock", "ok", "agrees with the database's")
    order = "before" if off > 0 else "behind"
    return Finding(
        "clock", "warning", f"{abs(off):.0f} s {order} the database's", "Let NTP set the clocks of both machines."
    )


def _redis(limits: LimitSettings) -> Finding:
    url = limits.redis_url
    if url is None:
        return Finding("Redis", "ok", "none: each process counts its rate limits for itself")
    import redis  # noqa: PLC0415 -- slow to import, and most run without it

    address = urlsplit(url)
    where = f"{address.hostname}:{address.port or 6379}" if address.hostname else address.path
    try:
        client = redis.Redis.from_url(url, socket_timeout=PROBE_SECONDS, socket_connect_timeout=PROBE_SECONDS)
        with client:
            version = client.info("server")["redis_version"]
    except ValueError:
        return Finding(
            "Redis", "failure", "REDIS_URL is not a Redis URL", "Write redis://host:6379/0.", UsageError.exit_code
        )
    except redis.RedisError as error:
        reason = type(error).__name__
        cure = "Start Redis, or correct REDIS_URL; without it, unset REDIS_URL and run one app."
        return Finding("Redis", "failure", f"{where} does not answer ({reason})", cure, UNREACHABLE)
    return Finding("Redis", "ok", f"{where}, version {version}")


def _mail(mail: MailSettings) -> Finding:
    """Logs in and sends nothing."""
    if mail.mode != "smtp":
        return Finding(
            "mail", "ok", "off: no mail is sent" if mail.mode == "off" else "none: links are written to the log"
        )
    where = f"{mail.host}:{mail.port}"
    code = UsageError.exit_code
    try:
        encrypted = _log_in(mail)
    except smtplib.SMTPAuthenticationError:
        reason, cure = "refused the login", "Correct SMTP_USER and SMTP_PASS."
    except ssl.SSLCertVerificationError as error:
        reason = f"has a certificate that is not trusted ({error.verify_message})"
        cure = (
            "SMTP_HOST must be the name in the certificate; SSL_CERT_FILE names the file of an authority of your own."
        )
    except OSError as error:  # smtplib's errors are some of these
        reason, code = f"cannot be used ({_reason(error)})", UNREACHABLE
        cure = "Correct SMTP_HOST, SMTP_PORT and SMTP_SECURE (true for port 465), or set MAIL=off."
    else:
        if encrypted or not mail.user:
            return Finding("mail", "ok", f"{where}, {'TLS' if encrypted else 'no TLS'}")
        reason = "speaks no TLS, and the password is not sent without it: no mail leaves"
        cure = "Use a port that speaks TLS; for one that wants no login, unset SMTP_USER."
    return Finding("mail", "failure", f"{where} {reason}", cure, code)


def _log_in(mail: MailSettings) -> bool:
    """Whether the connection is encrypted. Where it is not there is no login, as when mails are sent."""
    context = ssl.create_default_context()
    if mail.implicit_tls:
        connection: smtplib.SMTP = smtplib.SMTP_SSL(mail.host, mail.port, timeout=PROBE_SECONDS, context=context)
    else:
        connection = smtplib.SMTP(mail.host, mail.port, timeout=PROBE_SECONDS)
    with connection:
        connection.ehlo()
        encrypted = mail.implicit_tls
        if not encrypted and connection.has_extn("starttls"):
            connection.starttls(context=context)
            connection.ehlo()
            encrypted = True
        if mail.user and encrypted:
            connection.login(mail.user, mail.password or "")
    return encrypted


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _failure(subject: str, error: MichiError) -> Finding:
    return Finding(subject, "failure", error.message, error.remedy, error.exit_code)
