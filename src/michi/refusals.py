"""Why a connection was refused: libpq's text, or the SQLSTATE behind it, as one of michi's errors."""

from __future__ import annotations

import ctypes
import re
import select
import sys
import time
from collections.abc import Mapping

import psycopg
from psycopg import conninfo, pq

from michi.errors import CredentialsRejected, DatabaseAbsent, DatabaseUnreachable, MichiError
from michi.settings import Target

# A failed connection has no SQLSTATE in libpq, only text. These parts of it say that a retry can help, that the database is absent,
# or that the login was refused. A server that speaks another language than English is asked for the SQLSTATE.
PASSING = re.compile(
    r"connection refused|could not connect|could not translate host name|name or service not known"
    r"|temporary failure in name resolution|no address associated|timeout expired|timed out|no route to host"
    r"|network is unreachable|host is down|server closed the connection|connection reset|broken pipe"
    r"|no such file or directory"
    r"|starting up|shutting down|terminating connection|crash of another server process"
    r"|in recovery mode|not yet accepting connections|recovery state has not been"
    r"|too many clients|remaining connection slots|too many connections|failed to resolve|getaddrinfo"
    r"|ssl syscall error: eof",
    re.IGNORECASE,
)
ABSENT = re.compile(r'database "[^"]*" does not exist|3D000', re.IGNORECASE)
REJECTED = re.compile(
    r'password authentication failed|no password supplied|role "[^"]*" does not exist|authentication failed'
    r"|no pg_hba.conf entry|peer authentication|not permitted to log in|permission denied for database",
    re.IGNORECASE,
)
LIBPQ_ASIDE = re.compile(r"Is the server running |Multiple connection attempts failed")
TLS = re.compile(r"\bssl\b|certificate|\btls\b|sslmode|sslrootcert", re.IGNORECASE)
SERVER_SAID = re.compile(r"^(?:.*failed: )?[^\s:]{1,30}:\s+([0-9A-Z]{5}): (.*)$")
PASSING_STATES = re.compile(
    r"08|53|57|58|55000"
)  # connection, resources, operator intervention, system; not accepting connections
REJECTED_STATES = re.compile(r"28|42501")
ABSENT_STATE = "3D000"
PQERRORS_VERBOSE = 2
ASKING_SECONDS = 5.0


def explain_refusal(error: psycopg.OperationalError, target: Target, parameters: Mapping[str, str]) -> MichiError:
    """The reason of a refused connection. Where its text is not understood, connects once more to learn the SQLSTATE."""
    lines = said(str(error), target)
    if not any(known.search(line) for known in (ABSENT, REJECTED, PASSING) for line in lines):
        found = [match for line in _verbose_text(parameters).splitlines() if (match := SERVER_SAID.match(line.strip()))]
        if found:
            return _by_sqlstate({match[1]: said(match[2], target)[0] for match in found}, target)
    return translate_connection_error(error, target)


def _by_sqlstate(reasons: Mapping[str, str], target: Target) -> MichiError:
    where = target.describe()
    if ABSENT_STATE in reasons:
        return _absent(target)
    if reason := next((reasons[state] for state in reasons if REJECTED_STATES.match(state)), None):
        return _rejected(where, reason)
    if reason := next((reasons[state] for state in reasons if PASSING_STATES.match(state)), None):
        return _unreachable(where, reason)
    return _refused(where, *reasons.values())


def translate_connection_error(error: psycopg.OperationalError, target: Target) -> MichiError:
    """libpq's text as one of michi's errors. libpq puts no password into its messages, and is not given the URL.

    There is a line for each address and each way, with and without TLS, that was tried. The most final one decides.
    """
    lines = said(str(error), target)
    where = target.describe()
    if any(ABSENT.search(line) for line in lines):
        return _absent(target)
    if line := next((line for line in lines if REJECTED.search(line) and not PASSING.search(line)), None):
        return _rejected(where, line)
    if line := next(filter(PASSING.search, lines), None):
        return _unreachable(where, line)
    if line := next(filter(TLS.search, lines), None):
        return CredentialsRejected(f"{where} refused TLS: {line}", "Check sslmode and the certificates.")
    return _refused(where, lines[-1])


def _absent(target: Target) -> DatabaseAbsent:
    return DatabaseAbsent(
        f"The database {target.dbname} does not exist on {target.describe()}.", "Create it, or run `michi deploy`."
    )


def _rejected(where: str, reason: str) -> CredentialsRejected:
    return CredentialsRejected(f"{where} refused the login: {reason}", "Check user, password and pg_hba.conf.")


def _unreachable(where: str, reason: str) -> DatabaseUnreachable:
    return DatabaseUnreachable(
        f"{where} cannot be reached: {reason}", "Check the address and that PostgreSQL is running."
    )


def _refused(where: str, reason: str, *_others: str) -> CredentialsRejected:
    return CredentialsRejected(f"{where} refused the connection: {reason}", "Check the connection settings.")


def said(text: str, target: Target) -> list[str]:
    """The lines of a message, without libpq's question and preamble, and with the password cut out should the server repeat it."""
    lines = [line.strip() for line in text.splitlines()]
    lines = [re.sub(r"^.*(?:failed: |FATAL:\s*)", "", line) for line in lines if line and not LIBPQ_ASIDE.match(line)]
    password = target.parameters.get("password") or ""
    return [line.replace(password, "***") if len(password) > 2 else line for line in lines] or ["no reason given"]


def _verbose_text(parameters: Mapping[str, str]) -> str:
    """libpq's message for another try at connecting, with SQLSTATEs in it; empty where it cannot be had, or the try succeeds."""
    pgconn = pq.PGconn.connect_start(conninfo.make_conninfo("", **parameters).encode())
    try:
        if not _make_verbose(pgconn):
            return ""
        deadline = time.monotonic() + ASKING_SECONDS
        wanted: int = pq.PollingStatus.WRITING
        while wanted not in {pq.PollingStatus.OK, pq.PollingStatus.FAILED} and pgconn.status != pq.ConnStatus.BAD:
            left = deadline - time.monotonic()
            if left <= 0:
                return ""
            reading = [pgconn.socket] if wanted == pq.PollingStatus.READING else []
            writing = [pgconn.socket] if wanted == pq.PollingStatus.WRITING else []
            select.select(reading, writing, [], left)
            wanted = pgconn.connect_poll()
        return pgconn.get_error_message() if wanted == pq.PollingStatus.FAILED else ""
    finally:
        pgconn.finish()


def _make_verbose(pgconn: pq.abc.PGconn) -> bool:
    """PQsetErrorVerbosity, which psycopg does not offer, from the very libpq that psycopg's module has loaded."""
    try:
        libpq = ctypes.CDLL(sys.modules[type(pgconn).__module__].__file__)
        set_verbosity = libpq.PQsetErrorVerbosity
    except (OSError, AttributeError, TypeError):
        return False
    set_verbosity.argtypes = [ctypes.c_void_p, ctypes.c_int]
    set_verbosity(pgconn.pgconn_ptr, PQERRORS_VERBOSE)  # type: ignore[attr-defined]
    return True
