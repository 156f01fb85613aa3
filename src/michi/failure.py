"""A failed migration as facts: where, which statement, what PostgreSQL said, and the error that ends the deploy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

from michi.blockers import blockers_text
from michi.errors import MichiError, MigrationFailed, TableLocked
from michi.sql import Statement, first_line

# Held up by others, not wrong: worth another try.
RETRYABLE = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)


class VerificationFailed(Exception):
    """A query of verify.sql did not return true."""


def describe_failure(error: Exception, path: Path, statement: Statement | None) -> dict[str, Any]:
    """What the ledger remembers and people are shown. `statement` None is the commit."""
    facts: dict[str, Any] = {
        "file": str(path),
        "line": statement.line if statement else None,
        "statement": first_line(statement.text, 500) if statement else None,
    }
    if not isinstance(error, psycopg.Error):
        return facts | {"sqlstate": None, "message": str(error)}
    diag = error.diag
    facts |= {"sqlstate": error.sqlstate, "message": diag.message_primary or str(error)}
    facts |= {"detail": diag.message_detail, "hint": diag.message_hint}
    if statement and diag.statement_position:
        before = statement.text[: int(diag.statement_position) - 1]
        facts["line"] = statement.line + before.count("\n")
        facts["column"] = len(before) - (before.rfind("\n") + 1) + 1
        facts["source"] = statement.text.split("\n")[before.count("\n")]
    return facts


def failure_error(error: Exception, migration: str, facts: dict[str, Any], *, undone: bool) -> MichiError:
    """The error to raise; `undone` is False where a non-transactional migration stopped after some statements."""
    place = f"{facts['file']}, line {facts['line']}" if facts["line"] else f"{facts['file']}, at commit"
    code = f" (SQLSTATE {facts['sqlstate']})" if facts["sqlstate"] else ""
    failed = _error(error, f"{place}: {facts['message']}{code}.", migration, facts, undone=undone)
    failed.brief = f"{migration} failed at line {facts['line']}." if facts["line"] else f"{migration} failed at commit."
    return failed


def _error(error: Exception, message: str, migration: str, facts: dict[str, Any], *, undone: bool) -> MichiError:
    if isinstance(error, RETRYABLE):
        return TableLocked(message, _lock_remedy(facts.get("blockers") or [], undone), migration=migration, error=facts)
    return MigrationFailed(
        message,
        "It was undone. Mend the file and deploy again; what was applied before it stays."
        if undone
        else "The statements before it stay. Mend the file from this one on and deploy again: it goes on there.",
        migration=migration,
        error=facts,
    )


def _lock_remedy(blockers: list[dict[str, Any]], undone: bool) -> str:
    kept = "nothing was changed" if undone else "the statements before it stay"
    if not blockers:
        return f"Another session holds the table; {kept}. Deploy again, or end that session."
    ending = " ".join(f"SELECT pg_terminate_backend({blocker['pid']});" for blocker in blockers)
    return f"Held by {blockers_text(blockers)}. Here {kept}. Deploy again once it has ended; {ending} would end it."
